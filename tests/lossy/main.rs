//! Real `ftqueue serve` processes whose datagrams go through a relay that loses, doubles, delays, reorders, corrupts and
//! repeats them. A load's history is checked each time.

mod behind;
#[allow(dead_code, reason = "shared with the tests of calm clusters, which use more of it")]
#[path = "../cluster/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "shared with the simulator and with examples/relay.rs")]
#[path = "../sim/random.rs"]
mod random;
#[allow(dead_code, reason = "shared with examples/relay.rs")]
mod relay;

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use ftqueue::testing::proto::{QCreateRequest, QPushRequest};
use serde_json::{Value, json};
use tonic::Request;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::behind::start;
use crate::cluster::{Cluster, LIMIT, ftqueue};
use crate::relay::Faults;

/// A cluster that loses a fifth of its datagrams and does less than this part of its work has a fault. It is to do a
/// third, and that is held where time is simulated (`losses_cost_little`); how much it is here depends on what else the
/// machine does, so it is told, and only a collapse fails.
const COLLAPSE: f64 = 1.0 / 6.0;

fn losing(loss: u64) -> Faults {
    Faults { loss, ..Faults::default() }
}

/// Everything at once.
fn hostile() -> Faults {
    Faults {
        loss: 50,
        burst: 1,
        duplicate: 100,
        corrupt: 10,
        replay: 50,
        reorder: 250,
        delay: (0, 300),
        held_up: 3_000,
    }
}

/// Puts load on the cluster, checks its history, and gives the operations per second.
fn load(cluster: &Cluster, clients: &str, duration: &str) -> f64 {
    let directory = tempfile::tempdir().unwrap();
    let history = directory.path().join("history.jsonl");
    let endpoints: Vec<_> = cluster.replicas.iter().map(|one| one.grpc.to_string()).collect();
    let mut bench = ftqueue();
    bench.args(["bench", "--endpoints", &endpoints.join(","), "--clients", clients]);
    bench.args(["--duration", duration, "--warmup", "500ms", "--timeout", "30s", "--json"]);
    bench.args(["--mix", "push=40,pop=40,top=10,size=10", "--history"]).arg(&history);
    let output = bench.stdout(Stdio::piped()).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "bench: {}", output.status);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    check(&history);
    assert_eq!(report["errors"], json!({}), "{report}");
    report["ops_per_second"].as_f64().expect("a rate")
}

/// Checks a history that has all calls of its cluster.
fn check(history: &Path) {
    let mut check = ftqueue();
    check.arg("check-history").arg(history);
    let output = check.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// The operations per second of a cluster that loses so many of a thousand datagrams.
async fn rate(size: usize, loss: u64) -> f64 {
    let (cluster, relay) = start(size, losing(loss)).await;
    let rate = load(&cluster, "16", "2s");
    let total = relay.total();
    println!("{size} replicas, {} % loss: {rate:.0} operations/s, {total:?}", loss as f64 / 10.0);
    assert_eq!(total.lost > 0, loss > 0, "{total:?}");
    assert!(total.received > 1_000, "{total:?}");
    rate
}

/// Loss makes a cluster slower, never wrong.
async fn loses(size: usize) {
    for loss in [10, 50] {
        rate(size, loss).await;
    }
    // What else the machine does can slow one of two measurements down, but hardly each time.
    let mut best = 0.0_f64;
    for _ in 0..3 {
        let ratio = rate(size, 200).await / rate(size, 0).await;
        println!("{size} replicas: at 20 % loss {ratio:.2} of the operations/s without");
        best = best.max(ratio);
        if best >= COLLAPSE {
            return;
        }
    }
    panic!("{size} replicas: {best:.2}");
}

// One test, so that no other load runs beside the ones that are compared.
#[tokio::test]
async fn networks_that_lose_and_worse() {
    for size in [3, 5] {
        loses(size).await;
        suffers(size).await;
        is_cut(size).await;
    }
}

/// Everything at once.
async fn suffers(size: usize) {
    let (cluster, relay) = start(size, hostile()).await;
    let rate = load(&cluster, "16", "3s");
    let total = relay.total();
    println!("{size} replicas, everything at once: {rate:.0} operations/s, {total:?}");
    for fault in [total.lost, total.duplicated, total.corrupted, total.replayed, total.reordered] {
        assert!(fault > 0, "{total:?}");
    }
    assert_eq!(total.overflow, 0, "{total:?}");
}

/// While a direction is cut the ring waits; then it goes on, and every call that waited is answered.
async fn is_cut(size: usize) {
    let (cluster, relay) = start(size, Faults::default()).await;
    let mut client = cluster.client(0).await;
    let queue = client.q_create(QCreateRequest { label: 7, request: None }).await.unwrap();
    let queue_id = queue.into_inner().queue_id;
    for cut in [(0, 1), (1, 0), (size - 1, 0)] {
        relay.cut(cut.0, cut.1, true);
        let before = relay.total().cut;
        let mut pushes = Vec::new();
        for item in 0..20 {
            let mut request = Request::new(QPushRequest { queue_id, item, request: None });
            request.set_timeout(LIMIT);
            let mut client = client.clone();
            pushes.push(tokio::spawn(async move { client.q_push(request).await }));
        }
        // Something was to be told in that direction, and was not.
        let started = Instant::now();
        while relay.total().cut < before + 5 {
            assert!(started.elapsed() < LIMIT, "nothing is sent from r{} to r{}", cut.0, cut.1);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        relay.cut(cut.0, cut.1, false);
        for push in pushes {
            push.await.unwrap().expect("what waited is answered");
        }
        let rate = load(&cluster, "4", "500ms");
        assert!(rate > 0.0, "the ring goes on");
    }
    for replica in &cluster.replicas {
        replica.until(ServingStatus::Serving).await;
    }
}
