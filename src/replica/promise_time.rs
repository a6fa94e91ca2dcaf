//! How long promises take to become durable here: others' do most likely, too.

use std::time::Duration;

use crate::types::Instant;

/// How long the last promise took, whatever became of its view.
#[derive(Debug)]
pub(super) struct PromiseTime {
    /// The write of the first promise that is not durable, and when it was given.
    waiting: Option<(u64, Instant)>,
    last: Duration,
    /// A disk that takes longer is taken for one that hangs.
    most: Duration,
}

impl PromiseTime {
    /// Before any promise: no time, and never more than `most`.
    pub(super) fn new(most: Duration) -> Self {
        Self { waiting: None, last: Duration::ZERO, most }
    }

    /// A promise is written.
    pub(super) fn begin(&mut self, now: Instant, write: u64) {
        self.waiting.get_or_insert((write, now));
    }

    /// All writes through this one are durable.
    pub(super) fn synced(&mut self, now: Instant, write: u64) {
        if let Some((_, since)) = self.waiting.take_if(|(waits, _)| *waits <= write) {
            self.last = now.since(since).min(self.most);
        }
    }

    /// What waits now is not measured: nobody watched all the while.
    pub(super) fn begin_anew(&mut self) {
        self.waiting = None;
    }

    /// How long the last one took.
    pub(super) fn last(&self) -> Duration {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_waits_is_measured() {
        let second = |count: u64| Instant(count * 1_000_000_000);
        let mut time = PromiseTime::new(Duration::from_secs(15));
        time.begin(second(1), 3);
        time.begin(second(3), 5);
        time.synced(second(4), 2);
        assert_eq!(time.last(), Duration::ZERO);
        time.synced(second(5), 4);
        assert_eq!(time.last(), Duration::from_secs(4));
        time.synced(second(9), 9);
        assert_eq!(time.last(), Duration::from_secs(4));
        time.begin(second(10), 10);
        time.begin_anew();
        time.synced(second(11), 10);
        assert_eq!(time.last(), Duration::from_secs(4));
        time.begin(second(20), 11);
        time.synced(second(60), 11);
        assert_eq!(time.last(), Duration::from_secs(15));
    }
}
