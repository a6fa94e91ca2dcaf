//! The places in the order that no call is known to have: calls of unknown outcome stand there, and further tries of
//! calls.

use crate::history::Call;

/// The gaps, in order.
pub(super) struct Gaps {
    /// Sequence, and when at the latest what stands there had begun: before the first end of a call behind it.
    places: Vec<(u64, u64)>,
    /// How many are known to be taken.
    taken: usize,
}

impl Gaps {
    /// The gaps of an order, which is sorted and has each sequence once; `idle` says when further tries began.
    ///
    /// # Errors
    /// What is wrong, when calls of unknown outcome and further tries cannot fill them.
    pub(super) fn new(
        calls: &[Call],
        idle: &[u64],
        order: &[(u64, usize)],
    ) -> Result<Self, String> {
        let unknown = calls.iter().filter(|call| call.is_unknown()).map(|call| call.invoked);
        let mut begun: Vec<u64> = unknown.chain(idle.iter().copied()).collect();
        begun.sort_unstable();
        let span = order.first().zip(order.last()).map_or(0, |(first, last)| last.0 - first.0 + 1);
        let missing = span - order.len() as u64;
        if missing > begun.len() as u64 {
            return Err(format!(
                "{missing} sequences are missing, and {} calls of unknown outcome or further tries can have them",
                begun.len()
            ));
        }
        // From the last to the first: a call behind a gap that ends early is a bound for it.
        let (mut places, mut latest) = (Vec::new(), u64::MAX);
        for pair in order.windows(2).rev() {
            let [(before, _), (after, index)] = pair else {
                unreachable!("windows of two");
            };
            latest = latest.min(calls[*index].ended());
            places.extend((before + 1..*after).rev().map(|sequence| (sequence, latest)));
        }
        places.reverse();
        for (count, (sequence, latest)) in (1..).zip(&places) {
            if begun.partition_point(|begun| begun <= latest) < count {
                return Err(format!("nothing that had begun in time can have sequence {sequence}"));
            }
        }
        Ok(Self { places, taken: 0 })
    }

    /// The first gap between two sequences, if a call that began at `invoked` can stand in any of those.
    pub(super) fn between(&self, after: u64, before: u64, invoked: u64) -> Option<u64> {
        let first = self.places.partition_point(|(sequence, _)| *sequence <= after);
        let end = self.places.partition_point(|(sequence, _)| *sequence < before);
        let within = self.places.get(first..end)?;
        // The later the gap, the later what stands there may have begun.
        let fits = within.partition_point(|(_, latest)| *latest < invoked);
        within.get(fits).map(|(sequence, _)| *sequence)
    }

    /// How many gaps before a sequence are not known to be taken.
    pub(super) fn free_before(&self, sequence: u64) -> usize {
        let before = self.places.partition_point(|(place, _)| *place < sequence);
        before.saturating_sub(self.taken)
    }

    /// One more is taken.
    pub(super) fn take(&mut self) {
        self.taken += 1;
    }
}
