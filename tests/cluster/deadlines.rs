//! A call that cannot be answered in time is answered so, in time, and what it says of the outcome is true.

use std::error::Error as _;
use std::time::{Duration, Instant};

use ftqueue::testing::proto::{QCreateRequest, QIdRequest};
use rustix::process::Signal;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use crate::cluster::Cluster;

#[tokio::test]
async fn deadlines_pass_while_a_majority_is_paused() {
    let cluster = Cluster::start(3).await;
    let mut client = cluster.client(0).await;
    client.q_create(QCreateRequest { label: 0, request: None }).await.unwrap();

    // A majority stands still: what is asked can be multicast, and not delivered.
    cluster.replicas[1].signal(Signal::STOP);
    cluster.replicas[2].signal(Signal::STOP);
    let mut outcomes = Vec::new();
    for label in 1..=20 {
        let mut request = Request::new(QCreateRequest { label, request: None });
        let limit = Duration::from_millis(if label % 2 == 0 { 100 } else { 300 });
        request.set_timeout(limit);
        let started = Instant::now();
        // The calls before the paused replica's turn may still be answered.
        let Err(status) = client.q_create(request).await else { continue };
        if status.source().is_some() {
            // The client gave up by itself: the machine is too busy for the replica's answer to come in time.
            continue;
        }
        let info = status.get_details_error_info().unwrap();
        match status.code() {
            Code::DeadlineExceeded => {
                assert!(started.elapsed() >= limit / 2, "{:?}", started.elapsed());
                assert_eq!(info.reason, "DEADLINE_EXCEEDED");
                assert!(!info.metadata["waiting_for"].is_empty());
            }
            // By then it knows that it reaches nobody, and says so at once.
            Code::Unavailable => assert_eq!(info.reason, "NO_MAJORITY"),
            _ => panic!("{status:?}"),
        }
        outcomes.push((label, info.metadata["outcome"].clone()));
        if outcomes.len() == 5 {
            break;
        }
    }
    assert!(outcomes.len() > 2, "nothing is delivered without a majority: {outcomes:?}");

    cluster.replicas[1].signal(Signal::CONT);
    cluster.replicas[2].signal(Signal::CONT);
    for replica in &cluster.replicas {
        replica.until(tonic_health::pb::health_check_response::ServingStatus::Serving).await;
    }
    for (label, outcome) in outcomes {
        let answer = client.q_id(QIdRequest { label }).await.unwrap().into_inner();
        match outcome.as_str() {
            "unknown" => {}
            "not_executed" => assert_eq!(answer.queue_id, -1, "label {label}"),
            other => panic!("another outcome: {other}"),
        }
    }
}
