//! What the API holds of a running replica.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::counters::Counters;
use crate::queue::{Executed, Operation};
use crate::replica::{Readiness, Refusal, Report, Unavailable};

/// An operation on its way to the event loop.
pub(crate) struct Submission {
    /// What is asked.
    pub operation: Operation,
    /// How long its caller waits, from now.
    pub patience: Duration,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Executed, Refusal>>,
}

/// Somebody wants to know how the replica is.
pub(crate) struct Query {
    /// Where the answer goes: what the replica says, and what the event loop counted.
    pub answer: oneshot::Sender<(Report, Counters)>,
}

/// A running replica, as the API sees it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Handle {
    submissions: mpsc::Sender<Submission>,
    queries: mpsc::Sender<Query>,
    readiness: watch::Receiver<Readiness>,
}

impl Handle {
    /// A handle that feeds `submissions` (bounded) and watches `readiness`.
    pub(crate) fn new(
        submissions: mpsc::Sender<Submission>,
        queries: mpsc::Sender<Query>,
        readiness: watch::Receiver<Readiness>,
    ) -> Self {
        Self { submissions, queries, readiness }
    }

    /// How the replica is. Asked beside the calls, so it is answered however many of those wait.
    ///
    /// # Errors
    /// That the replica is stopping, or too many ask.
    pub(crate) async fn report(&self) -> Result<Report, Refusal> {
        self.report_and_counters().await.map(|(report, _)| report)
    }

    /// The same, with what the event loop counted.
    ///
    /// # Errors
    /// As [`Self::report`].
    pub(crate) async fn report_and_counters(&self) -> Result<(Report, Counters), Refusal> {
        let (answer, answered) = oneshot::channel();
        match self.queries.try_send(Query { answer }) {
            Ok(()) => answered.await.map_err(|_| shutting_down(false)),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err(Refusal::Overloaded { limit: self.queries.max_capacity() })
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(shutting_down(false)),
        }
    }

    /// Executes an operation in the order of all operations and gives its result.
    ///
    /// # Errors
    /// A [`Refusal`]; each says whether the operation may have been executed.
    pub(crate) async fn submit(
        &self,
        operation: Operation,
        patience: Duration,
    ) -> Result<Executed, Refusal> {
        let (answer, answered) = oneshot::channel();
        match self.submissions.try_send(Submission { operation, patience, answer }) {
            Ok(()) => answered.await.unwrap_or_else(|_| Err(shutting_down(true))),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err(Refusal::Overloaded { limit: self.submissions.max_capacity() })
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(shutting_down(false)),
        }
    }

    /// Whether the replica can answer calls, and every change of that.
    pub(crate) fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.clone()
    }
}

/// `sent`: whether the operation may have been multicast.
fn shutting_down(sent: bool) -> Refusal {
    Refusal::Unavailable {
        reason: Unavailable::ShuttingDown,
        sent,
        detail: "the replica is stopping".to_owned(),
    }
}
