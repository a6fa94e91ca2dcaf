//! Where a replica is called.

use std::fmt;
use std::net::SocketAddrV4;
use std::str::FromStr;

use tonic::transport::Uri;

/// A replica's gRPC address, `HOST:PORT`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Endpoint {
    host_and_port: String,
}

impl Endpoint {
    /// The address as a URI.
    pub(crate) fn uri(&self) -> String {
        format!("http://{}", self.host_and_port)
    }

    /// `HOST:PORT`.
    pub(crate) fn as_str(&self) -> &str {
        &self.host_and_port
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("`{text}` is not HOST:PORT, such as 127.0.0.1:7001 or [::1]:7001");
        let uri: Uri = format!("http://{text}").parse().map_err(|_| expected())?;
        let authority = uri.authority().ok_or_else(expected)?;
        let port_is_good = authority.port_u16().is_some_and(|port| port > 0);
        if authority.as_str() != text
            || authority.host().is_empty()
            || text.contains('@')
            || !port_is_good
        {
            return Err(expected());
        }
        Ok(Self { host_and_port: text.to_owned() })
    }
}

impl From<SocketAddrV4> for Endpoint {
    fn from(address: SocketAddrV4) -> Self {
        Self { host_and_port: address.to_string() }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host_and_port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_make_an_endpoint() {
        for text in ["127.0.0.1:7001", "localhost:1", "replica-0.example:65535", "[::1]:7001"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert_eq!("a:1".parse::<Endpoint>().unwrap().uri(), "http://a:1");
    }

    #[test]
    fn anything_else_does_not() {
        let wrong = [
            "",
            "7001",
            ":7001",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            "127.0.0.1:x",
            "http://127.0.0.1:7001",
            "127.0.0.1:7001/path",
            "user@127.0.0.1:7001",
            "a b:1",
        ];
        for text in wrong {
            assert!(text.parse::<Endpoint>().is_err(), "{text:?} was taken");
        }
    }
}
