//! A call as a line of JSON: the form that `bench --history` writes and `check-history` reads.

use std::borrow::Cow;
use std::io::BufRead;

use serde::{Deserialize, Serialize};

use super::{Call, Outcome, Tries};
use crate::queue::{Action, Answer, Rejection};

/// The most tries that are believed: each takes memory when they are checked.
const MAX_TRIES: u64 = 100_000;

/// One line.
#[derive(Serialize, Deserialize)]
pub(crate) struct Record<'a> {
    /// Who called: any number.
    pub client: u64,
    /// [`op_name`] of the action.
    pub op: Cow<'a, str>,
    /// What it was asked with.
    pub arguments: Arguments,
    /// When the call began, in nanoseconds of one monotonic clock.
    pub invoked_ns: u64,
    /// When it was answered; null where no answer came.
    pub returned_ns: Option<u64>,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultRecord>,
    /// Or why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord<'a>>,
    /// Its place in the order of all operations, where it is known to be executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Whether the answer is that of an earlier try.
    #[serde(default, skip_serializing_if = "is_false")]
    pub duplicate: bool,
    /// How often it was asked under its request's name, from 1.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub tries: u64,
    /// Whom it asked.
    #[serde(default)]
    pub endpoint: Cow<'a, str>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn once() -> u64 {
    Tries::ONE.count
}

fn is_once(tries: &u64) -> bool {
    *tries == once()
}

/// An action's arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Arguments {
    /// Create and id.
    Label { label: i64 },
    /// Push.
    Item { queue_id: i64, item: i64 },
    /// All others.
    Queue { queue_id: i64 },
}

/// An answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
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

/// Why there is no answer.
#[derive(Serialize, Deserialize)]
pub(crate) struct ErrorRecord<'a> {
    /// The gRPC status code's name.
    pub code: Cow<'a, str>,
    /// The stable reason.
    pub reason: Cow<'a, str>,
    /// `executed`, `not_executed` or `unknown`.
    pub outcome: Cow<'a, str>,
}

/// An action's name.
pub(crate) fn op_name(action: Action) -> &'static str {
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

/// Reads a history: a record a line.
///
/// # Errors
/// The number of the first line that cannot be read, and why.
pub(crate) fn read(lines: impl BufRead) -> Result<Vec<Call>, String> {
    let mut calls = Vec::new();
    for (number, line) in (1..).zip(lines.lines()) {
        let call = line
            .map_err(|error| error.to_string())
            .and_then(|line| {
                serde_json::from_str::<Record<'_>>(&line).map_err(|error| error.to_string())?.call()
            })
            .map_err(|error| format!("line {number}: {error}"))?;
        calls.push(call);
    }
    Ok(calls)
}

impl Record<'_> {
    fn call(&self) -> Result<Call, String> {
        let action = self.action()?;
        let outcome = match (&self.result, &self.error) {
            (Some(result), None) => Outcome::Executed {
                sequence: self.sequence()?,
                result: Ok(answer(action, *result)?),
            },
            (None, Some(error)) => self.failed(action, error)?,
            _ => return Err("a call has either a result or an error".to_owned()),
        };
        let (invoked, returned) = (self.invoked_ns, self.returned_ns);
        if returned.is_some_and(|returned| returned < invoked) {
            return Err("returned_ns is before invoked_ns".to_owned());
        }
        if returned.is_none() && matches!(outcome, Outcome::Executed { .. }) {
            return Err("an answer came, so returned_ns is a time".to_owned());
        }
        if !(1..=MAX_TRIES).contains(&self.tries) {
            return Err(format!("a call has 1 to {MAX_TRIES} tries, not {}", self.tries));
        }
        if self.duplicate && !matches!(outcome, Outcome::Executed { .. }) {
            return Err("a duplicate is the answer of a call that was executed".to_owned());
        }
        let tries = Tries { count: self.tries, duplicate: self.duplicate };
        Ok(Call { action, invoked, returned, outcome, tries })
    }

    fn action(&self) -> Result<Action, String> {
        Ok(match (self.op.as_ref(), self.arguments) {
            ("create", Arguments::Label { label }) => Action::Create { label },
            ("id", Arguments::Label { label }) => Action::Id { label },
            ("push", Arguments::Item { queue_id: queue, item }) => Action::Push { queue, item },
            ("destroy", Arguments::Queue { queue_id: queue }) => Action::Destroy { queue },
            ("pop", Arguments::Queue { queue_id: queue }) => Action::Pop { queue },
            ("top", Arguments::Queue { queue_id: queue }) => Action::Top { queue },
            ("size", Arguments::Queue { queue_id: queue }) => Action::Size { queue },
            (op, arguments) => return Err(format!("no operation {op:?} takes {arguments:?}")),
        })
    }

    fn sequence(&self) -> Result<u64, String> {
        let sequence = self.sequence.filter(|sequence| *sequence > 0);
        sequence.ok_or_else(|| "a call that was executed has a sequence, from 1".to_owned())
    }

    fn failed(&self, action: Action, error: &ErrorRecord<'_>) -> Result<Outcome, String> {
        let rejection = match (error.outcome.as_ref(), error.reason.as_ref(), action) {
            ("not_executed", ..) => return Ok(Outcome::NotExecuted),
            ("unknown", ..) => return Ok(Outcome::Unknown),
            (
                "executed",
                "QUEUE_NOT_FOUND",
                Action::Destroy { queue }
                | Action::Push { queue, .. }
                | Action::Pop { queue }
                | Action::Top { queue }
                | Action::Size { queue },
            ) => Rejection::QueueNotFound { queue },
            ("executed", "QUEUES_FULL", Action::Create { .. }) => {
                Rejection::QueuesFull { limit: 0 }
            }
            ("executed", "ITEMS_FULL", Action::Push { .. }) => Rejection::ItemsFull { limit: 0 },
            ("executed", "REQUEST_REUSED", _) => Rejection::RequestReused,
            ("executed", reason, _) => {
                return Err(format!("{} is not executed with reason {reason:?}", self.op));
            }
            (outcome, ..) => return Err(format!("no outcome {outcome:?}")),
        };
        Ok(Outcome::Executed { sequence: self.sequence()?, result: Err(rejection) })
    }
}

/// What a result says in answer to an action.
fn answer(action: Action, result: ResultRecord) -> Result<Answer, String> {
    Ok(match (action, result) {
        (Action::Create { .. }, ResultRecord::Queue { queue_id }) => Answer::Queue(queue_id),
        (Action::Id { .. }, ResultRecord::Queue { queue_id }) => {
            Answer::Label((queue_id != -1).then_some(queue_id))
        }
        (Action::Pop { .. } | Action::Top { .. }, ResultRecord::Item { item }) => {
            Answer::Item(Some(item))
        }
        (Action::Pop { .. } | Action::Top { .. }, ResultRecord::Empty { empty: true }) => {
            Answer::Item(None)
        }
        (Action::Size { .. }, ResultRecord::Size { size }) => Answer::Size(size),
        (Action::Push { .. }, ResultRecord::Done {}) => Answer::Pushed,
        (Action::Destroy { .. }, ResultRecord::Done {}) => Answer::Destroyed,
        (_, result) => return Err(format!("{} is not answered {result:?}", op_name(action))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Result<Call, String> {
        read(line.as_bytes()).map(|calls| calls[0].clone())
    }

    #[test]
    fn what_is_no_call_is_named_by_its_line() {
        let fine = r#"{"client":1,"op":"pop","arguments":{"queue_id":1},"invoked_ns":1,"returned_ns":2,"result":{"item":7},"sequence":3,"endpoint":"a"}"#;
        let outcome = one(fine).unwrap().outcome;
        assert_eq!(outcome, Outcome::Executed { sequence: 3, result: Ok(Answer::Item(Some(7))) });
        for (from, to, why) in [
            (r#""item":7"#, r#""size":7"#, "line 1: pop is not answered Size { size: 7 }"),
            (
                r#""sequence":3"#,
                r#""sequence":0"#,
                "line 1: a call that was executed has a sequence",
            ),
            (r#""returned_ns":2"#, r#""returned_ns":0"#, "line 1: returned_ns is before"),
            (r#""returned_ns":2"#, r#""returned_ns":null"#, "line 1: an answer came"),
            (r#""op":"pop""#, r#""op":"push""#, "line 1: no operation \"push\" takes"),
            (r#""result":{"item":7},"#, "", "line 1: a call has either"),
            (r#""client":1"#, r#""client":"#, "line 1: expected value"),
            (r#""client":1"#, r#""client":1,"tries":0"#, "line 1: a call has 1 to"),
        ] {
            let error = one(&fine.replace(from, to)).unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
        let error = read(format!("{fine}\n{fine}\n{{").as_bytes()).unwrap_err();
        assert!(error.starts_with("line 3: EOF"), "{error}");
    }

    #[test]
    fn tries_are_read_and_are_one_where_nothing_is_said() {
        let line = |more: &str| {
            format!(
                r#"{{"client":1,"op":"pop","arguments":{{"queue_id":1}},"invoked_ns":1,"returned_ns":2,{more}}}"#
            )
        };
        let executed = r#""result":{"item":7},"sequence":3"#;
        for (more, tries) in [
            ("", Tries::ONE),
            (r#","duplicate":true"#, Tries { count: 1, duplicate: true }),
            (r#","tries":4"#, Tries { count: 4, duplicate: false }),
            (r#","duplicate":true,"tries":2"#, Tries { count: 2, duplicate: true }),
        ] {
            assert_eq!(one(&line(&format!("{executed}{more}"))).unwrap().tries, tries);
        }
        let unknown = r#""error":{"code":"UNAVAILABLE","reason":"NO_VIEW","outcome":"unknown"},"duplicate":true"#;
        let error = one(&line(unknown)).unwrap_err();
        assert!(error.starts_with("line 1: a duplicate is the answer"), "{error}");
    }

    #[test]
    fn errors_say_what_is_known() {
        let line = |error: &str| {
            one(&format!(
                r#"{{"client":1,"op":"push","arguments":{{"queue_id":1,"item":5}},"invoked_ns":1,"returned_ns":2,"error":{error},"sequence":3,"more":"ignored"}}"#
            ))
        };
        let known = |code: &str, reason: &str, outcome: &str| {
            line(&format!(r#"{{"code":"{code}","reason":"{reason}","outcome":"{outcome}"}}"#))
        };
        let outcome = |result: Result<Call, String>| result.unwrap().outcome;
        assert_eq!(outcome(known("UNAVAILABLE", "NO_VIEW", "not_executed")), Outcome::NotExecuted);
        assert_eq!(outcome(known("DEADLINE_EXCEEDED", "NO_ANSWER", "unknown")), Outcome::Unknown);
        assert_eq!(
            outcome(known("NOT_FOUND", "QUEUE_NOT_FOUND", "executed")),
            Outcome::Executed { sequence: 3, result: Err(Rejection::QueueNotFound { queue: 1 }) }
        );
        assert_eq!(
            outcome(known("INVALID_ARGUMENT", "REQUEST_REUSED", "executed")),
            Outcome::Executed { sequence: 3, result: Err(Rejection::RequestReused) }
        );
        assert!(known("INTERNAL", "WHATEVER", "executed").is_err());
        assert!(known("INTERNAL", "WHATEVER", "perhaps").is_err());
    }
}
