//! Whether this replica takes part in a view, and whether it can answer calls.

use super::event::{Effect, Readiness, Unavailable};
use super::view::View;
use super::{Replica, commit::Acks, handover::Handover, messages::Messages, order::Order};
use super::{log::Log, repair::Repair, resend::Resend};
use crate::types::{Instant, LocalSeq, ReplicaId, Seq, ViewNumber};

/// Why a member cannot answer yet.
const NOT_COMPLETE: &str = "some members are not known to be in the view yet";

/// What a replica is.
#[derive(Debug)]
pub(super) enum Status {
    /// In no view: it multicasts, numbers, acks and delivers nothing.
    Outside,
    /// A member of a view.
    Member {
        /// The view.
        view: View,
        /// Whether every other member was heard in the view: before that, no message is multicast in it.
        complete: bool,
        /// Why the view can never go on, if it cannot.
        broken: Option<String>,
    },
}

impl Status {
    /// The view that this replica is a member of.
    pub(super) fn view(&self) -> Option<&View> {
        match self {
            Self::Outside => None,
            Self::Member { view, .. } => Some(view),
        }
    }

    /// Its number; `NONE` outside.
    pub(super) fn view_number(&self) -> ViewNumber {
        self.view().map_or(ViewNumber::NONE, |view| view.number)
    }
}

impl Replica {
    /// Becomes a member of `view`, with an empty ring.
    pub(super) fn enter_member(&mut self, now: Instant, view: View, reason: &str) {
        assert!(matches!(self.status, Status::Outside), "one view after the other");
        assert!(view.contains(self.me.id, self.me.incarnation), "a view names its members' lives");
        assert_eq!(
            self.log.ordered_through().next(),
            view.start,
            "the log reaches the view's start"
        );
        tracing::info!(replica = %self.me.id, view = %view.number, reason, "member");
        self.reset_ring();
        self.status = Status::Member { view, complete: false, broken: None };
        self.counters.views_installed += 1;
        self.heartbeat_due = now;
        self.assess_readiness(now);
    }

    /// Leaves a view in which this replica has said and ordered nothing, so that nobody can miss it.
    pub(super) fn enter_outside(&mut self, now: Instant, reason: &str, effects: &mut Vec<Effect>) {
        assert_eq!(self.log.ordered_through(), Seq(0), "nothing is ordered in a view that is left");
        assert_eq!(self.last_local, LocalSeq(0), "nothing is sent in a view that is left");
        tracing::info!(replica = %self.me.id, view = %self.status.view_number(), reason, "outside");
        self.refuse_all_calls(Unavailable::NoView, reason, effects);
        self.status = Status::Outside;
        self.reset_ring();
        self.assess_readiness(now);
    }

    fn reset_ring(&mut self) {
        let replicas = self.config.replicas;
        let window = self.message_window();
        self.outbox.clear();
        self.log = Log::default();
        self.messages = Messages::new(replicas, window);
        self.order = Order::new(self.me.id, replicas);
        self.acks = Acks::new(self.quorum);
        self.repair = Repair::default();
        self.resend = Resend::default();
        self.handover = Handover::default();
    }

    /// The view has lost a member that nothing replaces yet: it can never go on. Calls are refused from now on.
    pub(super) fn break_view(&mut self, now: Instant, reason: String, effects: &mut Vec<Effect>) {
        let Status::Member { broken, .. } = &mut self.status else {
            return;
        };
        if broken.is_none() {
            tracing::error!(replica = %self.me.id, reason, "the view cannot go on");
            *broken = Some(reason.clone());
            self.refuse_all_calls(Unavailable::ViewBroken, &reason, effects);
            self.assess_readiness(now);
        }
    }

    /// Why calls are refused on arrival, if they are.
    pub(super) fn cannot_answer(&self) -> Option<(Unavailable, String)> {
        match (&self.status, &self.readiness) {
            (Status::Outside, Readiness::NotReady(why)) => Some((Unavailable::NoView, why.clone())),
            (Status::Outside, Readiness::Ready) => unreachable!("only members are ready"),
            (Status::Member { broken: Some(why), .. }, _) => {
                Some((Unavailable::ViewBroken, why.clone()))
            }
            (Status::Member { complete: false, .. }, _) => {
                Some((Unavailable::NoView, NOT_COMPLETE.to_owned()))
            }
            (Status::Member { complete: true, broken: None, .. }, _) => None,
        }
    }

    /// Judges anew whether calls can be answered.
    pub(super) fn assess_readiness(&mut self, now: Instant) {
        let silent = self.detector.silent(now, self.config.silence);
        self.readiness = match &self.status {
            Status::Outside if silent.is_empty() => {
                Readiness::NotReady("all replicas are heard, but in no common view yet".to_owned())
            }
            Status::Outside => {
                Readiness::NotReady(format!("in no view: {} not heard", list(&silent)))
            }
            Status::Member { broken: Some(why), .. } => Readiness::NotReady(why.clone()),
            Status::Member { complete: false, .. } => Readiness::NotReady(NOT_COMPLETE.to_owned()),
            Status::Member { .. } if silent.is_empty() => Readiness::Ready,
            Status::Member { .. } => Readiness::NotReady(format!(
                "{} silent for more than {} ms; every member takes its turn",
                list(&silent),
                self.config.silence.as_millis()
            )),
        };
    }
}

/// "replica 1", "replicas 1, 2".
fn list(replicas: &[ReplicaId]) -> String {
    let ids: Vec<String> = replicas.iter().map(|id| id.0.to_string()).collect();
    let noun = if ids.len() == 1 { "replica" } else { "replicas" };
    format!("{noun} {}", ids.join(", "))
}
