//! The health service says whether the replica can answer.

use ftqueue::testing::proto::QIdRequest;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::SIZES;
use crate::cluster::Cluster;

const SERVICE: &str = "ftqueue.v1.FTQueue";

#[tokio::test]
async fn a_cluster_serves_under_both_names() {
    for size in SIZES {
        let cluster = Cluster::start(size).await;
        for replica in &cluster.replicas {
            assert_eq!(replica.health("").await, Some(ServingStatus::Serving));
            assert_eq!(replica.health(SERVICE).await, Some(ServingStatus::Serving));
        }
    }
}

#[tokio::test]
async fn another_service_is_not_known() {
    let cluster = Cluster::start(1).await;
    let mut client = HealthClient::new(cluster.replicas[0].channel().await);
    let request = HealthCheckRequest { service: "ftqueue.v1.Another".to_owned() };
    assert_eq!(client.check(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_replica_alone_of_three_does_not_serve() {
    let cluster = Cluster::start_some(3, &[1]);
    let replica = &cluster.replicas[1];
    replica.until(ServingStatus::NotServing).await;
    assert_eq!(replica.health(SERVICE).await, Some(ServingStatus::NotServing));

    let mut client = cluster.client(1).await;
    let status = client.q_id(QIdRequest { label: 1 }).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "NO_MAJORITY");
    assert_eq!(info.metadata["reachable"], "1");
    assert_eq!(info.metadata["outcome"], "not_executed");
    assert_eq!(replica.health("").await, Some(ServingStatus::NotServing));
}
