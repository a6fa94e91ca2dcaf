//! One replica of those that a client calls, and the connection to it, shared by all its calls.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::{Answered, Connection, Endpoint, Failure, FailureCause};
use crate::queue::{Action, RequestName};

/// How long one endpoint may take to accept a connection before the next is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A replica and the connection to it, made when it is first needed, and anew after a call on it was not answered.
pub(super) struct Replica {
    endpoint: Endpoint,
    line: Mutex<Line>,
}

struct Line {
    connection: Option<Connection>,
    /// How many connections there were: names the present one.
    made: u64,
}

impl Replica {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, line: Mutex::new(Line { connection: None, made: 0 }) }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Calls once, for at most `patience`, connecting included.
    pub(super) async fn call(
        &self,
        action: Action,
        request: Option<&RequestName>,
        patience: Duration,
    ) -> Result<Answered, Failure> {
        let deadline = Instant::now() + patience;
        // Whoever waits for another's connecting has sent nothing either.
        let (mut connection, made) = match timeout_at(deadline, self.connected(patience)).await {
            Ok(connected) => connected?,
            Err(_) => return Err(self.not_connected("no connection in time")),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let result = connection.call(action, request, left).await;
        if let Err(failure) = &result
            && failure.cause != FailureCause::Replica
        {
            self.forget(made).await;
            if failure.cause == FailureCause::NotConnected {
                return Err(self.not_connected(&failure.message));
            }
        }
        result
    }

    /// A connection, and which one it is.
    async fn connected(&self, patience: Duration) -> Result<(Connection, u64), Failure> {
        let mut line = self.line.lock().await;
        if let Some(connection) = &line.connection {
            return Ok((connection.clone(), line.made));
        }
        let opened = Connection::open(&self.endpoint, patience.min(CONNECT_TIMEOUT)).await;
        let connection = opened.map_err(|failure| self.not_connected(&failure.message))?;
        line.connection = Some(connection.clone());
        line.made += 1;
        Ok((connection, line.made))
    }

    /// Makes way for a new connection, unless another call did so already.
    async fn forget(&self, made: u64) {
        let mut line = self.line.lock().await;
        if line.made == made {
            line.connection = None;
        }
    }

    /// Says which replica it was: of several, each may have a reason of its own.
    fn not_connected(&self, why: &str) -> Failure {
        Failure::not_connected(format!("{}: {why}", self.endpoint))
    }
}
