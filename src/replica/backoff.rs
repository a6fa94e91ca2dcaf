//! A timer for something that is done again until it has worked: waits that double, with jitter.

use std::time::Duration;

use crate::types::Instant;

/// A source of jitter: SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014). Small,
/// seeded by an argument, good enough to keep replicas from acting in step.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The duration, made longer by up to a half.
    pub(super) fn spread(&mut self, duration: Duration) -> Duration {
        let per_mille = 1_000 + u32::try_from(self.next() % 501).expect("below 501");
        duration * per_mille / 1_000
    }
}

/// After how many tries the waits begin to double. Where a fifth of all datagrams is lost a try and its answer come
/// through two times in three: doubling at once would make the third try wait for what chance did.
const EVEN: u32 = 3;

/// The waits of one thing that is tried again.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    due: Option<Instant>,
    attempt: u32,
}

impl Backoff {
    /// Waits no more.
    pub(super) fn stop(&mut self) {
        *self = Self::default();
    }

    /// Begins anew: the first try is due at `due`.
    pub(super) fn restart(&mut self, due: Instant) {
        *self = Self { due: Some(due), attempt: 0 };
    }

    /// Begins, unless it has begun.
    pub(super) fn start(&mut self, due: Instant) {
        if self.due.is_none() {
            self.restart(due);
        }
    }

    /// When the next try is due, if any is.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether a try is due. If so the next one is set: after the shortest wait at first, a few times, then doubling up
    /// to the longest.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        (shortest, longest): (Duration, Duration),
        jitter: &mut Jitter,
    ) -> bool {
        if self.due.is_none_or(|due| now < due) {
            return false;
        }
        let doublings = self.attempt.saturating_sub(EVEN).min(16);
        let wait = shortest.saturating_mul(1 << doublings).min(longest);
        self.due = Some(now + jitter.spread(wait));
        self.attempt = self.attempt.saturating_add(1);
        true
    }

    /// How many tries there were.
    pub(super) fn attempt(&self) -> u32 {
        self.attempt
    }
}
