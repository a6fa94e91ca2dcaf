//! The witness check: each answer says at which place in the order of all operations it was given, so the order is there
//! to be tried. The calls are replayed in it against a sequential model; every answer must be the model's, and the
//! order must not contradict real time. If all of that holds the history is linearizable, and the order proves it.
//!
//! A call of unknown outcome may stand at any place that no other call has. Every conclusion drawn from that is one that
//! holds whichever of them stands where, so a correct history never gives a finding; of a wrong one that has calls of
//! unknown outcome, not everything may be found. Queues and labels that such a call may have made or destroyed are left
//! out, and counted.

mod gaps;
mod open;
mod queue;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use self::gaps::Gaps;
use self::open::Open;
use self::queue::Replayed;
use super::tries::Tried;
use super::{Call, Class, Findings, Outcome};
use crate::queue::{Action, Answer, QueueId, Rejection};

/// Checks a history that has all calls since the first of its sequences; with `partial`, some may be missing, and only
/// what holds in spite of that is checked: sequences and real time.
pub fn witness(calls: &[Call], partial: bool) -> Findings {
    let tried = Tried::of(calls);
    let mut findings = check(&tried.calls, &tried.idle, partial);
    tried.name(&mut findings);
    findings
}

/// `idle`: when tries began that may have places at which nothing happened.
fn check(calls: &[Call], idle: &[u64], partial: bool) -> Findings {
    let mut order: Vec<(u64, usize)> = calls
        .iter()
        .enumerate()
        .filter_map(|(index, call)| match call.outcome {
            Outcome::Executed { sequence, .. } => Some((sequence, index)),
            _ => None,
        })
        .collect();
    order.sort_unstable();
    let mut findings = Findings::default();
    for pair in order.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        let what = format!("two calls have sequence {}", pair[0].0);
        findings.add(Class::Duplicated, vec![pair[0].1, pair[1].1], what);
    }
    order.dedup_by_key(|(sequence, _)| *sequence);
    check_real_time(calls, &order, &mut findings);
    if !partial {
        match Gaps::new(calls, idle, &order) {
            Ok(gaps) => Replay::new(calls, &order, gaps, &mut findings).run(&order),
            Err(what) => findings.add(Class::Unexpected, Vec::new(), what),
        }
    }
    findings
}

/// No call had ended before one began that comes earlier in the order.
fn check_real_time(calls: &[Call], order: &[(u64, usize)], findings: &mut Findings) {
    let mut latest: Option<usize> = None;
    for (_, index) in order {
        if let Some(latest) = latest
            && calls[*index].ended() < calls[latest].invoked
        {
            let reads = matches!(calls[latest].action, Action::Top { .. } | Action::Size { .. });
            let class = if reads { Class::Stale } else { Class::Reordered };
            let what = "a call began after another had ended, and is ordered before it".to_owned();
            findings.add(class, vec![*index, latest], what);
        }
        if latest.is_none_or(|latest| calls[latest].invoked < calls[*index].invoked) {
            latest = Some(*index);
        }
    }
}

/// The model's state, and what is open.
struct Replay<'a> {
    calls: &'a [Call],
    findings: &'a mut Findings,
    gaps: Gaps,
    open: Open,
    labels: BTreeMap<i64, QueueId>,
    queues: BTreeMap<QueueId, Replayed>,
    /// Every queue id there was, with its label.
    made: BTreeMap<QueueId, i64>,
    /// The history begins with the first operation of all, so every queue is known.
    from_start: bool,
    /// Items that somebody asked to push, by queue: whether the push was refused.
    refused: HashMap<(QueueId, i64), usize>,
    /// Pops that took an item.
    taken: HashMap<(QueueId, i64), usize>,
    destroyed: BTreeSet<QueueId>,
}

impl<'a> Replay<'a> {
    fn new(
        calls: &'a [Call],
        order: &[(u64, usize)],
        gaps: Gaps,
        findings: &'a mut Findings,
    ) -> Self {
        let refused = calls.iter().enumerate().filter_map(|(index, call)| match call.action {
            Action::Push { queue, item } if call.outcome == Outcome::NotExecuted => {
                Some(((queue, item), index))
            }
            _ => None,
        });
        Self {
            calls,
            gaps,
            open: Open::new(calls),
            labels: BTreeMap::new(),
            queues: BTreeMap::new(),
            made: BTreeMap::new(),
            from_start: order.first().is_none_or(|(first, _)| *first == 1),
            refused: refused.collect(),
            taken: HashMap::new(),
            destroyed: BTreeSet::new(),
            findings,
        }
    }

    fn run(mut self, order: &[(u64, usize)]) {
        for (sequence, index) in order {
            let call = &self.calls[*index];
            let Outcome::Executed { result, .. } = call.outcome else {
                unreachable!("the order has executed calls only");
            };
            if result != Err(Rejection::RequestReused)
                && self.open.leaves_open(call.action, result.ok())
            {
                self.findings.unchecked += 1;
                continue;
            }
            match (call.action, result) {
                (Action::Create { label }, Ok(Answer::Queue(id))) => self.create(*index, label, id),
                (Action::Id { label }, Ok(Answer::Label(id))) => self.id(*index, label, id),
                // How full the service is cannot be told from a history.
                (_, Err(Rejection::QueuesFull { .. } | Rejection::ItemsFull { .. })) => {}
                // Which name a call had cannot, either.
                (_, Err(Rejection::RequestReused)) => {}
                (
                    Action::Destroy { queue }
                    | Action::Push { queue, .. }
                    | Action::Pop { queue }
                    | Action::Top { queue }
                    | Action::Size { queue },
                    result,
                ) => self.on_queue(*sequence, *index, queue, result.ok()),
                _ => self.unexpected(*index, "the answer is one of another operation"),
            }
        }
        for queue in self.queues.values() {
            queue.report_passed_over(self.findings);
        }
    }

    fn unexpected(&mut self, index: usize, what: &str) {
        self.findings.add(Class::Unexpected, vec![index], what.to_owned());
    }

    fn create(&mut self, index: usize, label: i64, id: QueueId) {
        match self.labels.get(&label) {
            Some(known) if *known == id => {}
            Some(_) => self.unexpected(index, "the label has another queue"),
            None => {
                let last = self.made.last_key_value().map_or(0, |(last, _)| *last);
                let exact = self.from_start && !self.open.leaves_queues_open();
                // A queue that was there before the history began may have any id.
                let fresh = if exact { id == last + 1 } else { id > 0 };
                if !fresh || self.made.contains_key(&id) {
                    return self.unexpected(index, "a new queue has no such id");
                }
                self.labels.insert(label, id);
                self.made.insert(id, label);
                self.queues.insert(id, Replayed::default());
            }
        }
    }

    fn id(&mut self, index: usize, label: i64, id: Option<QueueId>) {
        match (self.labels.get(&label), id) {
            (known, answered) if known.copied() == answered => {}
            (None, Some(id)) if !self.from_start && !self.made.contains_key(&id) => {}
            (Some(_), None) | (None, Some(_)) => {
                let what = "the label's queue is said of another time".to_owned();
                self.findings.add(Class::Stale, vec![index], what);
            }
            _ => self.unexpected(index, "the label has another queue"),
        }
    }

    /// A call names a queue; no answer means that it was rejected because there is none.
    fn on_queue(&mut self, sequence: u64, index: usize, id: QueueId, answer: Option<Answer>) {
        let Some(queue) = self.queues.get_mut(&id) else {
            let may_be_there = !self.destroyed.contains(&id)
                && (!self.from_start || self.open.leaves_queues_open());
            match answer {
                None => {}
                Some(_) if may_be_there => self.findings.unchecked += 1,
                Some(_) => self.unexpected(index, "the queue is not there"),
            }
            return;
        };
        let Some(answer) = answer else {
            return self.unexpected(index, "the queue is there");
        };
        let call = &self.calls[index];
        let mut at = queue::At {
            findings: self.findings,
            gaps: &mut self.gaps,
            open: &mut self.open,
            refused: &self.refused,
            taken: &mut self.taken,
            queue: id,
            sequence,
            index,
        };
        match (call.action, answer) {
            (Action::Push { item, .. }, _) => queue.push(item, sequence, index),
            (Action::Pop { .. }, Answer::Item(Some(item))) => queue.pop(&mut at, item),
            (Action::Top { .. }, Answer::Item(Some(item))) => {
                queue.bring_to_front(&mut at, item);
            }
            (Action::Pop { .. } | Action::Top { .. }, Answer::Item(None)) => queue.empty(&mut at),
            (Action::Size { .. }, Answer::Size(size)) => queue.size(&mut at, size),
            (Action::Destroy { .. }, _) => {
                queue.report_passed_over(self.findings);
                self.queues.remove(&id);
                self.destroyed.insert(id);
                if let Some(label) = self.made.get(&id) {
                    self.labels.remove(label);
                }
            }
            _ => self.unexpected(index, "the answer is one of another operation"),
        }
    }
}
