//! From one status to another. Only the `enter_*` functions change it, each with its reason.

use super::Replica;
use super::boundaries::Boundaries;
use super::catch_up::Learner;
use super::commit::Acks;
use super::event::Effect;
use super::fetch::Fetch;
use super::handover::Handover;
use super::order::Order;
use super::proposal::Proposal;
use super::repair::Repair;
use super::status::{Change, Install, Status, Told};
use crate::entry::{Body, Entry, Record};
#[cfg(feature = "planted-bugs")]
use crate::planted::planted;
use crate::types::{Instant, LocalSeq, Seq, ViewNumber};

impl Replica {
    /// Takes no part in any view from now on, until one is formed that names this replica.
    pub(super) fn enter_outside(&mut self, now: Instant, reason: &str) {
        self.leave_ring(now, Status::Outside(Learner::default()), reason);
    }

    /// Promises `number`: from now on nothing of an earlier view is numbered, appended, acked or delivered.
    pub(super) fn enter_changing(
        &mut self,
        now: Instant,
        number: ViewNumber,
        proposal: Option<Proposal>,
        effects: &mut Vec<Effect>,
    ) {
        assert!(self.takes_part(), "a disk that is new or lost takes no part");
        self.raise_promise(now, number, effects);
        let (write, reason) =
            (self.writes.last(), if proposal.is_some() { "own" } else { "asked" });
        let proposer_life = self.detector.incarnation_of(number.proposer);
        let change = Change { number, proposer_life, write, durable_after: None, proposal };
        self.leave_ring(now, Status::Changing(change), reason);
    }

    /// Makes the log the chosen one as far as it is held: drops what the chosen one has not.
    pub(super) fn enter_installing(
        &mut self,
        now: Instant,
        told: Told,
        common: Option<Seq>,
        effects: &mut Vec<Effect>,
    ) {
        assert!(
            matches!(&self.status, Status::Changing(change) if change.number == told.view.number),
            "only the promised view is installed"
        );
        if let Some(common) = common {
            assert!(common >= self.delivered_through, "what is delivered is in every chosen log");
            self.drop_after(common, effects);
        }
        let unlike = common.is_none();
        let chosen = Boundaries::told(&told.boundaries);
        let last = Seq(told.view.start.0 - 1);
        let fetch = Fetch::new(chosen, last, told.source, now);
        let ready = self.waits_for_majority(&told).then_some(0);
        self.leave_ring(now, Status::Installing(Install { told, fetch, unlike, ready }), "told");
    }

    /// Becomes a member: the log is the chosen one up to the view's start, where the view's own entry goes.
    pub(super) fn enter_member(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Status::Installing(install) = &self.status else {
            unreachable!("a view is installed before");
        };
        let told = install.told.clone();
        let view = &told.view;
        assert!(view.contains(self.me.id, self.me.incarnation), "a view names its members' lives");
        assert_eq!(self.log.ordered_through().next(), view.start, "the log reaches the start");
        let body = Body::View(view.members.clone());
        let entry = Entry { seq: view.start, view: view.number, body };
        self.log.append(entry.clone());
        self.write(Record::Append(entry), effects);
        (self.copying, self.copied) = (None, None);
        self.begin_ring(&told);
        self.counters.views_installed += 1;
        self.note_absent(now, &told.view);
        self.enter(now, Status::Member(told), "the chosen log is complete");
        self.heartbeat_due = now;
    }

    /// Prepares what the ring keeps for one view alone.
    fn begin_ring(&mut self, told: &Told) {
        let view = &told.view;
        let mut last_local = vec![LocalSeq(0); self.config.replicas];
        for member in &view.members {
            let (id, incarnation) = (member.id, member.incarnation);
            let last = self.log.last_names().of(id, incarnation);
            last_local[id.index()] = last;
            // Own messages are kept until they are delivered: their entries may be dropped by then.
            let own = self.delivered_names.of(id, incarnation);
            let past = if id == self.me.id { own } else { last };
            let keep = self.message_lives[id.index()] == Some(incarnation);
            self.messages.begin(id, past, keep);
            self.message_lives[id.index()] = Some(incarnation);
        }
        // Nothing of this life is in a log that was not sent, unless a member lies: then its numbers are not used again.
        self.last_local =
            self.last_local.max(last_local[self.me.id.index()]).max(self.own_delivered());
        self.messages_trimmed_through = self.log.ordered_through();
        self.order = Order::new(self.me.id, self.log.ordered_through(), &last_local);
        let members = view.members.iter().map(|member| member.id);
        let acks = Acks::new(self.quorum, members, Seq(view.start.0 - 1));
        #[cfg(feature = "planted-bugs")]
        let acks = {
            let mut acks = acks;
            if planted!(self, CountEarlierAcks) {
                acks.keep_earlier(&self.acks, self.me.id);
            }
            acks
        };
        self.acks = acks;
    }

    /// Takes no part in the ring any more.
    fn leave_ring(&mut self, now: Instant, status: Status, reason: &str) {
        self.outbox.clear();
        self.repair = Repair::default();
        self.resend.begin_view();
        self.handover = Handover::default();
        self.sync_time.begin_anew();
        self.enter(now, status, reason);
    }

    fn enter(&mut self, now: Instant, status: Status, reason: &str) {
        let promised = self.promised;
        let told = status.told().map(|told| told.view.to_string()).unwrap_or_default();
        tracing::info!(replica = %self.me.id, from = self.status.name(), to = status.name(),
            %promised, view = told, reason, "status");
        self.status = status;
        self.status_since = now;
        self.view_attention = true;
        self.assess_readiness(now);
    }
}
