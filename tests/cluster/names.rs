//! Replicas that are listed by name.

use std::time::Instant;

use ftqueue::testing::proto::QCreateRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::cluster::{Cluster, LIMIT};

#[tokio::test]
async fn names_are_resolved() {
    let cluster = Cluster::start_listed(3, &[0, 1, 2], |_| "localhost".to_owned());
    for id in 0..3 {
        cluster.replicas[id].until(ServingStatus::Serving).await;
        let mut client = cluster.client(id).await;
        client.q_create(QCreateRequest { label: 1, request: None }).await.unwrap();
        // On the loopback and nowhere else.
        let ring = cluster.replicas[id].ring();
        let bound = format!("ring={ring}");
        assert!(cluster.replicas[id].log().contains(&bound), "{bound}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_known_yet_is_asked_for_again() {
    let host = |id| if id == 0 { "127.0.0.1".to_owned() } else { format!("r{id}.invalid") };
    let cluster = Cluster::start_listed(3, &[0], host);
    let replica = &cluster.replicas[0];
    replica.until(ServingStatus::NotServing).await;
    let started = Instant::now();
    while !replica.log().contains("replica still not found replica=r2") {
        assert!(started.elapsed() < LIMIT, "it is not asked for again");
        tokio::task::yield_now().await;
    }
    let warned = replica.log().matches("replica not found, trying on replica=r2").count();
    assert_eq!(warned, 1, "a warning is given once");
}
