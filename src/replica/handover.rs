//! What a receiver cannot ask for, because it never heard of it: the hand-over of a turn, and the last acks. Whoever
//! waits for one of them past a round trip, and for acks a sync more, repeats what brings it on (DESIGN section 2, rule 6).

use std::time::Duration;

use super::Replica;
use super::backoff::Backoff;
use crate::entry::Body;
use crate::planted::planted;
use crate::types::{Instant, LocalSeq, ReplicaId, Seq};
use crate::wire::Chunk;

/// The things that are waited for.
#[derive(Debug, Default)]
pub(super) struct Handover {
    /// An own message that stays unnumbered though nobody else's is numbered: it is resent to the member whose turn it
    /// is. While numbers go on, the ring moves, and whoever lacks the message asks for it.
    unnumbered: Backoff,
    unnumbered_at: Option<(LocalSeq, Seq)>,
    /// The last number that this replica gave out: repeated until a later one is seen or all have acked it.
    given: Backoff,
    given_seq: Option<Seq>,
    /// An entry that stays undelivered: those whose acks are missing are asked for them.
    undelivered: Backoff,
    undelivered_seq: Option<Seq>,
    /// An entry that stays unstable though it may be delivered: kept for repair, it holds up the window.
    unstable: Backoff,
    unstable_seq: Option<Seq>,
}

impl Handover {
    /// This replica gave out `seq`.
    pub(super) fn gave(&mut self, seq: Seq, due: Instant) {
        self.given_seq = Some(seq);
        self.given.restart(due);
    }

    /// When something is to be repeated next.
    pub(super) fn due(&self) -> Option<Instant> {
        [&self.unnumbered, &self.given, &self.undelivered, &self.unstable]
            .into_iter()
            .filter_map(Backoff::due)
            .min()
    }
}

impl Replica {
    /// Starts and stops the waits by what has come to pass.
    pub(super) fn watch_handovers(&mut self, now: Instant) {
        if self.status.view().is_none() {
            return;
        }
        self.sync_time.watch(now, self.log.ordered_through(), self.log.durable_through());
        let due = now + self.detector.round_trip();
        let acks_due = now + self.ack_time();
        let highest = self.order.highest_seq();
        let oldest = self.oldest_unnumbered().map(|local| (local, highest));
        watch(&mut self.handover.unnumbered, &mut self.handover.unnumbered_at, oldest, due);

        let given = self.handover.given_seq.filter(|seq| {
            self.order.highest_seq() <= *seq && !self.lacking_ack_of(*seq).is_empty()
        });
        if given.is_none() {
            self.handover.given_seq = None;
            self.handover.given.stop();
        }

        let ordered = self.log.ordered_through();
        let past = |through: Seq| (through < ordered).then(|| through.next());
        let undelivered = past(self.delivered_through);
        let waits = &mut self.handover;
        watch(&mut waits.undelivered, &mut waits.undelivered_seq, undelivered, acks_due);
        let unstable = past(self.acks.held_by_members());
        watch(&mut waits.unstable, &mut waits.unstable_seq, unstable, acks_due);
    }

    /// The time after which the ack of what was sent is overdue: there, onto a disk, and back. Asking earlier would ask
    /// all of those whose disks are slow, many times for each entry.
    pub(super) fn ack_time(&self) -> Duration {
        self.detector.round_trip() + self.sync_time.bound()
    }

    /// Repeats what is due.
    pub(super) fn repeat_handovers(&mut self, now: Instant) {
        let bounds = self.backoff_bounds(self.detector.round_trip());
        let unnumbered = self.handover.unnumbered.take_due(now, bounds, &mut self.jitter);
        let acks = self.backoff_bounds(self.ack_time());
        let given = self.handover.given.take_due(now, acks, &mut self.jitter);
        let undelivered = self.handover.undelivered.take_due(now, acks, &mut self.jitter);
        let unstable = self.handover.unstable.take_due(now, acks, &mut self.jitter);
        if planted!(self, NoHandoverTimer) {
            return;
        }
        if unnumbered {
            self.resend_oldest_unnumbered();
        }
        if given {
            self.repeat_last_sequence();
        }
        if undelivered || unstable {
            self.ask_for_acks();
        }
    }

    /// Resends this replica's oldest unnumbered message to the member whose turn it is.
    fn resend_oldest_unnumbered(&mut self) {
        let (Some(view), Some(local)) = (self.status.view(), self.oldest_unnumbered()) else {
            return;
        };
        let sequencer = view.sequencer_of(self.order.highest_seq().next());
        if sequencer == self.me.id {
            return;
        }
        let name = view.name(self.me.id, local);
        if let Some(payload) = self.messages.get(self.me.id, local).cloned() {
            self.counters.unnumbered_resent += 1;
            self.outbox.for_one(sequencer, Chunk::Data { name, payload });
        }
    }

    /// Repeats the last number that this replica gave out to those that have not acked it, with the message where
    /// it is this replica's own: the two left in one datagram, and were lost together.
    fn repeat_last_sequence(&mut self) {
        let Some(seq) = self.handover.given_seq else {
            return;
        };
        let (first, names) = self.numberings_up_to(seq);
        let own = self.log.get(seq).and_then(|entry| match &entry.body {
            Body::Message { name, payload } if name.origin == self.me.id => {
                Some((*name, payload.clone()))
            }
            _ => None,
        });
        for to in self.lacking_ack_of(seq) {
            self.counters.handovers_resent += 1;
            if let Some((name, payload)) = own.clone() {
                self.outbox.for_one(to, Chunk::Data { name, payload });
            }
            self.outbox.for_one(to, Chunk::Sequence { first, names: names.clone() });
            self.ask_for_ack(to);
        }
    }

    /// Asks those whose acks are missing for them.
    fn ask_for_acks(&mut self) {
        for to in self.lacking_ack_of(self.log.ordered_through()) {
            self.counters.acks_asked_for += 1;
            self.ask_for_ack(to);
        }
    }

    /// The other members that have not acked `seq`.
    fn lacking_ack_of(&self, seq: Seq) -> Vec<ReplicaId> {
        let members = self.status.view().map_or(&[][..], |view| &view.members);
        let others = members.iter().map(|member| member.id).filter(|id| *id != self.me.id);
        others.filter(|id| self.acks.of(*id) < seq).collect()
    }
}

/// Lets `backoff` wait for `thing`: anew when it is another thing than before, no more when there is none.
fn watch<T: PartialEq>(
    backoff: &mut Backoff,
    before: &mut Option<T>,
    thing: Option<T>,
    due: Instant,
) {
    if thing.is_none() {
        backoff.stop();
    } else if *before != thing {
        backoff.restart(due);
    }
    *before = thing;
}
