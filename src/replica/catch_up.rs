//! Catching up from outside: a replica in no view learns what the members delivered, and nothing else, until it is near
//! enough to be taken in (DESIGN section 3, Restart).

use super::Replica;
use super::backoff::Backoff;
use super::boundaries::Boundaries;
use super::event::Effect;
use super::fetch::Fetch;
use super::status::Status;
use crate::planted::planted;
use crate::types::{Boundary, Instant, ReplicaId, Seq, ViewNumber};
use crate::wire::{Chunk, MAX_BOUNDARIES};

/// What a replica outside learns.
#[derive(Debug, Default)]
pub(super) struct Learner {
    /// What members said they delivered, being fetched.
    pub(super) fetch: Option<Fetch>,
    /// When they are asked for more.
    inquiry: Backoff,
    /// How far some member delivered, as last heard.
    target: Seq,
    /// How far this replica delivered then.
    reached: Seq,
}

impl Learner {
    /// Whether members are known to have delivered more.
    pub(super) fn is_behind(&self) -> bool {
        self.reached < self.target
    }

    /// When something is to be asked next.
    pub(super) fn due(&self) -> Option<Instant> {
        let fetch = self.fetch.as_ref().and_then(Fetch::due);
        self.inquiry.due().into_iter().chain(fetch).min()
    }

    /// For people.
    pub(super) fn describe(&self) -> &'static str {
        if self.is_behind() { "catching up with the members" } else { "in no view" }
    }
}

impl Replica {
    /// Watches how far the members are, and asks them.
    pub(super) fn watch_learner(&mut self, now: Instant) {
        let (target, delivered) = (self.detector.delivered_by_members(), self.delivered_through);
        let ordered = self.log.ordered_through();
        // What a new disk is to hold is not known yet.
        let new = self.has_new_disk();
        let (due, full) = (now, self.storage_full || self.copying.is_some() || new);
        let Status::Outside(learner) = &mut self.status else {
            return;
        };
        (learner.target, learner.reached) = (target, delivered);
        let fetching = learner.fetch.as_ref().is_some_and(|fetch| fetch.last > ordered);
        // What there is no room for would wait in memory.
        if delivered < target && !fetching && !full {
            learner.inquiry.start(due);
        } else {
            learner.inquiry.stop();
        }
    }

    /// Asks a member what it delivered past what was delivered here.
    pub(super) fn inquire(&mut self, now: Instant) {
        let members = self.detector.members_heard(now, self.config.silence);
        let members = self.givers.in_order(members);
        let bounds = self.backoff_bounds(self.detector.round_trip());
        let jitter = &mut self.jitter;
        let Status::Outside(learner) = &mut self.status else {
            return;
        };
        let attempt = learner.inquiry.attempt() as usize;
        if !learner.inquiry.take_due(now, bounds, jitter) || members.is_empty() {
            return;
        }
        let from = self.delivered_through.next();
        self.counters.inquiries_sent += 1;
        self.outbox.for_one(members[attempt % members.len()], Chunk::Inquiry { from });
    }

    /// Another replica wants to know what was delivered here. Only a member whose view's beginning is delivered says:
    /// it surely is not behind a view that it does not know.
    pub(super) fn on_inquiry(&mut self, to: ReplicaId, from: Seq) {
        let Some(view) = self.status.view() else {
            return;
        };
        if self.delivered_through >= view.start && from <= self.delivered_through {
            self.summarize(to, from);
        }
    }

    /// Tells another replica which views' entries were delivered here from a number on.
    pub(super) fn summarize(&mut self, to: ReplicaId, from: Seq) {
        let mut last = self.delivered_through;
        if planted!(self, TeachUndelivered) {
            last = self.log.ordered_through();
        }
        // The one that asks compares logs from the number before on: that one it has delivered.
        let before = Seq(from.0 - 1);
        let (boundaries, through) = self.log.boundaries().first_from(before, last, MAX_BOUNDARIES);
        let held_from = self.log.trimmed_through().next();
        self.outbox.for_one_once(to, Chunk::Summary { through, held_from, boundaries });
    }

    /// A member says what it delivered.
    pub(super) fn on_summary(
        &mut self,
        now: Instant,
        (from, view): (ReplicaId, ViewNumber),
        (through, held_from): (Seq, Seq),
        boundaries: &[Boundary],
        effects: &mut Vec<Effect>,
    ) {
        let heard_out = self.has_told(from);
        match &self.status {
            // What is learnt would hide that the disk is lost: first who teaches says what must be on it.
            Status::Outside(_) if self.has_new_disk() || !heard_out => return,
            Status::Outside(_) => {}
            Status::Installing(install) if install.fetch.source == from => {
                if self.must_copy(through, held_from) {
                    self.begin_copying(now, from);
                }
                return;
            }
            _ => return,
        }
        let told = Boundaries::told(boundaries);
        let next = self.delivered_through.next();
        let behind = view != ViewNumber::NONE && next <= through && next < held_from;
        // Logs are compared from what was delivered last on.
        let comparable =
            [self.delivered_through, next].iter().all(|seq| told.view_at(*seq).is_some());
        if behind && !comparable {
            // So far behind that the member does not remember of which view that was.
            return self.begin_copying(now, from);
        }
        if view == ViewNumber::NONE || through < next || !comparable {
            // Not a member's word, nothing new, or an answer to what was asked in a life that had delivered more.
            return;
        }
        if told.last_view() > view {
            // A member's log has nothing above its view.
            self.counters.impossible_views += 1;
            return;
        }
        if view > self.promised && !planted!(self, LearnWithoutPromise) {
            self.raise_promise(now, view, effects);
        }
        // What is held and the same is delivered; what differs gives way.
        let last = self.log.ordered_through().min(through);
        let own = self.log.boundaries();
        let common = own.common_with(&told, self.delivered_through, last);
        let Some(common) = common.filter(|common| *common >= self.delivered_through) else {
            self.counters.impossible_views += 1;
            return;
        };
        if common < last {
            self.drop_after(common, effects);
        }
        let Status::Outside(learner) = &mut self.status else {
            return;
        };
        learner.fetch = Some(Fetch::new(told, through, from, now));
        learner.inquiry.stop();
        self.deliver_learned(now, effects);
        if self.must_copy(through, held_from)
            && let Status::Outside(learner) = &mut self.status
        {
            learner.fetch = None;
            self.begin_copying(now, from);
        }
    }

    /// Delivers what a member delivered and is held here.
    pub(super) fn deliver_learned(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Status::Outside(learner) = &self.status else {
            return;
        };
        let Some(fetch) = &learner.fetch else {
            return;
        };
        let through = fetch.last.min(self.log.ordered_through());
        // Own entries past the told log's end may be there; up to its end they were compared.
        self.deliver_through(through, effects);
        self.watch_learner(now);
    }
}
