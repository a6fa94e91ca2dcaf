//! The monotonic clock that a replica is told.

use crate::types::Instant;

/// Counts from its making.
#[derive(Clone, Copy)]
pub(crate) struct Clock(std::time::Instant);

impl Clock {
    /// A clock that stands at zero now.
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// The time since the clock was started; 584 years fit.
    pub(crate) fn now(self) -> Instant {
        Instant(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
