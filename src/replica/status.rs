//! What a replica is: outside of any view, changing to one, installing one, or a member of one. Only the `enter_*`
//! functions change it, each with its reason.

use super::Replica;
use super::boundaries::Boundaries;
use super::catch_up::Learner;
use super::commit::Acks;
use super::event::{Effect, Readiness, Unavailable};
use super::fetch::Fetch;
use super::handover::Handover;
use super::order::Order;
use super::proposal::Proposal;
use super::repair::Repair;
use super::view::View;
use crate::entry::{Body, Entry, Record};
#[cfg(feature = "planted-bugs")]
use crate::planted::planted;
use crate::types::{Boundary, Instant, LocalSeq, ReplicaId, Seq, ViewNumber};

/// What a replica is.
#[derive(Debug)]
pub(super) enum Status {
    /// In no view: it multicasts, numbers and acks nothing, and learns what others deliver.
    Outside(Learner),
    /// It promised a view and waits for it; of earlier views it numbers, appends, acks and delivers nothing.
    Changing(Change),
    /// It was told the view and fetches what it lacks of the chosen log.
    Installing(Install),
    /// A member of a view.
    Member(Told),
}

/// A view that was promised.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) number: ViewNumber,
    /// The write that makes the promise durable.
    pub(super) write: u64,
    /// Whether it is.
    pub(super) durable: bool,
    /// The proposal, where it is this replica's own.
    pub(super) proposal: Option<Proposal>,
}

/// A view as NEWVIEW told it: passed on unchanged.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) view: View,
    /// Whose log was chosen, and its boundaries.
    pub(super) source: ReplicaId,
    pub(super) boundaries: Vec<Boundary>,
}

/// A view that is being installed.
#[derive(Debug)]
pub(super) struct Install {
    pub(super) told: Told,
    pub(super) fetch: Fetch,
    /// Who is ready to be a member, by bit; none where that is not waited for.
    pub(super) ready: Option<u16>,
}

impl Status {
    /// The view that this replica is a member of.
    pub(super) fn view(&self) -> Option<&View> {
        match self {
            Self::Member(told) => Some(&told.view),
            _ => None,
        }
    }

    /// Its number; `NONE` for no member.
    pub(super) fn view_number(&self) -> ViewNumber {
        self.view().map_or(ViewNumber::NONE, |view| view.number)
    }

    /// The view that was installed or is being installed, as it was told.
    pub(super) fn told(&self) -> Option<&Told> {
        match self {
            Self::Member(told) | Self::Installing(Install { told, .. }) => Some(told),
            _ => None,
        }
    }

    /// In a word or two, for people.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Outside(learner) if learner.is_behind() => "catching up",
            Self::Outside(_) => "outside",
            Self::Changing(_) => "changing view",
            Self::Installing(_) => "installing",
            Self::Member(_) => "member",
        }
    }
}

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
        self.raise_promise(number, effects);
        let (write, reason) =
            (self.writes.last(), if proposal.is_some() { "own" } else { "asked" });
        let change = Change { number, write, durable: false, proposal };
        self.leave_ring(now, Status::Changing(change), reason);
    }

    /// Makes the log the chosen one as far as it is held: drops what the chosen one has not.
    pub(super) fn enter_installing(
        &mut self,
        now: Instant,
        told: Told,
        common: Seq,
        effects: &mut Vec<Effect>,
    ) {
        assert!(
            matches!(&self.status, Status::Changing(change) if change.number == told.view.number),
            "only the promised view is installed"
        );
        assert!(common >= self.delivered_through, "what is delivered is in every chosen log");
        self.drop_after(common, effects);
        let chosen = Boundaries::told(&told.boundaries);
        let last = Seq(told.view.start.0 - 1);
        let fetch = Fetch::new(chosen, last, told.source, now);
        let ready = self.waits_for_majority(&told).then_some(0);
        self.leave_ring(now, Status::Installing(Install { told, fetch, ready }), "told");
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

    /// Why calls are refused on arrival, if they are.
    pub(super) fn cannot_answer(&self, now: Instant) -> Option<(Unavailable, String)> {
        if self.leaving {
            return Some((Unavailable::ShuttingDown, "the replica is stopping".to_owned()));
        }
        if let Some(refusal) = self.lacks_majority(now) {
            return Some(refusal);
        }
        match (&self.status, &self.readiness) {
            (Status::Outside(_), Readiness::NotReady(why)) => {
                Some((Unavailable::NoView, why.clone()))
            }
            _ => None,
        }
    }

    /// That no majority is reached, and who is, where it is so.
    pub(super) fn lacks_majority(&self, now: Instant) -> Option<(Unavailable, String)> {
        let reachable = self.connected(now);
        if reachable.len() >= self.quorum.size() {
            return None;
        }
        let detail = format!(
            "it reaches {} of {} replicas, and {} make a majority",
            reachable.len(),
            self.config.replicas,
            self.quorum.size()
        );
        Some((Unavailable::NoMajority { reachable }, detail))
    }

    /// Judges anew whether calls can be answered.
    pub(super) fn assess_readiness(&mut self, now: Instant) {
        let readiness = match &self.status {
            _ if self.leaving => Readiness::NotReady("leaving".to_owned()),
            _ if self.storage_full => Readiness::NotReady("storage is full".to_owned()),
            status => match (self.lacks_majority(now), status) {
                (Some((_, detail)), _) => Readiness::NotReady(detail),
                (None, Status::Member(told)) if self.delivered_through >= told.view.start => {
                    Readiness::Ready
                }
                (None, Status::Member(_)) => {
                    Readiness::NotReady("the view's beginning is not delivered yet".to_owned())
                }
                (None, Status::Outside(learner)) => {
                    Readiness::NotReady(learner.describe().to_owned())
                }
                (None, Status::Changing(change)) => {
                    Readiness::NotReady(format!("view {} is being agreed on", change.number))
                }
                (None, Status::Installing(install)) => {
                    let number = install.told.view.number;
                    Readiness::NotReady(format!("view {number} is being installed"))
                }
            },
        };
        // While the view changes calls wait; that is no reason to send callers away.
        let passing =
            matches!(self.status, Status::Changing(_) | Status::Installing(_) | Status::Member(_))
                && self.readiness == Readiness::Ready
                && !self.leaving
                && !self.storage_full
                && self.lacks_majority(now).is_none()
                && now.since(self.status_since) < self.config.view_timeout;
        if self.readiness != readiness && !passing {
            self.readiness = readiness;
            self.readiness_since = now;
        }
    }
}
