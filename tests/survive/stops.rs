//! Replicas that are told to stop (SIGTERM) and started again, one after the other, as an upgrade does.

use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::load::{Load, now, tell};
use crate::{others, rounds};

const SIZE: usize = 3;

/// How long the others may give no answer: less than it takes to notice that one was killed.
const PAUSE: f64 = 1_000.0;

/// Nobody notices more than a short pause, and no caller is left without knowing what became of its call.
#[tokio::test]
async fn a_rolling_restart_fails_no_call() {
    let mut cluster = Cluster::start(SIZE).await;
    let mut load = Load::start(&cluster).await;
    let mut stops = Vec::new();
    for _ in 0..rounds() {
        for id in cluster.all() {
            let told = now();
            cluster.replicas[id].signal(Signal::TERM);
            assert_eq!(cluster.replicas[id].exit_code().await, Some(0));
            load.goes_on(&others(SIZE, id)).await;
            cluster.replicas[id].start();
            load.goes_on(&cluster.all()).await;
            stops.push((id, told, now()));
        }
    }
    let calls = load.end(&cluster).await;
    for (id, told, back) in stops {
        for other in others(SIZE, id) {
            let failed = calls.0.iter().find(|call| {
                call.replica == other
                    && !call.succeeded()
                    && call.returned.is_none_or(|returned| (told..back).contains(&returned))
            });
            assert!(failed.is_none(), "r{other}, while r{id} stopped: {failed:?}");
            let pause = calls.longest_pause(other, told, back) as f64 / 1e6;
            tell(&format!("r{id} stopped and came back: r{other} paused for {pause:.0} ms"));
            assert!(pause < PAUSE, "r{other} gave no answer for {pause} ms while r{id} stopped");
        }
    }
    let unknown = calls
        .0
        .iter()
        .find(|call| call.error.as_ref().is_some_and(|error| error.outcome == "unknown"));
    assert!(unknown.is_none(), "{unknown:?}");
}
