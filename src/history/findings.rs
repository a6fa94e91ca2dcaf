//! What a check finds.

use std::fmt;

/// How many findings of a class are kept; all are counted.
const KEPT: usize = 10;

/// What kind of wrong a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// An item whose push was answered was passed over and never came.
    Lost,
    /// An item came twice, or two calls have one sequence.
    Duplicated,
    /// An answer that nothing explains: an item that nobody pushed, a queue that is not there, a sequence of nobody's.
    Unexpected,
    /// Items came in another order than they were pushed, or calls are ordered against real time.
    Reordered,
    /// An answer that was right at another time.
    Stale,
}

impl Class {
    /// All classes, in the order in which they are told.
    pub const ALL: [Self; 5] =
        [Self::Lost, Self::Duplicated, Self::Unexpected, Self::Reordered, Self::Stale];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Duplicated => "duplicated",
            Self::Unexpected => "unexpected",
            Self::Reordered => "reordered",
            Self::Stale => "stale",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What kind of wrong.
    pub class: Class,
    /// The calls that show it, as indices into the history.
    pub calls: Vec<usize>,
    /// What is wrong, in a sentence.
    pub what: String,
}

/// All that a check found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    counts: [usize; Class::ALL.len()],
    kept: Vec<Finding>,
    /// How many calls were left out because calls of unknown outcome leave open what they had to be answered.
    pub unchecked: usize,
}

impl Findings {
    pub(super) fn add(&mut self, class: Class, calls: Vec<usize>, what: String) {
        let count = &mut self.counts[class as usize];
        *count += 1;
        if *count <= KEPT {
            self.kept.push(Finding { class, calls, what });
        }
    }

    /// Gives the calls other names.
    pub(super) fn rename(&mut self, name: impl Fn(usize) -> usize) {
        for finding in &mut self.kept {
            finding.calls.iter_mut().for_each(|call| *call = name(*call));
        }
    }

    /// How many findings of a class there are.
    pub fn count(&self, class: Class) -> usize {
        self.counts[class as usize]
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// The first findings of each class.
    pub fn each(&self) -> impl Iterator<Item = &Finding> {
        self.kept.iter()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = Class::ALL.map(|class| format!("{} {}", self.count(class), class.name()));
        write!(f, "{}", counts.join(", "))
    }
}
