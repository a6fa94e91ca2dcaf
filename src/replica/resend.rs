//! Repair, the holder's half: what was asked for by NACK is sent again, within a budget, and not twice to the same
//! replica within a round trip.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Replica;
use super::repair::Want;
use crate::planted::planted;
use crate::types::{Instant, LocalSeq, MessageName, ReplicaId, Seq};
use crate::wire::{Chunk, MessageRange, SeqRange};

/// What was sent again to whom, and how much of the budget is left. Bounded by the budget of two round trips.
#[derive(Debug, Default)]
pub(super) struct Resend {
    recent: BTreeMap<ReplicaId, Recent>,
    budget_of_ms: u64,
    spent: u32,
}

/// What was sent again to one replica since `began`, and in the round trip before.
#[derive(Debug, Default)]
struct Recent {
    present: BTreeSet<Want>,
    past: BTreeSet<Want>,
    began: Instant,
}

impl Resend {
    /// Whether the budget of this millisecond is spent.
    fn is_spent(&mut self, now: Instant, per_ms: u32) -> bool {
        let ms = now.0 / 1_000_000;
        if ms != self.budget_of_ms {
            (self.budget_of_ms, self.spent) = (ms, 0);
        }
        self.spent >= per_ms
    }

    /// Forgets what was sent again: it was of another view. The budget goes on.
    pub(super) fn begin_view(&mut self) {
        self.recent.clear();
    }

    /// Takes one off the budget.
    pub(super) fn spend(&mut self) {
        self.spent += 1;
    }

    /// Whether `want` may be sent to `to` now: not if it was within the last round trip. If so it is taken as sent.
    fn take(&mut self, now: Instant, to: ReplicaId, want: Want, round_trip: Duration) -> bool {
        let recent = self.recent.entry(to).or_default();
        let age = now.since(recent.began);
        if age >= round_trip {
            let present = std::mem::take(&mut recent.present);
            recent.past = if age < round_trip * 2 { present } else { BTreeSet::new() };
            recent.began = now;
        }
        if recent.past.contains(&want) || !recent.present.insert(want) {
            return false;
        }
        self.spent += 1;
        true
    }
}

impl Replica {
    /// A member lacks these.
    pub(super) fn on_nack(
        &mut self,
        now: Instant,
        from: ReplicaId,
        sequences: &[SeqRange],
        messages: &[MessageRange],
    ) {
        self.counters.nacks_received += 1;
        for range in sequences {
            self.resend_numberings(now, from, *range);
        }
        for range in messages {
            self.resend_messages(now, from, *range);
        }
    }

    /// Sends the numberings of a range again, as far as they are held.
    fn resend_numberings(&mut self, now: Instant, to: ReplicaId, range: SeqRange) {
        // The range comes from outside: walk what is held, not what is asked for.
        let start = self.status.view().map_or(Seq(0), |view| view.start);
        let first = range.from.max(self.log.trimmed_through().max(start).next());
        let last = range.to.min(self.order.highest_seq());
        let last = last.min(Seq(self.log.ordered_through().0 + self.known_window()));
        for seq in (first.0..=last.0).map(Seq) {
            if self.budget_is_spent(now) {
                self.counters.resends_held_back += 1;
                return;
            }
            if let Some(name) = self.numbering(seq)
                && self.may_resend(now, to, Want::Numbering(seq))
            {
                if self.status.view().is_some_and(|view| view.sequencer_of(seq) != self.me.id) {
                    self.counters.numberings_resent_by_third += 1;
                }
                self.counters.numberings_resent += 1;
                self.outbox.for_one(to, Chunk::Sequence { first: seq, names: vec![name] });
            }
        }
    }

    /// Sends the messages of a range again, as far as they are held.
    fn resend_messages(&mut self, now: Instant, to: ReplicaId, range: MessageRange) {
        let MessageRange { origin, incarnation, from, .. } = range;
        if self.status.view().is_none_or(|view| !view.contains(origin, incarnation)) {
            self.counters.foreign_names += 1;
            return;
        }
        let (held_from, held_to) = self.messages.span(origin);
        for local in (from.max(held_from).0..=range.to.min(held_to).0).map(LocalSeq) {
            if self.budget_is_spent(now) {
                self.counters.resends_held_back += 1;
                return;
            }
            let name = MessageName { origin, incarnation, local };
            let sent =
                if planted!(self, ResendWrongMessage) { LocalSeq(local.0 - 1) } else { local };
            if let Some(payload) = self.messages.get(origin, sent).cloned()
                && self.may_resend(now, to, Want::Message(name))
            {
                if origin != self.me.id {
                    self.counters.messages_resent_by_third += 1;
                }
                self.counters.messages_resent += 1;
                self.outbox.for_one(to, Chunk::Data { name, payload });
            }
        }
    }

    /// Whether half of it is: the rest is the ring's own.
    pub(super) fn budget_is_half_spent(&mut self, now: Instant) -> bool {
        self.resend.is_spent(now, self.config.resends_per_ms.div_ceil(2))
    }

    pub(super) fn budget_is_spent(&mut self, now: Instant) -> bool {
        self.resend.is_spent(now, self.config.resends_per_ms) && !planted!(self, NoResendBudget)
    }

    fn may_resend(&mut self, now: Instant, to: ReplicaId, want: Want) -> bool {
        let may = self.resend.take(now, to, want, self.detector.round_trip_to(to).smoothed());
        if !may {
            self.counters.resends_held_back += 1;
        }
        may
    }
}
