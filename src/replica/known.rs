//! What replicas know of what others must have on their disks, and say to those that are in no view with them. So one that
//! was given an old copy of its disk hears of it before it takes part again.
//!
//! Exact, and no guess: a replica has promised every view that names it, durably, before it was named; and has all that
//! it acked in a view until it promised a later one. What is in the log survives restarts of those who know; acks
//! are remembered as long as they run.

use super::Replica;
use super::event::Effect;
use super::ids::bit;
use super::own_disk::Began;
use crate::entry::DiskState;
use crate::planted::planted;
use crate::types::{Incarnation, Instant, MAX_REPLICAS, Member, ReplicaId, Seq, ViewNumber};
use crate::wire::{Chunk, Known, MAX_NUMBER};

/// The highest ack of each replica that was heard in this life of ours: in which view, how far, and in which life.
#[derive(Debug)]
pub(super) struct HeardAcks([(ViewNumber, Seq, Incarnation); MAX_REPLICAS]);

impl Default for HeardAcks {
    fn default() -> Self {
        Self([(ViewNumber::NONE, Seq(0), Incarnation(0)); MAX_REPLICAS])
    }
}

impl HeardAcks {
    pub(super) fn note(&mut self, member: Member, view: ViewNumber, through: Seq) {
        let acked = &mut self.0[member.id.index()];
        *acked = (*acked).max((view, through, member.incarnation));
    }
}

impl Replica {
    /// Tells those who are not in this replica's view what is known of them all.
    pub(super) fn tell_known(&mut self) {
        let lives: Vec<Known> = self.replicas().filter_map(|id| self.known_of(id)).collect();
        for id in self.replicas().filter(|id| *id != self.me.id) {
            let view = self.status.view_number();
            if view == ViewNumber::NONE || self.detector.view_of(id) != view {
                self.outbox.for_one_once(id, Chunk::Known { lives: lives.clone() });
            }
        }
    }

    fn known_of(&self, id: ReplicaId) -> Option<Known> {
        let life = self.log.lives().of(id);
        let (view, acked, promised_in) =
            self.heard_acks.0[id.index()].max((life.view, Seq(0), life.named));
        // What is of an earlier life than was heard is not heeded.
        let incarnation = life.fence.max(self.detector.incarnation_of(id).unwrap_or(life.fence));
        let known = incarnation.0 > 0 || view != ViewNumber::NONE;
        known.then_some(Known { life: Member { id, incarnation }, view, promised_in, acked })
    }

    /// Another replica says what it knows of this one.
    pub(super) fn on_known(
        &mut self,
        now: Instant,
        from: ReplicaId,
        lives: &[Known],
        effects: &mut Vec<Effect>,
    ) {
        self.own_disk.told_by |= bit(from);
        let Some(known) = lives.iter().find(|known| known.life.id == self.me.id) else {
            return;
        };
        if known.life.incarnation > self.me.incarnation && known.life.incarnation.0 < MAX_NUMBER / 2
        {
            // A number that leaves none for further lives is a lie.
            self.own_disk.outlived_by = self.own_disk.outlived_by.max(Some(known.life.incarnation));
        }
        let Some(Began { promised, end, .. }) = self.own_disk.began else {
            return;
        };
        // What this life promised says nothing of the lives before.
        let of_this_life = known.promised_in >= self.me.incarnation;
        // And an operator may have said that it does not count.
        let accepted = self.own_disk.state == DiskState::Accepted;
        let trusted = planted!(self, TrustOldCopy) || planted!(self, TrustEmptyDisk);
        if of_this_life || accepted || trusted {
            return;
        }
        let lacks_promise = promised < known.view;
        let lacks_acked =
            promised == known.view && known.acked > Seq(0) && end < (known.view, known.acked);
        if lacks_promise || lacks_acked {
            let why = format!(
                "{from} knows that it had promised {}, and acked {} in it",
                known.view, known.acked
            );
            self.lose_disk(now, &why, effects);
        }
    }

    /// Whether the others have had their say of what must be on this disk: all of them, or as long as it takes to tell that
    /// one is silent.
    pub(super) fn has_asked_around(&self, now: Instant) -> bool {
        let all =
            self.replicas().all(|id| id == self.me.id || self.own_disk.told_by & bit(id) != 0);
        let waited = |began: &Began| now.since(began.at) > self.config.silence;
        all || self.own_disk.began.as_ref().is_some_and(waited)
    }
}
