//! Each planted bug is caught by a story or within a stated number of seeds. A bug that is not caught means that the
//! checks have a hole, and "no failures" means little.

use std::sync::Mutex;

use ftqueue::testing::PlantedBug;

use crate::hunt::{each_on_all_cores, from_environment, run};
use crate::story::caught_by_story;

/// Within how many seeds each bug is caught at the latest.
const SEEDS: u64 = 1_000;

#[test]
fn every_planted_bug_is_caught() {
    // `FTQ_BUGS=NoNacks,NumberTwice` tries some.
    let only = std::env::var("FTQ_BUGS").ok();
    // And `FTQ_RUNS=20000` looks further.
    let seeds = from_environment("FTQ_RUNS").unwrap_or(SEEDS);
    let missed = Mutex::new(Vec::new());
    each_on_all_cores(PlantedBug::ALL.len() as u64, |number| {
        let bug = PlantedBug::ALL[number as usize];
        if only.as_ref().is_some_and(|only| !only.contains(&format!("{bug:?}"))) {
            return true;
        }
        let by_seed = || {
            let said = |seed| Some((format!("seed {seed}"), run(seed, Some(bug)).err()?));
            (1..=seeds).find_map(said)
        };
        match caught_by_story(bug).or_else(by_seed) {
            Some((by, said)) => {
                let said: String = said.chars().take(100).collect();
                println!("{bug:?}: caught by {by}: {said}");
            }
            None => missed.lock().expect("nobody panics").push(bug),
        }
        true
    });
    let missed = missed.into_inner().expect("nobody panics");
    assert!(missed.is_empty(), "not caught within {seeds} seeds: {missed:?}");
}
