//! Calls a cluster from outside: any replica, the next one when the first cannot be used, and never a second time a
//! call that may have been executed.

mod connection;
mod endpoint;
mod failure;
#[cfg(test)]
pub(crate) mod test_replica;

use std::time::Duration;

use tokio::time::Instant;

use crate::queue::{Action, Answer};

pub(crate) use connection::{Connection, connect};
pub(crate) use endpoint::Endpoint;
pub(crate) use failure::{Failure, FailureCause, Outcome, code_name};

/// What a replica answered to an operation that it executed and that could be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Answered {
    /// The answer.
    pub answer: Answer,
    /// The operation's position in the order of all operations, from 1.
    pub sequence: u64,
    /// Whether the answer is that of an earlier execution under the same request name.
    pub duplicate: bool,
}

/// How a call ended, and where.
#[derive(Debug)]
pub(crate) struct Called {
    /// The replica that answered, or where it was tried last.
    pub endpoint: Endpoint,
    /// The answer.
    pub result: Result<Answered, Failure>,
}

/// A caller of a cluster. It stays with the replica that served it last.
pub(crate) struct Client {
    endpoints: Vec<Endpoint>,
    /// Connections by endpoint, opened when they are first needed.
    connections: Vec<Option<Connection>>,
    /// The endpoint to try first: an index.
    first: usize,
    timeout: Duration,
}

/// The pauses between two rounds over all endpoints: the first, and the longest of the doubled ones. The first is
/// about what a cluster needs to form a view; the longest keeps a waiting caller from being a load.
const ROUND_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

impl Client {
    /// A caller of the replicas at `endpoints` (at least one), none of which is connected to yet. `timeout` bounds
    /// each call, all its tries together.
    ///
    /// # Panics
    /// When there is no endpoint.
    pub(crate) fn new(endpoints: Vec<Endpoint>, timeout: Duration) -> Self {
        assert!(!endpoints.is_empty(), "a client needs an endpoint");
        let connections = endpoints.iter().map(|_| None).collect();
        Self { endpoints, connections, first: 0, timeout }
    }

    /// The endpoint that the next call tries first.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoints[self.first]
    }

    /// Has an operation executed.
    ///
    /// The endpoints are tried in turn as long as the operation is known not to be executed, or changes nothing; in
    /// further rounds, after a pause, as long as any replica was reached and there is time.
    pub(crate) async fn call(&mut self, action: Action) -> Called {
        let deadline = Instant::now() + self.timeout;
        let mut pause = ROUND_PAUSE.0;
        loop {
            let round = self.round(action, deadline).await;
            let next_round = Instant::now() + pause;
            if !round.again || next_round >= deadline {
                return round.called;
            }
            tokio::time::sleep_until(next_round).await;
            pause = ROUND_PAUSE.1.min(pause * 2);
        }
    }

    /// Tries each endpoint once, or fewer when one gives an answer or a failure that ends the call.
    async fn round(&mut self, action: Action, deadline: Instant) -> Round {
        let count = self.endpoints.len();
        let start = self.first;
        let mut failures = Vec::new();
        for step in 0..count {
            let index = (start + step) % count;
            let patience = patience(action, deadline - Instant::now(), count - step);
            let result = self.attempt(index, action, patience).await;
            let endpoint = self.endpoints[index].clone();
            match result {
                Err(failure) if failure.allows_retry(action) => failures.push((endpoint, failure)),
                result => {
                    self.first = index;
                    return Round { called: Called { endpoint, result }, again: false };
                }
            }
        }
        Round::all_failed(failures)
    }

    /// One try at one endpoint.
    async fn attempt(
        &mut self,
        index: usize,
        action: Action,
        patience: Duration,
    ) -> Result<Answered, Failure> {
        let deadline = Instant::now() + patience;
        let connection = match &mut self.connections[index] {
            Some(connection) => connection,
            missing => missing.insert(
                Connection::open(&self.endpoints[index], patience.min(CONNECT_TIMEOUT)).await?,
            ),
        };
        let result = connection.call(action, deadline - Instant::now()).await;
        if matches!(&result, Err(failure) if failure.cause != FailureCause::Replica) {
            self.connections[index] = None;
        }
        result
    }
}

/// How long one endpoint may take to accept a connection before the next is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one try may take when `left` is left and `endpoints` are still to be tried, this one included. A call that
/// changes the queues is not tried again once it was sent, so its try has all the time there is.
fn patience(action: Action, left: Duration, endpoints: usize) -> Duration {
    if failure::changes_state(action) {
        left
    } else {
        left / u32::try_from(endpoints).unwrap_or(u32::MAX)
    }
}

/// What came of trying every endpoint.
struct Round {
    called: Called,
    /// Whether a further round makes sense.
    again: bool,
}

impl Round {
    /// A replica's own word is reported before a failure to reach one; with no replica reached, all failures are.
    fn all_failed(failures: Vec<(Endpoint, Failure)>) -> Self {
        let unreachable =
            failures.iter().all(|(_, failure)| failure.cause == FailureCause::NotConnected);
        if unreachable && failures.len() > 1 {
            let messages: Vec<_> = failures
                .iter()
                .map(|(endpoint, failure)| format!("{endpoint}: {}", failure.message))
                .collect();
            let failure = Failure::not_connected(messages.join("; "));
            let endpoint = failures[0].0.clone();
            return Self { called: Called { endpoint, result: Err(failure) }, again: false };
        }
        let (endpoint, failure) = failures
            .into_iter()
            .min_by_key(|(_, failure)| failure.cause)
            .expect("a round tries at least one endpoint");
        Self { called: Called { endpoint, result: Err(failure) }, again: !unreachable }
    }
}

#[cfg(test)]
mod tests;
