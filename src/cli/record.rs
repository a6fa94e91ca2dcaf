//! A call as JSON: what `--json` prints, in the words of histories.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::client::{Answered, Called, Failure, Outcome, code_name};
use crate::history::{Arguments, ErrorRecord, ResultRecord, op_name};
use crate::queue::{Action, RequestName};

/// What `--json` prints of a call.
#[derive(Serialize)]
pub(crate) struct CallRecord<'a> {
    op: &'static str,
    arguments: Arguments,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<NameRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<ResultRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FailureRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    /// Of what has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate: Option<bool>,
    endpoint: &'a str,
}

impl<'a> CallRecord<'a> {
    /// The record of a call.
    pub(crate) fn new(action: Action, called: &'a Called) -> Self {
        Self {
            op: op_name(action),
            arguments: action.into(),
            request: called
                .request
                .as_ref()
                .map(|RequestName { client, number }| NameRecord { client, number: *number }),
            result: called.result.as_ref().ok().map(|answered| answered.answer.into()),
            error: called.result.as_ref().err().map(|failure| FailureRecord {
                error: error(failure),
                message: &failure.message,
                metadata: &failure.metadata,
            }),
            sequence: sequence(&called.result),
            duplicate: called
                .result
                .as_ref()
                .ok()
                .map(|answered| answered.duplicate)
                .filter(|_| called.request.is_some()),
            endpoint: called.endpoint.as_str(),
        }
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

/// A request's name.
#[derive(Serialize)]
struct NameRecord<'a> {
    client: &'a str,
    number: u64,
}

/// All that is known of a failure.
#[derive(Serialize)]
struct FailureRecord<'a> {
    #[serde(flatten)]
    error: ErrorRecord<'a>,
    message: &'a str,
    metadata: &'a BTreeMap<String, String>,
}

/// A failure as histories have it.
pub(crate) fn error(failure: &Failure) -> ErrorRecord<'_> {
    ErrorRecord {
        code: code_name(failure.code).into(),
        reason: failure.reason.as_str().into(),
        outcome: failure.outcome.name().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Answer;

    fn json(action: Action, result: Result<Answered, Failure>) -> String {
        let called = Called { endpoint: "127.0.0.1:7001".parse().unwrap(), request: None, result };
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
    fn a_request_has_its_name_and_its_answer_says_whether_it_is_a_duplicate() {
        let request = Some(RequestName { client: "me".into(), number: 7 });
        let answered = Answered { answer: Answer::Pushed, sequence: 9, duplicate: true };
        let endpoint = "127.0.0.1:7001".parse().unwrap();
        let mut called = Called { endpoint, request, result: Ok(answered) };
        let push = Action::Push { queue: 1, item: -5 };
        let text = |called: &Called| serde_json::to_string(&CallRecord::new(push, called)).unwrap();
        let expected = "{\"op\":\"push\",\"arguments\":{\"queue_id\":1,\"item\":-5},\
            \"request\":{\"client\":\"me\",\"number\":7},\"result\":{},\"sequence\":9,\"duplicate\":true,\
            \"endpoint\":\"127.0.0.1:7001\"}";
        assert_eq!(text(&called), expected);
        called.result = Err(Failure::no_answer());
        let failed = text(&called);
        assert!(failed.contains(r#""request":{"client":"me","number":7},"error""#), "{failed}");
        assert!(!failed.contains("duplicate"), "{failed}");
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
