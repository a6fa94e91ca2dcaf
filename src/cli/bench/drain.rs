//! What the clients do after a load: pop its queues empty, so that every item that was pushed and answered is seen again.

use std::time::{Duration, Instant};

use crate::client::{Answered, Failure};
use crate::queue::{Action, Answer, QueueId};

/// The queues that may hold items still.
#[derive(Default)]
pub(super) struct Drain {
    queues: Vec<QueueId>,
    /// Where the next pop goes.
    next: usize,
    /// When a pop was answered last, or the first was asked for.
    progress: Option<Instant>,
}

/// How long no pop may be answered before the queues are given up.
const PATIENCE: Duration = Duration::from_secs(60);

impl Drain {
    /// All of them.
    pub(super) fn of(queues: &[QueueId]) -> Self {
        Self { queues: queues.to_vec(), ..Self::default() }
    }

    /// The next queue and its pop; none when all queues are empty, or nobody answers.
    pub(super) fn next(&mut self) -> Option<(QueueId, Action)> {
        let progress = *self.progress.get_or_insert_with(Instant::now);
        if self.queues.is_empty() || progress.elapsed() > PATIENCE {
            return None;
        }
        self.next = (self.next + 1) % self.queues.len();
        let queue = self.queues[self.next];
        Some((queue, Action::Pop { queue }))
    }

    /// Learns what came of a pop.
    pub(super) fn note(&mut self, queue: QueueId, result: &Result<Answered, Failure>) {
        if let Ok(Answered { answer, .. }) = result {
            self.progress = Some(Instant::now());
            if *answer == Answer::Item(None) {
                self.queues.retain(|&other| other != queue);
            }
        }
    }

    /// Whether no queue is left.
    pub(super) fn is_done(&self) -> bool {
        self.queues.is_empty()
    }
}
