//! Each planted bug is caught within a stated number of seeds. A bug that is not caught means that the checks have a
//! hole, and "no failures" means little.

use ftqueue::testing::PlantedBug;

/// Within how many seeds each bug is caught at the latest.
const SEEDS: u64 = 60;

#[test]
fn every_planted_bug_is_caught() {
    let mut missed = Vec::new();
    for bug in PlantedBug::ALL {
        let caught = (1..=SEEDS).find_map(|seed| Some((seed, super::run(seed, Some(bug)).err()?)));
        match caught {
            Some((seed, said)) => {
                let said: String = said.chars().take(100).collect();
                println!("{bug:?}: caught by seed {seed}: {said}");
            }
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not caught within {SEEDS} seeds: {missed:?}");
}
