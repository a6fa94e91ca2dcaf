//! The replicated state machine: deterministic; the same operations in the same order give the same answers and the
//! same state at every replica.

mod operation;

pub(crate) use operation::{Action, Answer, Executed, Operation, QueueId, Rejection, RequestName};
