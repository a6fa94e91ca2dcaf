//! When another view is wanted, and by whom it is proposed (DESIGN section 3, rule 1).

use std::time::Duration;

use super::Replica;
use super::backoff::Jitter;
use super::copying::Copying;
use super::event::Effect;
use super::fetch::Fetch;
use super::ids::{bit, replica_id};
use super::status::{Change, Status};
use super::view::View;
use crate::types::{Instant, ReplicaId, ViewNumber};

/// The longest wait between two own proposals that come to nothing.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

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

    /// No other view is wanted now.
    pub(super) fn forget(&mut self) {
        (self.since, self.due) = (None, None);
    }

    /// This replica proposes a view: the wait before the next time doubles with each that comes to nothing.
    pub(super) fn proposed(&mut self, now: Instant, view_timeout: Duration, jitter: &mut Jitter) {
        self.in_vain += 1;
        let doublings = self.in_vain.saturating_sub(1).min(8);
        let wait = (view_timeout / 4 * (1 << doublings)).min(LONGEST_WAIT);
        self.not_before = now + view_timeout / 4 + jitter.spread(wait);
        self.forget();
    }

    /// A view has come to work: the next one that is wanted is another matter, and need not wait for its sake.
    pub(super) fn fulfilled(&mut self) {
        self.in_vain = 0;
        self.not_before = Instant::default();
    }
}

impl Replica {
    /// Proposes a view if one is wanted and it is this replica's part to do so.
    pub(super) fn consider_proposing(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.view_attention = false;
        if !self.takes_part() || !self.has_asked_around(now) {
            return self.wish.forget();
        }
        let Some(reason) = self.wanted_view(now) else {
            self.wish.forget();
            return;
        };
        let staying = self.connected(now).into_iter();
        let staying = staying.filter(|id| *id == self.me.id || !self.detector.is_leaving(*id));
        let majority = staying.count() >= self.quorum.size();
        // Where no majority is fully connected every view would have a member that another suspects at once: no view is
        // better than one after the other.
        let lasting = self.best_set(now, u16::MAX) != 0;
        let willing = !self.leaving && !self.storage_full && !self.disk_hangs();
        let able = willing && majority && lasting;
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
        let in_vain = matches!(&self.status, Status::Changing(change) if lasts > change.patience(&self.config)
            && (works || !self.is_under_way(change, now)));
        if in_vain && works {
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
                // Each view is to bring all forward before the next one.
                let works = self.delivered_through >= told.view.start;
                (works && lasts > self.config.view_timeout).then(|| {
                    format!("{} replicas are connected to each other", larger.count_ones())
                })
            }
            Status::Changing(change) => {
                in_vain.then(|| format!("{} has come to nothing", change.number))
            }
            Status::Installing(install) => {
                let copying = self.copying.as_ref().map_or(self.status_since, Copying::progress);
                let progress = install.fetch.progress().max(copying);
                let waits = now.since(progress.max(self.status_since));
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
                    return (!self.others_agree(now))
                        .then(|| "no member of a view that works is heard".to_owned());
                }
                // A promise that is under way for an own view delays that for a view which would take this replica in.
                let patience = self.config.view_timeout * 5 + self.promise_time.last() * 8;
                (learns_nothing_for > patience && self.copying.is_none())
                    .then(|| "nobody takes this replica in".to_owned())
            }
        }
    }

    /// Whether a promised view needs but time. The proposer is there in the life in which it proposed, a majority says that it
    /// has promised, and it is being synced for no longer than a disk may take; or, for an own proposal, a majority has
    /// promised, and the rest may still follow.
    pub(super) fn is_under_way(&self, change: &Change, now: Instant) -> bool {
        if let Some(own) = change.proposal.as_ref().filter(|own| own.count() >= self.quorum.size())
        {
            return own.is_in_grace();
        }
        let connected = self.connected(now);
        let said = |id: ReplicaId| {
            self.detector.promised_by(id) == change.number
                && self.detector.view_of(id) == ViewNumber::NONE
        };
        let promised = |id: &ReplicaId| {
            *id == self.me.id
                || said(*id)
                || change.proposal.as_ref().is_some_and(|own| own.promises[id.index()].is_some())
        };
        let proposer = change.number.proposer;
        let proposes = proposer == self.me.id
            || connected.contains(&proposer)
                && said(proposer)
                && !self.detector.is_leaving(proposer)
                && self.detector.incarnation_of(proposer) == change.proposer_life;
        proposes
            && connected.iter().filter(|id| promised(id)).count() >= self.quorum.size()
            && now.since(self.status_since) <= self.config.ack_timeout
    }

    /// Whether others are agreeing on a view, for no longer than that may take. Their disks may be slow, and a proposal from
    /// outside would begin it anew.
    fn others_agree(&self, now: Instant) -> bool {
        let patience = self.config.view_timeout * 2 + self.promise_time.last() * 2;
        self.detector.hears_change(now, self.config.silence, now - patience)
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
    ///
    /// Those in it that want no view with them come later, or never. They count all the same where the others are as many
    /// as the view: one of them may have lost its disk, and need just those others as members to say what was on it.
    pub(super) fn larger_set(&self, now: Instant) -> Option<u16> {
        let view = self.status.view()?;
        let best = self.best_set(now, u16::MAX);
        let ids = || (0..self.config.replicas).map(replica_id);
        let staying = |id: &ReplicaId| best & bit(*id) != 0 && !self.detector.is_leaving(*id);
        let members = view.members.len();
        let larger = best.count_ones() as usize > members && best & bit(self.me.id) != 0;
        let enough = ids().filter(staying).count() >= members;
        let outside = || ids().filter(staying).filter(|id| bit(*id) & !view.set() != 0);
        let joins = outside().next().is_some() && outside().all(|id| self.is_welcome(id, now));
        (larger && enough && joins).then_some(best)
    }

    /// The largest fully connected set out of `among` that holds a majority.
    pub(super) fn best_set(&self, now: Instant, among: u16) -> u16 {
        self.detector.best_set(among, now, self.config.silence, self.quorum.size())
    }
}
