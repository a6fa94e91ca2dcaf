//! `serve --metrics`: what is scraped, and what scraping cannot do.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cluster::{Cluster, LIMIT, free_ports};
use crate::tool::{call, serving, until_status};

/// The most connections that the page has at a time.
const MAX_CONNECTIONS: usize = 16;

/// A cluster whose replicas have metrics, and where.
async fn start(size: usize, settings: &[(&str, &str)]) -> (Cluster, Vec<String>) {
    let mut cluster = Cluster::start_some(size, &[]);
    let addresses: Vec<_> =
        free_ports(size).into_iter().map(|port| format!("127.0.0.1:{port}")).collect();
    for (replica, address) in cluster.replicas.iter_mut().zip(&addresses) {
        let metrics = [("FTQUEUE_METRICS", address.as_str())];
        replica.start_with(&[&metrics, settings].concat());
    }
    assert!(cluster.all_serve().await, "another program has a port");
    (cluster, addresses)
}

/// What is answered to a request: its head and its body.
fn ask(address: &str, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    let (head, body) = said.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

/// The value of a metric, with its labels as they are written.
fn value(page: &str, metric: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {metric} in:\n{page}")).parse().unwrap()
}

#[tokio::test]
async fn a_replica_says_what_it_does_and_how_far_it_is() {
    let (cluster, addresses) = start(3, &[]).await;
    let scrape = |id: usize| {
        let (head, page) = ask(&addresses[id], "GET /metrics");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
        assert!(page.ends_with("# EOF\n"), "{page}");
        page
    };
    assert_eq!(call(&cluster, 0, &["create", "7"]).0, 0);
    assert_eq!(call(&cluster, 1, &["push", "1", "5"]).0, 0);
    let page = scrape(1);
    for metric in [
        "ftqueue_serving",
        "ftqueue_status{status=\"member\"}",
        "ftqueue_disk{state=\"sound\"}",
        "ftqueue_durability{durability=\"fsync\"}",
    ] {
        assert_eq!(value(&page, metric), 1.0, "{metric}");
    }
    assert_eq!(value(&page, "ftqueue_view_members"), 3.0);
    assert_eq!(value(&page, "ftqueue_sequence"), 2.0);
    assert_eq!(value(&page, "ftqueue_open_calls"), 0.0);
    assert_eq!(value(&page, "ftqueue_copied_bytes"), 0.0);
    assert_eq!(value(&page, "ftqueue_runtime_answers_total"), 1.0);
    assert!(value(&page, "ftqueue_ring_views_installed_total") >= 1.0);
    assert!(value(&page, "ftqueue_log{mark=\"delivered\"}") >= 3.0, "{page}");
    assert!(value(&page, "ftqueue_peer_round_trip_seconds{peer=\"0\"}") > 0.0);
    assert_eq!(value(&page, "ftqueue_peer_suspected{peer=\"2\"}"), 0.0);

    cluster.replicas[2].signal(Signal::KILL);
    until_status(&cluster, "two serving", |replicas| serving(replicas) == 2);
    let since = Instant::now();
    while value(&scrape(0), "ftqueue_view_members") != 2.0 {
        assert!(since.elapsed() < LIMIT, "the view keeps its members");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(value(&scrape(0), "ftqueue_peer_suspected{peer=\"2\"}"), 1.0);
}

#[tokio::test]
async fn async_durability_shows() {
    let (_cluster, addresses) = start(1, &[("FTQUEUE_DURABILITY", "async")]).await;
    let (_, page) = ask(&addresses[0], "GET /metrics");
    assert_eq!(value(&page, "ftqueue_durability{durability=\"async\"}"), 1.0);
}

#[tokio::test]
async fn other_requests_and_too_many_get_nothing() {
    let (_cluster, addresses) = start(1, &[]).await;
    let address = &addresses[0];
    assert!(ask(address, "GET /").0.starts_with("HTTP/1.1 404 "));
    assert!(ask(address, "DELETE /metrics").0.starts_with("HTTP/1.1 405 "));
    let mut endless = TcpStream::connect(address).unwrap();
    endless.set_read_timeout(Some(LIMIT)).unwrap();
    let mut said = String::new();
    let asked = endless.write_all(format!("GET /{}", "x".repeat(20_000)).as_bytes());
    // It may be closed before all of that was sent.
    let cut_off = asked.and_then(|()| endless.read_to_string(&mut said)).is_err();
    assert!(cut_off || said.starts_with("HTTP/1.1 4"), "{said}");

    // Those that say nothing take all places; one more is closed at once.
    let idle: Vec<_> = (0..MAX_CONNECTIONS).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut one_more = TcpStream::connect(address).unwrap();
    // One that has a place and says nothing is closed after 10 s.
    one_more.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    match one_more.read(&mut [0]) {
        Ok(read) => assert_eq!(read, 0, "nothing was asked"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    drop(idle);
    let since = Instant::now();
    loop {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut said = String::new();
        let asked = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        if asked.and_then(|()| stream.read_to_string(&mut said)).is_ok()
            && said.starts_with("HTTP/1.1 200 OK")
        {
            break;
        }
        assert!(since.elapsed() < LIMIT, "the places are not given back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
