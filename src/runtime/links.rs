//! The sockets by which datagrams leave: one to each peer, connected to it, so that the system tells when a datagram
//! comes back refused: nobody listens there any more. That spares the wait for a timeout when a process dies.
//!
//! What peers send arrives at the ring's socket, never here.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::socket::KERNEL_BUFFER;
use crate::types::{MAX_REPLICAS, ReplicaId};

/// The links to all peers.
pub(crate) struct Links {
    /// Where they are bound: what is sent comes from the address at which the ring listens, if that is one.
    from: IpAddr,
    /// By the peer's id; made when there is something to send.
    links: [Option<Link>; MAX_REPLICAS],
    /// Filled by the watchers; a peer that is refused now will be again, so what finds no room is not missed.
    refusals: mpsc::Receiver<ReplicaId>,
    report: mpsc::Sender<ReplicaId>,
}

struct Link {
    target: SocketAddr,
    /// Watched for errors only: sending never wakes anybody.
    socket: Arc<AsyncFd<UdpSocket>>,
    watcher: AbortHandle,
}

/// What became of a datagram.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Whether this one, or one before it, came back refused.
    pub refused: bool,
    /// Whether it was handed to the kernel.
    pub result: Result<(), NotSent>,
}

/// Why a datagram was not sent.
#[derive(Debug)]
pub(crate) enum NotSent {
    /// The kernel's buffer is full.
    Full,
    /// The kernel did not take it.
    Failed(io::Error),
}

impl Links {
    /// Links from the ring's own address, none of them made yet.
    pub(crate) fn new(from: IpAddr) -> Self {
        let (report, refusals) = mpsc::channel(MAX_REPLICAS);
        Self { from, links: Default::default(), refusals, report }
    }

    /// Hands a datagram to the kernel, without ever waiting.
    pub(crate) fn send(&mut self, to: ReplicaId, target: SocketAddr, datagram: &[u8]) -> Sent {
        let link = match self.link(to, target) {
            Ok(link) => link,
            Err(error) => return Sent { refused: false, result: Err(NotSent::Failed(error)) },
        };
        let mut refused = false;
        let mut send = || {
            let sent = link.socket.get_ref().send(datagram).map(|_bytes| ());
            refused |= sent.as_ref().is_err_and(is_refused);
            sent
        };
        let result = match send() {
            // An error may be what became of an earlier datagram, told now instead of sending this one.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => send(),
            result => result,
        };
        let result = result.map_err(|error| {
            if error.kind() == io::ErrorKind::WouldBlock {
                return NotSent::Full;
            }
            if !is_refused(&error) {
                // The own address may have changed, to which the socket was bound when it was connected.
                self.links[to.index()] = None;
            }
            NotSent::Failed(error)
        });
        Sent { refused, result }
    }

    /// Waits until a datagram comes back refused, and says by whom. May be dropped while it waits.
    pub(crate) async fn refused(&mut self) -> ReplicaId {
        match self.refusals.recv().await {
            Some(peer) => peer,
            // `self.report` keeps the channel open.
            None => std::future::pending().await,
        }
    }

    /// The link to a peer; made anew where the peer has moved.
    fn link(&mut self, to: ReplicaId, target: SocketAddr) -> io::Result<&Link> {
        let place = &mut self.links[to.index()];
        if place.as_ref().is_some_and(|link| link.target != target) {
            *place = None;
        }
        match place {
            Some(link) => Ok(link),
            None => {
                let socket = Arc::new(connect(self.from, target)?);
                let watched = watch(to, Arc::clone(&socket), self.report.clone());
                let watcher = tokio::spawn(watched).abort_handle();
                Ok(place.insert(Link { target, socket, watcher }))
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

fn connect(from: IpAddr, target: SocketAddr) -> io::Result<AsyncFd<UdpSocket>> {
    let from = SocketAddr::new(from, 0);
    let socket = Socket::new(Domain::for_address(from), Type::DGRAM, Some(Protocol::UDP))?;
    if from.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.bind(&from.into())?;
    socket.connect(&target.into())?;
    #[expect(deprecated, reason = "its successor is unsafe; a UdpSocket keeps what that asks for")]
    AsyncFd::with_interest(socket.into(), Interest::ERROR)
}

/// Reports each error of a link that says that its peer refuses datagrams.
async fn watch(peer: ReplicaId, socket: Arc<AsyncFd<UdpSocket>>, report: mpsc::Sender<ReplicaId>) {
    // An error means that the runtime is gone.
    while let Ok(mut ready) = socket.ready(Interest::ERROR).await {
        ready.clear_ready();
        if let Ok(Some(error)) = socket.get_ref().take_error()
            && is_refused(&error)
        {
            report.try_send(peer).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Far beyond what anything here takes.
    const LONG: Duration = Duration::from_secs(30);
    const PEER: ReplicaId = ReplicaId(1);

    fn socket(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket
    }

    fn received(socket: &UdpSocket) -> Vec<u8> {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    }

    fn mapped(address: SocketAddr) -> SocketAddr {
        let SocketAddr::V4(v4) = address else { panic!("{address}") };
        SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_is_told_without_a_further_datagram() {
        for (from, is_mapped) in [("127.0.0.1", false), ("0.0.0.0", false), ("::", true)] {
            let mut links = Links::new(from.parse().unwrap());
            let peer = socket("127.0.0.1:0");
            let own = peer.local_addr().unwrap();
            let target = if is_mapped { mapped(own) } else { own };
            let sent = links.send(PEER, target, b"one");
            assert!(matches!(sent, Sent { refused: false, result: Ok(()) }), "{sent:?}");
            assert_eq!(received(&peer), b"one");
            drop(peer);
            let sent = links.send(PEER, target, b"two");
            assert!(sent.result.is_ok(), "{sent:?}");
            let refused = tokio::time::timeout(LONG, links.refused()).await.unwrap();
            assert_eq!(refused, PEER, "from {from}");
        }
    }

    #[tokio::test]
    async fn what_is_sent_after_a_refusal_is_sent() {
        let mut links = Links::new([127, 0, 0, 1].into());
        let peer = socket("127.0.0.1:0");
        let target = peer.local_addr().unwrap();
        drop(peer);
        assert!(links.send(PEER, target, b"one").result.is_ok());
        // The watcher has not run yet: the refusal is told to this send, which goes out all the same.
        let peer = socket(&target.to_string());
        let sent = links.send(PEER, target, b"two");
        assert!(matches!(sent, Sent { refused: true, result: Ok(()) }), "{sent:?}");
        assert_eq!(received(&peer), b"two");
    }

    #[tokio::test]
    async fn a_peer_that_moves_is_followed() {
        let mut links = Links::new([127, 0, 0, 1].into());
        for _ in 0..2 {
            let peer = socket("127.0.0.1:0");
            assert!(links.send(PEER, peer.local_addr().unwrap(), b"here").result.is_ok());
            assert_eq!(received(&peer), b"here");
        }
    }

    #[tokio::test]
    async fn a_target_out_of_reach_is_an_error_and_no_refusal() {
        let mut links = Links::new([127, 0, 0, 1].into());
        let sent = links.send(PEER, "[::1]:9".parse().unwrap(), b"one");
        assert!(!sent.refused);
        assert!(matches!(sent.result, Err(NotSent::Failed(_))), "{sent:?}");
    }
}
