//! How long to wait before all endpoints are tried again.

use std::time::Duration;

/// The longest first pause: about what a cluster needs to form a view.
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause of all: it keeps a waiting caller from being a load.
const LONGEST: Duration = Duration::from_secs(1);

/// Exponential backoff with full jitter: a pause is anything up to a ceiling, and the ceiling doubles. So callers that
/// failed together, since a replica died, do not come back together.
pub(super) struct Backoff {
    ceiling: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { ceiling: FIRST }
    }

    /// The next pause; `random` is any 64 bits.
    pub(super) fn next(&mut self, random: u64) -> Duration {
        let ceiling = u64::try_from(self.ceiling.as_nanos()).unwrap_or(u64::MAX);
        self.ceiling = LONGEST.min(self.ceiling * 2);
        Duration::from_nanos(random % (ceiling + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tools::Random;

    #[test]
    fn pauses_are_anything_up_to_a_ceiling_that_doubles_to_a_second() {
        let ceilings = [50, 100, 200, 400, 800, 1_000, 1_000].map(Duration::from_millis);
        let mut random = Random::new(1);
        let mut sums = [Duration::ZERO; 7];
        for _ in 0..1_000 {
            let mut backoff = Backoff::new();
            for (sum, ceiling) in sums.iter_mut().zip(ceilings) {
                let pause = backoff.next(random.next());
                assert!(pause <= ceiling, "{pause:?} of {ceiling:?}");
                *sum += pause;
            }
        }
        for (sum, ceiling) in sums.into_iter().zip(ceilings) {
            let mean = sum / 1_000;
            assert!(ceiling * 9 / 20 < mean && mean < ceiling * 11 / 20, "{mean:?} of {ceiling:?}");
        }
    }
}
