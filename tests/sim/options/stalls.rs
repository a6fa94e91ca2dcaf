//! Disks that take seconds, or do nothing any more: in a few runs, for these take long. From numbers of their own, so that
//! all else is drawn as if there were none.

use super::{Broken, CALLS_FROM, Fault, MILLISECOND, SECOND};
use crate::random::Random;

/// What a run's disks stall with.
#[derive(Default)]
pub(super) struct Stalls {
    /// How long a sync takes, where it is not what else was drawn.
    slow: Vec<Option<(u64, u64)>>,
    pub(super) hang: Vec<(u64, usize, Fault)>,
    /// What stays broken, where it is not what else was drawn.
    broken: Option<Vec<(usize, Broken)>>,
}

impl Stalls {
    pub(super) fn draw(seed: u64, replicas: usize) -> Self {
        let mut random = Random::new(seed ^ 0x7374_616c_6c73_0000);
        let kind = random.below(60);
        let node = random.below(replicas as u64) as usize;
        match kind {
            0 => {
                let slow = random.pick(&[
                    (SECOND / 5, SECOND),
                    (SECOND, 2 * SECOND),
                    (5 * SECOND, 5 * SECOND),
                ]);
                // One alone need not be taken in: it would hold up the others.
                let broken =
                    (replicas > 1 && random.per_mille(500)).then_some((node, Broken::Slow));
                let is_slow = |id| broken.is_none_or(|(one, _)| id == one);
                let slow = (0..replicas).map(|id| is_slow(id).then_some(slow)).collect();
                Self { slow, broken: broken.map(|broken| vec![broken]), ..Self::default() }
            }
            1 if replicas > 1 => {
                // As many others go down as can, and it hangs about when there is a view without them, which needs it.
                let at = CALLS_FROM + random.below(SECOND);
                let down_for = random.pick(&[MILLISECOND, 200 * MILLISECOND, 1_500 * MILLISECOND]);
                let crash = Fault::Crash { power: true, down_for, after: 0 };
                let others = (1..replicas.div_ceil(2)).map(|further| (node + further) % replicas);
                let mut hang: Vec<_> = others.map(|other| (at, other, crash)).collect();
                let after = random.pick(&[2 * MILLISECOND, 20 * MILLISECOND, 400 * MILLISECOND]);
                hang.push((at + random.below(after), node, Fault::DiskHangs));
                Self { hang, broken: Some(vec![(node, Broken::Hung)]), ..Self::default() }
            }
            2 => {
                let hang = vec![(random.below(CALLS_FROM + 2 * SECOND), node, Fault::DiskHangs)];
                Self { hang, ..Self::default() }
            }
            _ => Self::default(),
        }
    }

    pub(super) fn broken(self, drawn: Vec<(usize, Broken)>) -> Vec<(usize, Broken)> {
        self.broken.unwrap_or(drawn)
    }

    pub(super) fn disks(&self, drawn: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
        let slow = |id: usize| self.slow.get(id).copied().flatten();
        drawn.iter().enumerate().map(|(id, drawn)| slow(id).unwrap_or(*drawn)).collect()
    }
}
