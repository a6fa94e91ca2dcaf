//! Replicas that are told to stop (SIGTERM) and started again, one after the other, as an upgrade does.

use rustix::process::Signal;

use crate::calls::Call;
use crate::cluster::Cluster;
use crate::load::{Load, now, tell};
use crate::{others, rounds};

const SIZE: usize = 3;

/// How long the others may give no answer, in milliseconds: usually, which is less than it takes to notice a death; and
/// at most, on a machine whose disk is busy with something else.
const USUAL_PAUSE: f64 = 200.0;
const LONGEST_PAUSE: f64 = 3_000.0;

/// Nobody notices more than a short pause, and no caller is left without knowing what became of its call.
#[tokio::test]
async fn a_rolling_restart_leaves_no_call_unknown() {
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
    let mut pauses = Vec::new();
    for (id, told, back) in stops {
        for other in others(SIZE, id) {
            pauses.push(calls.longest_pause(other, told, back) as f64 / 1e6);
            let refused = calls.within(other, told, back).find(|call| call.error.is_some());
            assert!(refused.is_none(), "while r{id} stopped r{other} refused {refused:?}");
        }
    }
    pauses.sort_by(f64::total_cmp);
    let (usual, longest) = (pauses[pauses.len() / 2], pauses[pauses.len() - 1]);
    tell(&format!("a stop pauses the others for {usual:.0} ms, at most {longest:.0} ms"));
    assert!(usual < USUAL_PAUSE && longest < LONGEST_PAUSE, "in milliseconds: {pauses:?}");
    // The one that stops refuses calls; at once, and surely.
    let unknown =
        |call: &&Call| call.error.as_ref().is_some_and(|error| error.outcome == "unknown");
    let unknown: Vec<_> = calls.0.iter().filter(unknown).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
