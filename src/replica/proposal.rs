//! A view that this replica proposes: PREPARE, the promises, NEWVIEW (DESIGN section 3, rules 1 and 3).

use std::time::Duration;

use super::Replica;
use super::backoff::Backoff;
use super::event::Effect;
use super::ids::{bit, replica_id};
use super::status::{Change, Status, Told};
use super::suspicion::Suspicion;
use super::view::View;
use crate::planted::planted;
use crate::types::{Incarnation, Instant, Member, ReplicaId, ViewNumber};
use crate::wire::{Chunk, LogEnd, MAX_NUMBER};

/// No time.
const NEVER: Instant = Instant(u64::MAX);

/// A view that this replica proposes.
#[derive(Debug)]
pub(super) struct Proposal {
    /// The promises so far, by replica.
    pub(super) promises: Vec<Option<Promised>>,
    /// Who is not to be a member, whatever it promises: by bit.
    pub(super) excluded: u16,
    /// When PREPARE was sent first; `NEVER` before.
    prepared: Instant,
    /// When a majority's promises are enough, though others may follow; `NEVER` before a majority promised, and when it has
    /// passed.
    grace: Instant,
    /// Whether it has passed.
    waited: bool,
    /// When PREPARE is sent again.
    repeat: Backoff,
}

/// What a replica promised with.
#[derive(Clone, Debug)]
pub(super) struct Promised {
    pub(super) incarnation: Incarnation,
    pub(super) log: LogEnd,
}

impl Proposal {
    /// When something is to be done for it next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.repeat.due().into_iter().chain([self.grace]).min()
    }

    /// How many promises there are.
    pub(super) fn count(&self) -> usize {
        self.promises.iter().flatten().count()
    }

    /// Whether promises beyond a majority's are waited for, for a while.
    pub(super) fn is_in_grace(&self) -> bool {
        self.grace != NEVER
    }
}

impl Replica {
    pub(super) fn propose(&mut self, now: Instant, reason: &str, effects: &mut Vec<Effect>) {
        let seen = self.promised.max(self.detector.highest_view());
        if seen.round >= MAX_NUMBER {
            // Only a member that lies can have used up all numbers.
            self.counters.impossible_views += 1;
            self.wish.forget();
            return;
        }
        let mut number = ViewNumber { round: seen.round + 1, proposer: self.me.id };
        if planted!(self, ViewNumberTwice) {
            number.round = self.status.view_number().round + 1;
        }
        let excluded = self.excluded(now);
        tracing::info!(replica = %self.me.id, view = %number, reason, "proposing");
        self.counters.views_proposed += 1;
        self.wish.proposed(now, self.config.view_timeout, &mut self.jitter);
        let proposal = Proposal {
            promises: vec![None; self.config.replicas],
            excluded,
            waited: false,
            prepared: NEVER,
            grace: NEVER,
            repeat: Backoff::default(),
        };
        self.enter_changing(now, number, Some(proposal), effects);
        if planted!(self, PrepareBeforeSync) {
            self.promise_is_durable(now, effects);
        }
    }

    /// Who is not to be a member of the next view, whatever it promises: by bit.
    fn excluded(&self, now: Instant) -> u16 {
        let Status::Member(told) = &self.status else {
            return 0;
        };
        let mut excluded = 0;
        for member in &told.view.members {
            let suspicion = self.suspicion(member.id, now).filter(|_| member.id != self.me.id);
            // One that was started anew is welcome in its new life.
            if suspicion.is_some_and(|suspicion| suspicion != Suspicion::Restarted) {
                excluded |= bit(member.id);
            }
        }
        if let Some(larger) = self.larger_set(now) {
            excluded |= told.view.set() & !larger;
        }
        // One that came to nothing lately and is not to join yet is not taken along when another does.
        let outside = (0..self.config.replicas).map(replica_id);
        let outside = outside.filter(|id| told.view.incarnation_of(*id).is_none());
        let late = outside.filter(|id| self.refused(*id, now) > 0 && !self.is_welcome(*id, now));
        late.fold(excluded, |set, id| set | bit(id))
    }

    /// How long after PREPARE promises beyond a majority's are waited for, where the disk of the last of that took so long:
    /// longer for those who came too late before, since each time costs all; and until a disk that is no slower has synced,
    /// perhaps after a sync that was under way. Who promised bears more ([`Replica::is_under_way`]).
    fn grace(&self, now: Instant, sync_took: Duration) -> Duration {
        let connected = self.connected(now).into_iter();
        let late = connected.map(|id| self.refused(id, now));
        let doublings = late.max().unwrap_or(0).min(8);
        let grace = self.config.promise_grace * (1 << doublings);
        let disks = if planted!(self, HastyProposer) { Duration::ZERO } else { sync_took * 2 };
        let most = self.config.ack_timeout - self.config.view_timeout;
        (grace.min(self.config.view_timeout / 2) + disks).min(most)
    }

    /// The own proposal's number is durable: now it may be known.
    pub(super) fn send_prepare(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let log = self.log_end();
        let (me, due) = (self.me, now + self.detector.round_trip());
        let Status::Changing(change) = &mut self.status else {
            return;
        };
        let Some(proposal) = &mut change.proposal else {
            return;
        };
        let number = change.number;
        proposal.promises[me.id.index()] = Some(Promised { incarnation: me.incarnation, log });
        proposal.repeat.restart(due);
        proposal.prepared = now;
        self.outbox.for_all(Chunk::Prepare { number });
        self.conclude(now, effects);
    }

    /// A replica promised.
    pub(super) fn on_promise(
        &mut self,
        now: Instant,
        from: Member,
        number: ViewNumber,
        log: LogEnd,
        effects: &mut Vec<Effect>,
    ) {
        if !self.has_told(from.id) {
            // It is asked again.
            return;
        }
        if planted!(self, SecondNewView)
            && let Some(told) = self.status.told()
            && told.view.number == number
            && number.proposer == self.me.id
            && told.view.incarnation_of(from.id).is_none()
        {
            let mut told = told.clone();
            told.view.members.push(from);
            told.view.members.sort_unstable_by_key(|member| member.id);
            self.outbox.for_all(new_view_chunk(&told));
            return;
        }
        if matches!(&self.status, Status::Installing(install) if install.told.view.number == number)
        {
            return self.on_ready(now, from, &log, effects);
        }
        let Status::Changing(change) = &mut self.status else {
            return;
        };
        let (Some(proposal), true) = (&mut change.proposal, change.number == number) else {
            return;
        };
        if log.last.0 >= MAX_NUMBER || log.last_view >= number {
            // No log is that long, nor of a view that is only proposed.
            self.counters.impossible_views += 1;
            return;
        }
        proposal.promises[from.id.index()] = Some(Promised { incarnation: from.incarnation, log });
        self.begin_grace(now, from.id);
        self.conclude(now, effects);
    }

    /// Another has promised: once they are a majority, the rest may follow for a while. What counts is how long its disk
    /// took, not how long it was away.
    fn begin_grace(&mut self, now: Instant, from: ReplicaId) {
        let Status::Changing(Change { proposal: Some(proposal), .. }) = &self.status else {
            return;
        };
        if proposal.count() < self.quorum.size() {
            return;
        }
        let heard = self.detector.promised_since(from).unwrap_or(now).max(proposal.prepared);
        let sync_took = now.since(heard) + self.config.heartbeat_interval;
        let grace = proposal.prepared + self.grace(now, sync_took);
        if let Status::Changing(Change { proposal: Some(proposal), .. }) = &mut self.status
            && !proposal.is_in_grace()
            && !proposal.waited
        {
            proposal.grace = grace;
        }
    }

    /// Repeats PREPARE, or goes on with the promises that there are.
    pub(super) fn watch_proposal(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let bounds = self.backoff_bounds(self.detector.round_trip());
        let Status::Changing(change) = &mut self.status else {
            return;
        };
        let Some(proposal) = &mut change.proposal else {
            return;
        };
        let number = change.number;
        if proposal.repeat.take_due(now, bounds, &mut self.jitter) {
            for (index, promise) in proposal.promises.iter().enumerate() {
                if promise.is_none() {
                    self.outbox.for_one(replica_id(index), Chunk::Prepare { number });
                }
            }
        }
        if proposal.grace <= now {
            // What is waited for from here on is a majority, by what arrives.
            (proposal.grace, proposal.waited) = (NEVER, true);
        }
        self.conclude(now, effects);
    }

    /// Sends NEWVIEW, once, if a majority has promised and nobody else is worth waiting for.
    fn conclude(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Status::Changing(change) = &self.status else {
            return;
        };
        let Some(proposal) = &change.proposal else {
            return;
        };
        let needed = if planted!(self, MinorityPromises) { 1 } else { self.quorum.size() };
        if !change.is_durable() && !planted!(self, PrepareBeforeSync) || proposal.count() < needed {
            return;
        }
        let connected = self.connected(now);
        let awaited = |id: &ReplicaId| {
            proposal.promises[id.index()].is_none()
                && proposal.excluded & bit(*id) == 0
                && !self.detector.is_leaving(*id)
        };
        let waits = !proposal.waited && !planted!(self, MinorityPromises);
        if waits && connected.iter().any(awaited) {
            return;
        }
        let Some(told) = self.choose(now, change.number, proposal) else {
            return;
        };
        let chunk = new_view_chunk(&told);
        if told.view.contains(self.me.id, self.me.incarnation) {
            self.install(now, told, effects);
            if matches!(&self.status, Status::Changing(_)) {
                // Only a promise that lies makes a log that this replica's own cannot follow.
                return self.enter_outside(now, "the chosen log lacks what was delivered");
            }
        } else {
            self.enter_outside(now, "the own proposal names others");
        }
        // Once: the proposal is over.
        self.outbox.for_all(chunk);
    }
}

/// A view as it is told.
pub(super) fn new_view_chunk(told: &Told) -> Chunk {
    let Told { view, source, boundaries } = told.clone();
    let View { number, members, start } = view;
    Chunk::NewView { number, members, start, source, boundaries }
}
