//! The pattern check: what no order of the calls can explain, whatever their sequences say.
//!
//! A history of pushes and pops of distinct items is linearizable exactly if none of four patterns is in it (Henzinger,
//! Sezgin, Vafeiadis: Aspect-Oriented Linearizability Proofs, CONCUR 2013): an item that came from nowhere; one that
//! came twice; two that came in the wrong order; an empty queue that cannot have been empty. Each queue is looked at by
//! itself. Calls of unknown outcome explain as much as they might. `top` is judged by the first pattern and by whether
//! its item was gone; `size` is not.

use std::collections::BTreeMap;

use super::tries::Tried;
use super::{Call, Class, Findings};
use crate::queue::{Action, Answer, QueueId};

/// An item of one queue.
struct Item {
    push: usize,
    pops: Vec<usize>,
}

/// One queue's calls, as indices into the history.
struct Queue {
    items: BTreeMap<i64, Item>,
    /// An item is pushed twice: nothing can be said.
    repeated: bool,
    pops: Vec<(usize, i64)>,
    tops: Vec<(usize, i64)>,
    empties: Vec<usize>,
    unknown_pops: usize,
    /// When items may begin to be gone without a pop that is known to have taken them.
    gone_from: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            items: BTreeMap::new(),
            repeated: false,
            pops: Vec::new(),
            tops: Vec::new(),
            empties: Vec::new(),
            unknown_pops: 0,
            gone_from: u64::MAX,
        }
    }
}

/// Checks a history that has all calls of its queues, from each queue's making on.
pub fn patterns(calls: &[Call]) -> Findings {
    let tried = Tried::of(calls);
    let mut findings = check(&tried.calls);
    tried.name(&mut findings);
    findings
}

fn check(calls: &[Call]) -> Findings {
    let mut findings = Findings::default();
    for queue in queues(calls).into_values() {
        if queue.repeated {
            findings.unchecked += queue.pops.len() + queue.tops.len() + queue.empties.len();
            continue;
        }
        let check = Check { calls, queue: &queue };
        check.sources(&mut findings);
        check.repeats(&mut findings);
        check.order(&mut findings);
        check.emptiness(&mut findings);
    }
    findings
}

fn queues(calls: &[Call]) -> BTreeMap<QueueId, Queue> {
    let mut queues: BTreeMap<QueueId, Queue> = BTreeMap::new();
    for (index, call) in calls.iter().enumerate() {
        let may_be_executed = call.is_unknown() || call.answer().is_some();
        match (call.action, call.answer()) {
            (Action::Push { queue, item }, _) if may_be_executed => {
                let queue = queues.entry(queue).or_default();
                let before = queue.items.insert(item, Item { push: index, pops: Vec::new() });
                queue.repeated |= before.is_some();
            }
            (Action::Pop { queue }, Some(Answer::Item(Some(item)))) => {
                queues.entry(queue).or_default().pops.push((index, item));
            }
            (Action::Top { queue }, Some(Answer::Item(Some(item)))) => {
                queues.entry(queue).or_default().tops.push((index, item));
            }
            (Action::Pop { queue } | Action::Top { queue }, Some(Answer::Item(None))) => {
                queues.entry(queue).or_default().empties.push(index);
            }
            (Action::Pop { queue }, _) if call.is_unknown() => {
                let queue = queues.entry(queue).or_default();
                queue.unknown_pops += 1;
                queue.gone_from = queue.gone_from.min(call.invoked);
            }
            (Action::Destroy { queue }, _) if may_be_executed => {
                let queue = queues.entry(queue).or_default();
                queue.gone_from = queue.gone_from.min(call.invoked);
            }
            _ => {}
        }
    }
    for queue in queues.values_mut() {
        for (pop, item) in &queue.pops {
            if let Some(item) = queue.items.get_mut(item) {
                item.pops.push(*pop);
            }
        }
    }
    queues
}

struct Check<'a> {
    calls: &'a [Call],
    queue: &'a Queue,
}

impl Check<'_> {
    /// What came was pushed, and before the call that brought it had ended; what was seen was not gone.
    fn sources(&self, findings: &mut Findings) {
        for (call, item) in self.queue.pops.iter().chain(&self.queue.tops) {
            match self.queue.items.get(item) {
                None => {
                    let what = format!("item {item} came, and nobody pushed it");
                    findings.add(Class::Unexpected, vec![*call], what);
                }
                Some(Item { push, .. })
                    if self.calls[*push].invoked > self.calls[*call].ended() =>
                {
                    let what = format!("item {item} came before it was pushed");
                    findings.add(Class::Unexpected, vec![*push, *call], what);
                }
                Some(_) => {}
            }
        }
        for (top, item) in &self.queue.tops {
            let pops = self.queue.items.get(item).map_or(&[][..], |item| &item.pops);
            let gone = |pop: &&usize| self.calls[**pop].ended() < self.calls[*top].invoked;
            if let Some(pop) = pops.iter().find(gone) {
                let what = format!("item {item} was seen after it had been popped");
                findings.add(Class::Stale, vec![*pop, *top], what);
            }
        }
    }

    fn repeats(&self, findings: &mut Findings) {
        for (item, Item { pops, .. }) in &self.queue.items {
            if pops.len() > 1 {
                findings.add(Class::Duplicated, pops.clone(), format!("item {item} came twice"));
            }
        }
    }

    /// When the item's pop began: later than everything where none is known.
    fn popped_from(&self, item: &Item) -> u64 {
        item.pops.iter().map(|pop| self.calls[*pop].invoked).min().unwrap_or(u64::MAX)
    }

    /// No item overtakes one that was pushed before it: of those whose push had ended when an item's push began, none
    /// is popped by a call that began after the item's pop had ended, and all of them are popped.
    fn order(&self, findings: &mut Findings) {
        let mut earlier: Vec<&Item> = self.queue.items.values().collect();
        earlier.sort_unstable_by_key(|item| self.calls[item.push].ended());
        let mut later: Vec<(&Item, u64)> = self
            .queue
            .items
            .values()
            .filter_map(|item| {
                Some((item, item.pops.iter().map(|pop| self.calls[*pop].ended()).min()?))
            })
            .collect();
        later.sort_unstable_by_key(|(item, _)| self.calls[item.push].invoked);
        let mut before = earlier.into_iter().peekable();
        let mut last: Option<&Item> = None;
        // How many items were passed over that no known pop took: calls of unknown outcome may have.
        let (mut kept, mut passed_over) = (Vec::new(), 0);
        for (item, popped) in later {
            let pushed = self.calls[item.push].invoked;
            while let Some(other) = before.next_if(|other| self.calls[other.push].ended() < pushed)
            {
                if other.pops.is_empty() {
                    kept.push(other.push);
                } else if last.is_none_or(|last| self.popped_from(other) > self.popped_from(last)) {
                    last = Some(other);
                }
            }
            if let Some(other) = last
                && self.popped_from(other) > popped
            {
                let calls = vec![other.push, item.push, item.pops[0], other.pops[0]];
                let what = "an item came before one that was pushed earlier".to_owned();
                findings.add(Class::Reordered, calls, what);
            }
            for lost in kept.drain(..) {
                passed_over += 1;
                if passed_over > self.queue.unknown_pops {
                    let what = "an item never came, and one that was pushed later did".to_owned();
                    findings.add(Class::Lost, vec![lost, item.push, item.pops[0]], what);
                }
            }
        }
    }

    /// A queue that held something at every moment of a call was not empty for it.
    fn emptiness(&self, findings: &mut Findings) {
        let mut present: Vec<(u64, u64)> = self
            .queue
            .items
            .values()
            .map(|item| {
                let until = self.popped_from(item);
                let until = if item.pops.is_empty() { self.queue.gone_from } else { until };
                (self.calls[item.push].ended(), until)
            })
            .filter(|(since, until)| since < until)
            .collect();
        present.sort_unstable();
        // Times in which there was something, one after the other.
        let mut held: Vec<(u64, u64)> = Vec::new();
        for (since, until) in present {
            match held.last_mut() {
                Some(last) if since < last.1 => last.1 = last.1.max(until),
                _ => held.push((since, until)),
            }
        }
        for call in &self.queue.empties {
            let (invoked, ended) = (self.calls[*call].invoked, self.calls[*call].ended());
            let place = held.partition_point(|(since, _)| *since < invoked);
            let holds = place.checked_sub(1).map(|place| held[place]);
            if holds.is_some_and(|(_, until)| until > ended) {
                let what = "a queue was said to be empty that never was during the call".to_owned();
                findings.add(Class::Stale, vec![*call], what);
            }
        }
    }
}
