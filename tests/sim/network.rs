//! The network between the replicas: what becomes of a datagram on its way.

use bytes::Bytes;

use crate::options::{Cut, LinkFaults, MILLISECOND, Options};
use crate::probes::Probes;
use crate::random::Random;

/// How many past datagrams of a link may come again.
const REMEMBERED: usize = 64;
/// How long a burst of losses and a clog last at most.
const BURST: u64 = 100 * MILLISECOND;
const CLOG: u64 = 300 * MILLISECOND;

/// What the network does to datagrams, each a probe.
const FATES: [&str; 7] = [
    "network_lost",
    "network_cut",
    "network_duplicated",
    "network_replayed",
    "network_held_up",
    "network_corrupted",
    "network_clogged",
];

#[derive(Clone, Default)]
struct Link {
    faults: LinkFaults,
    burst_until: u64,
    clogged_until: u64,
    past: Vec<Bytes>,
}

/// A datagram that will arrive.
pub(crate) struct Arrival {
    pub(crate) at: u64,
    pub(crate) bytes: Bytes,
    /// Whether the bytes are those that were sent.
    pub(crate) genuine: bool,
}

/// All links, and the faults that they have until [`Network::heal`].
pub(crate) struct Network {
    random: Random,
    links: Vec<Vec<Link>>,
    delay: (u64, u64),
    delay_most: u64,
    cuts: Vec<Cut>,
    /// What was done.
    pub(crate) probes: Probes,
}

impl Network {
    pub(crate) fn new(options: &Options, random: Random) -> Self {
        let links = options.links.iter().map(|row| {
            row.iter().map(|faults| Link { faults: *faults, ..Link::default() }).collect()
        });
        let mut probes = Probes::default();
        FATES.into_iter().for_each(|fate| probes.add(fate, 0));
        Self {
            random,
            links: links.collect(),
            delay: options.delay,
            delay_most: options.delay_most,
            cuts: options.cuts.clone(),
            probes,
        }
    }

    /// Ends all faults; only the ordinary delay stays.
    pub(crate) fn heal(&mut self) {
        for link in self.links.iter_mut().flatten() {
            *link = Link::default();
        }
        self.cuts.clear();
    }

    /// Nothing passes in one direction.
    pub(crate) fn cut(&mut self, cut: Cut) {
        self.cuts.push(cut);
    }

    /// What arrives of a datagram that leaves at `now`.
    pub(crate) fn send(
        &mut self,
        now: u64,
        from: usize,
        to: usize,
        datagram: &Bytes,
    ) -> Vec<Arrival> {
        if self.cuts.iter().any(|cut| cut.from == from && cut.to == to && cut.lasts_at(now)) {
            self.probes.hit("network_cut");
            return Vec::new();
        }
        let (random, probes) = (&mut self.random, &mut self.probes);
        let link = &mut self.links[from][to];
        let faults = link.faults;
        let mut copies = vec![datagram.clone()];
        if random.per_mille(faults.duplicate) {
            probes.hit("network_duplicated");
            copies.push(datagram.clone());
        }
        if random.per_mille(faults.replay) && !link.past.is_empty() {
            probes.hit("network_replayed");
            let which = random.below(link.past.len() as u64) as usize;
            copies.push(link.past[which].clone());
        }
        if faults.replay > 0 {
            if link.past.len() < REMEMBERED {
                link.past.push(datagram.clone());
            } else {
                let which = random.below(REMEMBERED as u64) as usize;
                link.past[which] = datagram.clone();
            }
        }
        if random.per_mille(faults.burst) {
            link.burst_until = now + random.below(BURST);
        }
        if random.per_mille(faults.clog) {
            probes.hit("network_clogged");
            link.clogged_until = now + random.below(CLOG);
        }
        let mut arrivals = Vec::new();
        for copy in copies {
            let loss = if now < link.burst_until { 500 } else { faults.loss };
            if random.per_mille(loss) {
                probes.hit("network_lost");
                continue;
            }
            let mut at = now.max(link.clogged_until) + random.between(self.delay.0, self.delay.1);
            if random.per_mille(faults.reorder) {
                probes.hit("network_held_up");
                at += random.below(self.delay_most);
            }
            let corrupt = random.per_mille(faults.corrupt);
            let bytes = if corrupt { corrupted(random, &copy) } else { copy };
            probes.add("network_corrupted", u64::from(corrupt));
            arrivals.push(Arrival { at, bytes, genuine: !corrupt });
        }
        arrivals
    }
}

/// The datagram with some of its bytes changed, or some missing, or some more.
fn corrupted(random: &mut Random, datagram: &Bytes) -> Bytes {
    let mut bytes = datagram.to_vec();
    match random.below(4) {
        0 => bytes.truncate(random.below(bytes.len() as u64) as usize),
        1 => bytes.push(random.next() as u8),
        _ => {
            // Distinct places: what is flipped stays flipped.
            let first = random.below(bytes.len() as u64) as usize;
            for place in (first..bytes.len()).step_by(7).take(random.between(1, 4) as usize) {
                bytes[place] ^= 1 << random.below(8);
            }
        }
    }
    Bytes::from(bytes)
}
