//! Disks that take seconds, or do nothing any more: in a few runs, for these take long. From numbers of their own, so that
//! all else is drawn as if there were none.

use super::{Broken, CALLS_FROM, Fault, MILLISECOND, Options, SECOND};
use crate::random::Random;

/// What a run's disks stall with.
#[derive(Default)]
pub(super) struct Stalls {
    pub(super) faults: Vec<(u64, usize, Fault)>,
    /// What stays broken, where it is not what else was drawn.
    broken: Option<Vec<(usize, Broken)>>,
    /// How long a client thinks at most, where it is not what else was drawn: there is load while disks stall.
    think: Option<u64>,
}

impl Stalls {
    /// Of a run in which replicas may crash, or in which they must not.
    pub(super) fn draw(seed: u64, replicas: usize, may_crash: bool) -> Self {
        let mut random = Random::new(seed ^ 0x7374_616c_6c73_0000);
        let kind = random.below(60);
        let node = random.below(replicas as u64) as usize;
        let think = Some(random.pick(&[20 * MILLISECOND, 60 * MILLISECOND]));
        match kind {
            0 => {
                // Once there is a view: the first start takes many syncs, and all replicas.
                let at = CALLS_FROM + random.below(SECOND);
                let (least, most) = random.pick(&[
                    (SECOND / 5, SECOND),
                    (SECOND, 2 * SECOND),
                    (3 * SECOND, 3 * SECOND),
                    (5 * SECOND, 5 * SECOND),
                ]);
                // One alone need not be taken in: it would hold up the others.
                let broken = match random.below(3) {
                    _ if replicas == 1 => None,
                    0 => Some((node, Broken::Slow)),
                    1 => Some((node, Broken::Hung)),
                    _ => None,
                };
                let slows = |id: usize| match broken {
                    Some((one, Broken::Slow)) => id == one,
                    Some((one, _)) => id != one,
                    None => true,
                };
                let slow = (0..replicas).filter(|id| slows(*id));
                let mut faults: Vec<_> =
                    slow.map(|id| (at, id, Fault::DiskSlows { least, most })).collect();
                if let Some((one, Broken::Hung)) = broken {
                    faults.push((at + random.below(SECOND), one, Fault::DiskHangs));
                }
                Self { faults, broken: broken.map(|broken| vec![broken]), think }
            }
            1 if replicas > 1 && may_crash => {
                // As many others go down as can, and it hangs about when there is a view without them, which needs it.
                let at = CALLS_FROM + random.below(SECOND);
                let down_for = random.pick(&[MILLISECOND, 200 * MILLISECOND, 1_500 * MILLISECOND]);
                let crash = Fault::Crash { power: true, down_for, after: 0 };
                let others = (1..replicas.div_ceil(2)).map(|further| (node + further) % replicas);
                let mut faults: Vec<_> = others.map(|other| (at, other, crash)).collect();
                let after = random.pick(&[2 * MILLISECOND, 20 * MILLISECOND, 400 * MILLISECOND]);
                faults.push((at + random.below(after), node, Fault::DiskHangs));
                Self { faults, broken: Some(vec![(node, Broken::Hung)]), think }
            }
            2 => {
                let at = random.below(CALLS_FROM + 2 * SECOND);
                Self { faults: vec![(at, node, Fault::DiskHangs)], think, ..Self::default() }
            }
            _ => Self::default(),
        }
    }

    /// What else was drawn, with what differs.
    pub(super) fn into_options(self, drawn: Options) -> Options {
        // Small windows let little through with each sync, and these are few.
        let slow = self.faults.iter().any(|(.., fault)| matches!(fault, Fault::DiskSlows { .. }));
        Options {
            small_windows: drawn.small_windows && !slow,
            broken: self.broken.unwrap_or(drawn.broken),
            think: self.think.unwrap_or(drawn.think),
            ..drawn
        }
    }
}
