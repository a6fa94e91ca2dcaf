//! Why a call was not answered as hoped, and what became of the operation.

use std::collections::BTreeMap;
use std::error::Error;

use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

use crate::queue::Action;

/// What is known of an operation whose call failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was executed at this place in the order of all operations, and changed nothing.
    Executed {
        /// The place, from 1.
        sequence: u64,
    },
    /// It was not executed and never will be.
    NotExecuted,
    /// It may have been executed, or may be later.
    Unknown,
}

impl Outcome {
    /// The word for machines: `executed`, `not_executed` or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Executed { .. } => "executed",
            Self::NotExecuted => "not_executed",
            Self::Unknown => "unknown",
        }
    }
}

/// Who says that a call failed; in the order in which it is reported first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum FailureCause {
    /// The replica.
    Replica,
    /// This side: no answer came in time.
    NoAnswer,
    /// This side: the connection was lost while the call was on its way.
    ConnectionLost,
    /// This side: there was no connection to send the call on.
    NotConnected,
    /// This side: the time was up, or nobody wanted the answer any more, before the call's turn came to be sent.
    NotSent,
    /// This side: nobody wanted the answer any more.
    Interrupted,
}

/// A call that failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Who says so.
    pub cause: FailureCause,
    /// The gRPC code.
    pub code: Code,
    /// The stable reason: the replica's, or `NOT_CONNECTED`, `CONNECTION_LOST`, `NO_ANSWER`, `NOT_SENT`, `INTERRUPTED`,
    /// `BAD_ANSWER` of this side; the code's name where the replica gave none.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The replica's details.
    pub metadata: BTreeMap<String, String>,
    /// What became of the operation.
    pub outcome: Outcome,
}

impl Failure {
    /// No connection could be made, for the reason in `message`; nothing was sent.
    pub(crate) fn not_connected(message: String) -> Self {
        Self::of_this_side(FailureCause::NotConnected, Code::Unavailable, "NOT_CONNECTED", message)
    }

    /// The time was up before the call could be sent.
    pub(crate) fn not_sent() -> Self {
        let message = "the time was up before the call could be sent".to_owned();
        Self::of_this_side(FailureCause::NotSent, Code::DeadlineExceeded, "NOT_SENT", message)
    }

    /// No answer came in time.
    pub(crate) fn no_answer() -> Self {
        let message = "no answer came in time".to_owned();
        Self::of_this_side(FailureCause::NoAnswer, Code::DeadlineExceeded, "NO_ANSWER", message)
    }

    /// Whoever asked does not wait any longer; a try may have been `sent`.
    pub(crate) fn interrupted(sent: bool) -> Self {
        let cause = if sent { FailureCause::Interrupted } else { FailureCause::NotSent };
        let message = "it was interrupted before an answer came".to_owned();
        Self::of_this_side(cause, Code::Cancelled, "INTERRUPTED", message)
    }

    /// The replica's answer makes no sense.
    pub(crate) fn bad_answer(message: &str) -> Self {
        Self::of_this_side(FailureCause::Replica, Code::Internal, "BAD_ANSWER", message.to_owned())
    }

    fn of_this_side(cause: FailureCause, code: Code, reason: &str, message: String) -> Self {
        let outcome = match cause {
            FailureCause::NotConnected | FailureCause::NotSent => Outcome::NotExecuted,
            _ => Outcome::Unknown,
        };
        Self { cause, code, reason: reason.to_owned(), message, metadata: BTreeMap::new(), outcome }
    }

    /// What a status says.
    pub(crate) fn from_status(status: &Status) -> Self {
        // Only what this side makes up has a source; what the replica sent has none.
        match status.source() {
            Some(_) if is_caused_by::<ConnectError>(status) || was_not_processed(status) => {
                Self::not_connected(deepest(status))
            }
            Some(_) if is_caused_by::<TimeoutExpired>(status) => Self::no_answer(),
            Some(_) => Self::of_this_side(
                FailureCause::ConnectionLost,
                Code::Unavailable,
                "CONNECTION_LOST",
                format!("the connection was lost: {}", deepest(status)),
            ),
            None => Self::from_replica(status),
        }
    }

    fn from_replica(status: &Status) -> Self {
        let details = status.get_details_error_info();
        let (reason, metadata) = match details {
            Some(info) => (info.reason, info.metadata.into_iter().collect()),
            None => (String::new(), BTreeMap::new()),
        };
        let reason = if reason.is_empty() { code_name(status.code()).to_owned() } else { reason };
        Self {
            cause: FailureCause::Replica,
            code: status.code(),
            outcome: outcome(status.code(), &reason, &metadata),
            reason,
            message: status.message().to_owned(),
            metadata,
        }
    }

    /// Whether another try may come to more, at another replica or here a little later. It does no harm: what changes
    /// state has a name, and is executed once under it.
    pub(crate) fn allows_retry(&self) -> bool {
        match self.code {
            _ if matches!(self.outcome, Outcome::Executed { .. }) || self.is_forgotten() => false,
            // Nobody here cancels a call: the other end's timer, or a proxy, ended it unanswered.
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => true,
            // These are one replica's troubles, and pass. QUEUES_FULL and ITEMS_FULL are all replicas'.
            Code::ResourceExhausted => {
                matches!(self.reason.as_str(), "OVERLOADED" | "STORAGE_FULL")
            }
            _ => false,
        }
    }

    /// Whether the replicas do not know any more whether a request of this name was executed.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.cause == FailureCause::Replica && self.reason == REQUEST_FORGOTTEN
    }

    /// The same, where an earlier try of the request may have been executed: that this one was not says nothing of
    /// that one. But a request that breaks the rules breaks them at each try, and a name that stands for another
    /// operation never stands for this one.
    pub(crate) fn after_unknown(mut self) -> Self {
        if self.outcome == Outcome::NotExecuted && self.code != Code::InvalidArgument {
            self.outcome = Outcome::Unknown;
            if let Some(said) = self.metadata.get_mut("outcome") {
                Outcome::Unknown.name().clone_into(said);
            }
        }
        self
    }
}

/// The reason of a refusal: the request's number is one of which the replicas know nothing any more.
const REQUEST_FORGOTTEN: &str = "REQUEST_FORGOTTEN";

/// Whether executing the action twice differs from executing it once.
pub(crate) fn changes_state(action: Action) -> bool {
    match action {
        Action::Create { .. }
        | Action::Destroy { .. }
        | Action::Push { .. }
        | Action::Pop { .. } => true,
        Action::Id { .. } | Action::Top { .. } | Action::Size { .. } => false,
    }
}

/// What a replica's refusal says of the operation: what its metadata say, else what its code and reason promise.
fn outcome(code: Code, reason: &str, metadata: &BTreeMap<String, String>) -> Outcome {
    let sequence = metadata.get("sequence").and_then(|text| text.parse().ok());
    match (sequence, metadata.get("outcome").map(String::as_str)) {
        // Its place in the order is that of the refusal: what became of the request is the question.
        _ if reason == REQUEST_FORGOTTEN => Outcome::Unknown,
        (Some(sequence), _) => Outcome::Executed { sequence },
        (None, Some("not_executed")) => Outcome::NotExecuted,
        (None, Some(_)) => Outcome::Unknown,
        (None, None) => match code {
            Code::InvalidArgument
            | Code::Unimplemented
            | Code::Unauthenticated
            | Code::PermissionDenied => Outcome::NotExecuted,
            Code::ResourceExhausted if reason == "OVERLOADED" => Outcome::NotExecuted,
            _ => Outcome::Unknown,
        },
    }
}

/// Whether the call surely reached no replica: it waited for a connection that closed, or its stream is past the last
/// one that the other end took (RFC 9113 section 6.8; h2 ends only those with the GOAWAY).
fn was_not_processed(status: &Status) -> bool {
    let waited = |error: &hyper::Error| error.is_canceled();
    let past_the_last = |error: &h2::Error| {
        error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
    };
    chain(status).any(|error| {
        error.downcast_ref().is_some_and(waited) || error.downcast_ref().is_some_and(past_the_last)
    })
}

fn is_caused_by<E: Error + 'static>(status: &Status) -> bool {
    chain(status).any(|error| error.is::<E>())
}

/// The message at the end of the chain of sources: what the operating system said.
pub(super) fn deepest(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map_or_else(String::new, ToString::to_string)
}

/// An error and its sources.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// A code's name as gRPC spells it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn refusal(code: Code, reason: &str, metadata: &[(&str, &str)]) -> Failure {
        let metadata = metadata.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
        let metadata = metadata.collect::<std::collections::HashMap<_, _>>();
        let details = ErrorDetails::with_error_info(reason, "ftqueue.v1", metadata);
        Failure::from_status(&Status::with_error_details(code, "why", details))
    }

    #[test]
    fn the_replicas_word_on_the_outcome_counts() {
        let failure =
            refusal(Code::NotFound, "QUEUE_NOT_FOUND", &[("sequence", "12"), ("queue_id", "3")]);
        assert_eq!(failure.cause, FailureCause::Replica);
        assert_eq!(failure.reason, "QUEUE_NOT_FOUND");
        assert_eq!(failure.metadata["queue_id"], "3");
        assert_eq!(failure.outcome, Outcome::Executed { sequence: 12 });
        let outcome_of = |word| refusal(Code::Unavailable, "NO_VIEW", &[("outcome", word)]).outcome;
        assert_eq!(outcome_of("not_executed"), Outcome::NotExecuted);
        assert_eq!(outcome_of("unknown"), Outcome::Unknown);
        assert_eq!(outcome_of("something new"), Outcome::Unknown);
    }

    #[test]
    fn without_it_only_promised_codes_are_known_not_to_be_executed() {
        assert_eq!(refusal(Code::InvalidArgument, "X", &[]).outcome, Outcome::NotExecuted);
        assert_eq!(
            refusal(Code::ResourceExhausted, "OVERLOADED", &[]).outcome,
            Outcome::NotExecuted
        );
        assert_eq!(refusal(Code::ResourceExhausted, "ITEMS_FULL", &[]).outcome, Outcome::Unknown);
        for code in [Code::Unavailable, Code::Cancelled, Code::Internal, Code::Unknown] {
            let failure = Failure::from_status(&Status::new(code, ""));
            assert_eq!(failure.outcome, Outcome::Unknown);
            assert_eq!(failure.reason, code_name(code));
        }
    }

    #[test]
    fn what_passes_is_tried_again_and_a_verdict_is_not() {
        let passes = [
            refusal(Code::Unavailable, "NO_VIEW", &[("outcome", "unknown")]),
            refusal(Code::Unavailable, "NO_VIEW", &[("outcome", "not_executed")]),
            refusal(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", &[("outcome", "unknown")]),
            refusal(Code::ResourceExhausted, "OVERLOADED", &[("outcome", "not_executed")]),
            refusal(Code::ResourceExhausted, "STORAGE_FULL", &[("outcome", "not_executed")]),
            Failure::from_status(&Status::cancelled("Timeout expired")),
            Failure::no_answer(),
            Failure::not_connected(String::new()),
        ];
        let verdicts = [
            refusal(Code::NotFound, "QUEUE_NOT_FOUND", &[("sequence", "1")]),
            refusal(Code::ResourceExhausted, "QUEUES_FULL", &[("sequence", "1")]),
            refusal(Code::ResourceExhausted, "ITEMS_FULL", &[("sequence", "1")]),
            refusal(Code::InvalidArgument, "REQUEST_REUSED", &[("outcome", "not_executed")]),
            refusal(Code::Unimplemented, "METHOD_UNKNOWN", &[("outcome", "not_executed")]),
            refusal(Code::Unavailable, REQUEST_FORGOTTEN, &[("outcome", "unknown")]),
            Failure::bad_answer("?"),
        ];
        assert!(passes.iter().all(Failure::allows_retry), "{passes:?}");
        assert!(!verdicts.iter().any(Failure::allows_retry), "{verdicts:?}");
    }

    #[test]
    fn a_forgotten_request_is_unknown_whatever_the_refusals_place() {
        let details = [("sequence", "9"), ("outcome", "not_executed")];
        let forgotten = refusal(Code::FailedPrecondition, REQUEST_FORGOTTEN, &details);
        assert!(forgotten.is_forgotten());
        assert_eq!(forgotten.outcome, Outcome::Unknown);
    }

    #[test]
    fn a_try_that_was_not_executed_says_nothing_of_the_one_before() {
        let not_executed = [("outcome", "not_executed")];
        let refused = refusal(Code::Unavailable, "NO_VIEW", &not_executed).after_unknown();
        assert_eq!(refused.outcome, Outcome::Unknown);
        assert_eq!(refused.metadata["outcome"], "unknown");
        let unreached = Failure::not_connected(String::new()).after_unknown();
        assert_eq!(unreached.outcome, Outcome::Unknown);
        let reused =
            refusal(Code::InvalidArgument, "REQUEST_REUSED", &not_executed).after_unknown();
        assert_eq!(reused.outcome, Outcome::NotExecuted);
        let executed =
            refusal(Code::NotFound, "QUEUE_NOT_FOUND", &[("sequence", "3")]).after_unknown();
        assert_eq!(executed.outcome, Outcome::Executed { sequence: 3 });
    }
}
