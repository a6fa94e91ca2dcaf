//! The exit codes: one table for the code and `--help`.

use std::process::ExitCode;

use crate::client::{Failure, FailureCause, Outcome};

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// All went well.
    Ok,
    /// The answer is a bad one: an error of a replica, an unhealthy replica, a run that did not come out right; or that
    /// nobody will ever know what became of a call.
    Refused,
    /// The arguments make no sense.
    Usage,
    /// The command could not start, or no replica could be reached; nothing was executed.
    Unreachable,
    /// The replica's storage failed, and it ended rather than promise what it cannot keep.
    Storage,
    /// A call was sent and not answered in time, or interrupted: it may have been executed, or may be still. Another try may tell.
    Unknown,
    /// The replica's storage, or a backup, holds something else than what was written, or less.
    Damaged,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Storage => 4,
            Self::Unknown => 5,
            Self::Damaged => 6,
        }
    }

    /// The exit of a command whose call failed.
    pub(crate) fn of_failure(failure: &Failure) -> Self {
        match (failure.cause, failure.outcome) {
            // Scripts try again what is unknown: here no try tells more.
            _ if failure.is_forgotten() => Self::Refused,
            (_, Outcome::Unknown) => Self::Unknown,
            (FailureCause::NotConnected | FailureCause::NotSent, _) => Self::Unreachable,
            (_, Outcome::Executed { .. } | Outcome::NotExecuted) => Self::Refused,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// What `--help` says of the exit codes.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  all went well
  1  a replica answered with an error, is not healthy, or a run did not come out right; or the
     replicas have forgotten a request, and its outcome stays unknown (REQUEST_FORGOTTEN)
  2  the arguments make no sense
  3  the command could not start, or no replica could be reached: nothing was executed
  4  a replica's storage failed (serve)
  5  a call was sent and not answered in time, or interrupted: it may have been executed, or may be
     still; a line that repeats it, and counts once, is printed
  6  a replica's storage is damaged (serve, inspect), or a backup is (backup, restore)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_help() {
        let all = [
            Exit::Ok,
            Exit::Refused,
            Exit::Usage,
            Exit::Unreachable,
            Exit::Storage,
            Exit::Unknown,
            Exit::Damaged,
        ];
        let begins = |line: &&str| !line.starts_with("   ");
        let lines: Vec<_> = EXIT_CODES.lines().skip(1).filter(begins).collect();
        assert_eq!(lines.len(), all.len());
        for (exit, line) in all.into_iter().zip(lines) {
            assert!(line.starts_with(&format!("  {}  ", exit.code())), "{exit:?}: {line}");
        }
    }

    #[test]
    fn a_failed_call_says_whether_it_may_have_been_executed() {
        assert_eq!(Exit::of_failure(&Failure::not_connected(String::new())), Exit::Unreachable);
        assert_eq!(Exit::of_failure(&Failure::no_answer()), Exit::Unknown);
        let unreached = Failure::not_connected(String::new()).after_unknown();
        assert_eq!(Exit::of_failure(&unreached), Exit::Unknown);
        let status = tonic::Status::invalid_argument("");
        assert_eq!(Exit::of_failure(&Failure::from_status(&status)), Exit::Refused);
    }
}
