//! Delivery: committed entries go to the queues in order, once each; own calls are answered.

use super::Replica;
use super::event::{Effect, Entry};
use crate::planted::planted;
use crate::queue;

impl Replica {
    /// Delivers every entry that is committed, held and next. Says whether it delivered any.
    pub(super) fn deliver(&mut self, effects: &mut Vec<Effect>) -> bool {
        let mut committed = self.acks.committed_through();
        if planted!(self, DeliverAtMinority) {
            committed = self.log.durable_through();
        }
        let through = committed.min(self.log.ordered_through());
        let before = self.delivered_through;
        while self.delivered_through < through {
            let seq = self.delivered_through.next();
            let entry = self.log.get(seq).expect("what is not delivered is not trimmed").clone();
            self.delivered_through = seq;
            if planted!(self, DeliverGap) && seq.0.is_multiple_of(100) {
                continue;
            }
            self.apply(&entry, effects);
        }
        before < self.delivered_through
    }

    /// Applies an entry's operations to the queues; the origin answers its callers.
    fn apply(&mut self, entry: &Entry, effects: &mut Vec<Effect>) {
        let own = entry.name.origin == self.me.id && entry.name.incarnation == self.me.incarnation;
        let calls = if own { self.calls.delivered(entry.name.local) } else { Vec::new() };
        // A payload that cannot be read is refused by every replica alike: it has no operations.
        let Ok(operations) = queue::decode_operations(&entry.payload) else {
            self.counters.unreadable_payloads += 1;
            assert!(!own, "this replica can read its own operations");
            return;
        };
        assert!(!own || calls.len() == operations.len(), "an own operation has its call");
        let mut calls = calls.into_iter();
        for operation in &operations {
            let executed = self.queues.apply(operation);
            if let Some(call) = calls.next()
                && self.calls.end(call)
            {
                effects.push(Effect::Answer { call, result: Ok(executed) });
            }
        }
    }

    /// Lets go of what every configured replica holds durably and this one has delivered.
    pub(super) fn trim(&mut self) {
        let through = self.acks.stable_through().min(self.delivered_through);
        while self.log.trimmed_through() < through {
            let Some(entry) = self.log.trim_first() else {
                return;
            };
            self.messages.trim(entry.name.origin, entry.name.local);
        }
    }
}
