//! Delivery: committed entries go to the queues in order, once each; own calls are answered.

use super::Replica;
use super::event::Effect;
use crate::entry::{Body, Entry};
use crate::planted::planted;
use crate::queue;
use crate::types::Seq;

impl Replica {
    /// Delivers every entry that is committed in this view, held and next. Says whether it delivered any.
    pub(super) fn deliver(&mut self, effects: &mut Vec<Effect>) -> bool {
        let Some(view) = self.status.view() else {
            return false;
        };
        let start = view.start;
        let mut committed = self.acks.committed_through();
        if planted!(self, DeliverAtMinority) {
            committed = self.log.durable_through();
        }
        if planted!(self, MajorityOfMembers) {
            committed = self.acks.held_by(view.members.len() / 2 + 1);
        }
        let before = self.delivered_through;
        self.deliver_through(committed.min(self.log.ordered_through()), effects);
        if before < start && start <= self.delivered_through {
            // The view works: a majority holds its beginning, and all before it.
            self.wish.fulfilled();
            self.view_attention = true;
        }
        before < self.delivered_through
    }

    /// Delivers every entry up to `through` that is not delivered yet.
    pub(super) fn deliver_through(&mut self, through: Seq, effects: &mut Vec<Effect>) {
        while self.delivered_through < through {
            let seq = self.delivered_through.next();
            let entry = self.log.get(seq).expect("what is not delivered is not trimmed").clone();
            self.delivered_through = seq;
            if let Some(name) = entry.name() {
                self.delivered_names.note(name);
            }
            if planted!(self, DeliverGap) && seq.0.is_multiple_of(100) {
                continue;
            }
            self.apply(&entry, effects);
        }
    }

    /// Applies an entry's operations to the queues; the origin answers its callers.
    fn apply(&mut self, entry: &Entry, effects: &mut Vec<Effect>) {
        let Body::Message { name, payload } = &entry.body else {
            return;
        };
        let own = name.origin == self.me.id && name.incarnation == self.me.incarnation;
        let calls = if own { self.calls.delivered(name.local) } else { Vec::new() };
        // A payload that cannot be read is refused by every replica alike: it has no operations.
        let Ok(mut operations) = queue::decode_operations(payload) else {
            self.counters.unreadable_payloads += 1;
            return;
        };
        if own && calls.len() != operations.len() {
            // A member that lies can have made an entry of this replica's name.
            self.counters.impossible_views += 1;
        }
        if planted!(self, ExecuteAgain) || planted!(self, NoteOwnNames) && !own {
            operations.iter_mut().for_each(|operation| operation.request = None);
        }
        let mut calls = calls.into_iter().filter(|_| own);
        for operation in &operations {
            let executed = self.queues.apply(operation);
            if let Some(call) = calls.next()
                && self.calls.end(call)
            {
                effects.push(Effect::Answer { call, result: Ok(executed) });
            }
        }
    }

    /// Lets go of what nobody needs any more: messages that all members hold as entries, and entries that all N hold,
    /// or that take more memory than past ones may.
    pub(super) fn trim(&mut self) {
        let held = self.acks.held_by_members().min(self.delivered_through);
        while self.status.view().is_some() && self.messages_trimmed_through < held {
            self.messages_trimmed_through = self.messages_trimmed_through.next();
            let entry = self.log.get(self.messages_trimmed_through);
            if let Some(name) = entry.and_then(Entry::name) {
                self.messages.trim(name.origin, name.local);
            }
        }
        let in_all = if self.status.view().is_some() { self.acks.stable_through() } else { Seq(0) };
        let past = self.delivered_through.min(self.log.durable_through());
        // Members may still ask for the messages of entries past those that all of them hold.
        let past = if self.status.view().is_some() { past.min(held) } else { past };
        while self.log.trimmed_through() < past
            && (self.log.trimmed_through() < in_all || self.log.memory() > self.config.log_memory)
        {
            self.log.trim_first();
        }
    }
}
