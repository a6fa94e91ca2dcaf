//! The simulator: N replicas, their network, disks and clocks, and clients, all from one seed.
//!
//! `FTQ_RUNS=10000 cargo test --release --test sim` hunts; `FTQ_SEED=… cargo test --test sim -- replay` repeats a run.

/// A fifth of a run is taking and freeing memory, which the system's allocator does half as fast.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod check;
mod disk;
mod hunt;
mod network;
mod options;
#[cfg(feature = "planted-bugs")]
mod planted;
mod probes;
mod random;
mod storage;
mod story;
mod workload;
mod world;

use crate::hunt::from_environment;
use crate::options::Options;
use crate::world::World;

/// Where nothing is lost nothing is asked for or sent twice; where a fifth is lost the load takes at most three times
/// as long.
#[test]
fn losses_cost_little() {
    for replicas in [3, 5] {
        let calm = World::new(Options::lossy(replicas, 0), None).run();
        for repair in ["nacks_sent", "messages_duplicate", "unnumbered_resent", "handovers_resent"]
        {
            assert_eq!(calm.probes.of(repair), 0, "{repair} without a loss, {replicas} replicas");
        }
        let lossy = World::new(Options::lossy(replicas, 200), None).run();
        let ratio = lossy.loaded_for as f64 / calm.loaded_for as f64;
        println!("{replicas} replicas: 20 % loss makes the load take {ratio:.2} times as long");
        assert!(ratio < 3.0, "{replicas} replicas: {ratio:.2} times as long");
    }
}

/// Repeats the run of `FTQ_SEED`, twice, and sees that both are the same; without one, the runs of some seeds.
#[test]
fn replay() {
    let told = from_environment("FTQ_SEED");
    for seed in told.map_or(1..=10, |seed| seed..=seed) {
        if told.is_some() {
            // What the replicas log, too.
            tracing_subscriber::fmt().without_time().with_writer(std::io::stdout).try_init().ok();
            println!("{:#?}", Options::of_seed(seed));
        }
        let one = World::new(Options::of_seed(seed), None).run();
        let other = World::new(Options::of_seed(seed), None).run();
        assert_eq!(one.trace, other.trace, "seed {seed} gives one run");
        println!("seed {seed}: trace {:016x}, {} operations executed", one.trace, one.executed);
    }
}
