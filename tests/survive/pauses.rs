//! Processes that stand still (SIGSTOP) for longer than the others wait for them, and go on as if nothing had been.

use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::load::{Load, now};
use crate::{others, rounds};

const SIZE: usize = 3;

/// Each is left out by the others, says nothing that is no longer so when it goes on, and is taken in again.
#[tokio::test]
async fn one_after_the_other_is_paused() {
    let cluster = Cluster::start(SIZE).await;
    let mut load = Load::start(&cluster).await;
    for _ in 0..rounds() {
        for id in cluster.all() {
            cluster.replicas[id].signal(Signal::STOP);
            // Each member takes its turn, so that they go on says that it is no member any more.
            load.goes_on(&others(SIZE, id)).await;
            cluster.replicas[id].signal(Signal::CONT);
            load.goes_on(&cluster.all()).await;
        }
    }
    load.end(&cluster).await;
}

/// Two of three stand still, so the third gives up; then they go on, each with what it held then.
#[tokio::test]
async fn a_majority_is_paused() {
    let cluster = Cluster::start(SIZE).await;
    let mut load = Load::start(&cluster).await;
    for left in cluster.all().into_iter().cycle().take(rounds()) {
        for id in others(SIZE, left) {
            cluster.replicas[id].signal(Signal::STOP);
        }
        let alone = now();
        load.wait_for(&format!("r{left} refuses calls"), alone, |calls| {
            let mut new = calls.iter().filter(|call| call.replica == left && call.invoked > alone);
            new.any(|call| call.lacked_majority())
        })
        .await;
        for id in others(SIZE, left) {
            cluster.replicas[id].signal(Signal::CONT);
        }
        load.goes_on(&cluster.all()).await;
    }
    load.end(&cluster).await;
}
