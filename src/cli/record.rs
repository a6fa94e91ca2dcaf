//! A call as JSON: the same words for `--json` and for histories.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::client::{Answered, Called, Failure, Outcome, code_name};
use crate::queue::{Action, Answer};

/// What `--json` prints of a call.
#[derive(Serialize)]
pub(crate) struct CallRecord<'a> {
    op: &'static str,
    arguments: Arguments,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<ResultRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    endpoint: &'a str,
}

impl<'a> CallRecord<'a> {
    /// The record of a call.
    pub(crate) fn new(action: Action, called: &'a Called) -> Self {
        Self {
            op: op(action),
            arguments: action.into(),
            result: called.result.as_ref().ok().map(|answered| answered.answer.into()),
            error: called.result.as_ref().err().map(ErrorRecord::new),
            sequence: sequence(&called.result),
            endpoint: called.endpoint.as_str(),
        }
    }
}

/// An action's name.
pub(crate) fn op(action: Action) -> &'static str {
    match action {
        Action::Create { .. } => "create",
        Action::Destroy { .. } => "destroy",
        Action::Id { .. } => "id",
        Action::Push { .. } => "push",
        Action::Pop { .. } => "pop",
        Action::Top { .. } => "top",
        Action::Size { .. } => "size",
    }
}

/// The place in the order of all operations of one that is known to be executed.
pub(crate) fn sequence(result: &Result<Answered, Failure>) -> Option<u64> {
    match result {
        Ok(answered) => Some(answered.sequence),
        Err(Failure { outcome: Outcome::Executed { sequence }, .. }) => Some(*sequence),
        Err(_) => None,
    }
}

/// An action's arguments.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
pub(crate) enum Arguments {
    /// Create and id.
    Label { label: i64 },
    /// Push.
    Item { queue_id: i64, item: i64 },
    /// All others.
    Queue { queue_id: i64 },
}

impl From<Action> for Arguments {
    fn from(action: Action) -> Self {
        match action {
            Action::Create { label } | Action::Id { label } => Self::Label { label },
            Action::Push { queue, item } => Self::Item { queue_id: queue, item },
            Action::Destroy { queue }
            | Action::Pop { queue }
            | Action::Top { queue }
            | Action::Size { queue } => Self::Queue { queue_id: queue },
        }
    }
}

/// An answer.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
pub(crate) enum ResultRecord {
    /// Create, and id: -1 where no queue has the label.
    Queue { queue_id: i64 },
    /// Pop and top.
    Item { item: i64 },
    /// Pop and top of an empty queue.
    Empty { empty: bool },
    /// Size.
    Size { size: u64 },
    /// Push and destroy.
    Done {},
}

impl From<Answer> for ResultRecord {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Queue(queue_id) => Self::Queue { queue_id },
            Answer::Label(queue) => Self::Queue { queue_id: queue.unwrap_or(-1) },
            Answer::Item(Some(item)) => Self::Item { item },
            Answer::Item(None) => Self::Empty { empty: true },
            Answer::Size(size) => Self::Size { size },
            Answer::Pushed | Answer::Destroyed => Self::Done {},
        }
    }
}

/// A failure.
#[derive(Serialize)]
pub(crate) struct ErrorRecord<'a> {
    code: &'static str,
    reason: &'a str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a BTreeMap<String, String>>,
}

impl<'a> ErrorRecord<'a> {
    /// All that is known.
    pub(crate) fn new(failure: &'a Failure) -> Self {
        let Failure { message, metadata, .. } = failure;
        Self { message, metadata: Some(metadata), ..Self::brief(failure) }
    }

    /// What a checker of histories needs.
    pub(crate) fn brief(failure: &'a Failure) -> Self {
        Self {
            code: code_name(failure.code),
            reason: &failure.reason,
            outcome: failure.outcome.name(),
            message: "",
            metadata: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(action: Action, result: Result<Answered, Failure>) -> String {
        let called = Called { endpoint: "127.0.0.1:7001".parse().unwrap(), result };
        serde_json::to_string(&CallRecord::new(action, &called)).unwrap()
    }

    #[test]
    fn an_answer_is_one_object() {
        let cases = [
            (
                Action::Create { label: -7 },
                Answer::Queue(1),
                r#""op":"create","arguments":{"label":-7},"result":{"queue_id":1}"#,
            ),
            (
                Action::Id { label: 7 },
                Answer::Label(None),
                r#""op":"id","arguments":{"label":7},"result":{"queue_id":-1}"#,
            ),
            (
                Action::Id { label: 7 },
                Answer::Label(Some(3)),
                r#""op":"id","arguments":{"label":7},"result":{"queue_id":3}"#,
            ),
            (
                Action::Push { queue: 1, item: -5 },
                Answer::Pushed,
                r#""op":"push","arguments":{"queue_id":1,"item":-5},"result":{}"#,
            ),
            (
                Action::Pop { queue: 1 },
                Answer::Item(Some(0)),
                r#""op":"pop","arguments":{"queue_id":1},"result":{"item":0}"#,
            ),
            (
                Action::Top { queue: 1 },
                Answer::Item(None),
                r#""op":"top","arguments":{"queue_id":1},"result":{"empty":true}"#,
            ),
            (
                Action::Size { queue: 1 },
                Answer::Size(0),
                r#""op":"size","arguments":{"queue_id":1},"result":{"size":0}"#,
            ),
            (
                Action::Destroy { queue: 1 },
                Answer::Destroyed,
                r#""op":"destroy","arguments":{"queue_id":1},"result":{}"#,
            ),
        ];
        for (action, answer, expected) in cases {
            let answered = Answered { answer, sequence: 9, duplicate: false };
            let expected = format!("{{{expected},\"sequence\":9,\"endpoint\":\"127.0.0.1:7001\"}}");
            assert_eq!(json(action, Ok(answered)), expected);
        }
    }

    #[test]
    fn a_failure_is_one_object_too() {
        let mut failure = Failure::no_answer();
        let expected = "{\"op\":\"pop\",\"arguments\":{\"queue_id\":1},\"error\":{\"code\":\"DEADLINE_EXCEEDED\",\
            \"reason\":\"NO_ANSWER\",\"outcome\":\"unknown\",\"message\":\"no answer came in time\",\"metadata\":{}},\
            \"endpoint\":\"127.0.0.1:7001\"}";
        assert_eq!(json(Action::Pop { queue: 1 }, Err(failure.clone())), expected);
        failure.outcome = Outcome::Executed { sequence: 4 };
        failure.metadata.insert("sequence".to_owned(), "4".to_owned());
        let text = json(Action::Pop { queue: 1 }, Err(failure));
        assert!(text.contains(r#""metadata":{"sequence":"4"}},"sequence":4"#), "{text}");
    }
}
