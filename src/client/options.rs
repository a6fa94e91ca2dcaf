//! What a client can be told besides its endpoints.

use std::time::Duration;

/// The options of a [`Client`](super::Client).
#[derive(Clone, Debug)]
pub struct ClientOptions {
    pub(super) timeout: Duration,
    pub(super) name: Option<(Box<str>, u64)>,
}

impl ClientOptions {
    /// How long a call may take where nothing else was said.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

    /// The longest time that a call may take; more counts as this: a day.
    pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

    /// How long each call may take, all its tries together. A replica waits at most 60 s for one try.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: timeout.min(Self::LONGEST_TIMEOUT), ..self }
    }

    /// Names the client, 1 to 64 bytes, instead of a random name; its next request gets the number `next`, from 1.
    ///
    /// For programs that write down what they are about to do, name and number included, so that after a crash they
    /// can repeat it with [`Client::named`](super::Client::named) and go on with the number after it. No two clients
    /// may have one name at a time. A client that the replicas do not know must begin with 1. What became of a request is
    /// known only while its number is among the last 32: repeat one of unknown outcome within another timeout.
    #[must_use]
    pub fn name(self, client: impl Into<Box<str>>, next: u64) -> Self {
        Self { name: Some((client.into(), next)), ..self }
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { timeout: Self::DEFAULT_TIMEOUT, name: None }
    }
}
