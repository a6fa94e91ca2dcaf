//! How long this replica's disk takes to make an entry durable: another's ack is not overdue before its disk, which is
//! most likely such a one, may have done the same.

use std::time::Duration;

use super::round_trip::RoundTrip;
use crate::types::{Instant, Seq};

/// The time in which the first entry that is not durable becomes so, estimated as a round trip is. It may have waited for a
/// sync that was under way before, and then for its own.
#[derive(Debug, Default)]
pub(super) struct SyncTime {
    /// The first entry that is not durable, and since when it is that.
    waiting: Option<(Seq, Instant)>,
    taken: RoundTrip,
}

impl SyncTime {
    /// Takes in what is held and how far that is durable.
    pub(super) fn watch(&mut self, now: Instant, ordered: Seq, durable: Seq) {
        let waiting = (durable < ordered).then(|| durable.next());
        if self.waiting.map(|(seq, _)| seq) == waiting {
            return;
        }
        if let Some((_, since)) = self.waiting {
            self.taken.sample(now.since(since));
        }
        self.waiting = waiting.map(|seq| (seq, now));
    }

    /// What waits now is not measured: nobody watched all the while.
    pub(super) fn begin_anew(&mut self) {
        self.waiting = None;
    }

    /// The time after which an entry that is not durable is overdue.
    pub(super) fn bound(&self) -> Duration {
        self.taken.bound()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_disk_is_given_the_time_it_takes() {
        let mut time = SyncTime::default();
        let millisecond = |count: u64| Instant(count * 1_000_000);
        for entry in 0..40 {
            time.watch(millisecond(entry * 30), Seq(entry + 1), Seq(entry));
            // Seen again meanwhile, and with more behind it, it waits no shorter.
            time.watch(millisecond(entry * 30 + 5), Seq(entry + 1), Seq(entry));
            time.watch(millisecond(entry * 30 + 20), Seq(entry + 1), Seq(entry + 1));
        }
        let bound = time.bound();
        assert!((20..=25).contains(&bound.as_millis()), "{bound:?}");
    }
}
