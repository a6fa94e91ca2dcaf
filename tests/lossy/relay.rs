//! A relay of datagrams between replicas that does what bad networks do, from one seed.
//!
//! Each direction, from one replica to another, has a port of its own: the sender's `--cluster` list names that port
//! for the receiver. So every direction has its own faults, drawn by a generator of its own, whatever the others carry.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::random::Random;

/// How long the relay sleeps at most: it ends within this time after it was told to.
const NAP: Duration = Duration::from_millis(20);
/// How many datagrams of one direction are taken in before the next direction's turn.
const TURN: usize = 64;
/// How many datagrams of all directions may be held up at a time. Beyond, they are dropped, and counted as overflow.
const HELD: usize = 65_536;
/// How many past datagrams of a direction may come again.
const REMEMBERED: usize = 64;
/// How long a burst of losses lasts at most.
const BURST: Duration = Duration::from_millis(100);

/// What may happen to a direction's datagrams. Probabilities in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// A datagram is dropped.
    pub(crate) loss: u64,
    /// A burst begins, in which half of all are dropped.
    pub(crate) burst: u64,
    /// It comes twice.
    pub(crate) duplicate: u64,
    /// Some of its bytes are changed, or missing, or there are more.
    pub(crate) corrupt: u64,
    /// One of the past comes again beside it.
    pub(crate) replay: u64,
    /// It is held up by up to `held_up` more than `delay`, so that later ones overtake it.
    pub(crate) reorder: u64,
    /// How much later it comes at least and at most, in microseconds.
    pub(crate) delay: (u64, u64),
    /// See `reorder`; in microseconds.
    pub(crate) held_up: u64,
}

/// What became of a direction's datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Taken in.
    pub(crate) received: u64,
    /// Sent on, copies included.
    pub(crate) passed: u64,
    /// Dropped by chance.
    pub(crate) lost: u64,
    /// Dropped by a cut.
    pub(crate) cut: u64,
    /// Sent on a second time.
    pub(crate) duplicated: u64,
    /// Sent on with other bytes.
    pub(crate) corrupted: u64,
    /// Of the past, sent again.
    pub(crate) replayed: u64,
    /// Held up on purpose.
    pub(crate) reordered: u64,
    /// Dropped because too many were held up.
    pub(crate) overflow: u64,
}

impl Counts {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            received: self.received + other.received,
            passed: self.passed + other.passed,
            lost: self.lost + other.lost,
            cut: self.cut + other.cut,
            duplicated: self.duplicated + other.duplicated,
            corrupted: self.corrupted + other.corrupted,
            replayed: self.replayed + other.replayed,
            reordered: self.reordered + other.reordered,
            overflow: self.overflow + other.overflow,
        }
    }
}

/// One direction.
struct Link {
    from: usize,
    to: usize,
    target: SocketAddr,
    random: Random,
    faults: Faults,
    cut: bool,
    burst_until: Option<Instant>,
    past: Vec<Vec<u8>>,
    counts: Counts,
}

/// What the relay's thread and its owner share.
struct Shared {
    links: Vec<Link>,
    stopped: bool,
}

/// A relay that runs until it is dropped.
pub(crate) struct Relay {
    shared: Arc<Mutex<Shared>>,
    entries: Vec<(usize, usize, SocketAddr)>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Relay {
    /// Relays between replicas whose rings listen at `targets`, all on the loopback.
    ///
    /// # Errors
    /// When a port cannot be had.
    pub(crate) fn start(targets: &[SocketAddr], faults: Faults, seed: u64) -> io::Result<Self> {
        let (mut links, mut sockets, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        for from in 0..targets.len() {
            for (to, target) in targets.iter().enumerate().filter(|(to, _)| *to != from) {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
                socket.set_nonblocking(true)?;
                entries.push((from, to, socket.local_addr()?));
                sockets.push(socket);
                links.push(Link {
                    from,
                    to,
                    target: *target,
                    random: Random::new(seed ^ ((from as u64) << 32 | to as u64)),
                    faults,
                    cut: false,
                    burst_until: None,
                    past: Vec::new(),
                    counts: Counts::default(),
                });
            }
        }
        let shared = Arc::new(Mutex::new(Shared { links, stopped: false }));
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || run(&shared, &sockets)
        });
        Ok(Self { shared, entries, thread: Some(thread) })
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("the relay's thread does not panic")
    }

    /// The `--cluster` list for replica `of`, whose own ring listens at `own`: the others are behind the relay.
    pub(crate) fn members(&self, of: usize, own: SocketAddr) -> String {
        let others = self.entries.iter().filter(|(from, _, _)| *from == of);
        let mut members: Vec<_> = others.map(|(_, to, at)| (*to, *at)).collect();
        members.push((of, own));
        members.sort_unstable();
        members.iter().map(|(id, at)| format!("{id}={at}")).collect::<Vec<_>>().join(",")
    }

    /// Gives all directions these faults.
    pub(crate) fn set_faults(&self, faults: Faults) {
        self.shared().links.iter_mut().for_each(|link| link.faults = faults);
    }

    /// Lets nothing pass in one direction, or lets it pass again.
    pub(crate) fn cut(&self, from: usize, to: usize, cut: bool) {
        let mut shared = self.shared();
        let links = shared.links.iter_mut().filter(|link| (link.from, link.to) == (from, to));
        links.for_each(|link| link.cut = cut);
    }

    /// Ends all faults and cuts.
    pub(crate) fn heal(&self) {
        for link in &mut self.shared().links {
            (link.faults, link.cut, link.burst_until) = (Faults::default(), false, None);
        }
    }

    /// What became of each direction's datagrams: from, to, counts.
    pub(crate) fn counts(&self) -> Vec<(usize, usize, Counts)> {
        self.shared().links.iter().map(|link| (link.from, link.to, link.counts)).collect()
    }

    /// What became of all.
    pub(crate) fn total(&self) -> Counts {
        self.counts().iter().fold(Counts::default(), |sum, (_, _, counts)| sum.and(*counts))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared().stopped = true;
        let ended = self.thread.take().expect("it runs until now").join();
        assert!(
            std::thread::panicking() || matches!(ended, Ok(Ok(()))),
            "the relay failed: {ended:?}"
        );
    }
}

/// A datagram that leaves later: when, in which order among equals, by which link.
type Held = Reverse<(Instant, u64, usize, Vec<u8>)>;

fn run(shared: &Mutex<Shared>, sockets: &[UdpSocket]) -> io::Result<()> {
    let mut held: BinaryHeap<Held> = BinaryHeap::new();
    let mut buffer = vec![0; 65_536];
    let mut count = 0;
    loop {
        let now = Instant::now();
        let next = held.peek().map_or(NAP, |Reverse((at, ..))| at.saturating_duration_since(now));
        let mut waiting: Vec<PollFd<'_>> =
            sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        let wait = Timespec::try_from(next.min(NAP)).expect("a nap is short");
        match poll(&mut waiting, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut shared =
            shared.lock().expect("the relay's owner does not panic while it holds this");
        if shared.stopped {
            return Ok(());
        }
        let now = Instant::now();
        for (index, _) in
            waiting.iter().enumerate().filter(|(_, polled)| !polled.revents().is_empty())
        {
            for _ in 0..TURN {
                let length = match sockets[index].recv(&mut buffer) {
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // The receiver's port was closed: told of a datagram that was sent on before.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                    Err(error) => return Err(error),
                };
                let link = &mut shared.links[index];
                for (later, bytes) in link.fate(now, &buffer[..length]) {
                    count += 1;
                    if later.is_zero() {
                        link.pass(&sockets[index], &bytes);
                    } else if held.len() < HELD {
                        held.push(Reverse((now + later, count, index, bytes)));
                    } else {
                        link.counts.overflow += 1;
                    }
                }
            }
        }
        while let Some(Reverse((at, ..))) = held.peek()
            && *at <= now
        {
            let Reverse((_, _, index, bytes)) = held.pop().expect("it was seen");
            shared.links[index].pass(&sockets[index], &bytes);
        }
    }
}

impl Link {
    /// Sends a datagram on. Where its receiver cannot take it, it is lost, as on any network.
    fn pass(&mut self, socket: &UdpSocket, bytes: &[u8]) {
        self.counts.passed += u64::from(socket.send_to(bytes, self.target).is_ok());
    }

    /// What leaves for a datagram that came, and how much later.
    fn fate(&mut self, now: Instant, datagram: &[u8]) -> Vec<(Duration, Vec<u8>)> {
        let (random, faults, counts) = (&mut self.random, self.faults, &mut self.counts);
        counts.received += 1;
        if self.cut {
            counts.cut += 1;
            return Vec::new();
        }
        let mut copies = vec![datagram.to_vec()];
        if random.per_mille(faults.duplicate) {
            counts.duplicated += 1;
            copies.push(datagram.to_vec());
        }
        if random.per_mille(faults.replay) && !self.past.is_empty() {
            counts.replayed += 1;
            copies.push(self.past[random.below(self.past.len() as u64) as usize].clone());
        }
        if faults.replay > 0 {
            if self.past.len() < REMEMBERED {
                self.past.push(datagram.to_vec());
            } else {
                self.past[random.below(REMEMBERED as u64) as usize] = datagram.to_vec();
            }
        }
        if random.per_mille(faults.burst) {
            self.burst_until = Some(now + BURST.mul_f64(random.below(1_000) as f64 / 1_000.0));
        }
        let loss =
            if self.burst_until.is_some_and(|until| now < until) { 500 } else { faults.loss };
        let mut leaving = Vec::new();
        for mut bytes in copies {
            if random.per_mille(loss) {
                counts.lost += 1;
                continue;
            }
            let mut later = random.between(faults.delay.0, faults.delay.1);
            if random.per_mille(faults.reorder) {
                counts.reordered += 1;
                later += random.below(faults.held_up.max(1));
            }
            if random.per_mille(faults.corrupt) && !bytes.is_empty() {
                counts.corrupted += 1;
                corrupt(random, &mut bytes);
            }
            leaving.push((Duration::from_micros(later), bytes));
        }
        leaving
    }
}

/// Changes some of the bytes, or leaves some out, or adds one.
fn corrupt(random: &mut Random, bytes: &mut Vec<u8>) {
    let length = bytes.len() as u64;
    match random.below(4) {
        0 => bytes.truncate(random.below(length) as usize),
        1 => bytes.push(random.next() as u8),
        _ => {
            for _ in 0..random.between(1, 4) {
                bytes[random.below(length) as usize] ^= 1 << random.below(8);
            }
        }
    }
}
