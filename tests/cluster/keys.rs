//! Replicas that do not share key and cluster name do not hear each other.

use std::time::Instant;

use tonic_health::pb::health_check_response::ServingStatus;

use crate::cluster::{Cluster, LIMIT};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const OTHER: &str = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[tokio::test]
async fn a_stranger_is_not_heard() {
    let own: &[(&str, &str)] = &[("FTQUEUE_CLUSTER_KEY", KEY)];
    for stranger in [
        &[] as &[(&str, &str)],
        &[("FTQUEUE_CLUSTER_KEY", OTHER)],
        &[("FTQUEUE_CLUSTER_KEY", KEY), ("FTQUEUE_CLUSTER_NAME", "another")],
    ] {
        let mut cluster = Cluster::start_some(3, &[]);
        cluster.replicas[0].start_with(own);
        cluster.replicas[2].start_with(stranger);
        cluster.replicas[2].until(ServingStatus::NotServing).await;
        cluster.replicas[1].start_with(own);

        // Replica 1 came after the stranger, and is heard when the stranger still is not.
        let started = Instant::now();
        while !cluster.replicas[0].log().contains("in no view: replica 2 not heard") {
            assert!(started.elapsed() < LIMIT, "replica 1 is not heard");
            tokio::task::yield_now().await;
        }
        for replica in &cluster.replicas {
            assert_eq!(replica.health("").await, Some(ServingStatus::NotServing));
        }
    }

    let mut cluster = Cluster::start_some(3, &[]);
    for replica in &mut cluster.replicas {
        replica.start_with(own);
    }
    for replica in &cluster.replicas {
        replica.until(ServingStatus::Serving).await;
        assert!(!replica.log().contains("no cluster key is set"));
    }
}
