//! Each planted bug is caught within a stated number of seeds. A bug that is not caught means that the checks have a
//! hole, and "no failures" means little.

use std::sync::Mutex;

use ftqueue::testing::PlantedBug;

use crate::hunt::{each_on_all_cores, run};

/// Within how many seeds each bug is caught at the latest.
const SEEDS: u64 = 300;

#[test]
fn every_planted_bug_is_caught() {
    let missed = Mutex::new(Vec::new());
    each_on_all_cores(PlantedBug::ALL.len() as u64, |number| {
        let bug = PlantedBug::ALL[number as usize];
        let caught = (1..=SEEDS).find_map(|seed| Some((seed, run(seed, Some(bug)).err()?)));
        match caught {
            Some((seed, said)) => {
                let said: String = said.chars().take(100).collect();
                println!("{bug:?}: caught by seed {seed}: {said}");
            }
            None => missed.lock().expect("nobody panics").push(bug),
        }
        true
    });
    let missed = missed.into_inner().expect("nobody panics");
    assert!(missed.is_empty(), "not caught within {SEEDS} seeds: {missed:?}");
}
