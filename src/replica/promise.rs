//! The promiser's half of a change of view: what is promised is durable before it is told (DESIGN section 3, rule 2).

use super::Replica;
use super::event::Effect;
use super::status::Status;
use crate::entry::{DiskState, Record};
use crate::planted::planted;
use crate::types::{Instant, Member, ReplicaId, ViewNumber};
use crate::wire::Chunk;

impl Replica {
    /// A view is proposed.
    pub(super) fn on_prepare(
        &mut self,
        now: Instant,
        from: Member,
        number: ViewNumber,
        effects: &mut Vec<Effect>,
    ) {
        if number.proposer != from.id {
            self.counters.impossible_views += 1;
            return;
        }
        let told = self.has_told(from.id) && self.has_asked_around(now);
        if !self.takes_part() || !told && !planted!(self, TrustOldCopy) {
            return;
        }
        if planted!(self, GoOnAfterPromise)
            && number >= self.promised
            && self.status.view().is_some()
        {
            if number > self.promised {
                self.raise_promise(now, number, effects);
            } else if self.writes.all_durable() {
                let log = Box::new(self.log_end());
                self.outbox.for_one(number.proposer, Chunk::Promise { number, log });
            }
            return;
        }
        if number > self.promised {
            if self.is_content(now, from) {
                // One outside that does not know of the view yet; the next heartbeats tell it.
                self.counters.prepares_declined += 1;
                return;
            }
            self.enter_changing(now, number, None, effects);
            if planted!(self, PromiseBeforeSync) {
                self.promise_is_durable(now, effects);
            }
        } else if number == self.promised {
            // The same PREPARE again gets the same PROMISE, as long as the log is the one that was promised with.
            self.send_promise();
        } else {
            // A heartbeat tells what was promised.
            self.tell_of_promise(now, from.id);
        }
    }

    /// Whether this replica is in a view that works, as far as it knows, and the other one is not in it.
    fn is_content(&self, now: Instant, other: Member) -> bool {
        let Some(view) = self.status.view() else {
            return false;
        };
        let others = view.members.iter().map(|member| member.id);
        let mut others = others.filter(|id| *id != self.me.id);
        !view.contains(other.id, other.incarnation)
            && self.connected(now).len() >= self.quorum.size()
            && !others.any(|id| self.suspicion(id, now).is_some())
    }

    /// Promises are durable before anything that follows from them.
    pub(super) fn raise_promise(
        &mut self,
        now: Instant,
        number: ViewNumber,
        effects: &mut Vec<Effect>,
    ) {
        assert!(number > self.promised, "promises rise");
        self.promised = number;
        if self.own_disk.state == DiskState::Accepted {
            self.own_disk.state = DiskState::Sound;
            self.own_disk.settled = true;
        }
        if planted!(self, ForgetPromise) {
            return;
        }
        self.write(Record::Promise(number), effects);
        self.promise_time.begin(now, self.writes.last());
    }

    /// The promise that this replica waited for is durable, with the log as it is.
    pub(super) fn promise_is_durable(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Status::Changing(change) = &mut self.status else {
            return;
        };
        change.durable_after = Some(now.since(self.status_since));
        if change.proposal.is_some() {
            self.send_prepare(now, effects);
        } else {
            self.send_promise();
        }
    }

    /// Tells the proposer, once it is durable.
    fn send_promise(&mut self) {
        let Status::Changing(change) = &self.status else {
            return;
        };
        if !change.is_durable() || change.proposal.is_some() {
            return;
        }
        let number = change.number;
        let log = Box::new(self.log_end());
        self.counters.promises_sent += 1;
        self.outbox.for_one_once(number.proposer, Chunk::Promise { number, log });
    }

    fn tell_of_promise(&mut self, now: Instant, to: ReplicaId) {
        let heartbeat = self.heartbeat(now);
        self.outbox.for_one_once(to, heartbeat);
    }
}
