//! The queues that a load works on: new for each run, so that nobody else's items are in them.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::time::sleep;

use super::caller::Caller;
use super::history::Recorder;
use super::plan::Load;
use crate::client::{Answered, Connection, Failure, Outcome};
use crate::queue::{Action, Answer, QueueId};

/// Makes and destroys a load's queues, at any endpoint.
pub(super) struct Setup {
    /// One for each endpoint, all under the number after the last client's.
    callers: Vec<Caller>,
    queues: u32,
    /// The one that is tried first.
    first: usize,
}

/// How often each endpoint is tried before a load is given up, and the pause after each round.
const ROUNDS: usize = 5;
const ROUND_PAUSE: Duration = Duration::from_millis(100);

impl Setup {
    /// # Errors
    /// When an endpoint cannot be one.
    pub(super) fn new(load: &Load, recorder: Option<Recorder>) -> Result<Self, Failure> {
        let callers = load.endpoints.iter().enumerate().map(|(endpoint, address)| {
            Ok(Caller {
                number: load.clients,
                endpoint,
                connection: Connection::open_later(address, load.timeout)?,
                timeout: load.timeout,
                recorder: recorder.clone(),
            })
        });
        Ok(Self { callers: callers.collect::<Result<_, _>>()?, queues: load.queues, first: 0 })
    }

    /// Makes the queues.
    ///
    /// # Errors
    /// The last failure, when no endpoint made one of them.
    pub(super) async fn make_queues(&mut self) -> Result<Vec<QueueId>, Failure> {
        let mut queues = Vec::new();
        let first_label = random_label()?;
        for queue in 0..self.queues {
            let label = first_label.wrapping_add(i64::from(queue));
            // Making a queue twice gives the same queue, so an unknown outcome is no obstacle.
            let answered = self.call(Action::Create { label }, |_| true).await?;
            match answered.answer {
                Answer::Queue(queue) => queues.push(queue),
                _ => {
                    return Err(Failure::bad_answer("a create was answered as something else"));
                }
            }
        }
        Ok(queues)
    }

    /// Destroys the queues, as far as that can be done: what is left over harms nobody.
    pub(super) async fn destroy_queues(&mut self, queues: &[QueueId]) {
        for &queue in queues {
            let again = |failure: &Failure| failure.outcome == Outcome::NotExecuted;
            drop(self.call(Action::Destroy { queue }, again).await);
        }
    }

    /// Calls one endpoint after the other until one answers, or fails in a way that forbids another try.
    async fn call(
        &mut self,
        action: Action,
        again: impl Fn(&Failure) -> bool,
    ) -> Result<Answered, Failure> {
        let count = self.callers.len();
        let mut tries = 1;
        loop {
            let failure = match self.callers[self.first].call(action).await.result {
                Ok(answered) => return Ok(answered),
                Err(failure) => failure,
            };
            if tries == ROUNDS * count || !again(&failure) {
                return Err(failure);
            }
            self.first = (self.first + 1) % count;
            if tries % count == 0 {
                sleep(ROUND_PAUSE).await;
            }
            tries += 1;
        }
    }
}

/// A label that nobody else uses, but by a chance of one in 2^64 or so.
fn random_label() -> Result<i64, Failure> {
    let mut bytes = [0; 8];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| {
        Failure::not_connected("the operating system gives no random bytes".to_owned())
    })?;
    Ok(i64::from_le_bytes(bytes))
}
