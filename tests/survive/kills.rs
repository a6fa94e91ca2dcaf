//! `kill -9`: of one, of a majority, of all.

use tonic_health::pb::health_check_response::ServingStatus;

use crate::cluster::Cluster;
use crate::load::{Load, now};
use crate::{others, rounds};

const SIZE: usize = 3;

#[tokio::test]
async fn one_after_the_other_is_killed_and_then_all() {
    let mut cluster = Cluster::start(SIZE).await;
    let mut load = Load::start(&cluster).await;
    for _ in 0..rounds() {
        for id in cluster.all() {
            cluster.replicas[id].kill().await;
            load.goes_on(&others(SIZE, id)).await;
            cluster.replicas[id].start();
            load.goes_on(&cluster.all()).await;
        }
        cluster.kill_all().await;
        cluster.start_all();
        load.goes_on(&cluster.all()).await;
    }
    load.end(&cluster).await;
}

/// A process that comes back before anybody can have missed it is not taken for its former self.
#[tokio::test]
async fn killed_ones_are_back_at_once() {
    let mut cluster = Cluster::start(SIZE).await;
    let mut load = Load::start(&cluster).await;
    for _ in 0..rounds() {
        for id in cluster.all() {
            cluster.replicas[id].kill().await;
            cluster.replicas[id].start();
            load.goes_on(&cluster.all()).await;
        }
    }
    load.end(&cluster).await;
}

#[tokio::test]
async fn without_a_majority_nothing_is_answered_until_it_is_back() {
    let mut cluster = Cluster::start(SIZE).await;
    let mut load = Load::start(&cluster).await;
    for left in cluster.all().into_iter().cycle().take(rounds()) {
        let killed = others(SIZE, left);
        for &id in &killed {
            cluster.replicas[id].kill().await;
        }
        let alone = now();
        let refused = format!("r{left} refuses reads and changes");
        load.wait_for(&refused, alone, |calls| {
            let mut refused = calls.iter().filter(|call| {
                call.replica == left && call.invoked > alone && call.lacked_majority()
            });
            refused.clone().any(|call| call.is_read()) && refused.any(|call| !call.is_read())
        })
        .await;
        cluster.replicas[left].until(ServingStatus::NotServing).await;
        let back = now();
        let answered = load.calls().within(left, alone, back).any(|call| call.succeeded());
        assert!(!answered, "r{left} answered alone");
        // Any of them makes a majority.
        for &id in &killed {
            cluster.replicas[id].start();
            load.goes_on(&[left, id]).await;
        }
        load.goes_on(&cluster.all()).await;
    }
    load.end(&cluster).await;
}
