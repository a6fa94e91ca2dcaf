//! Histories: what callers asked and were answered, and whether a correct service can have answered so.
//!
//! ```text
//! record    a call as a line of a file: the one form that `bench --history` writes and `check-history` reads
//! witness   replays the calls in the order of their sequences: exact, and trusts the sequences
//! patterns  looks for what no order at all can explain: trusts no sequence
//! tries     makes one call of the tries of one request, for both
//! ```
//!
//! HISTORIES.md says what each check promises.

mod findings;
mod patterns;
mod record;
mod tries;
mod witness;

pub use findings::{Class, Finding, Findings};
pub use patterns::patterns;
pub(crate) use record::{Arguments, ErrorRecord, Record, ResultRecord, op_name, read};
pub use tries::Tries;
pub use witness::witness;

use crate::queue::{Action, Answer, Rejection};

/// One call, from its client's side. Times are of one monotonic clock, in any unit.
#[derive(Clone, Debug)]
pub struct Call {
    /// What was asked.
    pub action: Action,
    /// When the call began.
    pub invoked: u64,
    /// When it ended; none where no answer came: it may then be executed at any later time.
    pub returned: Option<u64>,
    /// What the caller knows.
    pub outcome: Outcome,
    /// How it was tried.
    pub tries: Tries,
}

/// What a caller knows of its call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was executed.
    Executed {
        /// Its place in the order of all operations, from 1.
        sequence: u64,
        /// What it was answered.
        result: Result<Answer, Rejection>,
    },
    /// It was not executed and never will be.
    NotExecuted,
    /// It may have been executed once, at any time after the call began, or not at all.
    Unknown,
}

impl Call {
    /// The end of the call, for comparisons: later than everything where it is not known. What is not known to be
    /// executed may be at any later time.
    fn ended(&self) -> u64 {
        match self.outcome {
            Outcome::Unknown => u64::MAX,
            _ => self.returned.unwrap_or(u64::MAX),
        }
    }

    /// Whether it is known to be executed.
    pub(crate) fn is_executed(&self) -> bool {
        matches!(self.outcome, Outcome::Executed { .. })
    }

    /// Whether it may have been executed or not.
    pub(crate) fn is_unknown(&self) -> bool {
        self.outcome == Outcome::Unknown
    }

    /// The answer, where the call is known to be executed and was not rejected.
    fn answer(&self) -> Option<Answer> {
        match self.outcome {
            Outcome::Executed { result: Ok(answer), .. } => Some(answer),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
