//! What goes into a replica and what comes out.

use std::time::Duration;

use bytes::Bytes;

use crate::queue::{Executed, Operation};
use crate::types::{Instant, MessageName, ReplicaId, Seq, ViewNumber};

/// A call that waits for its answer, named by the runtime; never used twice in one life of a replica.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallId(pub u64);

/// A numbered message in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its sequence number.
    pub seq: Seq,
    /// The view in which it was numbered.
    pub view: ViewNumber,
    /// The message.
    pub name: MessageName,
    /// The message's operations.
    pub payload: Bytes,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A caller asks for an operation and waits for its answer until `deadline`.
    Call {
        /// The call.
        call: CallId,
        /// What is asked.
        operation: Operation,
        /// When the call is refused if it is not answered by then.
        deadline: Instant,
    },
    /// A datagram arrived; nothing of it is trusted yet.
    Datagram(Bytes),
    /// All entries up to this one, appended in `view`, are durable here.
    Synced {
        /// The view in which the last of them was appended.
        view: ViewNumber,
        /// The last of them.
        through: Seq,
    },
    /// The time that `next_timeout` named has come (or passed; being early does no harm).
    Timeout,
}

/// What is to be done, in the order given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Send a datagram to a replica.
    Send {
        /// To whom.
        to: ReplicaId,
        /// The sealed bytes.
        datagram: Bytes,
    },
    /// Append an entry to the durable log; answer with [`Event::Synced`] once it is durable.
    Append(Entry),
    /// Answer a call.
    Answer {
        /// The call; it waits no longer.
        call: CallId,
        /// What to answer.
        result: Result<Executed, Refusal>,
    },
}

/// Why a replica did not answer a call with an executed operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// As many calls wait as may. Nothing was executed.
    Overloaded {
        /// How many may wait.
        limit: usize,
    },
    /// The call's deadline came first.
    DeadlineExceeded {
        /// Whether the operation was multicast: then it may be executed still, or was.
        sent: bool,
        /// How long the call waited.
        waited: Duration,
        /// What was being waited for, for people: lower case, no full stop.
        waiting_for: String,
    },
    /// This replica cannot answer.
    Unavailable {
        /// Why.
        reason: Unavailable,
        /// Whether the operation was multicast: then it may be executed still, or was.
        sent: bool,
        /// More of the reason, for people: lower case, no full stop.
        detail: String,
    },
}

/// Why a replica cannot answer at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unavailable {
    /// It is in no view (yet).
    NoView,
    /// Its view has lost a member that nothing can replace: the view cannot go on.
    ViewBroken,
    /// It is stopping.
    ShuttingDown,
}

/// Whether a replica can answer calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It cannot, and why, for people: lower case, no full stop.
    NotReady(String),
}
