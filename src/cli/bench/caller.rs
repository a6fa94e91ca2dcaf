//! One caller of one replica: every call once, timed and written down.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::history::{Entry, Recorder};
use crate::client::{Answered, Connection, Failure};
use crate::queue::Action;

/// A caller.
pub(super) struct Caller {
    /// Its number among the run's callers.
    pub number: u32,
    /// Whom it calls: an index into the run's endpoints …
    pub endpoint: usize,
    /// … and how.
    pub connection: Connection,
    /// How long each call may take.
    pub timeout: Duration,
    /// Where its calls are written down, if anywhere.
    pub recorder: Option<Recorder>,
}

/// A call that ended.
pub(super) struct Call {
    /// How long it took, in nanoseconds.
    pub nanoseconds: u64,
    /// How it ended.
    pub result: Result<Answered, Failure>,
}

impl Caller {
    /// Calls once.
    pub(super) async fn call(&mut self, action: Action) -> Call {
        let invoked_ns = monotonic_ns();
        let result = self.connection.call(action, None, self.timeout).await;
        let returned_ns = monotonic_ns();
        if let Some(recorder) = &self.recorder {
            let (client, endpoint, result) = (self.number, self.endpoint, result.clone());
            recorder.add(Entry { client, action, invoked_ns, returned_ns, result, endpoint });
        }
        Call { nanoseconds: returned_ns - invoked_ns, result }
    }
}

/// The machine's monotonic clock: the same for all processes, so that their histories fit together.
fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, nanoseconds) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds.unwrap_or_default() * 1_000_000_000 + nanoseconds.unwrap_or_default()
}
