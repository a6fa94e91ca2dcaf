//! What one run is made of, all of it drawn from the seed: a swarm, so that each run has some faults and lacks others.

use crate::random::Random;

/// Nanoseconds.
pub(crate) const MICROSECOND: u64 = 1_000;
pub(crate) const MILLISECOND: u64 = 1_000 * MICROSECOND;
pub(crate) const SECOND: u64 = 1_000 * MILLISECOND;

/// Nothing is asked before this time: what a replica held is gone with it, so restarts come before.
pub(crate) const CALLS_FROM: u64 = 300 * MILLISECOND;

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
    /// Replicas that are started anew while the first view forms, and when.
    pub(crate) restarts: Vec<(u64, usize)>,
    pub(crate) names: Names,
    /// The largest datagram, in bytes: small ones fill up.
    pub(crate) max_datagram: usize,
}

impl Options {
    /// The options of a seed.
    pub(crate) fn of_seed(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x6f70_7469_6f6e_7300);
        let replicas = random.pick(&[3, 3, 3, 5, 5, 7, 1]);
        let swarm = Swarm::draw(&mut random);
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
            .map(|_| random.pick(&[(0, 0), (0, 100 * MICROSECOND), (MILLISECOND, 5 * MILLISECOND)]))
            .collect();
        let drift = (0..replicas).map(|_| random.below(2_001) as i64 - 1_000).collect();
        let least = random.pick(&[10 * MICROSECOND, 50 * MICROSECOND, 500 * MICROSECOND]);
        Self {
            seed,
            replicas,
            clients: random.pick(&[1, 4, 16, 64, 128]),
            operations: random.pick(&[2_000, 3_000]),
            queues: random.pick(&[1, 3, 8]),
            delay: (least, least + random.pick(&[0, 50 * MICROSECOND, MILLISECOND])),
            delay_most: random.pick(&[MILLISECOND, 20 * MILLISECOND, 200 * MILLISECOND]),
            links,
            cuts: swarm.cuts(&mut random, replicas),
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
            restarts: (0..random.pick(&[0, 0, 1, 3]))
                .map(|_| (random.below(CALLS_FROM / 2), random.below(replicas as u64) as usize))
                .collect(),
            names: random.pick(&[Names::None, Names::Short, Names::Short, Names::Long]),
            max_datagram: random.pick(&[1_200, 1_400, 8_900]),
        }
    }
}

impl Options {
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
            pipeline: 1,
            restarts: Vec::new(),
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
}

impl Swarm {
    fn draw(random: &mut Random) -> Self {
        let mut coin = || random.per_mille(400);
        let (bursts, duplicates, corruption, replays) = (coin(), coin(), coin(), coin());
        let (reordering, clogs, cuts, pauses) = (coin(), coin(), coin(), coin());
        let loss = random.pick(&[0, 0, 10, 50, 200, 300]);
        Self { loss, bursts, duplicates, corruption, replays, reordering, clogs, cuts, pauses }
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
