//! What callers were told, against the order that the replicas agreed on: a sequential model replays the order, and
//! every answer must be the one that its sequence has there.

use std::collections::{BTreeMap, VecDeque};

use ftqueue::testing::{Action, Answer, Body, Entry, Rejection, decode_operations, history};

use crate::workload::{Call, Outcome};

/// The seven operations, written again in the simplest way.
#[derive(Default)]
struct Model {
    labels: BTreeMap<i64, i64>,
    queues: BTreeMap<i64, VecDeque<i64>>,
    last_id: i64,
}

impl Model {
    fn apply(&mut self, action: Action) -> Result<Answer, Rejection> {
        let (Action::Create { .. } | Action::Id { .. }) = action else {
            let (Action::Destroy { queue }
            | Action::Push { queue, .. }
            | Action::Pop { queue }
            | Action::Top { queue }
            | Action::Size { queue }) = action
            else {
                unreachable!()
            };
            let items = self.queues.get_mut(&queue).ok_or(Rejection::QueueNotFound { queue })?;
            return Ok(match action {
                Action::Push { item, .. } => {
                    items.push_back(item);
                    Answer::Pushed
                }
                Action::Pop { .. } => Answer::Item(items.pop_front()),
                Action::Top { .. } => Answer::Item(items.front().copied()),
                Action::Size { .. } => Answer::Size(items.len() as u64),
                _ => {
                    self.queues.remove(&queue);
                    self.labels.retain(|_, id| *id != queue);
                    Answer::Destroyed
                }
            });
        };
        Ok(match action {
            Action::Id { label } => Answer::Label(self.labels.get(&label).copied()),
            Action::Create { label } => {
                let fresh = self.last_id + 1;
                let id = *self.labels.entry(label).or_insert(fresh);
                if id == fresh {
                    self.last_id = fresh;
                    self.queues.insert(id, VecDeque::new());
                }
                Answer::Queue(id)
            }
            _ => unreachable!(),
        })
    }
}

/// Calls that carry names, call `i` number `i + 1`: each is in the order at most once, at the sequence it was told, and
/// not at all if it was told that it was not executed.
fn check_names(calls: &[Call], named: &[Option<u64>]) {
    let mut sequences = BTreeMap::new();
    for (sequence, number) in (1..).zip(named) {
        let Some(number) = number else {
            continue;
        };
        let before = sequences.insert(*number, sequence);
        assert_eq!(before, None, "call {number} is executed again at {sequence}");
    }
    if sequences.is_empty() {
        return;
    }
    for (number, call) in (1..).zip(calls) {
        let sequence = sequences.get(&number);
        match &call.outcome {
            Outcome::Executed(executed) => {
                assert_eq!(sequence, Some(&executed.sequence), "call {number}'s sequence");
            }
            Outcome::NotExecuted => {
                assert_eq!(sequence, None, "call {number} was refused, and is executed");
            }
            Outcome::Unknown => {}
        }
    }
}

/// The calls as a history, for the checks that users have too.
fn history(calls: &[Call]) -> Vec<history::Call> {
    let outcome = |call: &Call| match &call.outcome {
        Outcome::Executed(executed) => {
            history::Outcome::Executed { sequence: executed.sequence, result: executed.result }
        }
        Outcome::NotExecuted => history::Outcome::NotExecuted,
        Outcome::Unknown => history::Outcome::Unknown,
    };
    calls
        .iter()
        .map(|call| history::Call {
            action: call.action,
            invoked: call.invoked,
            returned: Some(call.returned),
            outcome: outcome(call),
        })
        .collect()
}

/// Checks all calls of a run; `entries` is the agreed order.
pub(crate) fn check_answers(calls: &[Call], entries: &[Entry]) {
    let history = history(calls);
    for findings in [history::witness(&history, false), history::patterns(&history)] {
        let told: Vec<_> = findings.each().collect();
        assert!(findings.is_empty(), "the history: {findings}: {told:#?}");
    }
    let mut model = Model::default();
    let mut expected = Vec::new();
    let mut named = Vec::new();
    for entry in entries {
        let Body::Message { payload, .. } = &entry.body else { continue };
        for operation in decode_operations(payload).expect("replicas write what can be read") {
            expected.push((operation.action, model.apply(operation.action)));
            named.push(operation.request.map(|request| request.number));
        }
    }
    check_names(calls, &named);
    let mut answered = BTreeMap::new();
    for call in calls {
        let Outcome::Executed(executed) = &call.outcome else {
            continue;
        };
        let known = answered.insert(executed.sequence, call);
        assert!(known.is_none(), "sequence {} is answered twice", executed.sequence);
        let (action, result) = expected[executed.sequence as usize - 1];
        assert_eq!(call.action, action, "sequence {} answers another operation", executed.sequence);
        assert_eq!(executed.result, result, "sequence {}: {action:?}", executed.sequence);
    }
    let mut latest_invocation = 0;
    for (sequence, call) in &answered {
        latest_invocation = latest_invocation.max(call.invoked);
        assert!(
            call.returned >= latest_invocation,
            "sequence {sequence} was answered before an earlier one was asked"
        );
    }
    // Distinct items: each that was executed is pushed once, and a definite refusal leaves no trace.
    let mut pushed: BTreeMap<i64, usize> = BTreeMap::new();
    for (action, _) in &expected {
        if let Action::Push { item, .. } = action {
            *pushed.entry(*item).or_default() += 1;
        }
    }
    for call in calls {
        let Action::Push { item, .. } = call.action else {
            continue;
        };
        let times = pushed.get(&item).copied().unwrap_or(0);
        match &call.outcome {
            Outcome::Executed(_) => assert_eq!(times, 1, "the answered push of {item}"),
            Outcome::NotExecuted => assert_eq!(times, 0, "the refused push of {item}"),
            Outcome::Unknown => assert!(times <= 1, "the push of {item}"),
        }
    }
}
