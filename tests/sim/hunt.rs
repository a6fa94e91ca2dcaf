//! Many seeds, on all cores; the first that fails is told, with the command that repeats it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;

use ftqueue::testing::PlantedBug;

use crate::options::Options;
use crate::probes::Probes;
use crate::world::{Report, World};

/// How many seeds are run where nobody says otherwise.
const RUNS: u64 = 2_000;
/// So many seeds reach every path; fewer need not.
const ENOUGH: u64 = 1_000;

/// Runs a seed; when a check fails, gives what it said.
pub(crate) fn run(seed: u64, planted: Option<PlantedBug>) -> Result<Report, String> {
    panic_of(|| World::new(Options::of_seed(seed), planted).run())
}

/// Does something; when a check fails, gives what it said.
pub(crate) fn panic_of<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()))
            .unwrap_or_default()
    })
}

/// A number of the environment.
pub(crate) fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Calls `work` with each number below `count`, on as many threads as there are cores, until one says to stop.
pub(crate) fn each_on_all_cores(count: u64, work: impl Fn(u64) -> bool + Sync) {
    let next = AtomicU64::new(0);
    let threads = available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count || !work(number) {
                        next.store(count, Ordering::Relaxed);
                        return;
                    }
                }
            });
        }
    });
}

/// What all seeds together did.
#[derive(Default)]
struct Total {
    seeds: u64,
    hopeless: u64,
    executed: usize,
    simulated: u64,
    /// How many seeds reached each path.
    reached: Probes,
    /// How often all seeds together did.
    taken: Probes,
    failed: Option<(u64, String)>,
}

impl Total {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.hopeless += u64::from(report.hopeless);
        self.executed += report.executed;
        self.simulated += report.simulated;
        for (name, count) in report.probes.each() {
            self.reached.add(name, u64::from(count > 0));
            self.taken.add(name, count);
        }
    }

    fn tell(&self) {
        println!("path: seeds that took it, how often in all");
        for (name, seeds) in self.reached.each() {
            println!("{name}: {seeds}, {}", self.taken.of(name));
        }
        println!(
            "{} seeds, {} ended by a loss that nobody could know of, {} operations executed, {:.1} simulated hours",
            self.seeds,
            self.hopeless,
            self.executed,
            self.simulated as f64 / 3.6e12
        );
    }
}

/// Seeds that once failed.
#[test]
fn seeds_that_once_failed() {
    let kept = include_str!("seeds.txt").lines().filter(|line| !line.starts_with('#'));
    for line in kept {
        let seed = line.split_whitespace().next().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| panic!("no seed: {line}"));
        if let Err(said) = run(seed, None) {
            panic!("seed {line} fails again: {said}");
        }
    }
}

/// Many seeds, none of which fails; each rare path is taken by one of them at least.
#[test]
fn seeds() {
    let runs = from_environment("FTQ_RUNS").unwrap_or(RUNS);
    let first = from_environment("FTQ_FIRST_SEED").unwrap_or(1);
    let total = Mutex::new(Total::default());
    each_on_all_cores(runs, |number| {
        let seed = first + number;
        let result = run(seed, None);
        let mut total = total.lock().expect("no check runs under the lock");
        match result {
            Ok(report) => total.add(&report),
            Err(said) if total.failed.as_ref().is_none_or(|(failed, _)| seed < *failed) => {
                total.failed = Some((seed, said));
            }
            Err(_) => {}
        }
        if (number + 1).is_multiple_of(1_000) && runs > RUNS {
            println!("{} seeds", number + 1);
        }
        total.failed.is_none()
    });
    let total = total.into_inner().expect("no check runs under the lock");
    if let Some((seed, said)) = total.failed {
        panic!(
            "seed {seed}: {said}\nrepeat it with: FTQ_SEED={seed} cargo test --test sim -- replay"
        );
    }
    total.tell();
    assert_eq!(total.reached.forbidden(), [""; 0], "what never is to happen");
    if runs >= ENOUGH {
        assert_eq!(total.reached.missed(), [""; 0], "no seed took these paths");
        assert!(total.executed as u64 > runs * 1_300, "{} operations", total.executed);
    }
}
