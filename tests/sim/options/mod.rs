//! What one run is made of, all of it drawn from the seed: a swarm, so that each run has some faults and lacks others.

mod faults;
mod stalls;
mod swarm;

use ftqueue::testing::Limits;

pub(crate) use faults::{Broken, Cut, Fault, LinkFaults, Loss};
use stalls::Stalls;
use swarm::Swarm;

use crate::random::Random;

/// Nanoseconds.
pub(crate) const MICROSECOND: u64 = 1_000;
pub(crate) const MILLISECOND: u64 = 1_000 * MICROSECOND;
pub(crate) const SECOND: u64 = 1_000 * MILLISECOND;

/// Nothing is asked before this time: a view has formed.
pub(crate) const CALLS_FROM: u64 = 300 * MILLISECOND;

/// The longest sync of a disk of which nothing else is said.
pub(crate) const ORDINARY_SYNC: u64 = 100 * MILLISECOND;

/// Within this time after it all faults are drawn.
const FAULTS_WITHIN: u64 = 3 * SECOND;

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
        let stalls = Stalls::draw(seed, replicas, !must_be_remembered(&lost_disks));
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
                    (MILLISECOND, if swarm.slow_disks { ORDINARY_SYNC } else { MILLISECOND }),
                ])
            })
            .collect();
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
            faults: [swarm.faults(&mut random, replicas), lost_disks, stalls.faults.clone()]
                .concat(),
            broken: swarm.broken(&mut random, replicas),
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
        stalls.into_options(drawn).with_faults_under_load()
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

    /// Whether nothing happens but what the ring makes good by itself: no view may change then.
    pub(crate) fn is_calm(&self) -> bool {
        let mild = |link: &LinkFaults| link.loss <= 50 && link.burst == 0 && link.clog == 0;
        self.faults.is_empty()
            && self.broken.is_empty()
            && self.cuts.is_empty()
            && self.pause == (0, 0)
            && self.links.iter().flatten().all(mild)
    }

    /// Whether a disk loses what only others can tell that it held.
    pub(crate) fn others_must_remember(&self) -> bool {
        must_be_remembered(&self.faults)
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

/// Whether a disk loses what only others can tell that it held: an old copy is put back, or a write went elsewhere that
/// nothing follows. Those must go on to remember: none of them may crash.
fn must_be_remembered(faults: &[(u64, usize, Fault)]) -> bool {
    faults.iter().any(|(_, _, fault)| match fault {
        Fault::LoseDisk { how, .. } => matches!(how, Loss::OldCopy | Loss::Misdirected),
        _ => false,
    })
}
