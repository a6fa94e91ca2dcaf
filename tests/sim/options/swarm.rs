//! Which faults a run has at all, and when each of them happens.

use super::{Broken, CALLS_FROM, Cut, Fault, LinkFaults, Loss, MILLISECOND, SECOND};
use crate::random::Random;

/// Which faults a run has at all.
pub(super) struct Swarm {
    loss: u64,
    bursts: bool,
    duplicates: bool,
    corruption: bool,
    replays: bool,
    reordering: bool,
    clogs: bool,
    cuts: bool,
    pub(super) pauses: bool,
    pub(super) slow_disks: bool,
    crashes: bool,
    restarts_of_all: bool,
    leaves: bool,
    partitions: bool,
    long_pauses: bool,
    jumps: bool,
    full_disks: bool,
    bad_disks: bool,
    broken: bool,
}

impl Swarm {
    pub(super) fn draw(random: &mut Random) -> Self {
        let mut coin = || random.per_mille(400);
        let (bursts, duplicates, corruption, replays) = (coin(), coin(), coin(), coin());
        let (reordering, clogs, cuts, pauses) = (coin(), coin(), coin(), coin());
        let (slow_disks, crashes, restarts_of_all, leaves) = (coin(), coin(), coin(), coin());
        let (partitions, long_pauses, jumps, full_disks) = (coin(), coin(), coin(), coin());
        let (bad_disks, broken) = (coin(), coin());
        let loss = random.pick(&[0, 0, 10, 50, 200, 300]);
        let all = Self {
            loss,
            bursts,
            duplicates,
            corruption,
            replays,
            reordering,
            clogs,
            cuts,
            pauses,
            slow_disks,
            crashes,
            restarts_of_all,
            leaves,
            partitions,
            long_pauses,
            jumps,
            full_disks,
            bad_disks,
            broken,
        };
        // A third of all runs has nothing that changes views.
        if random.below(3) == 0 { all.without_breaks() } else { all }
    }

    fn without_breaks(self) -> Self {
        Self {
            crashes: false,
            restarts_of_all: false,
            leaves: false,
            partitions: false,
            long_pauses: false,
            jumps: false,
            full_disks: false,
            bad_disks: false,
            broken: false,
            ..self
        }
    }

    /// Whether anything happens that may change views.
    pub(super) fn breaks(&self) -> bool {
        self.crashes
            || self.restarts_of_all
            || self.leaves
            || self.partitions
            || self.long_pauses
            || self.jumps
            || self.full_disks
            || self.bad_disks
    }

    /// What breaks while the load lasts.
    pub(super) fn faults(&self, random: &mut Random, replicas: usize) -> Vec<(u64, usize, Fault)> {
        let mut faults = Vec::new();
        let mut some = |on: bool, most: u64, make: &mut dyn FnMut(&mut Random) -> Fault| {
            let count = if on { random.between(1, most) } else { 0 };
            for _ in 0..count {
                let at = random.below(CALLS_FROM + 3 * SECOND);
                let node = random.below(replicas as u64) as usize;
                faults.push((at, node, make(random)));
            }
        };
        some(self.crashes, 6, &mut |random| Fault::Crash {
            power: random.per_mille(500),
            down_for: random.pick(&[MILLISECOND, 200 * MILLISECOND, 1_500 * MILLISECOND]),
            after: random.pick(&[0, 1, 5, 40]),
        });
        some(self.leaves, 3, &mut |_| Fault::Leave);
        some(self.long_pauses, 3, &mut |random| Fault::Pause {
            duration: random.between(100 * MILLISECOND, 3 * SECOND),
        });
        some(self.jumps, 3, &mut |random| Fault::Jump { by: random.below(10 * SECOND) });
        some(self.bad_disks, 2, &mut |_| Fault::DiskFails);
        some(self.full_disks, 2, &mut |random| Fault::Full { room: random.below(100_000) });
        for (at, node, fault) in faults.clone() {
            if matches!(fault, Fault::Full { .. }) {
                faults.push((at + random.between(SECOND / 10, SECOND), node, Fault::Room));
            }
        }
        if self.restarts_of_all {
            let at = random.below(CALLS_FROM + 2 * SECOND);
            for node in 0..replicas {
                let spread = random.pick(&[1, 50 * MILLISECOND]);
                let at = at + random.below(spread);
                let down_for = random.pick(&[MILLISECOND, 300 * MILLISECOND]);
                faults.push((at, node, Fault::Crash { power: true, down_for, after: 0 }));
            }
        }
        faults
    }

    /// Disks that are lost; from numbers of their own, so that all else is drawn as if there were none. An old copy is found
    /// out by what others remember: where those come and go, too, it need not be.
    pub(super) fn lost_disks(self, seed: u64, replicas: usize) -> (Self, Vec<(u64, usize, Fault)>) {
        let mut random = Random::new(seed ^ 0x6c6f_7374_0064_6973);
        let kind = random.below(10);
        if replicas == 1 || kind > 5 {
            return (self, Vec::new());
        }
        let mut faults = Vec::new();
        if kind > 3 {
            let how = if kind == 4 { Loss::Misdirected } else { Loss::Decayed };
            let node = random.below(replicas as u64) as usize;
            let at = random.below(CALLS_FROM + 2 * SECOND);
            let down_for = random.pick(&[MILLISECOND, 200 * MILLISECOND]);
            faults.push((at, node, Fault::LoseDisk { how, down_for }));
            let swarm = if kind == 4 { self.without_breaks() } else { self };
            return (swarm, faults);
        }
        if kind == 0 {
            let node = random.below(replicas as u64) as usize;
            let copied = random.below(CALLS_FROM + SECOND);
            let lost = copied + random.below(2 * SECOND);
            let how = Loss::OldCopy;
            let down_for = random.pick(&[MILLISECOND, 400 * MILLISECOND]);
            faults.push((copied, node, Fault::CopyDisk));
            faults.push((lost, node, Fault::LoseDisk { how, down_for }));
            return (self.without_breaks(), faults);
        }
        for _ in 0..random.between(1, 3) {
            let how = random.pick(&[Loss::Wiped, Loss::Wiped, Loss::WipedAndClock, Loss::Rotten]);
            let down_for = random.pick(&[MILLISECOND, 200 * MILLISECOND, 1_500 * MILLISECOND]);
            let node = random.below(replicas as u64) as usize;
            let at = random.below(CALLS_FROM + 3 * SECOND);
            faults.push((at, node, Fault::LoseDisk { how, down_for }));
        }
        (self, faults)
    }

    /// Who stays broken when the other faults end.
    pub(super) fn broken(&self, random: &mut Random, replicas: usize) -> Vec<(usize, Broken)> {
        let most = if self.broken { (replicas - 1) / 2 } else { 0 };
        let first = random.below(replicas as u64) as usize;
        let count = if most > 0 { random.between(1, most as u64) as usize } else { 0 };
        let kinds = [
            Broken::Down,
            Broken::Paused,
            Broken::Isolated,
            Broken::Mute,
            Broken::Deaf,
            Broken::Partly,
        ];
        // The others must be the largest set of replicas that all hear each other, or they need not be the view.
        let kinds = if count == 1 && replicas > 3 { &kinds[..] } else { &kinds[..5] };
        (0..count).map(|place| ((first + place) % replicas, random.pick(kinds))).collect()
    }

    /// Partitions of every shape, one after the other or at a time.
    pub(super) fn partitions(&self, random: &mut Random, replicas: usize) -> Vec<Cut> {
        let count = if self.partitions { random.between(1, 4) } else { 0 };
        let mut cuts = Vec::new();
        for _ in 0..count {
            let since = CALLS_FROM + random.below(3 * SECOND);
            let lasts = random.pick(&[100 * MILLISECOND, SECOND, 3 * SECOND]);
            let until = since + random.below(lasts) + 1;
            let some = random.below(1 << replicas);
            let inside = |id: usize| some >> id & 1 == 1;
            let (one, shape) = (random.below(replicas as u64) as usize, random.below(5));
            for from in 0..replicas {
                for to in 0..replicas {
                    let apart = match shape {
                        // One is alone.
                        0 => from == one || to == one,
                        // Two sides.
                        1 => inside(from) != inside(to),
                        // One direction between the sides.
                        2 => inside(from) && !inside(to),
                        // Two sides, and one in both.
                        3 => inside(from) != inside(to) && from != one && to != one,
                        // Each hears its neighbours only.
                        _ => {
                            let far = from.abs_diff(to);
                            far.min(replicas - far) > replicas.div_ceil(4)
                        }
                    };
                    if apart && from != to {
                        cuts.push(Cut { from, to, since, until });
                    }
                }
            }
        }
        cuts
    }

    /// Cuts of single directions while the load lasts; some directions may stay cut until the faults end.
    pub(super) fn cuts(&self, random: &mut Random, replicas: usize) -> Vec<Cut> {
        let count = if self.cuts { random.between(1, 6) } else { 0 };
        let replica = |random: &mut Random| random.below(replicas as u64) as usize;
        (0..count)
            .map(|_| {
                let (from, to) = (replica(random), replica(random));
                let since = CALLS_FROM + random.below(SECOND);
                let until = since + random.below(SECOND / 2);
                Cut { from, to, since, until }
            })
            .collect()
    }

    pub(super) fn link(&self, random: &mut Random) -> LinkFaults {
        let mut upto = |most: u64, on: bool| if on { random.between(0, most) } else { 0 };
        LinkFaults {
            loss: upto(self.loss, self.loss > 0),
            burst: upto(5, self.bursts),
            duplicate: upto(200, self.duplicates),
            corrupt: upto(50, self.corruption),
            replay: upto(100, self.replays),
            reorder: upto(250, self.reordering),
            clog: upto(2, self.clogs),
        }
    }
}
