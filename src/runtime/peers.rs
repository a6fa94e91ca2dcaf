//! Where the other replicas are. Names are resolved beside the event loop, never in it, and again when they may have
//! moved: containers get new addresses.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::address::Address;
use crate::types::{Instant, ReplicaId};

/// How often the name of a silent replica is resolved again.
const SILENT_INTERVAL: Duration = Duration::from_secs(1);
/// How often every name is.
const EVERY_INTERVAL: Duration = Duration::from_secs(30);

/// Which addresses the replica's socket can send to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    /// An IPv4 socket.
    V4,
    /// An IPv6 socket; it reaches IPv4 addresses as mapped ones.
    V6,
}

/// The replicas' addresses, by id.
pub(crate) struct Peers {
    family: Family,
    peers: Vec<Peer>,
    /// Filled by the look-ups: at most one for each replica at a time.
    results: mpsc::Receiver<LookUp>,
    report: mpsc::Sender<LookUp>,
    next_silent: Instant,
    next_every: Instant,
}

struct Peer {
    address: Address,
    /// Whether there is a name to resolve; not for IP addresses, nor for the replica itself.
    named: bool,
    /// Where its datagrams go; none until its name was resolved.
    target: Option<SocketAddr>,
    /// Whether its name is being resolved.
    asking: bool,
    /// Whether the last look-up failed: of that is warned once, not every second.
    failed: bool,
}

/// What came of resolving a name.
pub(crate) struct LookUp {
    replica: ReplicaId,
    /// Whether the replica was silent when its name was looked up.
    silent: bool,
    result: io::Result<Vec<SocketAddr>>,
}

impl Peers {
    /// The replicas at `addresses`, by id.
    pub(crate) fn new(own: ReplicaId, addresses: &[Address], family: Family, now: Instant) -> Self {
        let peer = |(index, address): (usize, &Address)| Peer {
            named: index != own.index() && address.literal().is_none(),
            target: address.literal().and_then(|literal| reach(family, literal)),
            address: address.clone(),
            asking: false,
            failed: false,
        };
        let peers: Vec<_> = addresses.iter().enumerate().map(peer).collect();
        let first = if peers.iter().any(|peer| peer.named) { now } else { Instant(u64::MAX) };
        let (report, results) = mpsc::channel(peers.len().max(1));
        Self { family, peers, results, report, next_silent: first, next_every: first }
    }

    /// Where a replica's datagrams go, if that is known.
    pub(crate) fn target(&self, replica: ReplicaId) -> Option<SocketAddr> {
        self.peers.get(replica.index())?.target
    }

    /// When [`look_up`](Self::look_up) is to be called next.
    pub(crate) fn next_look_up(&self) -> Instant {
        self.next_silent.min(self.next_every)
    }

    /// Starts the look-ups that are due: of the silent replicas' names, or of all.
    pub(crate) fn look_up(&mut self, now: Instant, silent: &[ReplicaId]) {
        if now < self.next_look_up() {
            return;
        }
        let every = now >= self.next_every;
        self.next_silent = now + SILENT_INTERVAL;
        if every {
            self.next_every = now + EVERY_INTERVAL;
        }
        for (index, peer) in self.peers.iter_mut().enumerate() {
            let Ok(id) = u8::try_from(index) else { break };
            let replica = ReplicaId(id);
            let silent = peer.target.is_none() || silent.contains(&replica);
            if peer.named && !peer.asking && (every || silent) {
                peer.asking = true;
                tokio::spawn(resolve(replica, silent, peer.address.clone(), self.report.clone()));
            }
        }
    }

    /// Waits for the next look-up to end; never ends where there is nothing to resolve. May be dropped while it waits.
    pub(crate) async fn looked_up(&mut self) -> LookUp {
        match self.results.recv().await {
            Some(result) => result,
            // `self.report` keeps the channel open.
            None => std::future::pending().await,
        }
    }

    /// Takes over what a look-up found.
    pub(crate) fn take(&mut self, look_up: LookUp) {
        let LookUp { replica, silent, result } = look_up;
        let Some(peer) = self.peers.get_mut(replica.index()) else {
            return;
        };
        peer.asking = false;
        let target = result.and_then(|found| {
            choose(self.family, &found, peer.target, silent).ok_or_else(|| {
                io::Error::other("it has no address that the ring's socket can reach")
            })
        });
        match target {
            Ok(target) => {
                if peer.target != Some(target) {
                    info!(%replica, address = %peer.address, %target, "replica found");
                }
                peer.target = Some(target);
                peer.failed = false;
            }
            Err(error) if peer.failed => {
                debug!(%replica, address = %peer.address, %error, "replica still not found");
            }
            Err(error) => {
                warn!(%replica, address = %peer.address, %error, "replica not found, trying on");
                peer.failed = true;
            }
        }
    }
}

/// Resolves a name and reports what came of it. Not cut short: a look-up that hangs in the resolver holds a thread,
/// and there is only ever one for each replica.
async fn resolve(replica: ReplicaId, silent: bool, address: Address, report: mpsc::Sender<LookUp>) {
    let result = address.resolve().await;
    // Nobody listens any more when the replica is stopping.
    report.send(LookUp { replica, silent, result }).await.ok();
}

/// The address to send to: the present one while the name still stands for it, unless the replica was silent there;
/// then the one after it. IPv4 goes before IPv6, so that all replicas choose alike.
fn choose(
    family: Family,
    found: &[SocketAddr],
    present: Option<SocketAddr>,
    silent: bool,
) -> Option<SocketAddr> {
    let (v4, v6): (Vec<SocketAddr>, Vec<_>) = found.iter().partition(|address| address.is_ipv4());
    let reachable: Vec<_> =
        v4.into_iter().chain(v6).filter_map(|address| reach(family, address)).collect();
    let at = present.and_then(|present| reachable.iter().position(|&address| address == present));
    let index = match at {
        Some(at) if silent => (at + 1) % reachable.len(),
        Some(at) => at,
        None => 0,
    };
    reachable.get(index).copied()
}

/// An address as a socket of `family` sends to it, if it can.
fn reach(family: Family, address: SocketAddr) -> Option<SocketAddr> {
    match (family, address.ip()) {
        (Family::V4, IpAddr::V6(_)) => None,
        (Family::V6, IpAddr::V4(ip)) => {
            Some(SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()))
        }
        _ => Some(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn addresses(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_present_address_is_kept_until_it_is_silent_or_gone() {
        let found = [socket("10.0.0.1:1"), socket("10.0.0.2:1")];
        let choose = |present, silent| choose(Family::V4, &found, present, silent);
        assert_eq!(choose(None, false), Some(found[0]));
        assert_eq!(choose(Some(found[1]), false), Some(found[1]));
        assert_eq!(choose(Some(found[0]), true), Some(found[1]));
        assert_eq!(choose(Some(found[1]), true), Some(found[0]));
        assert_eq!(choose(Some(socket("10.0.0.3:1")), false), Some(found[0]));
    }

    #[test]
    fn the_only_address_is_kept_though_it_is_silent() {
        let only = socket("10.0.0.1:1");
        assert_eq!(choose(Family::V4, &[only], Some(only), true), Some(only));
    }

    #[test]
    fn ipv4_goes_first_and_is_mapped_for_an_ipv6_socket() {
        let found = [socket("[2001:db8::1]:1"), socket("10.0.0.1:1")];
        assert_eq!(choose(Family::V4, &found, None, false), Some(found[1]));
        assert_eq!(choose(Family::V6, &found, None, false), Some(socket("[::ffff:10.0.0.1]:1")));
        assert_eq!(choose(Family::V4, &found[..1], None, false), None);
        assert_eq!(choose(Family::V6, &found[..1], None, false), Some(found[0]));
    }

    #[test]
    fn ip_addresses_are_never_looked_up() {
        let addresses = addresses(&["own-name:1", "10.0.0.1:1", "10.0.0.2:1"]);
        let peers = Peers::new(ReplicaId(0), &addresses, Family::V4, Instant(5));
        assert_eq!(peers.next_look_up(), Instant(u64::MAX));
        assert_eq!(peers.target(ReplicaId(1)), Some(socket("10.0.0.1:1")));
        assert_eq!(peers.target(ReplicaId(3)), None);
    }

    #[tokio::test]
    async fn a_name_is_resolved_at_start_and_again_when_its_replica_is_silent() {
        let second = Duration::from_secs(1);
        let addresses = addresses(&["10.0.0.1:1", "localhost:7", "10.0.0.2:1"]);
        let mut peers = Peers::new(ReplicaId(0), &addresses, Family::V4, Instant(0));
        assert_eq!(peers.target(ReplicaId(1)), None);
        peers.look_up(Instant(0), &[]);
        let found = peers.looked_up().await;
        peers.take(found);
        assert_eq!(peers.target(ReplicaId(1)), Some(socket("127.0.0.1:7")));

        // A second later nobody is asked for, unless the replica is silent.
        assert_eq!(peers.next_look_up(), Instant(0) + second);
        peers.look_up(Instant(0) + second, &[]);
        assert!(!peers.peers[1].asking);
        peers.look_up(Instant(0) + 2 * second, &[ReplicaId(1), ReplicaId(2)]);
        assert!(peers.peers[1].asking);
        assert!(!peers.peers[2].asking, "an IP address was looked up");
        let found = peers.looked_up().await;
        peers.take(found);

        peers.look_up(Instant(0) + EVERY_INTERVAL, &[]);
        assert!(peers.peers[1].asking, "all names are looked up now and then");
    }

    #[test]
    fn a_failed_look_up_keeps_the_address() {
        let addresses = addresses(&["10.0.0.1:1", "localhost:7", "10.0.0.2:1"]);
        let mut peers = Peers::new(ReplicaId(0), &addresses, Family::V4, Instant(0));
        let look_up = |result| LookUp { replica: ReplicaId(1), silent: true, result };
        peers.take(look_up(Ok(vec![socket("127.0.0.1:7")])));
        peers.take(look_up(Err(io::Error::other("no answer"))));
        assert_eq!(peers.target(ReplicaId(1)), Some(socket("127.0.0.1:7")));
    }
}
