//! What a replica says of itself to people and tools: `ftqueue status`.

use std::time::Duration;

use super::Replica;
use super::copying::Copying;
use super::counters::Counters;
use super::event::Readiness;
use super::ids::replica_id;
use super::status::Status;
use super::view::View;
use crate::entry::DiskState;
use crate::types::{Incarnation, Instant, ReplicaId, Seq, ViewNumber};

/// What a replica is doing, what it knows, and whom it hears.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The replica.
    pub id: ReplicaId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// What it is: `new`, `recovering`, `outside`, `catching up`, `changing view`, `installing`, `member`, `leaving` or
    /// `left`.
    pub status: &'static str,
    /// How long it has been that.
    pub status_for: Duration,
    /// The view that it is a member of.
    pub view: Option<View>,
    /// The highest view number that it promised.
    pub promised: ViewNumber,
    /// Whether it can answer calls, and why not.
    pub readiness: Readiness,
    /// How long that has been so.
    pub readiness_for: Duration,
    /// The log's marks.
    pub marks: Marks,
    /// The sequence of the last executed operation; 0 before the first.
    pub sequence: u64,
    /// How many calls are not answered yet.
    pub open_calls: usize,
    /// What the own disk is good for.
    pub disk: DiskState,
    /// How much has come of a copy of what a member holds, in bytes; none where nothing is copied.
    pub copied: Option<u64>,
    /// What was counted since the start.
    pub counters: Counters,
    /// The other replicas, in id order.
    pub peers: Vec<PeerReport>,
}

/// How far the log goes in which sense. All inclusive; 0 for nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Marks {
    /// Applied to the queues.
    pub delivered: Seq,
    /// Durable at a majority, as far as this replica knows.
    pub committed: Seq,
    /// Durable here.
    pub durable: Seq,
    /// Held here without a gap.
    pub ordered: Seq,
    /// Known to be given out.
    pub highest: Seq,
    /// Durable at every member of the view.
    pub held_by_members: Seq,
    /// Let go of in memory.
    pub trimmed: Seq,
}

/// What a replica knows of another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerReport {
    /// The other one.
    pub id: ReplicaId,
    /// Its incarnation, once it was heard.
    pub incarnation: Option<Incarnation>,
    /// How long ago it was heard; none if never.
    pub unheard_for: Option<Duration>,
    /// The view that it said it is in.
    pub view: ViewNumber,
    /// The other replicas that it says it hears.
    pub hears: Vec<ReplicaId>,
    /// Why it is suspected, if it is: lower case, no full stop.
    pub suspected: Option<String>,
    /// How far it has acked in the present view.
    pub acked: Seq,
    /// How far it says it has delivered.
    pub delivered: Seq,
    /// The round trip to it.
    pub round_trip: Duration,
}

impl Replica {
    /// What this replica says of itself.
    pub fn report(&self, now: Instant) -> Report {
        let others = (0..self.config.replicas).map(replica_id).filter(|id| *id != self.me.id);
        let status = match self.leaving {
            true if self.has_left(now) => "left",
            true => "leaving",
            false => match (&self.status, self.own_disk.state) {
                (Status::Outside(_), DiskState::Empty | DiskState::New) => "new",
                (Status::Outside(_), DiskState::Lost) => "recovering",
                (status, _) => status.name(),
            },
        };
        Report {
            id: self.me.id,
            incarnation: self.me.incarnation,
            status,
            status_for: now.since(self.status_since),
            view: self.status.view().cloned(),
            promised: self.promised,
            readiness: self.readiness.clone(),
            readiness_for: now.since(self.readiness_since),
            marks: self.marks(),
            sequence: self.queues.sequence(),
            open_calls: self.calls.open(),
            disk: self.own_disk.state,
            copied: self.copying.as_ref().map(Copying::bytes),
            counters: self.counters.clone(),
            peers: others.map(|id| self.peer_report(id, now)).collect(),
        }
    }

    fn peer_report(&self, id: ReplicaId, now: Instant) -> PeerReport {
        let suspicion = self.suspicion(id, now).or_else(|| self.unreachable(id, now));
        let incarnation = self.detector.incarnation_of(id);
        PeerReport {
            id,
            incarnation,
            unheard_for: incarnation.and_then(|_| self.detector.unheard_for(id, now)),
            view: self.detector.view_of(id),
            hears: self.detector.hears(id),
            suspected: suspicion.map(|suspicion| suspicion.to_string()),
            acked: self.acks.of(id),
            delivered: self.detector.delivered_by(id),
            round_trip: self.detector.round_trip_to(id).smoothed(),
        }
    }

    /// How far the log goes.
    pub(super) fn marks(&self) -> Marks {
        Marks {
            delivered: self.delivered_through,
            committed: self.acks.committed_through(),
            durable: self.log.durable_through(),
            ordered: self.log.ordered_through(),
            highest: self.order.highest_seq().max(self.log.ordered_through()),
            held_by_members: self.acks.held_by_members(),
            trimmed: self.log.trimmed_through(),
        }
    }
}
