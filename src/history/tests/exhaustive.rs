//! Tries every order of a small history's calls, against the simplest model.

use std::collections::{BTreeMap, HashSet, VecDeque};

use crate::history::{Call, Outcome};
use crate::queue::{Action, Answer, Rejection};

/// Whether the sequences must be right too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trust {
    Sequences,
    Nothing,
}

/// The seven operations, in the simplest way.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Model {
    labels: BTreeMap<i64, i64>,
    queues: BTreeMap<i64, VecDeque<i64>>,
    last_id: i64,
}

impl Model {
    /// With one queue, 1, labelled 1.
    pub(super) fn with_a_queue() -> Self {
        let mut model = Self::default();
        model.apply(Action::Create { label: 1 }).ok();
        model
    }

    fn items(&mut self, queue: i64) -> Result<&mut VecDeque<i64>, Rejection> {
        self.queues.get_mut(&queue).ok_or(Rejection::QueueNotFound { queue })
    }

    pub(super) fn apply(&mut self, action: Action) -> Result<Answer, Rejection> {
        Ok(match action {
            Action::Create { label } => {
                Answer::Queue(*self.labels.entry(label).or_insert_with(|| {
                    self.last_id += 1;
                    self.queues.insert(self.last_id, VecDeque::new());
                    self.last_id
                }))
            }
            Action::Id { label } => Answer::Label(self.labels.get(&label).copied()),
            Action::Push { queue, item } => {
                self.items(queue)?.push_back(item);
                Answer::Pushed
            }
            Action::Pop { queue } => Answer::Item(self.items(queue)?.pop_front()),
            Action::Top { queue } => Answer::Item(self.items(queue)?.front().copied()),
            Action::Size { queue } => Answer::Size(self.items(queue)?.len() as u64),
            Action::Destroy { queue } => {
                self.items(queue)?;
                self.queues.remove(&queue);
                self.labels.retain(|_, id| *id != queue);
                Answer::Destroyed
            }
        })
    }
}

/// Whether some order of the calls, and some choice of which of unknown outcome were executed, explains all answers.
pub(super) fn is_possible(calls: &[Call], trust: Trust, before: Model) -> bool {
    // The order begins with the first sequence that is known: what may stand before it, no answer depends on.
    let sequences = calls.iter().filter_map(|call| match call.outcome {
        Outcome::Executed { sequence, .. } => Some(sequence),
        _ => None,
    });
    let start = sequences.min().unwrap_or(1);
    Search { calls, trust, seen: HashSet::new() }.from(0, start, before)
}

/// Rejections say no more than that there is no such queue.
fn agree(one: Result<Answer, Rejection>, other: Result<Answer, Rejection>) -> bool {
    one == other || (one.is_err() && other.is_err())
}

struct Search<'a> {
    calls: &'a [Call],
    trust: Trust,
    seen: HashSet<(u32, Model)>,
}

impl Search<'_> {
    /// Whether the calls that are not in `done` can follow, from the model's state.
    fn from(&mut self, done: u32, sequence: u64, model: Model) -> bool {
        let open = |index: usize| done & (1 << index) == 0;
        let must = |call: &Call| matches!(call.outcome, Outcome::Executed { .. });
        let left = |(index, call): &(usize, &Call)| open(*index) && must(call);
        if !self.calls.iter().enumerate().any(|each| left(&each)) {
            return true;
        }
        if !self.seen.insert((done, model.clone())) {
            return false;
        }
        // Whatever is next began before any call that is left had ended.
        let ended = self.calls.iter().enumerate().filter(left).map(|(_, call)| call.ended()).min();
        for (index, call) in self.calls.iter().enumerate() {
            if !open(index) || call.invoked > ended.expect("some are left") {
                continue;
            }
            let mut next = model.clone();
            let fits = match call.outcome {
                Outcome::NotExecuted => false,
                Outcome::Unknown => {
                    // Whatever it was answered, nobody saw.
                    next.apply(call.action).ok();
                    true
                }
                Outcome::Executed { sequence: said, result } => {
                    (self.trust == Trust::Nothing || said == sequence)
                        && agree(next.apply(call.action), result)
                }
            };
            if fits && self.from(done | 1 << index, sequence + 1, next) {
                return true;
            }
        }
        false
    }
}
