//! What the event loop counted since its start.

use crate::counters::counters;

counters! {
    pub(crate) struct Counters {
        /// Turns of the event loop.
        turns,
        /// Operations taken from callers.
        calls,
        /// Calls answered.
        answers,
        /// Answers whose caller had gone.
        answers_unheard,
        /// Datagrams handed to the replica.
        datagrams_received,
        /// Those of them that are larger than any that this replica sends.
        datagrams_oversized,
        /// Errors that the socket gave instead of a datagram.
        receive_failures,
        /// Datagrams handed to the kernel.
        datagrams_sent,
        /// Datagrams not sent because the kernel's buffer was full. The ring repairs that.
        sends_full,
        /// Datagrams not sent because the replica's name is not resolved yet.
        sends_unresolved,
        /// Datagrams that the kernel refused to send.
        sends_refused,
        /// Records handed to storage.
        writes,
    }
}
