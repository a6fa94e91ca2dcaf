//! What replicas know of what others must have on their disks, and say to those that are in no view with them. So one that
//! was given an old copy of its disk hears of it before it takes part again.
//!
//! Exact, and no guess: a replica has promised every view that it says it promised, proposes or is in, durably, before it
//! said so; and has all that it acked in a view until it promised a later one. What is in the log survives restarts of
//! those who know; what was heard is remembered as long as they run.

use super::Replica;
use super::event::Effect;
use super::ids::bit;
use super::own_disk::Began;
use crate::entry::DiskState;
use crate::planted::planted;
use crate::types::{Incarnation, Instant, MAX_REPLICAS, Member, ReplicaId, Seq, ViewNumber};
use crate::wire::{Chunk, Header, Known, MAX_NUMBER};

/// What each replica was heard to say in this life of ours that it holds durably.
#[derive(Debug)]
pub(super) struct Heard([Said; MAX_REPLICAS]);

/// What one said.
#[derive(Clone, Copy, Debug)]
struct Said {
    /// The highest view that it was in, how far it acked in that, and in which life.
    acked: (ViewNumber, Seq, Incarnation),
    /// The highest view that it promised in its last life that said that it promised any: whoever lost its disk may promise
    /// less than before once it has recovered.
    promised: (Incarnation, ViewNumber),
}

impl Default for Heard {
    fn default() -> Self {
        let (life, view) = (Incarnation(0), ViewNumber::NONE);
        Self([Said { acked: (view, Seq(0), life), promised: (life, view) }; MAX_REPLICAS])
    }
}

impl Heard {
    /// A replica says something: who is in a view has promised it, and so has who proposes it.
    pub(super) fn listen(&mut self, header: &Header, chunks: &[Chunk]) {
        let life = header.incarnation;
        let said = &mut self.0[header.sender.index()];
        let mut note_view = |through| said.acked = said.acked.max((header.view, through, life));
        if header.view != ViewNumber::NONE {
            note_view(Seq(0));
        }
        for chunk in chunks {
            match chunk {
                Chunk::Ack { through, .. } => note_view(*through),
                Chunk::Prepare { number } | Chunk::Promise { number, .. } => {
                    said.promised = said.promised.max((life, *number));
                }
                _ => {}
            }
        }
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
        let Said { acked, promised } = self.heard.0[id.index()];
        let (view, acked, in_life) = acked.max((life.view, Seq(0), life.named));
        let (promised_in, promised) = promised;
        // What is of an earlier life than was heard is not heeded.
        let incarnation = life.fence.max(self.detector.incarnation_of(id).unwrap_or(life.fence));
        let known = incarnation.0 > 0 || view != ViewNumber::NONE;
        let life = Member { id, incarnation };
        known.then_some(Known { life, view, in_life, acked, promised, promised_in })
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
        // An operator may have said that it does not count.
        let accepted = self.own_disk.state == DiskState::Accepted;
        let trusted = planted!(self, TrustOldCopy) || planted!(self, TrustEmptyDisk);
        if accepted || self.own_disk.settled || trusted {
            return;
        }
        // What this life said says nothing of the lives before.
        let earlier = |life| life < self.me.incarnation;
        let lacks_promise = earlier(known.promised_in) && promised < known.promised;
        let lacks_view = earlier(known.in_life) && promised < known.view;
        let lacks_acked = earlier(known.in_life)
            && promised == known.view
            && known.acked > Seq(0)
            && end < (known.view, known.acked);
        if lacks_promise || lacks_view || lacks_acked {
            let Known { view, acked, promised, .. } = known;
            let why = format!(
                "{from} knows that it was in {view} and acked {acked} in it, and promised {promised}"
            );
            self.lose_disk(now, &why, effects);
        }
    }

    /// Whether another replica has had its say in this life of what must be on this disk. Nothing is promised to one that has
    /// not, and no promise of such a one counts: among those who form a view together nobody keeps back what another lacks.
    pub(super) fn has_told(&self, id: ReplicaId) -> bool {
        self.own_disk.told_by & bit(id) != 0 || planted!(self, TrustOldCopy)
    }

    /// Whether the others have had their say of what must be on this disk: all of them, or as long as it takes to tell that
    /// one is silent.
    pub(super) fn has_asked_around(&self, now: Instant) -> bool {
        let all = self.replicas().all(|id| id == self.me.id || self.has_told(id));
        let waited = |began: &Began| now.since(began.at) > self.config.silence;
        all || self.own_disk.began.as_ref().is_some_and(waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LocalSeq;

    fn view(round: u64) -> ViewNumber {
        ViewNumber { round, proposer: ReplicaId(1) }
    }

    /// A datagram of replica 1, in this life and view.
    fn header(life: u64, of_view: ViewNumber) -> Header {
        Header {
            sender: ReplicaId(1),
            incarnation: Incarnation(life),
            view: of_view,
            promised: view(99),
            highest_seq: Seq(0),
            highest_local: LocalSeq(0),
        }
    }

    fn ack(through: u64) -> Chunk {
        Chunk::Ack { through: Seq(through), reply: false }
    }

    #[test]
    fn what_anybody_says_is_remembered_and_what_is_not_durable_is_not() {
        let mut heard = Heard::default();
        let mut listen = |header, chunks: &[Chunk]| {
            heard.listen(&header, chunks);
            heard.0[1]
        };
        // The header's promise may not be durable yet.
        let said = listen(header(7, ViewNumber::NONE), &[]);
        assert_eq!(said.acked.0.max(said.promised.1), ViewNumber::NONE);
        assert_eq!(listen(header(7, view(3)), &[]).acked, (view(3), Seq(0), Incarnation(7)));
        let said = listen(header(7, view(3)), &[ack(12), ack(11)]);
        assert_eq!(said.acked, (view(3), Seq(12), Incarnation(7)));
        let said = listen(header(7, ViewNumber::NONE), &[Chunk::Prepare { number: view(5) }]);
        assert_eq!(said.promised, (Incarnation(7), view(5)));
        assert_eq!(said.acked.1, Seq(12));
        // A later life that says less had lost its disk: what the earlier one promised does not count any more. That it
        // proposes does not hide what the earlier one acked.
        let said = listen(header(8, ViewNumber::NONE), &[Chunk::Prepare { number: view(4) }]);
        assert_eq!(said.promised, (Incarnation(8), view(4)));
        assert_eq!(said.acked, (view(3), Seq(12), Incarnation(7)));
        assert_eq!(listen(header(8, view(4)), &[]).acked, (view(4), Seq(0), Incarnation(8)));
    }
}
