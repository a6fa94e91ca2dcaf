//! What callers were told, against the order that the replicas agreed on: a sequential model replays the order, and
//! every answer must be the one that its sequence has there.

use std::collections::{BTreeMap, HashMap, VecDeque};

use ftqueue::testing::{
    Action, Answer, Body, Entry, Limits, Rejection, RequestName, decode_operations, history,
};

use super::requests::{Asked, Due, Table, is_refusal};
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

/// One place in the order.
struct Place {
    action: Action,
    name: Option<RequestName>,
    result: Result<Answer, Rejection>,
    /// What was executed elsewhere, and is only answered again here.
    repeats: Option<u64>,
}

/// Replays the order.
fn replay(entries: &[Entry], table: &mut Table) -> Vec<Place> {
    let mut model = Model::default();
    let mut places: Vec<Place> = Vec::new();
    for entry in entries {
        let Body::Message { payload, .. } = &entry.body else { continue };
        for operation in decode_operations(payload).expect("replicas write what can be read") {
            let (action, name) = (operation.action, operation.request.clone());
            let sequence = places.len() as u64 + 1;
            let due =
                name.as_ref().map_or(Due::Execute, |name| table.due(name, &operation, sequence));
            let (result, repeats) = match due {
                Due::Execute => {
                    if let Some(name) = &name {
                        table.executes(name, &operation, sequence);
                    }
                    (model.apply(action), None)
                }
                Due::Repeat(first) => (places[first as usize - 1].result, Some(first)),
                Due::Refuse(rejection) => (Err(rejection), None),
            };
            places.push(Place { action, name, result, repeats });
        }
    }
    places
}

/// The calls as a history, for the checks that users have too: all tries of a name are one call.
fn history(calls: &[Call], table: &Table) -> Vec<history::Call> {
    let mut history: Vec<history::Call> = Vec::new();
    let mut known: HashMap<Asked<'_>, usize> = HashMap::new();
    for call in calls {
        let outcome = match &call.outcome {
            Outcome::Executed(executed)
                if matches!(executed.result, Err(Rejection::RequestForgotten { .. })) =>
            {
                history::Outcome::Unknown
            }
            Outcome::Executed(executed) => {
                history::Outcome::Executed { sequence: executed.sequence, result: executed.result }
            }
            Outcome::NotExecuted => history::Outcome::NotExecuted,
            Outcome::Unknown => history::Outcome::Unknown,
        };
        let duplicate = matches!(&call.outcome, Outcome::Executed(executed) if executed.duplicate);
        let tries = history::Tries { count: 1, duplicate };
        let (action, invoked, returned) = (call.action, call.invoked, Some(call.returned));
        let this = history::Call { action, invoked, returned, outcome, tries };
        match &call.name {
            Some(name) if !table.begun_again(name) => {
                let key = (&*name.client, name.number, call.action);
                match known.get(&key) {
                    Some(index) => {
                        let before: &mut history::Call = &mut history[*index];
                        take_together(before, this);
                    }
                    None => {
                        known.insert(key, history.len());
                        history.push(this);
                    }
                }
            }
            _ => history.push(this),
        }
    }
    history
}

/// Two tries of a name as one call.
fn take_together(one: &mut history::Call, other: history::Call) {
    use history::Outcome::{Executed, NotExecuted, Unknown};
    match (one.outcome, other.outcome) {
        (_, NotExecuted) => {}
        (NotExecuted, _) => *one = other,
        (before, now) => {
            one.invoked = one.invoked.min(other.invoked);
            one.tries.count += other.tries.count;
            match (before, now) {
                (Executed { .. }, Executed { .. }) => {
                    one.tries.duplicate &= other.tries.duplicate;
                    one.returned = one.returned.min(other.returned);
                }
                (Unknown, Executed { .. }) => {
                    one.tries.duplicate = other.tries.duplicate;
                    (one.outcome, one.returned) = (now, other.returned);
                }
                _ => {}
            }
        }
    }
}

/// Checks all calls of a run; `entries` is the agreed order. Gives how often rare things happened.
pub(crate) fn check_answers(
    calls: &[Call],
    entries: &[Entry],
    limits: Limits,
) -> BTreeMap<&'static str, u64> {
    let mut table = Table::new(limits);
    let places = replay(entries, &mut table);
    let mut named: HashMap<Asked<'_>, usize> = HashMap::new();
    // How often each answer may be repeated.
    let mut repeats: BTreeMap<u64, usize> = BTreeMap::new();
    for place in &places {
        if let Some(name) = &place.name {
            *named.entry((&*name.client, name.number, place.action)).or_default() += 1;
        }
        if let Some(first) = place.repeats {
            *repeats.entry(first).or_default() += 1;
        }
    }
    let mut answered = BTreeMap::new();
    for call in calls {
        let Outcome::Executed(executed) = &call.outcome else {
            continue;
        };
        let sequence = executed.sequence;
        let place = &places[sequence as usize - 1];
        assert_eq!(call.action, place.action, "sequence {sequence} answers another operation");
        assert_eq!(call.name, place.name, "sequence {sequence} answers another request");
        assert_eq!(executed.result, place.result, "sequence {sequence}: {:?}", call.action);
        assert_eq!(place.repeats, None, "sequence {sequence} is not that of an execution");
        if executed.duplicate {
            let left = repeats.get_mut(&sequence).expect("what is repeated is in the order twice");
            *left = left.checked_sub(1).expect("each repeated answer has a place of its own");
        } else {
            let known = answered.insert(sequence, call);
            assert!(known.is_none(), "sequence {sequence} is answered twice");
        }
    }
    let mut latest_invocation = 0;
    for (sequence, call) in &answered {
        latest_invocation = latest_invocation.max(call.invoked);
        assert!(
            call.returned >= latest_invocation,
            "sequence {sequence} was answered before an earlier one was asked"
        );
    }
    table.check(calls, &named);
    let history = history(calls, &table);
    for findings in [history::witness(&history, false), history::patterns(&history)] {
        let told: Vec<_> = findings.each().collect();
        assert!(findings.is_empty(), "the history: {findings}: {told:#?}");
    }
    check_pushes(calls, &places, &table);
    table.seen
}

/// Distinct items: each that was answered is pushed once, however often it was asked, and what was refused leaves no
/// trace.
fn check_pushes(calls: &[Call], places: &[Place], table: &Table) {
    let mut pushed: BTreeMap<i64, usize> = BTreeMap::new();
    for place in places {
        if let Action::Push { item, .. } = place.action
            && place.repeats.is_none()
            && !is_refusal(place.result)
        {
            *pushed.entry(item).or_default() += 1;
        }
    }
    // How often at least and at most, by all that was told of each.
    let mut told: BTreeMap<i64, (usize, usize)> = BTreeMap::new();
    for call in calls {
        let Action::Push { item, .. } = call.action else {
            continue;
        };
        if call.name.as_ref().is_some_and(|name| table.begun_again(name)) {
            continue;
        }
        let (least, most) = told.entry(item).or_default();
        match &call.outcome {
            Outcome::Executed(executed) if !is_refusal(executed.result) => (*least, *most) = (1, 1),
            Outcome::Unknown => *most = 1,
            _ => {}
        }
    }
    for (item, (least, most)) in told {
        let times = pushed.get(&item).copied().unwrap_or(0);
        assert!(
            (least..=most).contains(&times),
            "item {item} is pushed {times} times, and the callers were told of {least} to {most}"
        );
    }
}
