//! How a replica stops, and starts again.

use std::fs;
use std::time::{Duration, Instant};

use ftqueue::testing::proto::{QCreateRequest, QIdRequest};
use rustix::process::Signal;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::SIZES;
use crate::cluster::{Cluster, LIMIT};

/// The bound that `serve --help` states.
const STOPS_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_signal_ends_a_replica_cleanly() {
    for size in SIZES {
        for signal in [Signal::TERM, Signal::INT] {
            let mut cluster = Cluster::start(size).await;
            // Open connections, one of them with a call that never ends by itself.
            let mut client = cluster.client(0).await;
            client.q_create(QCreateRequest { label: 1, request: None }).await.unwrap();
            let mut health = HealthClient::new(cluster.replicas[0].channel().await);
            let request = HealthCheckRequest { service: String::new() };
            let mut watch = health.watch(request).await.unwrap().into_inner();

            let replica = &mut cluster.replicas[0];
            let started = Instant::now();
            replica.signal(signal);
            assert_eq!(replica.exit_code().await, Some(0));
            assert!(started.elapsed() < STOPS_WITHIN, "{:?}", started.elapsed());
            assert!(replica.log().contains("replica stopped unanswered=0"));
            let ended = async { while let Some(Ok(_)) = watch.next().await {} };
            tokio::time::timeout(LIMIT, ended).await.unwrap();
            assert!(client.q_id(QIdRequest { label: 1 }).await.is_err());
        }
    }
}

/// Calls to replica 0 of three that nobody answers while the other two are paused. They were taken.
async fn unanswered_calls(cluster: &Cluster) -> Vec<JoinHandle<Status>> {
    let mut client = cluster.client(0).await;
    client.q_create(QCreateRequest { label: 1, request: None }).await.unwrap();
    cluster.replicas[1].signal(Signal::STOP);
    cluster.replicas[2].signal(Signal::STOP);
    let mut calls = Vec::new();
    for _ in 0..3 {
        let mut client = client.clone();
        calls.push(tokio::spawn(
            async move { client.q_id(QIdRequest { label: 1 }).await.unwrap_err() },
        ));
    }
    tokio::task::yield_now().await;
    // A later call on the same connection: once the replica has refused it, the earlier ones were taken.
    let mut last = Request::new(QIdRequest { label: 1 });
    last.set_timeout(Duration::from_millis(300));
    client.q_id(last).await.unwrap_err();
    calls
}

#[tokio::test]
async fn calls_that_cannot_end_are_given_up_when_the_replica_stops() {
    let mut cluster = Cluster::start(3).await;
    let calls = unanswered_calls(&cluster).await;
    let started = Instant::now();
    cluster.replicas[0].signal(Signal::TERM);
    for call in calls {
        let status = call.await.unwrap();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.reason, "SHUTTING_DOWN");
        assert_eq!(info.metadata["outcome"], "unknown", "it was taken");
    }
    assert_eq!(cluster.replicas[0].exit_code().await, Some(0));
    let elapsed = started.elapsed();
    assert!(elapsed < 2 * STOPS_WITHIN, "{elapsed:?}");
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let mut cluster = Cluster::start(3).await;
    let calls = unanswered_calls(&cluster).await;
    let replica = &mut cluster.replicas[0];
    replica.signal(Signal::TERM);
    let signalled = Instant::now();
    while !replica.log().contains("stopping waiting=3") {
        assert!(signalled.elapsed() < LIMIT, "it does not begin to stop");
        tokio::task::yield_now().await;
    }
    replica.signal(Signal::TERM);
    assert_eq!(replica.exit_code().await, Some(128 + 15));
    for call in calls {
        let status = call.await.unwrap();
        assert!(status.get_details_error_info().is_none(), "who was left to say? {status:?}");
    }
}

fn incarnation(cluster: &Cluster) -> u64 {
    let text = fs::read_to_string(cluster.replicas[0].data.join("incarnation")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("incarnation ")).unwrap();
    line.parse().unwrap()
}

#[tokio::test]
async fn every_start_is_a_new_life() {
    let mut cluster = Cluster::start(1).await;
    let first = incarnation(&cluster);
    for signal in [Signal::TERM, Signal::KILL] {
        let before = incarnation(&cluster);
        let replica = &mut cluster.replicas[0];
        replica.signal(signal);
        let expected = if signal == Signal::KILL { None } else { Some(0) };
        assert_eq!(replica.exit_code().await, expected);
        replica.start();
        replica.until(tonic_health::pb::health_check_response::ServingStatus::Serving).await;
        assert!(incarnation(&cluster) > before);
    }
    assert!(incarnation(&cluster) >= first + 2);
}

#[tokio::test]
async fn a_damaged_or_foreign_directory_is_refused() {
    let mut cluster = Cluster::start(1).await;
    let replica = &mut cluster.replicas[0];
    replica.signal(Signal::TERM);
    assert_eq!(replica.exit_code().await, Some(0));

    let output = replica.command().args(["--cluster-name", "another"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("belongs to replica 0 of cluster 'ftqueue'"), "{text}");

    let path = replica.data.join("incarnation");
    let mut bytes = fs::read(&path).unwrap();
    bytes[30] ^= 1;
    fs::write(&path, bytes).unwrap();
    replica.start();
    assert_eq!(replica.exit_code().await, Some(6));
    assert!(replica.log().contains("incarnation is damaged: its checksum does not match"));
}
