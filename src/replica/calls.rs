//! The calls that wait for an answer: first to be multicast, then to be delivered; none past its deadline.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::Replica;
use super::event::{CallId, Effect, Refusal};
use crate::planted::planted;
use crate::queue::{Action, Answer, Executed, Operation};
use crate::types::{Instant, LocalSeq};

impl Replica {
    /// A caller asks for an operation.
    pub(super) fn on_call(
        &mut self,
        now: Instant,
        call: CallId,
        mut operation: Operation,
        deadline: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let refusal = if self.storage_full {
            Refusal::StorageFull
        } else if let Some((reason, detail)) = self.cannot_answer(now) {
            Refusal::Unavailable { reason, sent: false, detail }
        } else if deadline <= now {
            let waiting_for = "nothing: the deadline had passed on arrival".to_owned();
            Refusal::DeadlineExceeded { sent: false, waited: Duration::ZERO, waiting_for }
        } else if self.calls.waiting() >= self.config.max_waiting {
            self.counters.calls_refused_overloaded += 1;
            Refusal::Overloaded { limit: self.config.max_waiting }
        } else {
            if planted!(self, ReadLocally) && matches!(operation.action, Action::Size { .. }) {
                effects.push(self.early_answer(call, Answer::Size(0)));
            } else {
                self.queues.mark(&mut operation);
                self.calls.begin(now, call, operation, deadline);
            }
            return;
        };
        effects.push(Effect::Answer { call, result: Err(refusal) });
    }

    /// For planted bugs: an answer without an execution.
    pub(super) fn early_answer(&self, call: CallId, answer: Answer) -> Effect {
        let sequence = self.queues.sequence() + 1;
        Effect::Answer {
            call,
            result: Ok(Executed { sequence, duplicate: false, result: Ok(answer) }),
        }
    }

    /// Refuses the calls whose deadline has come. One that was not multicast never will be.
    pub(super) fn refuse_overdue_calls(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.calls.first_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let (unsent_for, sent_for) = (self.describe_unsent(now), self.describe_undelivered(now));
        let minority = self.lacks_majority(now);
        for overdue in self.calls.take_overdue(now) {
            let waiting_for = if overdue.sent { sent_for.clone() } else { unsent_for.clone() };
            let waited = now.since(overdue.since);
            let refusal = match minority.clone() {
                Some((reason, detail)) => {
                    Refusal::Unavailable { reason, sent: overdue.sent, detail }
                }
                None => Refusal::DeadlineExceeded { sent: overdue.sent, waited, waiting_for },
            };
            effects.push(Effect::Answer { call: overdue.call, result: Err(refusal) });
            self.counters.calls_overdue += 1;
        }
    }

    /// Refuses the calls that were not multicast, where this replica cannot answer: nothing of them is lost by that. What
    /// was multicast may be delivered still, and waits for its deadline.
    pub(super) fn refuse_unsent_calls(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.calls.waiting() == 0 {
            return;
        }
        let Some((reason, detail)) = self.cannot_answer(now).filter(|_| !self.leaving) else {
            return;
        };
        for call in self.calls.take_waiting() {
            let (reason, detail) = (reason.clone(), detail.clone());
            let refusal = Refusal::Unavailable { reason, sent: false, detail };
            effects.push(Effect::Answer { call, result: Err(refusal) });
        }
    }

    /// What a call that was not multicast waits for.
    fn describe_unsent(&self, now: Instant) -> String {
        format!(
            "a place in the multicast window: {} of this replica's messages have no number; {}",
            self.unnumbered(),
            self.describe_turn(now)
        )
    }

    /// What a call that was multicast waits for.
    fn describe_undelivered(&self, now: Instant) -> String {
        let committed = self.acks.committed_through();
        if self.unnumbered() > 0 {
            self.describe_turn(now)
        } else if self.log.ordered_through() < self.order.highest_seq() {
            format!("entry {}, which this replica lacks", self.log.ordered_through().next())
        } else {
            format!(
                "acks of {} by {} replicas",
                committed.next(),
                super::commit::Quorum::majority_of(self.config.replicas).size()
            )
        }
    }

    fn describe_turn(&self, now: Instant) -> String {
        let seq = self.order.highest_seq().next();
        match self.status.view() {
            None => "a view".to_owned(),
            Some(view) => {
                let sequencer = view.sequencer_of(seq);
                let heard = match self.detector.unheard_for(sequencer, now) {
                    Some(unheard) => format!("last heard {} ms ago", unheard.as_millis()),
                    None => "this replica itself".to_owned(),
                };
                format!("number {seq}, which is the turn of {sequencer} ({heard})")
            }
        }
    }
}

/// A call that is not answered yet.
#[derive(Debug)]
struct Open {
    since: Instant,
    deadline: Instant,
    sent: bool,
}

/// A call that waits no longer, without an answer.
pub(super) struct Dropped {
    pub(super) call: CallId,
    pub(super) since: Instant,
    /// Whether its operation was multicast.
    pub(super) sent: bool,
}

/// An operation that waits to be multicast.
#[derive(Debug)]
struct Waiting {
    operation: Operation,
    bytes: usize,
}

/// All calls that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// What waits to be multicast, in the order of the calls' ids, which rise.
    waiting: BTreeMap<CallId, Waiting>,
    waiting_bytes: usize,
    /// The calls of this replica's messages that are not delivered yet, in the order of the messages. A call may be
    /// refused already; its operation is executed all the same.
    sent: VecDeque<(LocalSeq, Vec<CallId>)>,
    open: BTreeMap<CallId, Open>,
    deadlines: BTreeSet<(Instant, CallId)>,
}

impl Calls {
    fn begin(&mut self, now: Instant, call: CallId, operation: Operation, deadline: Instant) {
        let bytes = operation.encoded_len();
        self.waiting_bytes += bytes;
        self.waiting.insert(call, Waiting { operation, bytes });
        self.deadlines.insert((deadline, call));
        let known = self.open.insert(call, Open { since: now, deadline, sent: false });
        assert!(known.is_none(), "a call has its own id");
    }

    /// How many operations wait to be multicast.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Their bytes in a message.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// How many calls are not answered yet.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Moves as many waiting operations as fit into `payload`, at least one: message `local`.
    pub(super) fn pack(&mut self, local: LocalSeq, largest: usize, payload: &mut Vec<u8>) {
        let mut calls = Vec::new();
        while let Some(next) = self.waiting.first_entry() {
            if payload.len() + next.get().bytes > largest {
                break;
            }
            let (call, next) = next.remove_entry();
            next.operation.encode(payload);
            self.waiting_bytes -= next.bytes;
            self.open.get_mut(&call).expect("a waiting call is open").sent = true;
            calls.push(call);
        }
        assert!(!calls.is_empty(), "every operation fits into a message");
        self.sent.push_back((local, calls));
    }

    /// The calls of an own message that is delivered, in the order of its operations: the next one's, where nobody
    /// lies.
    pub(super) fn delivered(&mut self, local: LocalSeq) -> Vec<CallId> {
        while self.sent.front().is_some_and(|(first, _)| *first < local) {
            self.sent.pop_front();
        }
        match self.sent.front() {
            Some((first, _)) if *first == local => {
                self.sent.pop_front().map(|(_, calls)| calls).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// The calls of own messages through `local`, which were delivered elsewhere; they are forgotten.
    pub(super) fn forget_through(&mut self, local: LocalSeq) -> Vec<CallId> {
        let mut calls = Vec::new();
        while self.sent.front().is_some_and(|(first, _)| *first <= local) {
            calls.extend(self.sent.pop_front().into_iter().flat_map(|(_, of_message)| of_message));
        }
        calls
    }

    /// How many own messages are not delivered yet.
    pub(super) fn sent_messages(&self) -> usize {
        self.sent.len()
    }

    /// The calls of an own message that is not delivered yet.
    pub(super) fn of_message(&self, local: LocalSeq) -> &[CallId] {
        self.sent.iter().find(|(sent, _)| *sent == local).map_or(&[], |(_, calls)| calls)
    }

    /// Ends a call that can be answered; false where it was refused before.
    pub(super) fn end(&mut self, call: CallId) -> bool {
        match self.open.remove(&call) {
            Some(open) => self.deadlines.remove(&(open.deadline, call)),
            None => false,
        }
    }

    /// The next deadline of a call.
    pub(super) fn first_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    fn take_overdue(&mut self, now: Instant) -> Vec<Dropped> {
        let mut overdue = Vec::new();
        while let Some(&(deadline, call)) = self.deadlines.first()
            && deadline <= now
        {
            self.deadlines.pop_first();
            let open = self.open.remove(&call).expect("a call with a deadline is open");
            self.withdraw(call);
            overdue.push(Dropped { call, since: open.since, sent: open.sent });
        }
        overdue
    }

    /// Ends all calls that wait to be multicast.
    fn take_waiting(&mut self) -> Vec<CallId> {
        let waiting: Vec<CallId> = std::mem::take(&mut self.waiting).into_keys().collect();
        self.waiting_bytes = 0;
        waiting.into_iter().filter(|call| self.end(*call)).collect()
    }

    /// An operation that was not multicast never will be.
    fn withdraw(&mut self, call: CallId) {
        if let Some(waiting) = self.waiting.remove(&call) {
            self.waiting_bytes -= waiting.bytes;
        }
    }
}
