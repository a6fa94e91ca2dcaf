//! `HOST:PORT` as people write it, and the socket addresses that it stands for.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// A host name or IP address, and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The socket address, where the host is an IP address and nothing is to be resolved.
    pub(crate) fn literal(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port))
    }

    /// Whether the host is the name of the machine's own loopback (RFC 6761).
    pub(crate) fn is_localhost(&self) -> bool {
        let name = self.host.trim_end_matches('.').to_ascii_lowercase();
        name == "localhost" || name.ends_with(".localhost")
    }

    /// All the socket addresses that it stands for now, at least one, in the resolver's order.
    ///
    /// # Errors
    /// When the name is not known, or its servers cannot be asked.
    pub(crate) async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        if let Some(address) = self.literal() {
            return Ok(vec![address]);
        }
        let found: Vec<_> =
            tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect();
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(found)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) =
            text.rsplit_once(':').ok_or_else(|| format!("'{text}' is not HOST:PORT"))?;
        let wrong = |c: char| c.is_whitespace() || "/@=,".contains(c);
        if host.is_empty() || host.contains(wrong) {
            return Err(format!("'{text}' is not HOST:PORT: '{host}' is not a host"));
        }
        let inner = host.strip_prefix('[').map(|host| host.strip_suffix(']'));
        let host = match inner {
            Some(Some(inner)) if inner.parse::<Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err(format!("'{host}' is not an IPv6 address in brackets")),
            None if host.contains(':') => {
                return Err(format!("an IPv6 address needs brackets: '[{host}]:{port}'"));
            }
            None => host,
        };
        let port = port.parse().map_err(|_| {
            format!("'{text}' is not HOST:PORT: '{port}' is not a port (0 to 65535)")
        })?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["127.0.0.1:7101", "[::1]:7101", "queue-0.example.org:1", "localhost:65535"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused_with_its_reason() {
        for (text, reason) in [
            ("queue", "not HOST:PORT"),
            (":7101", "not a host"),
            ("a b:7101", "not a host"),
            ("http://a:7101", "not a host"),
            ("queue:65536", "not a port"),
            ("queue:", "not a port"),
            ("::1:7101", "needs brackets"),
            ("[queue]:7101", "in brackets"),
            ("[::1:7101", "in brackets"),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn only_ip_addresses_are_literal() {
        let literal = |text: &str| text.parse::<Address>().unwrap().literal().is_some();
        assert!(literal("10.0.0.1:1"));
        assert!(literal("[::1]:1"));
        assert!(!literal("localhost:1"));
    }

    #[test]
    fn localhost_is_known_by_name() {
        let localhost = |text: &str| text.parse::<Address>().unwrap().is_localhost();
        assert!(localhost("localhost:1"));
        assert!(localhost("LOCALHOST.:1"));
        assert!(localhost("a.localhost:1"));
        assert!(!localhost("notlocalhost:1"));
    }
}
