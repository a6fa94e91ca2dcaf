//! Feeds a target: every file of its corpus, mutations of them, and random bytes.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use crate::targets::Reached;
use crate::test_tools::{Random, hex};

/// A target and how much it is fed.
pub(crate) struct Run {
    /// Its name; its corpus is in the folder of that name.
    pub(crate) target: &'static str,
    /// Takes one input; panics where something is wrong with what became of it.
    pub(crate) feed: fn(&[u8]) -> Reached,
    /// How many inputs beside the corpus.
    pub(crate) random: usize,
    /// The longest random input, in bytes.
    pub(crate) longest: usize,
}

/// What all inputs together have reached.
pub(crate) struct Summary(BTreeSet<&'static str>);

impl Summary {
    /// Each of these was reached: otherwise the inputs test less than they seem to.
    pub(crate) fn must_reach(&self, paths: &[&'static str]) {
        let missed: Vec<_> = paths.iter().filter(|path| !self.0.contains(*path)).collect();
        assert!(missed.is_empty(), "no input reached {missed:?}");
    }
}

/// Runs them all; when one fails, shows it.
pub(crate) fn run(run: &Run) -> Summary {
    let corpus = corpus(run.target);
    assert!(!corpus.is_empty(), "{} has no corpus", run.target);
    let mut random = Random::new(1);
    let mut reached = BTreeSet::new();
    corpus.iter().for_each(|input| reached.extend(feed(run, input)));
    for turn in 0..run.random {
        let input = if turn % 2 == 0 {
            let place = random.index(corpus.len());
            random.mutated(&corpus[place])
        } else {
            let length = random.index(run.longest);
            random.bytes(length)
        };
        reached.extend(feed(run, &input));
    }
    Summary(reached)
}

fn feed(run: &Run, input: &[u8]) -> Reached {
    catch_unwind(|| (run.feed)(input)).unwrap_or_else(|_| {
        panic!("{} fails; see above. Keep the input in its corpus: {}", run.target, hex(input))
    })
}

/// The files of a target's corpus, in the order of their names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}
