//! Replicas that do not share key and cluster name do not hear each other.

use tonic_health::pb::health_check_response::ServingStatus;

use crate::cluster::Cluster;

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
        // For the first start all are needed.
        let mut cluster = Cluster::start_with(3, own).await;
        cluster.kill_all().await;
        cluster.replicas[0].start_with(own);
        let data = cluster.replicas[2].data.with_file_name("of-a-stranger");
        cluster.replicas[2].data = data;
        cluster.replicas[2].start_with(stranger);
        cluster.replicas[2].until(ServingStatus::NotServing).await;
        cluster.replicas[1].start_with(own);

        // Replica 1 came after the stranger, and makes a view with replica 0 when the stranger still is not heard.
        for id in [0, 1] {
            cluster.replicas[id].until(ServingStatus::Serving).await;
            assert!(cluster.replicas[id].log().contains("of r0 r1 from"), "the view of r{id}");
        }
        assert_eq!(cluster.replicas[2].health("").await, Some(ServingStatus::NotServing));
    }

    let cluster = Cluster::start_with(3, own).await;
    for replica in &cluster.replicas {
        assert!(!replica.log().contains("no cluster key is set"));
    }
}
