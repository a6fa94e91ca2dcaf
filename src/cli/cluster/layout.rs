//! Who listens where on this machine.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};

use crate::client::Endpoint;

/// The ports of a cluster on loopback.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    replicas: u8,
    base_port: u16,
}

/// Replica i serves gRPC on base + this + i …
const GRPC_OFFSET: u16 = 1;
/// … and the ring on base + this + i.
const RING_OFFSET: u16 = 101;

impl Layout {
    /// The layout of `replicas` replicas above `base_port`.
    ///
    /// # Errors
    /// When there are not enough ports above it.
    pub(super) fn new(replicas: u8, base_port: u16) -> Result<Self, String> {
        let last = base_port
            .checked_add(RING_OFFSET)
            .and_then(|first| first.checked_add(u16::from(replicas)));
        match last {
            Some(_) => Ok(Self { replicas, base_port }),
            None => Err(format!(
                "--base-port {base_port} is too high: ports up to {RING_OFFSET} + {replicas} above it are used"
            )),
        }
    }

    /// The highest id.
    pub(super) fn last(self) -> u8 {
        self.replicas - 1
    }

    /// The ids of the replicas.
    pub(super) fn ids(self) -> impl Iterator<Item = u8> {
        0..self.replicas
    }

    /// Where a replica serves gRPC.
    pub(super) fn grpc(self, id: u8) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.base_port + GRPC_OFFSET + u16::from(id))
    }

    /// The same, for this program's own calls.
    pub(super) fn endpoint(self, id: u8) -> Endpoint {
        self.grpc(id).into()
    }

    /// Where a replica's ring socket is.
    pub(super) fn ring(self, id: u8) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.base_port + RING_OFFSET + u16::from(id))
    }

    /// What `serve --cluster` takes.
    pub(super) fn cluster(self) -> String {
        let replicas: Vec<_> = self.ids().map(|id| format!("{id}={}", self.ring(id))).collect();
        replicas.join(",")
    }

    /// Looks whether all ports are free, now.
    ///
    /// # Errors
    /// Names the first that is not.
    pub(super) fn check_ports(self) -> Result<(), String> {
        for id in self.ids() {
            let (grpc, ring) = (self.grpc(id), self.ring(id));
            TcpListener::bind(grpc)
                .map_err(|error| taken(id, "gRPC", &format!("TCP {grpc}"), &error))?;
            UdpSocket::bind(ring)
                .map_err(|error| taken(id, "the ring", &format!("UDP {ring}"), &error))?;
        }
        Ok(())
    }
}

fn taken(id: u8, purpose: &str, address: &str, error: &std::io::Error) -> String {
    format!(
        "replica {id} cannot have {address} for {purpose}: {error}. Is a cluster running already? \
         --base-port takes other ports"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments::DEV_CLUSTER;

    #[test]
    fn ports_are_where_the_help_says() {
        let layout = Layout::new(3, 7000).unwrap();
        assert_eq!(layout.cluster(), "0=127.0.0.1:7101,1=127.0.0.1:7102,2=127.0.0.1:7103");
        let endpoints: Vec<_> = layout.ids().map(|id| layout.endpoint(id).to_string()).collect();
        assert_eq!(endpoints.join(","), DEV_CLUSTER);
        assert!(Layout::new(3, 65_431).is_ok());
        assert!(Layout::new(3, 65_432).is_err());
        assert!(Layout::new(3, 65_535).is_err());
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        // Below the ports that the system gives out, so that neighbours are free.
        let ports = || 28_000 + std::process::id() as u16 % 1_000..32_000;
        let socket = ports().find_map(|port| UdpSocket::bind(("127.0.0.1", port)).ok()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let why = Layout::new(1, port - RING_OFFSET).unwrap().check_ports().unwrap_err();
        assert!(why.contains(&format!("UDP 127.0.0.1:{port} for the ring")), "{why}");
        let listener =
            ports().find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let why = Layout::new(1, port - GRPC_OFFSET).unwrap().check_ports().unwrap_err();
        assert!(why.contains(&format!("TCP 127.0.0.1:{port} for gRPC")), "{why}");
    }
}
