//! Who is suspected: evidence that a member cannot take part, never proof (DESIGN section 3, the failure detector).
//! Safety rests on none of it.

use std::fmt;
use std::time::Duration;

use super::Replica;
use super::status::Status;
use crate::planted::planted;
use crate::types::{Instant, ReplicaId, Seq};

/// Why a replica is suspected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Suspicion {
    /// It says that it wants a view without it.
    Leaving,
    /// Datagrams to it came back refused.
    Refused,
    /// It was not heard for so long.
    Silent(Duration),
    /// It says that it does not hear this replica.
    Deaf,
    /// It was started anew.
    Restarted,
    /// This replica is connected to a majority that it is not connected to.
    CutOff,
    /// It is not in the view yet, so long after the others.
    NotInView,
    /// It promised another view, which does not come to be.
    Elsewhere,
    /// It does not give out a number though it is its turn.
    HoldsTurn(Seq),
    /// It does not ack, and everybody waits for it.
    HoldsAcks(Seq),
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaving => {
                write!(
                    f,
                    "it is leaving, has no room to write, or its disk is new or lost, or hangs"
                )
            }
            Self::Refused => write!(f, "nobody listens at its address"),
            Self::Silent(silence) => write!(f, "silent for {} ms", silence.as_millis()),
            Self::Deaf => write!(f, "it does not hear this replica"),
            Self::Restarted => write!(f, "it was started anew"),
            Self::CutOff => write!(f, "it is cut off from others"),
            Self::NotInView => write!(f, "it does not install the view"),
            Self::Elsewhere => write!(f, "it promised another view"),
            Self::HoldsTurn(seq) => write!(f, "it does not give out {seq}"),
            Self::HoldsAcks(seq) => write!(f, "it does not ack {seq}"),
        }
    }
}

/// What the ring waits for, and since when.
#[derive(Debug, Default)]
pub(super) struct Stall {
    since: Option<(Held, Instant)>,
    /// The first number that is durable here and not delivered, and since when.
    undelivered: Option<(Seq, Instant)>,
}

impl Stall {
    /// What waits now is not measured: nobody watched all the while.
    pub(super) fn begin_anew(&mut self) {
        (self.since, self.undelivered) = (None, None);
    }
}

/// What a single member holds up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Held {
    Turn(Seq),
    Acks(Seq),
}

impl Replica {
    /// Why another replica cannot be talked with, if it cannot.
    pub(super) fn unreachable(&self, id: ReplicaId, now: Instant) -> Option<Suspicion> {
        if self.detector.is_leaving(id) {
            return Some(Suspicion::Leaving);
        }
        self.unheard(id, now)
    }

    /// Why the same cannot be heard, or does not hear this one.
    fn unheard(&self, id: ReplicaId, now: Instant) -> Option<Suspicion> {
        if self.detector.is_refused(id) {
            return Some(Suspicion::Refused);
        }
        let unheard = self.detector.unheard_for(id, now)?;
        if unheard > self.config.silence {
            return Some(Suspicion::Silent(unheard));
        }
        // Before it was heard there is nothing to go by.
        (!self.detector.hears_me(id)).then_some(Suspicion::Deaf)
    }

    /// Why another member of the present view is suspected, if it is.
    pub(super) fn suspicion(&self, id: ReplicaId, now: Instant) -> Option<Suspicion> {
        let Status::Member(told) = &self.status else {
            return None;
        };
        let life = told.view.incarnation_of(id)?;
        if self.detector.incarnation_of(id).is_some_and(|heard| heard > life) {
            return Some(Suspicion::Restarted);
        }
        let in_view_for = now.since(self.status_since);
        // What it wanted before it promised this view is past: a disk that was new then is sound now.
        if self.detector.is_leaving_since(id, told.view.number) {
            return Some(Suspicion::Leaving);
        }
        match self.unheard(id, now) {
            // What it said last may be of before it heard this replica for the first time: at a start who was asked for a
            // promise by one replica need not have heard more of another.
            Some(Suspicion::Deaf) if in_view_for <= self.config.silence => {}
            None => {}
            unheard => return unheard,
        }
        let best = self.best_set(now, told.view.set());
        let (mine, its) = (1 << self.me.id.0, 1 << id.0);
        if best & mine != 0 && best & its == 0 && in_view_for > self.config.silence {
            return Some(Suspicion::CutOff);
        }
        if self.detector.view_of(id) != told.view.number && in_view_for > self.config.view_timeout {
            let elsewhere = self.detector.promised_by(id) > told.view.number;
            let since = self.detector.absent_since(id).max(self.status_since);
            if now.since(since) > self.config.view_timeout {
                return Some(if elsewhere { Suspicion::Elsewhere } else { Suspicion::NotInView });
            }
        }
        // One whose disk hangs gives out numbers as ever, and heartbeats.
        if let Some((seq, since)) = self.stall.undelivered
            && !planted!(self, NoAckTimeout)
            && now.since(since.max(self.status_since)) > self.config.ack_timeout
            && self.acks.of(id) < seq
        {
            return Some(Suspicion::HoldsAcks(seq));
        }
        match self.stall.since {
            Some((held, since)) if now.since(since) > self.config.slot_timeout => match held {
                Held::Turn(seq) if told.view.sequencer_of(seq) == id => {
                    Some(Suspicion::HoldsTurn(seq))
                }
                Held::Acks(seq) if self.acks.of(id) < seq => Some(Suspicion::HoldsAcks(seq)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Sees whether a single member holds up the ring, and since when.
    pub(super) fn watch_stall(&mut self, now: Instant) {
        let held = self.held_up();
        match (held, &self.stall.since) {
            (None, _) => self.stall.since = None,
            (Some(held), Some((before, _))) if *before == held => {}
            (Some(held), _) => self.stall.since = Some((held, now)),
        }
        let next = self.delivered_through.next();
        let waits = self.status.view().is_some() && next <= self.log.durable_through();
        let since = self.stall.undelivered.filter(|(seq, _)| *seq == next);
        self.stall.undelivered = waits.then(|| since.unwrap_or((next, now)));
    }

    fn held_up(&self) -> Option<Held> {
        let view = self.status.view()?;
        let next = self.order.highest_seq().next();
        if !self.message_waits() {
            return None;
        }
        let undelivered = next.0.saturating_sub(self.delivered_through.0);
        if undelivered > self.config.undelivered_window {
            // A majority does not ack: there is nobody to go on with.
            return None;
        }
        if next.0.saturating_sub(self.acks.held_by_members().0) > self.config.unstable_window {
            return Some(Held::Acks(self.acks.held_by_members().next()));
        }
        (view.sequencer_of(next) != self.me.id).then_some(Held::Turn(next))
    }
}
