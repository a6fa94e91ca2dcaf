//! What the event loop counted since its start.

/// Plain numbers; they never go down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counters {
    /// Turns of the event loop.
    pub turns: u64,
    /// Operations taken from callers.
    pub calls: u64,
    /// Calls answered.
    pub answers: u64,
    /// Answers whose caller had gone.
    pub answers_unheard: u64,
    /// Datagrams handed to the replica.
    pub datagrams_received: u64,
    /// Datagrams larger than any that a replica sends; dropped.
    pub datagrams_oversized: u64,
    /// Errors that the socket gave instead of a datagram.
    pub receive_failures: u64,
    /// Datagrams handed to the kernel.
    pub datagrams_sent: u64,
    /// Datagrams not sent because the kernel's buffer was full. The ring repairs that.
    pub sends_full: u64,
    /// Datagrams not sent because the replica's name is not resolved yet.
    pub sends_unresolved: u64,
    /// Datagrams that the kernel refused to send.
    pub sends_refused: u64,
    /// Records handed to storage.
    pub writes: u64,
}
