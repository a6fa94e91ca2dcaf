//! Where a replica is called.

use std::error::Error;
use std::fmt;
use std::net::{SocketAddr, SocketAddrV4};
use std::str::FromStr;

use tonic::transport::Uri;

/// A replica's gRPC address, `HOST:PORT`: made of text by [`str::parse`], or of a socket's address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    host_and_port: String,
}

impl Endpoint {
    /// The address as a URI.
    pub(crate) fn uri(&self) -> String {
        format!("http://{}", self.host_and_port)
    }

    /// `HOST:PORT`.
    pub fn as_str(&self) -> &str {
        &self.host_and_port
    }
}

/// Text that is no [`Endpoint`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvalidEndpoint {
    text: String,
}

impl fmt::Display for InvalidEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not HOST:PORT, such as 127.0.0.1:7001 or [::1]:7001", self.text)
    }
}

impl Error for InvalidEndpoint {}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let expected = || InvalidEndpoint { text: text.to_owned() };
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

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { host_and_port: address.to_string() }
    }
}

impl From<SocketAddrV4> for Endpoint {
    fn from(address: SocketAddrV4) -> Self {
        SocketAddr::from(address).into()
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
