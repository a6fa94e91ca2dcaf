//! A lost disk (DESIGN section 3, A lost disk). A replica that may lack what it once said it has takes no part until it
//! has asked the others. Who answers lets nothing of the asker's earlier lives count any more, durably, before it does.
//! So many are asked that each majority of which the asker was a part has one that answers: what the asker can have
//! promised, one of them has promised, and the greatest log among theirs has all that the asker's acks can have
//! committed.

use std::cmp::Ordering;

use super::Replica;
use super::backoff::Backoff;
use super::event::Effect;
use crate::entry::{DiskState, Record};
use crate::planted::planted;
use crate::types::{Instant, MAX_REPLICAS, Member, ReplicaId, Seq, ViewNumber};
use crate::wire::{Chunk, MAX_NUMBER};

/// What others answered.
#[derive(Debug, Default)]
pub(super) struct Recovering {
    answers: [Option<Answer>; MAX_REPLICAS],
    again: Backoff,
    /// When the answers are asked for anew.
    stale: Option<Instant>,
}

impl Recovering {
    /// When is to be asked next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.again.due()
    }
}

/// What one other replica answered.
#[derive(Clone, Debug)]
struct Answer {
    promised: ViewNumber,
    /// Its last entry's view and number.
    end: (ViewNumber, Seq),
    fences: Vec<Member>,
}

impl Replica {
    /// How many others must answer: one of every majority that this replica was part of.
    fn answers_needed(&self) -> usize {
        self.config.replicas - self.quorum.size() + 1
    }

    /// Asks those that have not answered.
    pub(super) fn ask_what_was_lost(&mut self, now: Instant) {
        if self.own_disk.state != DiskState::Lost || !self.own_disk_is_durable() {
            return self.own_disk.recovering.again.stop();
        }
        let bounds = self.backoff_bounds(self.detector.round_trip());
        let recovering = &mut self.own_disk.recovering;
        let patience = self.config.view_timeout * 60;
        if *recovering.stale.get_or_insert(now + patience) <= now {
            // Should one have answered what is not so, it is not for ever.
            (recovering.answers, recovering.stale) = (Default::default(), None);
        }
        recovering.again.start(now);
        if recovering.again.take_due(now, bounds, &mut self.jitter) {
            for id in (0..self.config.replicas).map(super::ids::replica_id) {
                if id != self.me.id && self.own_disk.recovering.answers[id.index()].is_none() {
                    self.outbox.for_one(id, Chunk::Recover);
                }
            }
        }
    }

    /// Another replica lost its disk. It is answered by a member whose view's beginning is delivered, and of whose view no
    /// life of it is a member: then its earlier ones can be part of nothing any more.
    pub(super) fn on_recover(&mut self, from: Member, effects: &mut Vec<Effect>) {
        let Some(view) = self.status.view() else {
            return;
        };
        let fits = self.takes_part()
            && self.delivered_through >= view.start
            && view.incarnation_of(from.id).is_none();
        if !fits {
            return;
        }
        if self.log.raise_fence(from) {
            self.write(Record::Fence(from), effects);
            self.fences_since = self.writes.last();
        }
        if self.writes.durable() < self.fences_since && !planted!(self, FenceNotSynced) {
            // It asks again.
            return;
        }
        let (last_view, last) = (self.log.last_view(), self.log.ordered_through());
        let fences = self.log.lives().fences();
        self.outbox.for_one_once(from.id, Chunk::Recovery { last_view, last, fences });
    }

    /// Another replica says what it knows.
    pub(super) fn on_recovery(
        &mut self,
        from: ReplicaId,
        promised: ViewNumber,
        end: (ViewNumber, Seq),
        fences: Vec<Member>,
    ) {
        let fence = fences.iter().find(|fence| fence.id == self.me.id);
        // An answer to an earlier life says nothing of what was promised and acked between.
        let of_this_life = fence.is_some_and(|fence| fence.incarnation == self.me.incarnation);
        // A life that leaves none to come after it is a lie.
        let plausible = fences.iter().all(|fence| fence.incarnation.0 < MAX_NUMBER / 2);
        if self.own_disk.state == DiskState::Lost && of_this_life && plausible {
            self.own_disk.recovering.answers[from.index()] = Some(Answer { promised, end, fences });
        }
    }

    /// Takes part again once enough have answered, and all that they have was delivered here, or something later was.
    pub(super) fn watch_recovery(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if !self.own_disk_is_durable() {
            return;
        }
        let Some(end) = self.greatest_answer() else {
            return;
        };
        let through = self.delivered_through;
        let own = self.log.boundaries().view_at(through).unwrap_or(ViewNumber::NONE);
        if (own, through).cmp(&end) == Ordering::Less {
            return;
        }
        let answers = std::mem::take(&mut self.own_disk.recovering).answers;
        for Answer { promised, fences, .. } in answers.into_iter().flatten() {
            if promised > self.promised {
                self.raise_promise(now, promised, effects);
            }
            for fence in fences {
                if self.log.raise_fence(fence) {
                    self.write(Record::Fence(fence), effects);
                }
            }
        }
        tracing::info!(replica = %self.me.id, %through, "what the disk lost that counts is here again");
        self.counters.disks_recovered += 1;
        self.set_disk(Record::Recovered, effects);
        self.own_disk.settled = true;
    }

    /// The greatest log of those who answered, once they are enough.
    fn greatest_answer(&self) -> Option<(ViewNumber, Seq)> {
        let answers = || self.own_disk.recovering.answers.iter().flatten();
        let needed = self.answers_needed();
        (answers().count() >= needed).then(|| answers().map(|answer| answer.end).max())?
    }

    /// For people.
    pub(super) fn describe_recovery(&self) -> String {
        let answered = self.own_disk.recovering.answers.iter().flatten().count();
        let (needed, copied) = (self.answers_needed(), self.copying.as_ref());
        match (self.greatest_answer(), copied) {
            (None, _) if self.config.replicas > 1 && self.all_others_are_new() => {
                "its disk was lost, and those of all others are new: if no call was ever answered, \
                 start it with an empty data directory; else see 'ftqueue recover --accept-loss'"
                    .to_owned()
            }
            (None, _) => format!(
                "its disk was lost: {answered} of {needed} others that are needed said what was on it"
            ),
            (Some(_), Some(copying)) => format!("its disk was lost: {}", copying.describe()),
            (Some((_, through)), None) => {
                format!("its disk was lost: {} of {through} is here again", self.delivered_through)
            }
        }
    }
}
