//! Named requests: each counts once, whichever replica is asked again.

use ftqueue::testing::proto::{
    QCreateRequest, QPopRequest, QPushRequest, QPushResponse, QSizeRequest, RequestName,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::cluster::Cluster;

/// Pushes one item by one name, at a replica.
async fn push(cluster: &Cluster, id: usize, queue_id: i64) -> QPushResponse {
    let request = Some(RequestName { client: "caller".to_owned(), number: 2 });
    let push = QPushRequest { queue_id, item: 17, request };
    cluster.client(id).await.q_push(push).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_request_counts_once_at_all_replicas_and_after_their_end() {
    let mut cluster = Cluster::start(3).await;
    let request = Some(RequestName { client: "caller".to_owned(), number: 1 });
    let create = QCreateRequest { label: 1, request };
    let queue_id = cluster.client(2).await.q_create(create).await.unwrap().into_inner().queue_id;

    let first = push(&cluster, 0, queue_id).await;
    assert!(!first.duplicate);
    let again = QPushResponse { duplicate: true, ..first };
    for id in cluster.all() {
        assert_eq!(push(&cluster, id, queue_id).await, again, "at r{id}");
    }

    cluster.kill_all().await;
    cluster.start_all();
    assert!(cluster.all_serve().await, "their ports were taken");
    for id in cluster.all() {
        assert_eq!(push(&cluster, id, queue_id).await, again, "at r{id} after the restart");
    }
    let mut client = cluster.client(1).await;
    let size = client.q_size(QSizeRequest { queue_id }).await.unwrap().into_inner();
    assert_eq!(size.size, Some(1));

    let request = Some(RequestName { client: "caller".to_owned(), number: 2 });
    let other = client.q_pop(QPopRequest { queue_id, request }).await.unwrap_err();
    assert_eq!(other.code(), Code::InvalidArgument, "{other:?}");
    assert_eq!(other.get_details_error_info().unwrap().reason, "REQUEST_REUSED");

    let request = Some(RequestName { client: "stranger".to_owned(), number: 2 });
    let forgotten = client.q_pop(QPopRequest { queue_id, request }).await.unwrap_err();
    assert_eq!(forgotten.code(), Code::FailedPrecondition, "{forgotten:?}");
    let info = forgotten.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.metadata["outcome"].as_str()),
        ("REQUEST_FORGOTTEN", "unknown")
    );
    let size = client.q_size(QSizeRequest { queue_id }).await.unwrap().into_inner();
    assert_eq!(size.size, Some(1), "neither took the item");
}
