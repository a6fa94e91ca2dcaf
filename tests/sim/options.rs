//! What one run is made of, all of it drawn from the seed: a swarm, so that each run has some faults and lacks others.

use ftqueue::testing::Limits;

use crate::random::Random;

/// Nanoseconds.
pub(crate) const MICROSECOND: u64 = 1_000;
pub(crate) const MILLISECOND: u64 = 1_000 * MICROSECOND;
pub(crate) const SECOND: u64 = 1_000 * MILLISECOND;

/// Nothing is asked before this time: a view has formed.
pub(crate) const CALLS_FROM: u64 = 300 * MILLISECOND;

/// Within this time after it all faults are drawn.
const FAULTS_WITHIN: u64 = 3 * SECOND;

/// The faults of the link from one replica to another. Probabilities in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkFaults {
    pub(crate) loss: u64,
    /// Bursts of 50 % loss: how often one begins, per datagram.
    pub(crate) burst: u64,
    pub(crate) duplicate: u64,
    pub(crate) corrupt: u64,
    /// A datagram of the past comes again.
    pub(crate) replay: u64,
    /// A datagram is held up by up to `delay_most` more.
    pub(crate) reorder: u64,
    /// The link stops for a while: how often, per datagram.
    pub(crate) clog: u64,
}

/// A time in which nothing passes from one replica to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) since: u64,
    pub(crate) until: u64,
}

impl Cut {
    pub(crate) fn lasts_at(&self, now: u64) -> bool {
        (self.since..self.until).contains(&now)
    }
}

/// What breaks at a replica.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Fault {
    /// Its process ends, after so many effects more, or at once; it comes back.
    Crash {
        power: bool,
        down_for: u64,
        after: u64,
    },
    /// It is told to stop, and comes back.
    Leave,
    /// It does nothing.
    Pause {
        duration: u64,
    },
    /// Its clock jumps ahead.
    Jump {
        by: u64,
    },
    /// Its disk has room for so many bytes more; and for plenty again.
    Full {
        room: u64,
    },
    Room,
    /// Its disk fails.
    DiskFails,
    /// Its disk does nothing any more, until it starts anew or the faults end.
    DiskHangs,
    /// Its process ends, and its disk is not what it was when it comes back.
    LoseDisk {
        how: Loss,
        down_for: u64,
    },
    /// A copy of its disk is made, to be put back later.
    CopyDisk,
}

/// What becomes of a disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Loss {
    /// It is empty.
    Wiped,
    /// It is empty, and the clock goes back, too: the next life is not after those before.
    WipedAndClock,
    /// Some bits on it are others.
    Rotten,
    /// The copy that was made of it is put back.
    OldCopy,
    /// Some bits of it are others, or cannot be read any more, and its replica goes on for a while.
    Decayed,
    /// The next write goes elsewhere, and its replica goes on for a while.
    Misdirected,
}

/// How a replica stays broken when the other faults end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Broken {
    Down,
    Paused,
    Isolated,
    /// Nobody hears it.
    Mute,
    /// It hears nobody.
    Deaf,
    /// Some do not hear it.
    Partly,
    /// Its disk does nothing any more.
    Hung,
    /// Its disk takes as long as ever, and longer than those of the others.
    Slow,
}

/// The names that calls carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Names {
    None,
    Short,
    /// So long that messages fill up.
    Long,
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) replicas: usize,
    pub(crate) clients: usize,
    pub(crate) operations: usize,
    pub(crate) queues: i64,
    /// The least and the most time on the wire.
    pub(crate) delay: (u64, u64),
    pub(crate) delay_most: u64,
    /// Faults by direction: `links[from][to]`.
    pub(crate) links: Vec<Vec<LinkFaults>>,
    pub(crate) cuts: Vec<Cut>,
    /// How long a replica takes to get to its events.
    pub(crate) wake: Vec<(u64, u64)>,
    /// How long a sync takes.
    pub(crate) sync: Vec<(u64, u64)>,
    /// Clock rates, in millionths off.
    pub(crate) drift: Vec<i64>,
    /// Pauses of a replica: how often per second of its time, in thousandths, and how long at most.
    pub(crate) pause: (u64, u64),
    /// Small windows, so that bounds are met.
    pub(crate) small_windows: bool,
    /// How many calls have a deadline that may come, in thousandths.
    pub(crate) impatient: u64,
    /// How many calls a client has under way.
    pub(crate) pipeline: usize,
    /// What breaks when.
    pub(crate) faults: Vec<(u64, usize, Fault)>,
    /// What stays broken: fewer than half of the replicas.
    pub(crate) broken: Vec<(usize, Broken)>,
    /// How often a datagram to a replica that is down comes back refused, in thousandths.
    pub(crate) refusals: u64,
    /// How long a client thinks between two calls at most.
    pub(crate) think: u64,
    pub(crate) names: Names,
    /// The largest datagram, in bytes: small ones fill up.
    pub(crate) max_datagram: usize,
    /// How long a segment of the log is, in bytes: short, so that runs have many, and snapshots.
    pub(crate) segment: u64,
    /// Whether clients whose calls have names try again what was not answered, and at times what was.
    pub(crate) retries: bool,
    /// How much the state machine may hold: a small table of requests forgets.
    pub(crate) limits: Limits,
}

impl Options {
    /// The options of a seed.
    pub(crate) fn of_seed(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x6f70_7469_6f6e_7300);
        let replicas = random.pick(&[3, 3, 3, 5, 5, 7, 1]);
        let swarm = Swarm::draw(&mut random);
        let (swarm, lost_disks) = swarm.lost_disks(seed, replicas);
        let stalls = Stalls::draw(seed, replicas);
        let links = (0..replicas)
            .map(|_| (0..replicas).map(|_| swarm.link(&mut random)).collect())
            .collect();
        let slowest = random.pick(&[50 * MICROSECOND, MILLISECOND, 10 * MILLISECOND]);
        let wake = (0..replicas)
            .map(|_| {
                let slow = random.per_mille(200);
                (0, if slow { slowest } else { 50 * MICROSECOND })
            })
            .collect();
        let sync = (0..replicas)
            .map(|_| {
                random.pick(&[
                    (0, 0),
                    (0, 100 * MICROSECOND),
                    (MILLISECOND, 5 * MILLISECOND),
                    (MILLISECOND, if swarm.slow_disks { 100 * MILLISECOND } else { MILLISECOND }),
                ])
            })
            .collect();
        let sync = stalls.disks(sync);
        let drift = (0..replicas).map(|_| random.below(2_001) as i64 - 1_000).collect();
        let least = random.pick(&[10 * MICROSECOND, 50 * MICROSECOND, 500 * MICROSECOND]);
        let clients = random.pick(&[1, 4, 16, 64, 128]);
        let drawn = Self {
            seed,
            replicas,
            clients,
            operations: random.pick(&[2_000, 3_000]),
            queues: random.pick(&[1, 3, 8]),
            delay: (least, least + random.pick(&[0, 50 * MICROSECOND, MILLISECOND])),
            delay_most: random.pick(&[MILLISECOND, 20 * MILLISECOND, 200 * MILLISECOND]),
            links,
            cuts: [swarm.cuts(&mut random, replicas), swarm.partitions(&mut random, replicas)]
                .concat(),
            wake,
            sync,
            drift,
            pause: if swarm.pauses {
                (random.pick(&[200, 2_000]), 300 * MILLISECOND)
            } else {
                (0, 0)
            },
            small_windows: random.per_mille(300),
            impatient: random.pick(&[0, 0, 50]),
            pipeline: random.pick(&[1, 1, 1, 8]),
            faults: [swarm.faults(&mut random, replicas), lost_disks, stalls.hang.clone()].concat(),
            broken: stalls.broken(swarm.broken(&mut random, replicas)),
            refusals: random.pick(&[0, 500, 1_000]),
            think: if swarm.breaks() {
                random.pick(&[MILLISECOND, 20 * MILLISECOND, 60 * MILLISECOND])
            } else {
                MILLISECOND / 2
            },
            names: random.pick(&[Names::None, Names::Short, Names::Short, Names::Long]),
            max_datagram: random.pick(&[1_200, 1_400, 8_900]),
            segment: if seed.is_multiple_of(2) { 2 << 10 } else { 16 << 10 },
            retries: random.per_mille(600),
            limits: if random.per_mille(300) {
                let answers_of_client = random.pick(&[1, 2, 4, 32]);
                let answers = random.pick(&[4, clients as u64, 3 * clients as u64]);
                let answers = answers.max(answers_of_client);
                Limits { answers, answers_of_client, ..Limits::DEFAULT }
            } else {
                Limits::DEFAULT
            },
        };
        drawn.with_faults_under_load()
    }

    /// The same with all faults before the load ends: what breaks later breaks nothing, and many callers are done soon.
    fn with_faults_under_load(mut self) -> Self {
        let lasts = match self.clients * self.pipeline {
            ..=32 => FAULTS_WITHIN,
            33..=64 => 2 * SECOND,
            65..=256 => SECOND,
            _ => 400 * MILLISECOND,
        };
        let sooner = |at: u64| match at.checked_sub(CALLS_FROM) {
            Some(after) => CALLS_FROM + after * lasts / FAULTS_WITHIN,
            None => at,
        };
        for (at, ..) in &mut self.faults {
            *at = sooner(*at);
        }
        for cut in &mut self.cuts {
            let lasts = cut.until - cut.since;
            cut.since = sooner(cut.since);
            cut.until = cut.since + lasts;
        }
        self
    }

    /// How long a sync takes at most, on the slowest disk.
    pub(crate) fn slowest_sync(&self) -> u64 {
        self.sync.iter().map(|(_, most)| *most).max().unwrap_or(0)
    }

    /// Whether nothing happens but what the ring makes good by itself: no view may change then.
    pub(crate) fn is_calm(&self) -> bool {
        let mild = |link: &LinkFaults| link.loss <= 50 && link.burst == 0 && link.clog == 0;
        self.faults.is_empty()
            && self.broken.is_empty()
            && self.cuts.is_empty()
            && self.pause == (0, 0)
            && self.slowest_sync() <= 100 * MILLISECOND
            && self.links.iter().flatten().all(mild)
    }

    /// Whether a disk loses what only others can tell that it held: an old copy is put back, or a write went elsewhere that
    /// nothing follows. Those must go on to remember: none of them may crash.
    pub(crate) fn others_must_remember(&self) -> bool {
        self.faults.iter().any(|(_, _, fault)| match fault {
            Fault::LoseDisk { how, .. } => matches!(how, Loss::OldCopy | Loss::Misdirected),
            _ => false,
        })
    }

    /// A cluster in which nothing goes wrong: every link takes 1 ms, nothing else takes time, nobody calls.
    pub(crate) fn quiet(replicas: usize) -> Self {
        Self {
            seed: 1,
            replicas,
            clients: 0,
            operations: 0,
            queues: 1,
            delay: (MILLISECOND, MILLISECOND),
            delay_most: 0,
            links: vec![vec![LinkFaults::default(); replicas]; replicas],
            cuts: Vec::new(),
            wake: vec![(0, 0); replicas],
            sync: vec![(0, 0); replicas],
            drift: vec![0; replicas],
            pause: (0, 0),
            small_windows: false,
            impatient: 0,
            names: Names::None,
            max_datagram: 1_400,
            segment: 16 << 10,
            pipeline: 1,
            faults: Vec::new(),
            broken: Vec::new(),
            refusals: 0,
            think: MILLISECOND / 2,
            retries: false,
            limits: Limits::DEFAULT,
        }
    }

    /// A local network under load, that loses datagrams.
    pub(crate) fn lossy(replicas: usize, loss: u64) -> Self {
        let link = LinkFaults { loss, ..LinkFaults::default() };
        Self {
            clients: 64,
            operations: 10_000,
            delay: (50 * MICROSECOND, 60 * MICROSECOND),
            links: vec![vec![link; replicas]; replicas],
            wake: vec![(0, 10 * MICROSECOND); replicas],
            ..Self::quiet(replicas)
        }
    }
}

/// Disks that take seconds, or do nothing any more: in a few runs, for these take long. From numbers of their own, so that
/// all else is drawn as if there were none.
#[derive(Default)]
struct Stalls {
    /// How long a sync takes, where it is not what else was drawn.
    slow: Vec<Option<(u64, u64)>>,
    hang: Vec<(u64, usize, Fault)>,
    /// What stays broken, where it is not what else was drawn.
    broken: Option<Vec<(usize, Broken)>>,
}

impl Stalls {
    fn draw(seed: u64, replicas: usize) -> Self {
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
                Self { broken: Some(vec![(node, Broken::Hung)]), ..Self::default() }
            }
            2 => {
                let hang = vec![(random.below(CALLS_FROM + 2 * SECOND), node, Fault::DiskHangs)];
                Self { hang, ..Self::default() }
            }
            _ => Self::default(),
        }
    }

    fn broken(self, drawn: Vec<(usize, Broken)>) -> Vec<(usize, Broken)> {
        self.broken.unwrap_or(drawn)
    }

    fn disks(&self, drawn: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
        let slow = |id: usize| self.slow.get(id).copied().flatten();
        drawn.iter().enumerate().map(|(id, drawn)| slow(id).unwrap_or(*drawn)).collect()
    }
}

/// Which faults a run has at all.
struct Swarm {
    loss: u64,
    bursts: bool,
    duplicates: bool,
    corruption: bool,
    replays: bool,
    reordering: bool,
    clogs: bool,
    cuts: bool,
    pauses: bool,
    slow_disks: bool,
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
    fn draw(random: &mut Random) -> Self {
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
    fn breaks(&self) -> bool {
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
    fn faults(&self, random: &mut Random, replicas: usize) -> Vec<(u64, usize, Fault)> {
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
    fn lost_disks(self, seed: u64, replicas: usize) -> (Self, Vec<(u64, usize, Fault)>) {
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
    fn broken(&self, random: &mut Random, replicas: usize) -> Vec<(usize, Broken)> {
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
    fn partitions(&self, random: &mut Random, replicas: usize) -> Vec<Cut> {
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
    fn cuts(&self, random: &mut Random, replicas: usize) -> Vec<Cut> {
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

    fn link(&self, random: &mut Random) -> LinkFaults {
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
