//! The first view. All N replicas take part in it, each in its present life: replica 0 proposes it when it hears all
//! others and all are in no view; the others install it if it names their present incarnation.
//!
//! Nobody multicasts a message in the view before it has heard every other member in it.
//!
//! There is no later view yet: what a replica held is in its memory alone, so none may replace a member that died.
//! A replica that installed a view and has neither sent nor ordered anything in it may leave it again, since nobody can
//! have counted on it: otherwise a crash during formation would need an operator.

use super::Replica;
use super::event::Effect;
use super::status::Status;
use super::view::View;
use crate::types::{Instant, LocalSeq, Member, ReplicaId, Seq, ViewNumber};

/// How many views a replica proposes in one life at most: each takes a restart during formation.
const PROPOSALS_OF_A_LIFE: u64 = 4_095;

impl Replica {
    /// Replica 0 installs the first view once everybody hears it, in its present life, and nobody is in a view. That
    /// they hear this life is the proof that what they said is not of an earlier one. Each life has rounds of its own,
    /// so no two proposals share a number.
    pub(super) fn propose_first_view(&mut self, now: Instant) {
        let proposes = self.me.id == ReplicaId(0) && matches!(self.status, Status::Outside);
        if !proposes
            || !self.detector.silent(now, self.config.silence).is_empty()
            || !self.detector.all_others_hear_this_life()
            || !self.detector.all_others_are_in(ViewNumber::NONE)
        {
            return;
        }
        let ids = (0..self.config.replicas).map(|id| ReplicaId(u8::try_from(id).expect("small")));
        let member = |id| {
            let heard = self.detector.incarnation_of(id);
            let incarnation = if id == self.me.id { Some(self.me.incarnation) } else { heard };
            Member { id, incarnation: incarnation.expect("none is silent") }
        };
        let members = ids.map(member).collect();
        if self.proposals == PROPOSALS_OF_A_LIFE {
            return;
        }
        let round = self.me.incarnation.0 * (PROPOSALS_OF_A_LIFE + 1) + self.proposals;
        self.proposals += 1;
        let number = ViewNumber { round, proposer: self.me.id };
        self.enter_member(now, View { number, members, start: Seq(1) }, "all replicas are heard");
        self.outbox.new_view_for_all();
    }

    /// Once every member was heard in the view, this one may speak in it: until then the view can be left again.
    pub(super) fn complete_view(&mut self, now: Instant) {
        if let Status::Member { view, complete, .. } = &mut self.status
            && !*complete
            && self.detector.all_others_are_in(view.number)
        {
            *complete = true;
            tracing::info!(replica = %self.me.id, view = %view.number, "all members are in the view");
            self.assess_readiness(now);
        }
    }

    /// A view was proposed.
    pub(super) fn on_new_view(&mut self, now: Instant, view: View) {
        if !matches!(self.status, Status::Outside)
            || view.members.len() != self.config.replicas
            || view.start != Seq(1)
            || !view.contains(self.me.id, self.me.incarnation)
        {
            return;
        }
        let lives_on = |member: &Member| {
            let known = self.detector.incarnation_of(member.id);
            member.id == self.me.id || known.is_none_or(|known| known <= member.incarnation)
        };
        if view.members.iter().all(lives_on) {
            self.enter_member(now, view, "the view was proposed to this replica");
        }
    }

    /// A replica is heard in a life that the view does not name: the member is gone, with all that it held.
    pub(super) fn on_lost_member(
        &mut self,
        now: Instant,
        lost: ReplicaId,
        effects: &mut Vec<Effect>,
    ) {
        if matches!(self.status, Status::Member { broken: Some(_), .. }) {
            return;
        }
        let nothing_done = self.last_local == LocalSeq(0)
            && self.log.ordered_through() == Seq(0)
            && self.order.highest_seq() == Seq(0);
        let reason = format!(
            "replica {} was restarted, and this version keeps entries in memory only: restart all replicas",
            lost.0
        );
        if nothing_done {
            self.enter_outside(now, &reason, effects);
        } else {
            self.break_view(now, reason, effects);
        }
    }
}
