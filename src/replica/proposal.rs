//! The proposer's half of a change of view: when one is wanted, who proposes it, and what becomes of the promises
//! (DESIGN section 3, rules 1 and 3).

use std::time::Duration;

use super::Replica;
use super::backoff::Backoff;
use super::boundaries::Boundaries;
use super::event::Effect;
use super::fetch::Fetch;
use super::status::{Status, Told};
use super::suspicion::Suspicion;
use super::view::View;
use crate::planted::planted;
use crate::types::{Incarnation, Instant, MAX_REPLICAS, Member, ReplicaId, ViewNumber};
use crate::wire::{Chunk, LogEnd, MAX_BOUNDARIES, MAX_NUMBER};

/// The longest wait between two own proposals that come to nothing.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// No time.
const NEVER: Instant = Instant(u64::MAX);

/// A view that this replica proposes.
#[derive(Debug)]
pub(super) struct Proposal {
    /// The promises so far, by replica.
    promises: Vec<Option<Promised>>,
    /// Who is not to be a member, whatever it promises: by bit.
    excluded: u16,
    /// When a majority's promises are enough, though others may follow; `NEVER` before PREPARE was sent, and when it
    /// has passed.
    grace: Instant,
    /// Whether it has passed.
    waited: bool,
    /// When PREPARE is sent again.
    repeat: Backoff,
}

#[derive(Clone, Debug)]
struct Promised {
    incarnation: Incarnation,
    log: LogEnd,
}

/// The wish for another view.
#[derive(Debug, Default)]
pub(super) struct Wish {
    /// Since when another view is wanted.
    since: Option<Instant>,
    /// When this replica proposes it, if nobody else does.
    due: Option<Instant>,
    /// Own proposals since the last view whose beginning was delivered.
    in_vain: u32,
    /// Before this time there is no further own proposal.
    not_before: Instant,
}

impl Wish {
    /// When this replica may propose next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// A view has come to work: the next one that is wanted is another matter, and need not wait for its sake.
    pub(super) fn fulfilled(&mut self) {
        self.in_vain = 0;
        self.not_before = Instant::default();
    }
}

impl Proposal {
    /// When something is to be done for it next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.repeat.due().into_iter().chain([self.grace]).min()
    }

    fn count(&self) -> usize {
        self.promises.iter().flatten().count()
    }
}

impl Replica {
    /// Proposes a view if one is wanted and it is this replica's part to do so.
    pub(super) fn consider_proposing(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.view_attention = false;
        let Some(reason) = self.wanted_view(now) else {
            (self.wish.since, self.wish.due) = (None, None);
            return;
        };
        let staying = self.connected(now).into_iter();
        let staying = staying.filter(|id| *id == self.me.id || !self.detector.is_leaving(*id));
        let majority = staying.count() >= self.quorum.size();
        // Where no majority is fully connected every view would have a member that another suspects at once: no view is
        // better than one after the other.
        let lasting = self.best_set(now, u16::MAX) != 0;
        let able = !self.leaving && !self.storage_full && majority && lasting;
        if !able {
            self.wish.due = None;
            return;
        }
        let since = *self.wish.since.get_or_insert(now);
        let rank = self.rank(now);
        let due = (since + self.config.proposal_delay * rank).max(self.wish.not_before);
        if now < due {
            self.wish.due = Some(due);
            return;
        }
        self.propose(now, &reason, effects);
    }

    /// Why another view is wanted, if one is.
    fn wanted_view(&mut self, now: Instant) -> Option<String> {
        let works = self.detector.hears_member(now, self.config.silence, self.quorum.size());
        let lasts = now.since(self.status_since);
        if matches!(&self.status, Status::Changing(_)) && works && lasts > self.config.view_timeout
        {
            // Those in a view that works do not heed who is not in it. They take in who has learnt what they delivered.
            self.enter_outside(now, "the proposed view came to nothing, and another works");
            return None;
        }
        match &self.status {
            Status::Member(told) => {
                let members = told.view.members.iter().map(|member| member.id);
                let others = members.filter(|id| *id != self.me.id);
                let suspected = others.filter_map(|id| Some((id, self.suspicion(id, now)?))).next();
                if let Some((id, suspicion)) = suspected {
                    return Some(format!("{id} is suspected: {suspicion}"));
                }
                let ids = (0..self.config.replicas).map(replica_id);
                let mut joins = ids.filter(|id| self.may_join(*id, &told.view, now));
                if let Some(joins) = joins.next() {
                    return Some(format!("{joins} wants to join"));
                }
                let larger = self.larger_set(now)?;
                (lasts > self.config.view_timeout).then(|| {
                    format!("{} replicas are connected to each other", larger.count_ones())
                })
            }
            Status::Changing(change) => (lasts > self.config.view_timeout)
                .then(|| format!("{} has come to nothing", change.number)),
            Status::Installing(install) => {
                let waits = now.since(install.fetch.progress().max(self.status_since));
                (waits > self.config.view_timeout)
                    .then(|| format!("{} cannot be installed", install.told.view.number))
            }
            Status::Outside(learner) => {
                // At a start the others may be a moment late.
                let all = self.connected(now).len() == self.config.replicas;
                if !all && lasts < self.config.view_timeout / 5 {
                    return None;
                }
                let progress = learner.fetch.as_ref().map(Fetch::progress);
                let learns_nothing_for =
                    now.since(progress.unwrap_or_default().max(self.status_since));
                if !works {
                    return Some("no member of a view that works is heard".to_owned());
                }
                (learns_nothing_for > self.config.view_timeout * 5)
                    .then(|| "nobody takes this replica in".to_owned())
            }
        }
    }

    /// How many replicas are to propose before this one: the members of the largest fully connected set that holds a
    /// majority have their order, others come behind. While there is a view only its members propose.
    fn rank(&self, now: Instant) -> u32 {
        let present = self.status.view();
        let best = self.best_set(now, present.map_or(u16::MAX, View::set));
        let ids = (0..self.config.replicas).map(replica_id);
        let proposes = |id: &ReplicaId| {
            best & bit(*id) != 0
                && (*id == self.me.id || !self.detector.is_leaving(*id))
                && present.is_none_or(|view| view.incarnation_of(*id).is_some())
        };
        let order: Vec<ReplicaId> = ids.filter(proposes).collect();
        let place = order.iter().position(|id| *id == self.me.id);
        let rank = place.unwrap_or_else(|| order.len() + self.me.id.index());
        u32::try_from(rank).expect("few replicas")
    }

    /// A fully connected set that is larger than the view and has this replica: without it, replicas that one member
    /// does not hear could stay outside for good.
    fn larger_set(&self, now: Instant) -> Option<u16> {
        let view = self.status.view()?;
        let best = self.best_set(now, u16::MAX);
        let outside = (0..self.config.replicas).map(replica_id);
        let mut outside = outside.filter(|id| best & bit(*id) & !view.set() != 0);
        let larger = best.count_ones() as usize > view.members.len() && best & bit(self.me.id) != 0;
        let fit = |id: ReplicaId| self.is_welcome(id, now) && !self.detector.is_leaving(id);
        (larger && outside.all(fit)).then_some(best)
    }

    /// The largest fully connected set out of `among` that holds a majority.
    pub(super) fn best_set(&self, now: Instant, among: u16) -> u16 {
        self.detector.best_set(among, now, self.config.silence, self.quorum.size())
    }

    fn propose(&mut self, now: Instant, reason: &str, effects: &mut Vec<Effect>) {
        let seen = self.promised.max(self.detector.highest_view());
        if seen.round >= MAX_NUMBER {
            // Only a member that lies can have used up all numbers.
            self.counters.impossible_views += 1;
            (self.wish.since, self.wish.due) = (None, None);
            return;
        }
        let mut number = ViewNumber { round: seen.round + 1, proposer: self.me.id };
        if planted!(self, ViewNumberTwice) {
            number.round = self.status.view_number().round + 1;
        }
        let mut excluded = 0;
        if let Status::Member(told) = &self.status {
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
            let late =
                outside.filter(|id| self.refused(*id, now) > 0 && !self.is_welcome(*id, now));
            excluded |= late.fold(0, |set, id| set | bit(id));
        }
        tracing::info!(replica = %self.me.id, view = %number, reason, "proposing");
        self.counters.views_proposed += 1;
        self.wish.in_vain += 1;
        let doublings = self.wish.in_vain.saturating_sub(1).min(8);
        let wait = (self.config.view_timeout / 4 * (1 << doublings)).min(LONGEST_WAIT);
        self.wish.not_before = now + self.config.view_timeout / 4 + self.jitter.spread(wait);
        (self.wish.since, self.wish.due) = (None, None);
        let proposal = Proposal {
            promises: vec![None; self.config.replicas],
            excluded,
            waited: false,
            grace: NEVER,
            repeat: Backoff::default(),
        };
        self.enter_changing(now, number, Some(proposal), effects);
        if planted!(self, PrepareBeforeSync) {
            self.promise_is_durable(now, effects);
        }
    }

    /// How long promises beyond a majority's are waited for: longer for those who came too late before, since each time
    /// costs all.
    fn grace(&self, now: Instant) -> Duration {
        let connected = self.connected(now).into_iter();
        let late = connected.map(|id| self.refused(id, now));
        let doublings = late.max().unwrap_or(0).min(8);
        (self.config.promise_grace * (1 << doublings)).min(self.config.view_timeout / 2)
    }

    /// The own proposal's number is durable: now it may be known.
    pub(super) fn send_prepare(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let log = self.log_end();
        let (me, due) = (self.me, now + self.detector.round_trip());
        let grace = now + self.grace(now);
        let Status::Changing(change) = &mut self.status else {
            return;
        };
        let Some(proposal) = &mut change.proposal else {
            return;
        };
        let number = change.number;
        proposal.promises[me.id.index()] = Some(Promised { incarnation: me.incarnation, log });
        proposal.repeat.restart(due);
        proposal.grace = grace;
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
        self.conclude(now, effects);
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
        if !change.durable && !planted!(self, PrepareBeforeSync) || proposal.count() < needed {
            return;
        }
        let connected = self.connected(now);
        let awaited = |id: &ReplicaId| {
            proposal.promises[id.index()].is_none() && !self.detector.is_leaving(*id)
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

    /// The view that follows from the promises: the greatest log, and those near it as members.
    fn choose(&self, now: Instant, number: ViewNumber, proposal: &Proposal) -> Option<Told> {
        let promises = || {
            let all = (0..).map(replica_id).zip(&proposal.promises);
            all.filter_map(|(id, promise)| Some((id, promise.as_ref()?)))
        };
        // Of two logs the one whose end is of the later view is the greater, however long the other is.
        let greatness = |log: &LogEnd| {
            let view = if planted!(self, LongestLog) { ViewNumber::NONE } else { log.last_view };
            (view, log.last)
        };
        let (source, chosen) = promises()
            .max_by_key(|(id, promise)| (greatness(&promise.log), std::cmp::Reverse(*id)))?;
        let log = &chosen.log;
        let boundaries = Boundaries::told(&log.boundaries);
        // How much of the chosen log a replica has, where the boundaries tell.
        let has = |Promised { log: its, .. }: &Promised| {
            let own = Boundaries::told(&its.boundaries);
            own.common_with(&boundaries, its.delivered, its.last.min(log.last))
                .filter(|common| *common >= its.delivered)
        };
        let near = |promise: &Promised| {
            has(promise).is_some_and(|has| has.0 + self.config.join_bound >= log.last.0)
        };
        // What it lacks somebody must be able to send: the source at least.
        let served =
            |promise: &Promised| has(promise).is_some_and(|has| has.next() >= log.held_from);
        // A promise binds the lives that follow; a member is the one that lives.
        let lives = |id: ReplicaId, promise: &Promised| {
            let present = self.detector.incarnation_of(id).filter(|_| id != self.me.id);
            present.is_none_or(|present| present <= promise.incarnation)
        };
        let able = |id: ReplicaId, promise: &Promised| served(promise) && lives(id, promise);
        let best = self.best_set(now, u16::MAX);
        let fits = |id: ReplicaId| best & bit(self.me.id) == 0 || best & bit(id) != 0;
        let welcome = |id: ReplicaId| {
            id == self.me.id && !self.leaving
                || id != self.me.id
                    && fits(id)
                    && proposal.excluded & bit(id) == 0
                    && self.unreachable(id, now).is_none()
        };
        let member =
            |(id, promise): (ReplicaId, &Promised)| Member { id, incarnation: promise.incarnation };
        let best: Vec<Member> = promises()
            .filter(|(id, promise)| able(*id, promise) && near(promise) && welcome(*id))
            .map(member)
            .collect();
        let members = if best.len() >= self.quorum.size() {
            best
        } else {
            promises().filter(|(id, promise)| able(*id, promise)).map(member).collect()
        };
        if members.len() < self.quorum.size() && !planted!(self, MinorityPromises) {
            return None;
        }
        let start = log.last.next();
        let boundaries = log.boundaries.clone();
        Some(Told { view: View { number, members, start }, source, boundaries })
    }

    /// Whether a replica that is no member is to be taken in.
    fn may_join(&self, id: ReplicaId, view: &View, now: Instant) -> bool {
        let outsider = id != self.me.id
            && self.detector.incarnation_of(id).is_some_and(|life| !view.contains(id, life))
            && view.incarnation_of(id).is_none();
        if !outsider
            || self.unreachable(id, now).is_some()
            || self.delivered_through < view.start
            || !self.is_welcome(id, now)
        {
            return false;
        }
        let best = self.best_set(now, u16::MAX);
        let all = view.set() | bit(id);
        all & best == all
    }

    /// Whether it is time to take in a replica that is outside: it can be brought up, and has waited as long as it is to
    /// after those times when it came to nothing.
    fn is_welcome(&self, id: ReplicaId, now: Instant) -> bool {
        self.readmission[id.index()].not_before <= now && self.can_be_brought_up(id, now)
    }

    /// Whether a replica outside lacks no more than it can fetch while a view waits for it: few entries, and none that
    /// nobody holds in memory any more. One that lost what it had acked may lack such, and would stop every view.
    ///
    /// One that was left out lately must come nearer: it may fetch so slowly that the view gives it up before it has all.
    fn can_be_brought_up(&self, id: ReplicaId, now: Instant) -> bool {
        let delivered = self.detector.delivered_by(id);
        let bound = self.config.join_bound >> self.refused(id, now).min(2);
        delivered.0 + bound >= self.delivered_through.0 && delivered >= self.log.trimmed_through()
    }

    /// How often a replica was left out lately though it was there and near.
    fn refused(&self, id: ReplicaId, now: Instant) -> u32 {
        self.readmission[id.index()].refused(now, self.config.view_timeout)
    }

    /// Takes in who was there and near enough, and is no member of the new view: again and again means waits that double.
    pub(super) fn note_absent(&mut self, now: Instant, view: &View) {
        for id in (0..self.config.replicas).map(replica_id) {
            let absent = id != self.me.id && view.incarnation_of(id).is_none();
            let there = absent && self.unreachable(id, now).is_none();
            if there && self.can_be_brought_up(id, now) {
                self.readmission[id.index()].refuse(now, self.config.view_timeout);
            }
        }
    }
}

/// When a replica may be taken in again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readmission {
    refused: u32,
    last: Instant,
    not_before: Instant,
}

impl Readmission {
    /// How often it was left out lately though it was there. Long quiet forgives.
    fn refused(self, now: Instant, unit: Duration) -> u32 {
        if now.since(self.last) > unit * 30 { 0 } else { self.refused }
    }

    /// It was left out though it was there: twice at no cost, then for twice as long each time.
    fn refuse(&mut self, now: Instant, unit: Duration) {
        self.refused = self.refused(now, unit) + 1;
        self.last = now;
        let doublings = self.refused.saturating_sub(2).min(6);
        if doublings > 0 {
            self.not_before = now + unit / 4 * (1 << doublings);
        }
    }
}

/// A view as it is told.
pub(super) fn new_view_chunk(told: &Told) -> Chunk {
    let Told { view, source, boundaries } = told.clone();
    let View { number, members, start } = view;
    Chunk::NewView { number, members, start, source, boundaries }
}

/// A replica's bit in a set.
pub(super) fn bit(id: ReplicaId) -> u16 {
    1 << id.0
}

/// The replica at an index.
pub(super) fn replica_id(index: usize) -> ReplicaId {
    assert!(index < MAX_REPLICAS);
    ReplicaId(u8::try_from(index).expect("ids are small"))
}

impl Replica {
    /// The log's end as a promise tells it.
    pub(super) fn log_end(&self) -> LogEnd {
        let (last, delivered) = (self.log.ordered_through(), self.delivered_through);
        let last_view = self.log.last_view();
        let boundaries = self.log.boundaries().last(MAX_BOUNDARIES);
        let held_from = self.log.trimmed_through().next();
        LogEnd { last_view, last, delivered, held_from, boundaries }
    }
}
