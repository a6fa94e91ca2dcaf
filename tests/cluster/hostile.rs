//! Bytes from anybody change nothing.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use ftqueue::testing::proto::{QCreateRequest, QPopResponse};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::client::Grpc;
use tonic::codec::{DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::SIZES;
use crate::cluster::{Cluster, LIMIT};

/// Sends requests that are any bytes.
#[derive(Clone, Copy, Default)]
struct RawCodec;

impl tonic::codec::Codec for RawCodec {
    type Encode = Vec<u8>;
    type Decode = QPopResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        use bytes::BufMut as _;
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = QPopResponse;
    type Error = Status;

    fn decode(&mut self, _buffer: &mut DecodeBuf<'_>) -> Result<Option<QPopResponse>, Status> {
        panic!("no such request is answered")
    }
}

async fn call(cluster: &Cluster, path: &'static str, body: Vec<u8>) -> Status {
    let mut client = Grpc::new(cluster.replicas[0].channel().await);
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static(path);
    client.unary(Request::new(body), path, RawCodec).await.unwrap_err()
}

#[tokio::test]
async fn requests_that_make_no_sense_get_a_reason() {
    let cluster = Cluster::start(1).await;
    for (path, body, code, reason) in [
        // A field's bytes that end before they should.
        ("/ftqueue.v1.FTQueue/QPop", vec![0x12, 0x7f], Code::InvalidArgument, "REQUEST_MALFORMED"),
        ("/ftqueue.v1.FTQueue/QPop", vec![0xff; 50], Code::InvalidArgument, "REQUEST_MALFORMED"),
        ("/ftqueue.v1.FTQueue/QPop", vec![0; 4_097], Code::InvalidArgument, "REQUEST_TOO_LARGE"),
        ("/ftqueue.v1.FTQueue/QPeek", Vec::new(), Code::Unimplemented, "METHOD_UNKNOWN"),
        ("/ftqueue.v1.Another/QPop", Vec::new(), Code::Unimplemented, "METHOD_UNKNOWN"),
    ] {
        let status = call(&cluster, path, body).await;
        assert_eq!(status.code(), code, "{status:?}");
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.domain.as_str(), info.reason.as_str()), ("ftqueue.v1", reason));
        assert_eq!(info.metadata["outcome"], "not_executed");
    }
}

#[tokio::test]
async fn junk_on_the_ring_changes_nothing() {
    for size in SIZES {
        let cluster = Cluster::start(size).await;
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut clients = cluster.clients().await;
        for length in [0, 1, 26, 27, 43, 44, 1_399, 1_400, 1_401, 65_507] {
            for byte in [0, 1, 0xff] {
                for ring in cluster.ring_addresses() {
                    stranger.send_to(&vec![byte; length], ring).unwrap();
                }
            }
            // It goes on between them.
            for client in &mut clients {
                let request = QCreateRequest { label: 1, request: None };
                client.q_create(request).await.unwrap();
            }
        }
    }
}

async fn closed(address: SocketAddr, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // Closed or reset.
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.is_ok()
}

#[tokio::test]
async fn what_does_not_speak_grpc_is_turned_away() {
    let cluster = Cluster::start(1).await;
    let address = cluster.replicas[0].grpc;
    assert!(closed(address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await);
    assert!(closed(address, &[0xff; 100]).await);
    // One that says nothing for now does not keep others out.
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut client = cluster.client(0).await;
    client.q_create(QCreateRequest { label: 1, request: None }).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_connections_is_held_and_survived() {
    let cluster = Cluster::start(1).await;
    let address = cluster.replicas[0].grpc;
    let mut client = cluster.client(0).await;
    let mut flood = Vec::new();
    for _ in 0..500 {
        flood.push(TcpStream::connect(address).await.unwrap());
    }
    let mut request = Request::new(QCreateRequest { label: 1, request: None });
    request.set_timeout(Duration::from_secs(10));
    client.q_create(request).await.unwrap();
    let mut another = cluster.client(0).await;
    another.q_create(QCreateRequest { label: 2, request: None }).await.unwrap();
}
