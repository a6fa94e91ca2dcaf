//! The simulator: N replicas, their network, disks and clocks, and clients, all from one seed.
//!
//! `FTQ_RUNS=10000 cargo test --release --test sim` hunts; `FTQ_SEED=… cargo test --test sim -- replay` repeats a run.

mod check;
mod network;
mod options;
#[cfg(feature = "planted-bugs")]
mod planted;
mod random;
mod story;
mod workload;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ftqueue::testing::PlantedBug;

use crate::options::Options;
use crate::world::{Report, World};

/// Runs a seed; when a check fails, says how to repeat it.
fn run(seed: u64, planted: Option<PlantedBug>) -> Result<Report, String> {
    let run = || World::new(Options::of_seed(seed), planted).run();
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()))
            .unwrap_or_default()
    })
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Many seeds; each rare path is taken by one of them at least.
#[test]
fn seeds() {
    let runs = from_environment("FTQ_RUNS").unwrap_or(300);
    let first = from_environment("FTQ_FIRST_SEED").unwrap_or(1);
    let mut probes: BTreeMap<&str, u64> = BTreeMap::new();
    let mut executed = 0;
    for seed in first..first + runs {
        match run(seed, None) {
            Ok(report) => {
                executed += report.executed;
                for (name, count) in report.probes {
                    *probes.entry(name).or_default() += u64::from(count > 0);
                }
            }
            Err(said) => panic!(
                "seed {seed}: {said}\nrepeat it with: FTQ_SEED={seed} cargo test --test sim -- replay"
            ),
        }
    }
    println!(
        "{runs} seeds, {executed} operations executed; seeds that reached each path: {probes:#?}"
    );
}

/// Where nothing is lost nothing is asked for or sent twice; where a fifth is lost the load takes at most three times
/// as long.
#[test]
fn losses_cost_little() {
    for replicas in [3, 5] {
        let calm = World::new(Options::lossy(replicas, 0), None).run();
        for repair in ["nacks_sent", "messages_duplicate", "unnumbered_resent", "handovers_resent"]
        {
            assert_eq!(calm.probes[repair], 0, "{repair} without a loss, {replicas} replicas");
        }
        let lossy = World::new(Options::lossy(replicas, 200), None).run();
        let ratio = lossy.loaded_for as f64 / calm.loaded_for as f64;
        println!("{replicas} replicas: 20 % loss makes the load take {ratio:.2} times as long");
        assert!(ratio < 3.0, "{replicas} replicas: {ratio:.2} times as long");
    }
}

/// Repeats the run of `FTQ_SEED`, twice, and sees that both are the same.
#[test]
fn replay() {
    let seed = from_environment("FTQ_SEED").unwrap_or(1);
    println!("{:#?}", Options::of_seed(seed));
    let one = World::new(Options::of_seed(seed), None).run();
    let other = World::new(Options::of_seed(seed), None).run();
    assert_eq!(one.trace, other.trace, "a seed gives one run");
    println!("seed {seed}: trace {:016x}, {} operations executed", one.trace, one.executed);
}
