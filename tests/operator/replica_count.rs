//! Another number of replicas than the cluster was started with: a majority of the one need not have what a majority of the
//! other answered.

use tonic_health::pb::health_check_response::ServingStatus;

use crate::cluster::Cluster;
use crate::tool::call;

const CANNOT_START: i32 = 3;

/// A replica of a cluster that was first started with `first` replicas does not start as one of another number, and says
/// what to do; as one of its own number it does.
async fn only_its_own_number(first: usize, other: usize) {
    let mut cluster = Cluster::start(first).await;
    assert_eq!(call(&cluster, 0, &["create", "7"]).0, 0);
    let members = cluster.replicas[0].members.clone();
    let others = Cluster::start_some(other, &[]).replicas[0].members.clone();
    // Its own address stays: it has to be free.
    let own = members.split(',').next().unwrap();
    let others = others.split(',').skip(1);
    cluster.kill_all().await;
    cluster.replicas[0].members = std::iter::once(own).chain(others).collect::<Vec<_>>().join(",");
    cluster.replicas[0].start();
    assert_eq!(cluster.replicas[0].exit_code().await, Some(CANNOT_START));
    let log = cluster.replicas[0].log();
    let last = log.lines().last().unwrap();
    for expected in
        [format!("of {first} replicas"), format!("names {other}"), "ftqueue restore".to_owned()]
    {
        assert!(last.starts_with("error: ") && last.contains(&expected), "{last}");
    }

    cluster.replicas[0].members = members;
    cluster.start_all();
    cluster.replicas[0].until(ServingStatus::Serving).await;
    assert_eq!(call(&cluster, 0, &["id", "7"]).1["result"]["queue_id"], 1);
}

#[tokio::test]
async fn fewer_replicas_do_not_start() {
    only_its_own_number(3, 1).await;
}

#[tokio::test]
async fn more_replicas_do_not_start() {
    only_its_own_number(1, 3).await;
}
