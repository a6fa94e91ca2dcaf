//! Attacks on the gRPC port: each is answered with an error or cut off, memory stays flat, and other callers are
//! answered all the while.

use std::time::Instant;

use ftqueue::testing::proto::QIdRequest;
use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::body::Body;
use tonic::codegen::http::{self, Method};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus::Serving;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

use crate::cluster::{Cluster, LIMIT};
use crate::raw::{self, frame};
use crate::victim::{Bystander, answers_a_newcomer, assert_flat, resident, target};

/// A message as gRPC frames it: whether it is compressed, the length that it claims, its bytes.
fn message(compressed: u8, length: u32, bytes: &[u8]) -> Vec<u8> {
    [&[compressed][..], &length.to_be_bytes(), bytes].concat()
}

/// A call of `QId`, but for what is said otherwise.
struct Hostile {
    method: Method,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Hostile {
    fn body(body: Vec<u8>) -> Self {
        Self { method: Method::POST, headers: Vec::new(), body }
    }

    fn header(name: &str, value: &str) -> Self {
        let headers = vec![(name.to_owned(), value.to_owned())];
        Self { headers, ..Self::body(message(0, 0, &[])) }
    }

    fn request(&self) -> http::Request<Body> {
        let body = Full::new(bytes::Bytes::from(self.body.clone()));
        let mut request = http::Request::new(Body::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = "/ftqueue.v1.FTQueue/QId".parse().unwrap();
        let headers = request.headers_mut();
        headers.insert("content-type", "application/grpc".parse().unwrap());
        for (name, value) in &self.headers {
            let name: http::HeaderName = name.parse().unwrap();
            headers.insert(name, value.parse().unwrap());
        }
        request
    }
}

/// The answer's HTTP status, and its gRPC status where it has one.
async fn answer(channel: &mut Channel, hostile: &Hostile) -> (http::StatusCode, Option<Status>) {
    let ready = channel.ready().await.unwrap();
    let response = tower::Service::call(ready, hostile.request());
    let response = tokio::time::timeout(LIMIT, response).await.expect("no answer").unwrap();
    (response.status(), Status::from_header_map(response.headers()))
}

#[tokio::test]
async fn what_is_no_call_gets_a_reason() {
    let cluster = Cluster::start(1).await;
    let mut channel = cluster.replicas[0].channel().await;
    let malformed = (Code::InvalidArgument, "REQUEST_MALFORMED");
    let compressed =
        Hostile { body: message(1, 4, b"zzzz"), ..Hostile::header("grpc-encoding", "gzip") };
    for (what, hostile, (code, reason)) in [
        ("no message", Hostile::body(Vec::new()), malformed),
        ("half a prefix", Hostile::body(vec![0, 0, 0]), malformed),
        ("half a message", Hostile::body(message(0, 10, b"abc")), malformed),
        ("a flag that is not there", Hostile::body(message(7, 0, &[])), malformed),
        ("compressed, by nothing", Hostile::body(message(1, 4, b"zzzz")), malformed),
        (
            "the claim of 4 GiB",
            Hostile::body(message(0, u32::MAX, &[0; 100])),
            (Code::InvalidArgument, "REQUEST_TOO_LARGE"),
        ),
        ("compressed", compressed, (Code::Unimplemented, "COMPRESSION_UNSUPPORTED")),
        ("GET", Hostile { method: Method::GET, ..Hostile::body(Vec::new()) }, malformed),
    ] {
        let (http, status) = answer(&mut channel, &hostile).await;
        assert_eq!(http, http::StatusCode::OK, "{what}");
        let status = status.unwrap_or_else(|| panic!("{what}: no gRPC status"));
        assert_eq!(status.code(), code, "{what}: {status:?}");
        let info = status.get_details_error_info().unwrap_or_else(|| panic!("{what}: {status:?}"));
        assert_eq!(info.reason, reason, "{what}");
        assert_eq!(info.metadata["outcome"], "not_executed", "{what}");
    }
}

#[tokio::test]
async fn headers_beyond_the_limit_are_refused() {
    let cluster = Cluster::start(1).await;
    let mut channel = cluster.replicas[0].channel().await;
    let many = Hostile {
        headers: (0..500).map(|number| (format!("x-{number}"), "a".repeat(10))).collect(),
        ..Hostile::body(message(0, 0, &[]))
    };
    for hostile in [Hostile::header("x-large", &"a".repeat(17 << 10)), many] {
        let (http, _) = answer(&mut channel, &hostile).await;
        assert_eq!(http, http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    answers_a_newcomer(&cluster).await;
}

#[tokio::test]
async fn thousands_of_hostile_requests_leave_memory_flat() {
    let cluster = Cluster::start(1).await;
    let bystander = Bystander::start(&cluster, 0).await;
    let mut channel = cluster.replicas[0].channel().await;
    let kinds = [
        Hostile::body(vec![0xff; 60 << 10]),
        Hostile::body(message(0, 200 << 10, &vec![0; 200 << 10])),
        Hostile::body(message(0, u32::MAX, &[0; 100])),
        Hostile::body(message(0, 60 << 10, &vec![0x12; 60 << 10])),
        Hostile::header("x-large", &"a".repeat(15 << 10)),
        Hostile::header("x-large", &"a".repeat(17 << 10)),
        Hostile::header("grpc-encoding", "gzip"),
        Hostile::header("grpc-timeout", "99999999H"),
    ];
    let mut before = 0;
    for turn in 0..400 {
        if turn == 40 {
            before = resident(&cluster, 0);
        }
        for hostile in &kinds {
            let ready = channel.ready().await.unwrap();
            // Some are cut off before all of them is sent.
            let response = tower::Service::call(ready, hostile.request());
            drop(tokio::time::timeout(LIMIT, response).await.expect("no answer"));
        }
    }
    assert_flat(&cluster, before);
    bystander.stop().await;
}

/// The calls of `raw` are good ones: what is refused below is refused for what is said there.
#[tokio::test]
async fn a_call_by_hand_is_answered() {
    let cluster = Cluster::start(1).await;
    let mut stream = raw::begin(target(&cluster), None).await;
    let open = frame(raw::HEADERS, raw::END_HEADERS, 1, &raw::call_headers());
    let body = frame(raw::DATA, raw::END_STREAM, 1, &message(0, 0, &[]));
    stream.write_all(&[open, body].concat()).await.unwrap();
    let mut said = Vec::new();
    while !raw::frames(&said).any(|(kind, _)| kind == raw::DATA) {
        let read = tokio::time::timeout(LIMIT, stream.read_buf(&mut said)).await;
        assert!(read.expect("no answer").unwrap() > 0, "closed without an answer: {said:?}");
    }
}

/// HEADERS and nothing more, over and over: the streams beyond the limit are refused, and then the connection is closed.
#[tokio::test]
async fn streams_that_never_end_are_bounded() {
    let cluster = Cluster::start(1).await;
    let bystander = Bystander::start(&cluster, 0).await;
    let before = resident(&cluster, 0);
    for _ in 0..5 {
        let stream = raw::begin(target(&cluster), None).await;
        let headers = raw::call_headers();
        raw::until_closed(stream, |turn| {
            let open = |number| frame(raw::HEADERS, raw::END_HEADERS, 2 * number + 1, &headers);
            (turn * 100..turn * 100 + 100).flat_map(open).collect()
        })
        .await;
    }
    assert_flat(&cluster, before);
    bystander.stop().await;
}

/// As many calls as many connections may begin, none of which is ever finished: those beyond the limit on all of them
/// are refused, as is every other caller's then; what they cost is bounded, and given back.
#[tokio::test]
async fn calls_that_never_end_are_bounded_on_all_connections() {
    /// 16,384 calls of some 12 KiB; all 40,000 would take twice as much.
    const MOST: u64 = 256 << 20;
    let cluster = Cluster::start(1).await;
    let mut client = cluster.client(0).await;
    client.q_id(QIdRequest { label: 1 }).await.unwrap();
    let before = resident(&cluster, 0);
    let mut attackers = Vec::new();
    for _ in 0..40 {
        let mut stream = raw::begin(target(&cluster), None).await;
        let headers = raw::call_headers();
        let open = |number| frame(raw::HEADERS, raw::END_HEADERS, 2 * number + 1, &headers);
        let bytes: Vec<u8> = (0..1_000_u32).flat_map(open).collect();
        stream.write_all(&bytes).await.unwrap();
        attackers.push(stream);
    }
    // The last of them is refused: all places are taken by the others.
    let last = attackers.last_mut().unwrap();
    let mut said = Vec::new();
    while !raw::frames(&said).any(|(kind, _)| kind == raw::HEADERS) {
        let read = tokio::time::timeout(LIMIT, last.read_buf(&mut said)).await;
        assert!(read.expect("there is room for all").unwrap() > 0, "closed: {said:?}");
    }
    let refused = client.q_id(QIdRequest { label: 1 }).await.unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "OVERLOADED", "{refused:?}");
    let grown = resident(&cluster, 0).saturating_sub(before);
    println!("{} MiB for unfinished calls", grown >> 20);
    assert!(grown < MOST, "{grown} bytes for unfinished calls");
    drop(attackers);
    let started = Instant::now();
    while let Err(status) = client.q_id(QIdRequest { label: 1 }).await {
        assert!(started.elapsed() < LIMIT, "no room is given back: {status:?}");
    }
}

/// Health is watched on more streams than may be open: those beyond are refused, calls and health checks go on, and a
/// stream that ends makes room for another.
#[tokio::test]
async fn streams_of_answers_are_bounded() {
    const STREAMS: usize = 4_096;
    let cluster = Cluster::start(1).await;
    let bystander = Bystander::start(&cluster, 0).await;
    let before = resident(&cluster, 0);
    let watched = || HealthCheckRequest { service: String::new() };
    let (mut watchers, mut streams, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..5 {
        let mut watcher = HealthClient::new(cluster.replicas[0].channel().await);
        for _ in 0..1_000 {
            match watcher.watch(watched()).await {
                Ok(stream) => streams.push(stream),
                Err(status) => refused.push(status),
            }
        }
        watchers.push(watcher);
    }
    assert_eq!((streams.len(), refused.len()), (STREAMS, 5_000 - STREAMS));
    for status in refused {
        let info = status.get_details_error_info().unwrap();
        let said = (status.code(), info.reason.as_str(), info.metadata["limit"].as_str());
        assert_eq!(said, (Code::ResourceExhausted, "OVERLOADED", "4096"));
    }
    assert_flat(&cluster, before);
    let watcher = &mut watchers[0];
    assert_eq!(watcher.check(watched()).await.unwrap().into_inner().status(), Serving);
    drop(streams);
    let started = Instant::now();
    while let Err(status) = watcher.watch(watched()).await {
        assert!(started.elapsed() < LIMIT, "no room is given back: {status:?}");
    }
    bystander.stop().await;
}

/// Streams that are opened and reset at once (CVE-2023-44487).
#[tokio::test]
async fn rapid_resets_are_cut_off() {
    let cluster = Cluster::start(1).await;
    let bystander = Bystander::start(&cluster, 0).await;
    let before = resident(&cluster, 0);
    for _ in 0..20 {
        let stream = raw::begin(target(&cluster), None).await;
        let headers = raw::call_headers();
        let pair = |number| {
            let (stream, cancel) = (2 * number + 1, 8_u32.to_be_bytes());
            let open = frame(raw::HEADERS, raw::END_HEADERS | raw::END_STREAM, stream, &headers);
            [open, frame(raw::RST_STREAM, 0, stream, &cancel)].concat()
        };
        raw::until_closed(stream, |turn| (turn * 100..turn * 100 + 100).flat_map(&pair).collect())
            .await;
    }
    assert_flat(&cluster, before);
    bystander.stop().await;
}

/// A header list that never ends (CVE-2024-27316).
#[tokio::test]
async fn endless_headers_are_cut_off() {
    let cluster = Cluster::start(1).await;
    let bystander = Bystander::start(&cluster, 0).await;
    let before = resident(&cluster, 0);
    for size in [0, 1, 16_000] {
        let stream = raw::begin(target(&cluster), None).await;
        // A literal whose value is as long as the frame allows.
        let mut field = b"\x00\x01x\x7f".to_vec();
        field.resize(size.min(4 + 127), b'a');
        let fields = if size > 1 { field.repeat(size / field.len()) } else { field };
        raw::until_closed(stream, |turn| match turn {
            0 => frame(raw::HEADERS, 0, 1, &raw::call_headers()),
            _ => frame(raw::CONTINUATION, 0, 1, &fields),
        })
        .await;
    }
    assert_flat(&cluster, before);
    bystander.stop().await;
}

/// Calls whose answers nobody reads, and pings likewise: what the server keeps for the caller is bounded.
#[tokio::test]
async fn answers_that_nobody_reads_are_bounded() {
    let cluster = Cluster::start(1).await;
    let bystander = Bystander::start(&cluster, 0).await;
    let before = resident(&cluster, 0);
    let mut attackers = Vec::new();
    for window in [None, Some(0)] {
        for _ in 0..4 {
            let mut stream = raw::begin(target(&cluster), window).await;
            let call = |number: u32| {
                let open =
                    frame(raw::HEADERS, raw::END_HEADERS, 2 * number + 1, &raw::call_headers());
                let body = frame(raw::DATA, raw::END_STREAM, 2 * number + 1, &message(0, 0, &[]));
                [open, body, frame(raw::PING, 0, 0, &[0; 8])].concat()
            };
            let bytes: Vec<u8> = (0..20_000).flat_map(call).collect();
            attackers.push(tokio::spawn(async move {
                // It is cut off, or waits until the server reads on, which it may never do.
                drop(tokio::time::timeout(LIMIT / 10, stream.write_all(&bytes)).await);
                stream
            }));
        }
    }
    let mut open = Vec::new();
    for attacker in attackers {
        open.push(attacker.await.unwrap());
    }
    assert_flat(&cluster, before);
    bystander.stop().await;
}

/// As many connections as there may be, and more: those beyond are closed at once, and when the flood is over
/// newcomers are served again.
#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    const DESCRIPTORS: usize = 200;
    let mut cluster = Cluster::start_some(1, &[]);
    cluster.replicas[0].start_with_descriptors(DESCRIPTORS);
    cluster.replicas[0].until(Serving).await;
    let bystander = Bystander::start(&cluster, 0).await;
    let before = resident(&cluster, 0);
    for _ in 0..5 {
        let mut flood = Vec::new();
        for _ in 0..2 * DESCRIPTORS {
            flood.push(raw::begin(target(&cluster), None).await);
        }
        // The last ones are closed; the first ones are not.
        let mut bytes = Vec::new();
        let last = flood.last_mut().unwrap();
        let closed = tokio::time::timeout(LIMIT, last.read_to_end(&mut bytes)).await;
        assert!(closed.is_ok(), "one connection too many stays open");
        drop(flood);
    }
    let started = Instant::now();
    while cluster.replicas[0].health("").await.is_none() {
        assert!(started.elapsed() < LIMIT, "newcomers are not served after the flood");
    }
    assert_flat(&cluster, before);
    bystander.stop().await;
}

/// One that begins to say something, and does not go on.
#[tokio::test]
async fn a_connection_that_does_not_begin_is_cut_off() {
    let cluster = Cluster::start(1).await;
    let mut attackers = Vec::new();
    for beginning in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = TcpStream::connect(target(&cluster)).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        attackers.push(stream);
    }
    for mut stream in attackers {
        let mut said = Vec::new();
        let closed = tokio::time::timeout(LIMIT, stream.read_to_end(&mut said)).await;
        assert!(closed.is_ok(), "a connection that never began stays open");
    }
    answers_a_newcomer(&cluster).await;
}
