//! The network between the replicas: what becomes of a datagram on its way.

use bytes::Bytes;

use crate::options::{LinkFaults, MILLISECOND, Options};
use crate::random::Random;

/// How many past datagrams of a link may come again.
const REMEMBERED: usize = 64;
/// How long a burst of losses and a clog last at most.
const BURST: u64 = 100 * MILLISECOND;
const CLOG: u64 = 300 * MILLISECOND;

#[derive(Clone, Default)]
struct Link {
    faults: LinkFaults,
    burst_until: u64,
    clogged_until: u64,
    past: Vec<Bytes>,
}

/// All links, and the faults that they have until [`Network::heal`].
pub(crate) struct Network {
    random: Random,
    links: Vec<Vec<Link>>,
    delay: (u64, u64),
    delay_most: u64,
    /// Links that are cut: nothing passes.
    cut: Vec<Vec<bool>>,
}

impl Network {
    pub(crate) fn new(options: &Options, random: Random) -> Self {
        let links = options.links.iter().map(|row| {
            row.iter().map(|faults| Link { faults: *faults, ..Link::default() }).collect()
        });
        Self {
            random,
            links: links.collect(),
            delay: options.delay,
            delay_most: options.delay_most,
            cut: vec![vec![false; options.replicas]; options.replicas],
        }
    }

    /// Ends all faults; only the ordinary delay stays.
    pub(crate) fn heal(&mut self) {
        for link in self.links.iter_mut().flatten() {
            *link = Link::default();
        }
        self.cut.iter_mut().flatten().for_each(|cut| *cut = false);
    }

    /// When which bytes arrive, of a datagram that leaves at `now`.
    pub(crate) fn send(
        &mut self,
        now: u64,
        from: usize,
        to: usize,
        datagram: &Bytes,
    ) -> Vec<(u64, Bytes)> {
        if self.cut[from][to] {
            return Vec::new();
        }
        let random = &mut self.random;
        let link = &mut self.links[from][to];
        let faults = link.faults;
        let mut arrivals = Vec::new();
        let mut copies = vec![datagram.clone()];
        if random.per_mille(faults.duplicate) {
            copies.push(datagram.clone());
        }
        if random.per_mille(faults.replay) && !link.past.is_empty() {
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
            link.clogged_until = now + random.below(CLOG);
        }
        for copy in copies {
            let loss = if now < link.burst_until { 500 } else { faults.loss };
            if random.per_mille(loss) {
                continue;
            }
            let mut at = now.max(link.clogged_until) + random.between(self.delay.0, self.delay.1);
            if random.per_mille(faults.reorder) {
                at += random.below(self.delay_most);
            }
            let bytes =
                if random.per_mille(faults.corrupt) { corrupted(random, &copy) } else { copy };
            arrivals.push((at, bytes));
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
            for _ in 0..random.between(1, 4) {
                let place = random.below(bytes.len() as u64) as usize;
                bytes[place] ^= 1 << random.below(8);
            }
        }
    }
    Bytes::from(bytes)
}
