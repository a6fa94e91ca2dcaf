//! Why a call failed, as the users of the library see it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use super::{Endpoint, Failure, Outcome, code_name};
use crate::queue::RequestName;

/// A call that failed: all its tries did, or one of them in a way that no other try would change.
///
/// Decide by [`code`](Self::code), [`reason`](Self::reason) and [`outcome`](Self::outcome); the message is for people.
#[derive(Clone, Debug)]
pub struct CallError {
    /// Apart, so that answers, which are small and far more frequent, are not moved about in its size.
    parts: Box<Parts>,
}

#[derive(Clone, Debug)]
struct Parts {
    failure: Failure,
    endpoint: Endpoint,
    request: Option<RequestName>,
}

impl CallError {
    pub(super) fn new(failure: Failure, endpoint: Endpoint, request: Option<RequestName>) -> Self {
        Self { parts: Box::new(Parts { failure, endpoint, request }) }
    }

    /// The gRPC code's name, such as `NOT_FOUND` or `UNAVAILABLE`.
    pub fn code(&self) -> &'static str {
        code_name(self.parts.failure.code)
    }

    /// The stable reason: one of the README's table, such as `QUEUE_NOT_FOUND`, or one of the client's own:
    /// `NOT_CONNECTED` (no replica was reached), `CONNECTION_LOST`, `NO_ANSWER` (in time), `NOT_SENT` (as many calls
    /// were under way as may be, to the end), `BAD_ANSWER` (which makes no sense).
    pub fn reason(&self) -> &str {
        &self.parts.failure.reason
    }

    /// What is known of the operation, of all tries together. [`Outcome::NotExecuted`] only if none of them can have
    /// been executed.
    pub fn outcome(&self) -> Outcome {
        self.parts.failure.outcome
    }

    /// The replica that said so, or that was tried last.
    pub fn endpoint(&self) -> &Endpoint {
        &self.parts.endpoint
    }

    /// What went wrong, for people.
    pub fn message(&self) -> &str {
        &self.parts.failure.message
    }

    /// The replica's details by name, as the README's table has them.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.parts.failure.metadata
    }

    /// The name under which the operation was tried: [`Client::named`](super::Client::named) tries it again. Reads
    /// have none, nor has what was never sent.
    pub fn request(&self) -> Option<&RequestName> {
        self.parts.request.as_ref()
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (message, reason, endpoint) = (self.message(), self.reason(), self.endpoint());
        write!(f, "{message} ({reason}, {endpoint}; ")?;
        match (self.outcome(), self.request()) {
            (Outcome::Executed { sequence }, _) => write!(f, "executed as {sequence})"),
            (Outcome::NotExecuted, _) => f.write_str("not executed)"),
            (Outcome::Unknown, None) => f.write_str("outcome unknown)"),
            (Outcome::Unknown, Some(RequestName { client, number })) => {
                write!(f, "outcome unknown, request {number} of {client})")
            }
        }
    }
}

impl Error for CallError {}
