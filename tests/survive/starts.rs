//! Clusters that were down as a whole and come back in any order, with one missing.

use tonic_health::pb::health_check_response::ServingStatus;

use crate::cluster::Cluster;
use crate::load::{Load, now};
use crate::others;

const SIZE: usize = 3;

#[tokio::test]
async fn all_come_back_in_any_order_with_one_missing() {
    let mut cluster = Cluster::start(SIZE).await;
    let mut load = Load::start(&cluster).await;
    for missing in cluster.all() {
        let mut present = others(SIZE, missing);
        for _ in 0..2 {
            cluster.kill_all().await;
            let down = now();
            // The first one alone can do nothing, and says so.
            cluster.replicas[present[0]].start();
            cluster.replicas[present[0]].until(ServingStatus::NotServing).await;
            let alone = now();
            let answered =
                load.calls().within(present[0], down, alone).any(|call| call.succeeded());
            assert!(!answered, "r{} answered alone", present[0]);
            cluster.replicas[present[1]].start();
            load.goes_on(&present).await;
            cluster.replicas[missing].start();
            load.goes_on(&cluster.all()).await;
            present.reverse();
        }
    }
    load.end(&cluster).await;
}
