//! What goes into a replica and what comes out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::copying::Copied;
use crate::entry::{Record, Replacement};
use crate::queue::{Executed, Operation};
use crate::types::{Instant, ReplicaId};
use crate::wire::{Chunk, CopyPlace};

/// A call that waits for its answer, named by the runtime; never used twice in one life of a replica.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallId(pub u64);

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
    /// The first so many of this life's [`Effect::Write`]s are durable here.
    Synced {
        /// How many; never fewer than before.
        writes: u64,
    },
    /// Storage has no room for what was to be written and tries again (true), or has room again (false). Nothing that
    /// was to be written is lost.
    StorageFull(bool),
    /// Storage cannot read back what it was given, and what is in its log is not to be relied on.
    LogUnreadable,
    /// What [`Effect::Lend`] asked for was read.
    Lent {
        /// For whom.
        to: ReplicaId,
        /// The pieces, in order: `Chunk::Copy`.
        pieces: Vec<Chunk>,
    },
    /// What [`Effect::ReadCopy`] gave is not what a replica's storage holds.
    CopyUnreadable,
    /// A datagram to this replica came back refused: nobody listens there. Evidence, never more.
    Refused(ReplicaId),
    /// This replica is to stop: it leaves the view in order, so that nobody waits for a timeout.
    Leave,
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
    /// Write a record to storage, after all earlier ones; answer with [`Event::Synced`] once it is durable.
    Write(Record),
    /// Put this in the place of the log in storage, after all earlier writes; it counts as one.
    Replace(Arc<Replacement>),
    /// The same with all that was written so far: what was durable is that until this is.
    Rewrite(Arc<Replacement>),
    /// Read at most so many pieces of at most `length` bytes from storage; answer with [`Event::Lent`], or not at all.
    Lend {
        /// For whom.
        to: ReplicaId,
        /// From where on. Where there is a newer snapshot, from its beginning.
        at: CopyPlace,
        /// How many.
        pieces: u64,
        /// How long each is but the last, in bytes.
        length: usize,
    },
    /// Read what was copied of another replica's storage; answer by [`super::Replica::take_over`] or with
    /// [`Event::CopyUnreadable`].
    ReadCopy(Arc<Copied>),
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
    /// Storage has no room left, and every operation takes some. Nothing was executed.
    StorageFull,
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
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unavailable {
    /// It is in no view (yet).
    NoView,
    /// It cannot reach a majority of the replicas.
    NoMajority {
        /// Whom it reaches, itself included, in id order.
        reachable: Vec<ReplicaId>,
    },
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
