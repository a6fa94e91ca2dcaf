//! The one table of errors: which gRPC code, reason and details a call gets that was not answered. The reasons and the
//! metadata keys are part of the API: clients decide by them.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use super::MAX_REQUEST;
use super::request::Violation;
use crate::queue::{Rejection, RequestName};
use crate::runtime::{Refusal, Unavailable};

/// The domain of all reasons.
pub(super) const DOMAIN: &str = "ftqueue.v1";

/// Why a request could not be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is larger than any request may be.
    TooLarge,
    /// Its bytes are no request.
    Malformed {
        /// What the decoder said.
        said: String,
    },
    /// It is compressed in a way that this server does not know.
    Compressed {
        /// What the decoder said.
        said: String,
    },
    /// It is for a service or a method that is not there.
    UnknownMethod,
}

/// Why a call is answered with an error.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request could not be read. Nothing was executed.
    Unread(Unread),
    /// The request breaks the rules; there is at least one violation. Nothing was executed.
    Invalid(Vec<Violation>),
    /// The operation has this place in the order, and changed nothing there.
    Rejected {
        rejection: Rejection,
        sequence: u64,
        /// That is the answer which its name got first.
        duplicate: bool,
    },
    /// The operation was not executed, or nobody knows.
    Refused(Refusal),
    /// As many streams are open as may be.
    TooManyStreams { limit: usize },
    /// The replica makes another backup.
    BackupUnderWay,
    /// The replica cannot make a backup; another one may be able to.
    BackupFailed {
        /// For people.
        why: String,
    },
}

/// One row of the table.
struct Row {
    code: Code,
    reason: &'static str,
    message: String,
    metadata: Vec<(&'static str, String)>,
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let fields = match &failure {
            Failure::Invalid(violations) => violations.iter().map(field).collect(),
            _ => Vec::new(),
        };
        let Row { code, reason, message, metadata } = row(failure);
        let metadata: HashMap<String, String> =
            metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
        if !fields.is_empty() {
            details.set_bad_request(fields);
        }
        Self::with_error_details(code, message, details)
    }
}

fn row(failure: Failure) -> Row {
    match failure {
        Failure::Unread(Unread::TooLarge) => Row {
            code: Code::InvalidArgument,
            reason: "REQUEST_TOO_LARGE",
            message: format!("the request has more than {MAX_REQUEST} bytes"),
            metadata: vec![outcome(false), ("limit", MAX_REQUEST.to_string())],
        },
        Failure::Unread(Unread::Malformed { said }) => Row {
            code: Code::InvalidArgument,
            reason: "REQUEST_MALFORMED",
            message: format!("the request cannot be read: {said}"),
            metadata: vec![outcome(false)],
        },
        Failure::Unread(Unread::Compressed { said }) => Row {
            code: Code::Unimplemented,
            reason: "COMPRESSION_UNSUPPORTED",
            message: said,
            metadata: vec![outcome(false)],
        },
        Failure::Unread(Unread::UnknownMethod) => Row {
            code: Code::Unimplemented,
            reason: "METHOD_UNKNOWN",
            message: "this server has no such service or method".to_owned(),
            metadata: vec![outcome(false)],
        },
        Failure::Invalid(violations) => Row {
            code: Code::InvalidArgument,
            reason: violations.first().map_or("INVALID", reason_of),
            message: violations.iter().map(describe).collect::<Vec<_>>().join("; "),
            metadata: vec![outcome(false)],
        },
        Failure::Rejected { rejection, sequence, duplicate } => {
            rejected(rejection, sequence, duplicate)
        }
        Failure::Refused(Refusal::Overloaded { limit }) => Row {
            code: Code::ResourceExhausted,
            reason: "OVERLOADED",
            message: format!("{limit} calls wait at this replica, as many as may"),
            metadata: vec![outcome(false), ("limit", limit.to_string())],
        },
        Failure::TooManyStreams { limit } => Row {
            code: Code::ResourceExhausted,
            reason: "OVERLOADED",
            message: format!("{limit} streams are open at this replica, as many as may be"),
            metadata: vec![outcome(false), ("limit", limit.to_string())],
        },
        Failure::Refused(Refusal::DeadlineExceeded { sent, waited, waiting_for }) => Row {
            code: Code::DeadlineExceeded,
            reason: "DEADLINE_EXCEEDED",
            message: format!(
                "the deadline came after {waited:.1?} of waiting for {waiting_for}; {}",
                in_words(sent)
            ),
            metadata: vec![
                outcome(sent),
                ("waiting_for", waiting_for),
                ("waited_ms", waited.as_millis().to_string()),
            ],
        },
        Failure::Refused(Refusal::StorageFull) => Row {
            code: Code::ResourceExhausted,
            reason: "STORAGE_FULL",
            message: "this replica's storage is full; the operation was not executed".to_owned(),
            metadata: vec![outcome(false)],
        },
        Failure::Refused(Refusal::Unavailable { reason, sent, detail }) => {
            let mut metadata = vec![outcome(sent)];
            let reason = match reason {
                Unavailable::NoView => "NO_VIEW",
                Unavailable::NoMajority { reachable } => {
                    let ids: Vec<_> = reachable.iter().map(|id| id.0.to_string()).collect();
                    metadata.push(("reachable", ids.join(",")));
                    "NO_MAJORITY"
                }
                Unavailable::ShuttingDown => "SHUTTING_DOWN",
            };
            let message = format!("this replica cannot answer: {detail}; {}", in_words(sent));
            Row { code: Code::Unavailable, reason, message, metadata }
        }
        Failure::BackupUnderWay => Row {
            code: Code::ResourceExhausted,
            reason: "BACKUP_UNDER_WAY",
            message: "this replica makes a backup for somebody else, and one at a time".to_owned(),
            metadata: vec![outcome(false), ("limit", 1.to_string())],
        },
        Failure::BackupFailed { why } => Row {
            code: Code::Unavailable,
            reason: "BACKUP_FAILED",
            message: format!("this replica cannot make a backup: {why}"),
            metadata: vec![outcome(false)],
        },
    }
}

fn rejected(rejection: Rejection, sequence: u64, duplicate: bool) -> Row {
    let mut metadata = vec![("sequence", sequence.to_string())];
    if duplicate {
        metadata.push(("duplicate", true.to_string()));
    }
    let (code, reason, message) = match rejection {
        Rejection::QueueNotFound { queue } => {
            metadata.push(("queue_id", queue.to_string()));
            (Code::NotFound, "QUEUE_NOT_FOUND", format!("there is no queue {queue}"))
        }
        Rejection::QueuesFull { limit } => {
            metadata.push(("limit", limit.to_string()));
            let message = format!("there are {limit} queues, as many as there may be");
            (Code::ResourceExhausted, "QUEUES_FULL", message)
        }
        Rejection::ItemsFull { limit } => {
            metadata.push(("limit", limit.to_string()));
            let message = format!("there are {limit} items in all queues, as many as there may be");
            (Code::ResourceExhausted, "ITEMS_FULL", message)
        }
        Rejection::RequestReused => {
            let message = "the request's name was executed before, with another operation; this one \
                           was not executed";
            (Code::InvalidArgument, "REQUEST_REUSED", message.to_owned())
        }
        Rejection::RequestForgotten { through } => {
            // The sequence is the refusal's; the operation may have one of its own.
            metadata = vec![outcome(true)];
            let known = match through {
                Some(through) => {
                    metadata.push(("forgotten_through", through.to_string()));
                    format!("the client's requests up to {through} are forgotten")
                }
                None => "nothing is known of the client, and a new one begins with number 1".into(),
            };
            let message = format!("{known}; the operation may have been executed before");
            (Code::FailedPrecondition, "REQUEST_FORGOTTEN", message)
        }
    };
    Row { code, reason, message, metadata }
}

/// Whether the operation can have been executed: only if it was multicast.
fn outcome(sent: bool) -> (&'static str, String) {
    ("outcome", if sent { "unknown" } else { "not_executed" }.to_owned())
}

fn in_words(sent: bool) -> &'static str {
    if sent { "the operation may have been executed" } else { "the operation was not executed" }
}

fn reason_of(violation: &Violation) -> &'static str {
    match violation {
        Violation::QueueIdNotPositive { .. } => "QUEUE_ID_NOT_POSITIVE",
        Violation::ClientLength { .. } | Violation::NumberZero => "REQUEST_NAME_INVALID",
    }
}

fn describe(violation: &Violation) -> String {
    match violation {
        Violation::QueueIdNotPositive { queue } => {
            format!("queue_id is {queue}, but queue ids are positive")
        }
        Violation::ClientLength { bytes } => format!(
            "request.client has {bytes} bytes, but it must have 1 to {}",
            RequestName::MAX_CLIENT_BYTES
        ),
        Violation::NumberZero => "request.number is 0, but numbers rise from 1".to_owned(),
    }
}

fn field(violation: &Violation) -> FieldViolation {
    let name = match violation {
        Violation::QueueIdNotPositive { .. } => "queue_id",
        Violation::ClientLength { .. } => "request.client",
        Violation::NumberZero => "request.number",
    };
    FieldViolation::new(name, describe(violation))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::types::ReplicaId;

    /// A status as a client sees it: code, reason, sorted metadata, message.
    fn seen(failure: Failure) -> (Code, String, String, String) {
        let status = Status::from(failure);
        let info = status.get_details_error_info().expect("every error carries an ErrorInfo");
        assert_eq!(info.domain, DOMAIN);
        let mut metadata: Vec<_> =
            info.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
        metadata.sort();
        (status.code(), info.reason, metadata.join(" "), status.message().to_owned())
    }

    #[test]
    fn every_failure_has_its_code_reason_and_details() {
        let repeated =
            |rejection, duplicate| Failure::Rejected { rejection, sequence: 12, duplicate };
        let rejected = |rejection| repeated(rejection, false);
        let unavailable = |reason, sent| {
            let detail = "r1 and r2 are silent".to_owned();
            Failure::Refused(Refusal::Unavailable { reason, sent, detail })
        };
        let late = |sent| {
            Failure::Refused(Refusal::DeadlineExceeded {
                sent,
                waited: Duration::from_micros(90_540),
                waiting_for: "acks of r1".to_owned(),
            })
        };
        let table = [
            (
                Failure::Unread(Unread::TooLarge),
                (Code::InvalidArgument, "REQUEST_TOO_LARGE", "limit=4096 outcome=not_executed"),
                "the request has more than 4096 bytes",
            ),
            (
                Failure::Unread(Unread::Malformed { said: "no varint".to_owned() }),
                (Code::InvalidArgument, "REQUEST_MALFORMED", "outcome=not_executed"),
                "the request cannot be read: no varint",
            ),
            (
                Failure::Unread(Unread::UnknownMethod),
                (Code::Unimplemented, "METHOD_UNKNOWN", "outcome=not_executed"),
                "this server has no such service or method",
            ),
            (
                Failure::BackupUnderWay,
                (Code::ResourceExhausted, "BACKUP_UNDER_WAY", "limit=1 outcome=not_executed"),
                "this replica makes a backup for somebody else, and one at a time",
            ),
            (
                Failure::BackupFailed { why: "its log is damaged".to_owned() },
                (Code::Unavailable, "BACKUP_FAILED", "outcome=not_executed"),
                "this replica cannot make a backup: its log is damaged",
            ),
            (
                rejected(Rejection::QueueNotFound { queue: 7 }),
                (Code::NotFound, "QUEUE_NOT_FOUND", "queue_id=7 sequence=12"),
                "there is no queue 7",
            ),
            (
                rejected(Rejection::QueuesFull { limit: 9 }),
                (Code::ResourceExhausted, "QUEUES_FULL", "limit=9 sequence=12"),
                "there are 9 queues, as many as there may be",
            ),
            (
                rejected(Rejection::ItemsFull { limit: 9 }),
                (Code::ResourceExhausted, "ITEMS_FULL", "limit=9 sequence=12"),
                "there are 9 items in all queues, as many as there may be",
            ),
            (
                repeated(Rejection::QueueNotFound { queue: 7 }, true),
                (Code::NotFound, "QUEUE_NOT_FOUND", "duplicate=true queue_id=7 sequence=12"),
                "there is no queue 7",
            ),
            (
                rejected(Rejection::RequestReused),
                (Code::InvalidArgument, "REQUEST_REUSED", "sequence=12"),
                "the request's name was executed before, with another operation; \
                 this one was not executed",
            ),
            (
                rejected(Rejection::RequestForgotten { through: Some(3) }),
                (
                    Code::FailedPrecondition,
                    "REQUEST_FORGOTTEN",
                    "forgotten_through=3 outcome=unknown",
                ),
                "the client's requests up to 3 are forgotten; \
                 the operation may have been executed before",
            ),
            (
                rejected(Rejection::RequestForgotten { through: None }),
                (Code::FailedPrecondition, "REQUEST_FORGOTTEN", "outcome=unknown"),
                "nothing is known of the client, and a new one begins with number 1; \
                 the operation may have been executed before",
            ),
            (
                Failure::Refused(Refusal::Overloaded { limit: 9 }),
                (Code::ResourceExhausted, "OVERLOADED", "limit=9 outcome=not_executed"),
                "9 calls wait at this replica, as many as may",
            ),
            (
                Failure::TooManyStreams { limit: 9 },
                (Code::ResourceExhausted, "OVERLOADED", "limit=9 outcome=not_executed"),
                "9 streams are open at this replica, as many as may be",
            ),
            (
                late(true),
                (
                    Code::DeadlineExceeded,
                    "DEADLINE_EXCEEDED",
                    "outcome=unknown waited_ms=90 waiting_for=acks of r1",
                ),
                "the deadline came after 90.5ms of waiting for acks of r1; \
                 the operation may have been executed",
            ),
            (
                late(false),
                (
                    Code::DeadlineExceeded,
                    "DEADLINE_EXCEEDED",
                    "outcome=not_executed waited_ms=90 waiting_for=acks of r1",
                ),
                "the deadline came after 90.5ms of waiting for acks of r1; \
                 the operation was not executed",
            ),
            (
                unavailable(Unavailable::NoView, false),
                (Code::Unavailable, "NO_VIEW", "outcome=not_executed"),
                "this replica cannot answer: r1 and r2 are silent; the operation was not executed",
            ),
            (
                unavailable(
                    Unavailable::NoMajority { reachable: vec![ReplicaId(0), ReplicaId(2)] },
                    true,
                ),
                (Code::Unavailable, "NO_MAJORITY", "outcome=unknown reachable=0,2"),
                "this replica cannot answer: r1 and r2 are silent; \
                 the operation may have been executed",
            ),
            (
                unavailable(Unavailable::ShuttingDown, true),
                (Code::Unavailable, "SHUTTING_DOWN", "outcome=unknown"),
                "this replica cannot answer: r1 and r2 are silent; \
                 the operation may have been executed",
            ),
            (
                Failure::Invalid(vec![Violation::QueueIdNotPositive { queue: -3 }]),
                (Code::InvalidArgument, "QUEUE_ID_NOT_POSITIVE", "outcome=not_executed"),
                "queue_id is -3, but queue ids are positive",
            ),
            (
                Failure::Invalid(vec![
                    Violation::ClientLength { bytes: 65 },
                    Violation::NumberZero,
                ]),
                (Code::InvalidArgument, "REQUEST_NAME_INVALID", "outcome=not_executed"),
                "request.client has 65 bytes, but it must have 1 to 64; \
                 request.number is 0, but numbers rise from 1",
            ),
        ];
        for (failure, (code, reason, metadata), message) in table {
            let expected = (code, reason.to_owned(), metadata.to_owned(), message.to_owned());
            assert_eq!(seen(failure), expected);
        }
    }

    #[test]
    fn an_invalid_request_names_its_fields() {
        let violations = vec![
            Violation::QueueIdNotPositive { queue: 0 },
            Violation::ClientLength { bytes: 0 },
            Violation::NumberZero,
        ];
        let status = Status::from(Failure::Invalid(violations));
        let fields = status.get_details_bad_request().unwrap().field_violations;
        let names: Vec<_> = fields.iter().map(|field| field.field.as_str()).collect();
        assert_eq!(names, ["queue_id", "request.client", "request.number"]);
        assert!(fields.iter().all(|field| !field.description.is_empty()));
    }
}
