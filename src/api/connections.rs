//! The connections of callers: so many and no more, and none that never says anything.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_stream::{Stream, StreamExt as _, wrappers::TcpListenerStream};
use tonic::transport::server::{Connected, TcpConnectInfo};
use tracing::{debug, warn};

/// The most connections at a time.
const MAX_CONNECTIONS: usize = 4_096;
/// Descriptors that are not for connections: log, sockets, files, name look-ups.
const OTHER_DESCRIPTORS: u64 = 64;
/// How long a connection has to begin: HTTP/2's preface and its first frame.
const BEGIN_WITHIN: Duration = Duration::from_secs(10);
/// The bytes of these.
const BEGINNING: usize = 24 + 9;
/// How long to wait when the system has no more descriptors or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The bounds on connections.
#[derive(Clone, Copy)]
struct Limits {
    connections: usize,
    begin_within: Duration,
}

/// A caller's connection. It holds its place among the connections until it is dropped.
pub(super) struct Connection {
    stream: TcpStream,
    beginning: Option<Beginning>,
    _place: OwnedSemaphorePermit,
}

/// What is awaited of a connection that has not begun.
struct Beginning {
    missing: usize,
    limit: Pin<Box<Sleep>>,
}

/// The connections that arrive, as far as there is room: one too many is closed at once, so that its caller can try
/// another replica instead of waiting.
pub(super) fn accept(listener: TcpListener) -> impl Stream<Item = io::Result<Connection>> {
    let limits = Limits { connections: room(), begin_within: BEGIN_WITHIN };
    accept_within(limits, listener)
}

fn accept_within(
    limits: Limits,
    listener: TcpListener,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(limits.connections));
    TcpListenerStream::new(listener)
        .then(move |accepted| admit(accepted, Arc::clone(&places), limits.begin_within))
        .filter_map(|admitted| admitted.map(Ok))
}

async fn admit(
    accepted: io::Result<TcpStream>,
    places: Arc<Semaphore>,
    begin_within: Duration,
) -> Option<Connection> {
    let stream = match accepted {
        Ok(stream) => stream,
        Err(error) => {
            // Out of descriptors, most likely: at once would be a busy loop.
            warn!(%error, "accepting a connection failed");
            sleep(ACCEPT_PAUSE).await;
            return None;
        }
    };
    let Ok(place) = places.try_acquire_owned() else {
        debug!(peer = ?stream.peer_addr().ok(), "connection refused: as many are open as may be");
        return None;
    };
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "connection lost at once");
        return None;
    }
    let beginning = Beginning { missing: BEGINNING, limit: Box::pin(sleep(begin_within)) };
    Some(Connection { stream, beginning: Some(beginning), _place: place })
}

/// How many connections there is room for: raises the limit on descriptors as far as it may be.
fn room() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = MAX_CONNECTIONS as u64 + OTHER_DESCRIPTORS;
    // None is no limit.
    let possible = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let mut have = current.unwrap_or(u64::MAX);
    if have < possible {
        match setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum }) {
            Ok(()) => have = possible,
            Err(error) => debug!(%error, "the limit on descriptors stays as it is"),
        }
    }
    let room = usize::try_from(have.saturating_sub(OTHER_DESCRIPTORS)).unwrap_or(usize::MAX);
    if room < MAX_CONNECTIONS {
        warn!(descriptors = have, connections = room.max(1), "few connections: few descriptors");
    }
    room.clamp(1, MAX_CONNECTIONS)
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some(beginning) = &mut self.beginning {
            let read = buffer.filled().len() - before;
            beginning.missing = beginning.missing.saturating_sub(read);
            if beginning.missing == 0 {
                self.beginning = None;
            } else if polled.is_pending() && beginning.limit.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn bind() -> (TcpListener, std::net::SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn limits(connections: usize) -> Limits {
        Limits { connections, begin_within: Duration::from_millis(20) }
    }

    #[tokio::test]
    async fn one_too_many_is_closed_until_there_is_room() {
        let (listener, address) = bind().await;
        let mut connections = pin!(accept_within(limits(1), listener));

        let _first_caller = TcpStream::connect(address).await.unwrap();
        let first = connections.next().await.unwrap().unwrap();

        let mut second_caller = TcpStream::connect(address).await.unwrap();
        let mut byte = [0];
        let closed = tokio::select! {
            read = second_caller.read(&mut byte) => read.unwrap_or(0),
            _ = connections.next() => panic!("there was no room"),
        };
        assert_eq!(closed, 0);

        drop(first);
        let _third_caller = TcpStream::connect(address).await.unwrap();
        assert!(connections.next().await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_connection_that_does_not_begin_is_cut() {
        let (listener, address) = bind().await;
        let mut connections = pin!(accept_within(limits(1), listener));

        let mut slow_caller = TcpStream::connect(address).await.unwrap();
        let mut slow = connections.next().await.unwrap().unwrap();
        slow_caller.write_all(b"PRI").await.unwrap();
        let mut bytes = [0; 64];
        assert_eq!(slow.read(&mut bytes).await.unwrap(), 3);
        let error = slow.read(&mut bytes).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_connection_that_began_may_be_silent() {
        let (listener, address) = bind().await;
        let mut connections = pin!(accept_within(limits(1), listener));

        let mut caller = TcpStream::connect(address).await.unwrap();
        let mut connection = connections.next().await.unwrap().unwrap();
        caller.write_all(&[7; BEGINNING]).await.unwrap();
        let mut bytes = [0; 64];
        connection.read_exact(&mut bytes[..BEGINNING]).await.unwrap();
        let silence = 5 * limits(1).begin_within;
        let read = tokio::time::timeout(silence, connection.read(&mut bytes)).await;
        assert!(read.is_err(), "{read:?}");
    }
}
