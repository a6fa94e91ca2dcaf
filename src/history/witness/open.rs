//! What the calls of unknown outcome leave open.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::history::Call;
use crate::queue::{Action, Answer, QueueId};

/// What may have been done and is not known to be.
#[derive(Default)]
pub(super) struct Open {
    /// Pushes, by queue and item: when each began.
    pushes: HashMap<(QueueId, i64), Vec<u64>>,
    pushes_of: BTreeMap<QueueId, usize>,
    /// How many pops, by queue, and when the first began.
    pops: BTreeMap<QueueId, (usize, u64)>,
    /// Labels and queues that may have been made or destroyed: what they had to be answered is not known.
    labels: BTreeSet<i64>,
    queues: BTreeSet<QueueId>,
}

impl Open {
    pub(super) fn new(calls: &[Call]) -> Self {
        let mut open = Self::default();
        for call in calls.iter().filter(|call| call.is_unknown()) {
            match call.action {
                Action::Create { label } => {
                    open.labels.insert(label);
                }
                Action::Destroy { queue } => {
                    open.queues.insert(queue);
                }
                Action::Push { queue, item } => {
                    open.pushes.entry((queue, item)).or_default().push(call.invoked);
                    *open.pushes_of.entry(queue).or_default() += 1;
                }
                Action::Pop { queue } => {
                    let pops = open.pops.entry(queue).or_insert((0, u64::MAX));
                    *pops = (pops.0 + 1, pops.1.min(call.invoked));
                }
                Action::Id { .. } | Action::Top { .. } | Action::Size { .. } => {}
            }
        }
        open.leave_repeated_items_open(calls);
        open.spread_between_labels_and_queues(calls);
        open
    }

    /// A queue whose label is open is open, and a label whose queue is.
    fn spread_between_labels_and_queues(&mut self, calls: &[Call]) {
        let named = |call: &Call| match (call.action, call.answer()?) {
            (Action::Create { label }, Answer::Queue(id))
            | (Action::Id { label }, Answer::Label(Some(id))) => Some((label, id)),
            _ => None,
        };
        let names: BTreeSet<(i64, QueueId)> = calls.iter().filter_map(named).collect();
        loop {
            let before = (self.labels.len(), self.queues.len());
            for (label, id) in &names {
                if self.labels.contains(label) {
                    self.queues.insert(*id);
                }
                if self.queues.contains(id) {
                    self.labels.insert(*label);
                }
            }
            if before == (self.labels.len(), self.queues.len()) {
                return;
            }
        }
    }

    /// Where an item is pushed twice and a call's outcome is not known, it is not clear which of the two came.
    fn leave_repeated_items_open(&mut self, calls: &[Call]) {
        let mut pushed = BTreeSet::new();
        for call in calls {
            if let Action::Push { queue, item } = call.action
                && (self.pushes_of.contains_key(&queue) || self.pops.contains_key(&queue))
                && !pushed.insert((queue, item))
            {
                self.queues.insert(queue);
            }
        }
    }

    /// Whether calls of unknown outcome leave open what a call had to be answered, wherever they stand.
    pub(super) fn leaves_open(&self, action: Action, answer: Option<Answer>) -> bool {
        match (action, answer) {
            (Action::Create { label }, Some(Answer::Queue(id)))
            | (Action::Id { label }, Some(Answer::Label(Some(id)))) => {
                self.labels.contains(&label) || self.queues.contains(&id)
            }
            (Action::Create { label } | Action::Id { label }, _) => self.labels.contains(&label),
            (
                Action::Destroy { queue }
                | Action::Push { queue, .. }
                | Action::Pop { queue }
                | Action::Top { queue }
                | Action::Size { queue },
                _,
            ) => self.queues.contains(&queue),
        }
    }

    /// Whether it is open which queues there are.
    pub(super) fn leaves_queues_open(&self) -> bool {
        !self.labels.is_empty() || !self.queues.is_empty()
    }

    /// When the push of this item began, if one is open.
    pub(super) fn push_of(&self, queue: QueueId, item: i64) -> Option<u64> {
        self.pushes.get(&(queue, item))?.iter().min().copied()
    }

    /// The push of this item was executed.
    pub(super) fn settle_push(&mut self, queue: QueueId, item: i64) {
        self.pushes.remove(&(queue, item));
        if let Some(count) = self.pushes_of.get_mut(&queue) {
            *count -= 1;
        }
    }

    /// How many pushes are open.
    pub(super) fn pushes(&self, queue: QueueId) -> usize {
        self.pushes_of.get(&queue).copied().unwrap_or(0)
    }

    /// How many pops are open, and when the first of them began.
    pub(super) fn pops(&self, queue: QueueId) -> (usize, u64) {
        self.pops.get(&queue).copied().unwrap_or((0, u64::MAX))
    }

    /// One of the pops was executed.
    pub(super) fn settle_pop(&mut self, queue: QueueId) {
        if let Some(pops) = self.pops.get_mut(&queue) {
            pops.0 -= 1;
        }
    }
}
