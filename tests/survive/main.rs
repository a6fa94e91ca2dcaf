//! Real `ftqueue serve` processes that are killed, paused, stopped, restarted and cut off from each other under a load.
//! Nothing that was answered may be lost, doubled, reordered or stale, the majority goes on, and all come back by
//! themselves.
//!
//! `FTQ_ROUNDS` says how often each test does what it does; 20 before a release.

#[path = "../lossy/behind.rs"]
mod behind;
mod calls;
mod client;
#[allow(dead_code, reason = "shared with the tests of calm clusters, which use more of it")]
#[path = "../cluster/cluster.rs"]
mod cluster;
mod copies;
mod disks;
mod kills;
mod load;
mod partitions;
mod pauses;
#[allow(dead_code, reason = "shared with the simulator and with examples/relay.rs")]
#[path = "../sim/random.rs"]
mod random;
#[allow(dead_code, reason = "shared with the tests of bad networks and examples/relay.rs")]
#[path = "../lossy/relay.rs"]
mod relay;
mod starts;
mod stops;

/// How often a test does what it does.
fn rounds() -> usize {
    let set = std::env::var("FTQ_ROUNDS").ok();
    set.map_or(2, |rounds| rounds.parse().expect("FTQ_ROUNDS is a number"))
}

/// The replicas of a cluster but for one.
fn others(size: usize, but: usize) -> Vec<usize> {
    (0..size).filter(|id| *id != but).collect()
}
