//! The socket at which the ring listens.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::{debug, info};

use super::address::Address;
use super::peers::Family;

/// What is asked of the kernel for each direction, in bytes; it may give less. A burst of 2,000 datagrams fits.
pub(super) const KERNEL_BUFFER: usize = 4 << 20;
/// No UDP datagram is larger.
const LARGEST_DATAGRAM: usize = 65_536;

/// Receives datagrams without ever waiting. Whom a datagram claims to come from is never looked at: only
/// what is sealed inside counts.
pub(crate) struct RingSocket {
    /// Watched for datagrams only.
    socket: AsyncFd<UdpSocket>,
    local: SocketAddr,
    buffer: Box<[u8]>,
    max_datagram: usize,
}

/// What a look into the socket gave.
#[derive(Debug)]
pub(crate) enum Received {
    /// A datagram.
    Datagram(Bytes),
    /// One larger than those that this replica sends: the sender has another setting, or sends again what was made when
    /// it had.
    Oversized(Bytes),
    /// Nothing is there.
    Nothing,
    /// The system reported an error; it does not concern the next datagram.
    Failed(io::Error),
}

impl RingSocket {
    /// Binds the socket: at `listen` where that is given, else as the replica's own address in the list asks.
    ///
    /// # Errors
    /// When the address is in use, is not this machine's, or `listen` cannot be resolved.
    pub(crate) async fn bind(
        listed: &Address,
        listen: Option<&Address>,
        max_datagram: usize,
    ) -> io::Result<Self> {
        let socket = match listen {
            Some(address) => bind_first(&address.resolve().await?)?,
            None => bind_listed(listed).await?,
        };
        let local =
            socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("no address"))?;
        debug!(
            %local,
            receive_buffer = socket.recv_buffer_size()?,
            send_buffer = socket.send_buffer_size()?,
            "ring socket"
        );
        #[expect(
            deprecated,
            reason = "its successor is unsafe; a UdpSocket keeps what that asks for"
        )]
        let socket = AsyncFd::with_interest(socket.into(), Interest::READABLE)?;
        let buffer = vec![0; LARGEST_DATAGRAM].into_boxed_slice();
        Ok(Self { socket, local, buffer, max_datagram })
    }

    /// Where it listens.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Which addresses it can send to.
    pub(crate) fn family(&self) -> Family {
        if self.local.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// Waits until there is something to receive. May be dropped while it waits.
    ///
    /// # Errors
    /// When the runtime is gone.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        // The guard is for clearing what `receive` clears.
        self.socket.readable().await.map(drop)
    }

    /// Takes the next datagram out of the kernel.
    pub(crate) fn receive(&mut self) -> Received {
        let buffer = &mut self.buffer;
        match self.socket.try_io(Interest::READABLE, |socket| socket.recv(buffer)) {
            Ok(length) => {
                let datagram = Bytes::copy_from_slice(&self.buffer[..length]);
                if length > self.max_datagram {
                    Received::Oversized(datagram)
                } else {
                    Received::Datagram(datagram)
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
            Err(error) => Received::Failed(error),
        }
    }
}

/// Binds where the replica's own address in the list leads:
/// - an IP address: there, so that nothing listens beyond what is written; where it is not this machine's (address
///   translation), everywhere;
/// - `localhost`: on the loopback;
/// - another name: everywhere. What a machine's own name resolves to inside it is not where the others find it: a
///   line `127.0.1.1 name` in /etc/hosts is common, and a container's address changes with its network.
async fn bind_listed(listed: &Address) -> io::Result<Socket> {
    let everywhere = || {
        let v6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), listed.port());
        let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), listed.port());
        bind(v6).or_else(|error| match error.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
            // A machine without IPv6.
            _ => bind(v4),
        })
    };
    match listed.literal() {
        Some(literal) => bind(literal).or_else(|error| {
            if error.kind() != io::ErrorKind::AddrNotAvailable {
                return Err(error);
            }
            info!(address = %literal, "the listed address is not this machine's; listening on all");
            bind(SocketAddr::new(unspecified(literal.ip()), literal.port()))
        }),
        None if listed.is_localhost() => bind_first(&listed.resolve().await?),
        None => everywhere(),
    }
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Binds the address that other replicas would choose too: an IPv4 one where there is any.
fn bind_first(found: &[SocketAddr]) -> io::Result<Socket> {
    let first = found.iter().find(|address| address.is_ipv4()).or_else(|| found.first());
    bind(*first.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no address"))?)
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(KERNEL_BUFFER)?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn socket(listed: &str) -> RingSocket {
        RingSocket::bind(&listed.parse().unwrap(), None, 1_400).await.unwrap()
    }

    #[tokio::test]
    async fn an_ip_address_and_localhost_listen_nowhere_else() {
        assert_eq!(socket("127.0.0.1:0").await.local().ip(), Ipv4Addr::LOCALHOST);
        assert!(socket("localhost:0").await.local().ip().is_loopback());
    }

    #[tokio::test]
    async fn an_address_in_use_is_an_error() {
        let first = socket("127.0.0.1:0").await;
        let listed = first.local().to_string().parse().unwrap();
        let error = RingSocket::bind(&listed, None, 1_400).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn datagrams_of_all_sizes_pass_and_large_ones_are_told_from_others() {
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut receiver = socket("127.0.0.1:0").await;
        for length in [1, 1_400, 1_401, 65_000, 7] {
            sender.send_to(&vec![7; length], receiver.local()).unwrap();
        }
        let mut received = Vec::new();
        while received.len() < 5 {
            receiver.readable().await.unwrap();
            match receiver.receive() {
                Received::Datagram(datagram) => received.push((datagram.len(), false)),
                Received::Oversized(datagram) => received.push((datagram.len(), true)),
                Received::Nothing => {}
                Received::Failed(error) => panic!("{error}"),
            }
        }
        let sent = [(1, false), (1_400, false), (1_401, true), (65_000, true), (7, false)];
        assert_eq!(received, sent);
        assert!(matches!(receiver.receive(), Received::Nothing));
    }
}
