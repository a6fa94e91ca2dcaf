//! One queue of the model, and what its answers say about calls of unknown outcome.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::gaps::Gaps;
use super::open::Open;
use crate::history::{Class, Findings};
use crate::queue::QueueId;

/// An item in the queue: where in the order it was pushed, and by which call, where that is known.
#[derive(Clone, Copy)]
struct Held {
    item: i64,
    pushed: u64,
    push: Option<usize>,
}

/// An item that had to be taken before, and nothing is known to have taken it.
struct PassedOver {
    held: Held,
    by: usize,
    /// By an answer that the queue was empty.
    empty: bool,
}

/// The replay so far.
#[derive(Default)]
pub(super) struct Replayed {
    items: VecDeque<Held>,
    /// How often each item is among them: most that are not at the head are not there at all.
    counts: HashMap<i64, usize>,
    passed_over: HashMap<i64, PassedOver>,
    /// Where in the order the last item that was taken had been pushed.
    last_taken: u64,
}

/// The call that is replayed, and all that it may change.
pub(super) struct At<'a> {
    pub(super) findings: &'a mut Findings,
    pub(super) gaps: &'a mut Gaps,
    pub(super) open: &'a mut Open,
    pub(super) refused: &'a HashMap<(QueueId, i64), usize>,
    pub(super) taken: &'a mut HashMap<(QueueId, i64), usize>,
    pub(super) queue: QueueId,
    pub(super) sequence: u64,
    pub(super) index: usize,
}

impl At<'_> {
    fn found(&mut self, class: Class, others: &[Option<usize>], what: &str) {
        let others = others.iter().copied().flatten();
        let calls = others.chain([self.index]).collect();
        self.findings.add(class, calls, what.to_owned());
    }

    /// Whether an open pop can have taken an item that was pushed at `pushed`; if so it is taken to have done so.
    fn popped_by_unknown(&mut self, pushed: u64) -> bool {
        let (count, began) = self.open.pops(self.queue);
        let may = count > 0
            && self.gaps.free_before(self.sequence) > 0
            && self.gaps.between(pushed, self.sequence, began).is_some();
        if may {
            self.open.settle_pop(self.queue);
            self.gaps.take();
        }
        may
    }
}

impl Replayed {
    pub(super) fn push(&mut self, item: i64, sequence: u64, index: usize) {
        self.items.push_back(Held { item, pushed: sequence, push: Some(index) });
        self.count(item);
    }

    fn count(&mut self, item: i64) {
        *self.counts.entry(item).or_default() += 1;
    }

    /// An item was popped.
    pub(super) fn pop(&mut self, at: &mut At<'_>, item: i64) {
        if self.bring_to_front(at, item) {
            let held = self.items.pop_front().expect("it was brought to the front");
            uncount(&mut self.counts, item);
            self.last_taken = self.last_taken.max(held.pushed);
            at.taken.insert((at.queue, item), at.index);
        }
    }

    /// An item was seen at the head. If it can have been there it is there now; if not, says what is wrong.
    pub(super) fn bring_to_front(&mut self, at: &mut At<'_>, item: i64) -> bool {
        if self.items.front().is_some_and(|held| held.item == item) {
            return true;
        }
        if self.counts.contains_key(&item) {
            let place = self.items.iter().position(|held| held.item == item);
            self.pass_over(at, place.expect("it is counted"), false);
            return true;
        }
        if let Some(began) = at.open.push_of(at.queue, item) {
            return match at.gaps.between(self.last_taken, at.sequence, began) {
                Some(pushed) if at.gaps.free_before(at.sequence) > 0 => {
                    // Wherever it was pushed, what was pushed before the first place that it can have had is gone.
                    self.pass_over(
                        at,
                        self.items.partition_point(|held| held.pushed < pushed),
                        false,
                    );
                    at.open.settle_push(at.queue, item);
                    at.gaps.take();
                    self.items.push_front(Held { item, pushed, push: None });
                    self.count(item);
                    true
                }
                _ => {
                    at.found(Class::Reordered, &[], "the item cannot have been at the head then");
                    false
                }
            };
        }
        if let Some(over) = self.passed_over.remove(&item) {
            let (class, what) = if over.empty {
                (Class::Stale, "the queue was said to be empty before this item of it came")
            } else {
                (Class::Reordered, "an item came after one that was pushed later")
            };
            at.found(class, &[over.held.push, Some(over.by)], what);
        } else if let Some(pop) = at.taken.get(&(at.queue, item)).copied() {
            at.found(
                Class::Duplicated,
                &[Some(pop)],
                "an item came again after it had been popped",
            );
        } else if let Some(push) = at.refused.get(&(at.queue, item)).copied() {
            let what = "an item came whose push was said not to be executed";
            at.found(Class::Unexpected, &[Some(push)], what);
        } else {
            at.found(Class::Unexpected, &[], "an item came that had not been pushed");
        }
        false
    }

    /// The first `count` items must have been taken.
    fn pass_over(&mut self, at: &mut At<'_>, count: usize, empty: bool) {
        for held in self.items.drain(..count) {
            uncount(&mut self.counts, held.item);
            self.last_taken = self.last_taken.max(held.pushed);
            if !at.popped_by_unknown(held.pushed) {
                self.passed_over.insert(held.item, PassedOver { held, by: at.index, empty });
            }
        }
    }

    /// The queue was said to be empty.
    pub(super) fn empty(&mut self, at: &mut At<'_>) {
        self.pass_over(at, self.items.len(), true);
    }

    /// The queue was said to hold so many.
    pub(super) fn size(&mut self, at: &mut At<'_>, size: u64) {
        let free = at.gaps.free_before(at.sequence);
        let (popped, pushed) =
            (at.open.pops(at.queue).0.min(free), at.open.pushes(at.queue).min(free));
        let held = self.items.len();
        let possible = held.saturating_sub(popped) as u64..=(held + pushed) as u64;
        if !possible.contains(&size) {
            let what = format!("the size is said to be {size}, and is {held}");
            at.found(Class::Stale, &[], &what);
        }
    }

    /// What was passed over and never came is lost.
    pub(super) fn report_passed_over(&self, findings: &mut Findings) {
        let mut lost: Vec<&PassedOver> = self.passed_over.values().collect();
        lost.sort_unstable_by_key(|over| over.held.pushed);
        for over in lost {
            let calls = over.held.push.into_iter().chain([over.by]).collect();
            let what = format!("item {} was passed over and never came", over.held.item);
            findings.add(Class::Lost, calls, what);
        }
    }
}

fn uncount(counts: &mut HashMap<i64, usize>, item: i64) {
    if let Entry::Occupied(mut count) = counts.entry(item) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}
