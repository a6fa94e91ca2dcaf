//! Copying what a member's storage holds: for a replica outside that lacks entries which no member has in memory any
//! more. It asks for one window of pieces after the other; what came stays while the giver is the same and its snapshot
//! too. What the copy comes to, as far as it was delivered, takes the place of the own log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Replica;
use super::backoff::Backoff;
use super::event::{Effect, Refusal, Unavailable};
use super::fetch::Fetch;
use super::snapshot::Snapshot;
use super::status::Status;
use crate::planted::planted;
use crate::types::{Instant, ReplicaId, Seq};
use crate::wire::{Chunk, CopyPlace};

/// How many pieces are asked for at a time.
pub(super) const PIECES: u64 = 16;
/// The most that is copied of a member, in bytes: more than full queues and a log take.
const MOST: u64 = 8 << 30;

/// No segment that another follows is shorter, in bytes.
const SHORTEST_SEGMENT: u64 = 56;

/// A copy that is being made.
#[derive(Debug)]
pub(super) struct Copying {
    giver: ReplicaId,
    /// What comes next; of snapshot 0 before the first piece.
    next: CopyPlace,
    /// What came, by segment; 0 is the snapshot's file.
    files: BTreeMap<u64, Vec<u8>>,
    /// Pieces of the present file past the next one, by offset.
    ahead: BTreeMap<u64, Bytes>,
    /// How many pieces came since they were asked for last.
    came: u64,
    again: Backoff,
    /// When the last piece came that was lacking; later by all the time in which none was asked for.
    progress: Instant,
    /// When it was last looked at.
    looked_at: Instant,
    /// Whether all has come, and is being read.
    complete: bool,
}

/// All of a copy, to be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Copied {
    /// The snapshot: the first segment that it does not cover; 1 where there is none.
    pub snapshot: u64,
    /// The files by segment; 0 is the snapshot's own.
    pub files: BTreeMap<u64, Vec<u8>>,
}

impl Copying {
    fn new(giver: ReplicaId, now: Instant) -> Self {
        Self {
            giver,
            next: CopyPlace { snapshot: 0, segment: 0, offset: 0 },
            files: BTreeMap::new(),
            ahead: BTreeMap::new(),
            came: 0,
            again: Backoff::default(),
            progress: now,
            looked_at: now,
            complete: false,
        }
    }

    /// When something is to be asked next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.again.due()
    }

    /// How much has come, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.len() as u64 + SHORTEST_SEGMENT).sum()
    }

    /// When the last piece came.
    pub(super) fn progress(&self) -> Instant {
        self.progress
    }

    /// Whether no piece came for longer than `patience`, the time apart in which none was wanted: a replica that is tried as a
    /// member again and again would else wait for ever.
    fn is_overdue(&mut self, now: Instant, wanted: bool, patience: Duration) -> bool {
        let passed = now.since(self.looked_at);
        self.looked_at = now;
        if !wanted {
            // A piece may have come in that time, too.
            self.progress = (self.progress + passed).min(now);
        }
        now.since(self.progress) > patience
    }

    /// For people.
    pub(super) fn describe(&self) -> String {
        let what = if self.complete { "reading a copy of" } else { "copying" };
        format!("{what} what {} holds: {} bytes so far", self.giver, self.bytes())
    }

    /// Takes a piece in; gives whether it was new.
    fn take(&mut self, now: Instant, at: CopyPlace, length: u64, last: u64, bytes: Bytes) -> bool {
        if at.snapshot != self.next.snapshot {
            if (at.segment, at.offset) != (0, 0) || at.snapshot < self.next.snapshot {
                return false;
            }
            // The first piece at all, or the giver has a newer snapshot. The whole segments after that stay what they are.
            let whole = at.snapshot.max(1)..self.next.segment;
            self.files.retain(|segment, _| whole.contains(segment));
            self.ahead.clear();
            self.next = CopyPlace { snapshot: at.snapshot, segment: 0, offset: 0 };
            self.came = 0;
        }
        let end = at.offset + bytes.len() as u64;
        let is_last = self.next.segment >= last;
        if end > length || self.next.segment > 0 && !is_last && length < SHORTEST_SEGMENT {
            return false;
        }
        let window = self.next.offset..self.next.offset + PIECES * u64::from(u16::MAX);
        if at.segment != self.next.segment || !window.contains(&at.offset) {
            return false;
        }
        let full = self.ahead.len() as u64 >= PIECES && at.offset != self.next.offset;
        if full || self.bytes() + length.saturating_sub(self.next.offset) > MOST {
            return false;
        }
        self.came += 1;
        self.ahead.insert(at.offset, bytes);
        let file = self.files.entry(self.next.segment).or_default();
        let before = (self.next.segment, self.next.offset);
        while let Some(entry) = self.ahead.first_entry()
            && *entry.key() <= self.next.offset
        {
            let (offset, bytes) = entry.remove_entry();
            // Pieces are of one length but the last; one that begins earlier is held already.
            if offset == self.next.offset {
                file.extend_from_slice(&bytes);
                self.next.offset += bytes.len() as u64;
            }
        }
        if self.next.offset >= length {
            // The file's end, as it was when this piece was sent.
            let mut segment =
                if self.next.segment == 0 { self.next.snapshot } else { self.next.segment + 1 };
            while self.files.contains_key(&segment) {
                segment += 1;
            }
            self.complete = is_last;
            self.next = CopyPlace { segment, offset: 0, ..self.next };
            self.ahead.clear();
            // What follows in the window is of the next file, and was not asked for.
            self.came = PIECES;
        }
        let new = self.complete || before != (self.next.segment, self.next.offset);
        if new {
            self.progress = now;
        }
        new
    }
}

impl Replica {
    /// Begins to copy what a member holds, unless that is under way.
    pub(super) fn begin_copying(&mut self, now: Instant, giver: ReplicaId) {
        // One that is being read needs its giver no more.
        let gone =
            |copying: &Copying| !copying.complete && self.unreachable(copying.giver, now).is_some();
        if self.copying.as_ref().is_none_or(gone) {
            tracing::info!(replica = %self.me.id, %giver, "copying what a member holds");
            self.copying = Some(Copying::new(giver, now));
        }
    }

    /// Asks for the next pieces: at first, when all of what was asked for has come, and again when it has not. Gives a copy
    /// up that makes no progress.
    pub(super) fn ask_for_copy(&mut self, now: Instant) {
        let (patience, longest) = (self.config.view_timeout * 5, self.config.longest_repair_wait);
        let wanted = matches!(self.status, Status::Outside(_) | Status::Installing(_));
        let Some(copying) = &mut self.copying else {
            return;
        };
        let overdue = copying.is_overdue(now, wanted, patience);
        if copying.complete || !wanted {
            return copying.again.stop();
        }
        if overdue {
            return self.give_copy_up();
        }
        copying.again.start(now);
        let round_trip = self.detector.round_trip_to(copying.giver).bound();
        let bounds = (round_trip, longest.max(round_trip));
        if copying.again.take_due(now, bounds, &mut self.jitter) {
            copying.came = 0;
            self.counters.copy_requests_sent += 1;
            self.outbox.for_one_once(copying.giver, Chunk::CopyRequest { at: copying.next });
        }
    }

    /// A piece of a copy came.
    pub(super) fn on_copy(
        &mut self,
        now: Instant,
        from: ReplicaId,
        (at, length, last_segment): (CopyPlace, u64, u64),
        bytes: Bytes,
        effects: &mut Vec<Effect>,
    ) {
        let due = now + self.detector.round_trip_to(from).bound();
        let Some(copying) = &mut self.copying else {
            return;
        };
        if copying.giver != from || copying.complete {
            return;
        }
        if copying.take(now, at, length, last_segment, bytes) {
            self.counters.copy_pieces_taken += 1;
        }
        // While some come, the rest may be under way.
        copying.again.restart(if copying.came >= PIECES { now } else { due });
        if copying.complete {
            copying.again.stop();
            let files = std::mem::take(&mut copying.files);
            let copied = Copied { snapshot: copying.next.snapshot, files };
            effects.push(Effect::ReadCopy(Arc::new(copied)));
        }
    }

    /// What was copied could not be read, or does not come: it is asked for anew, of others first.
    pub(super) fn give_copy_up(&mut self) {
        let Some(copying) = self.copying.take() else {
            return;
        };
        let giver = copying.giver;
        tracing::warn!(replica = %self.me.id, %giver, "a copy comes to nothing, and is begun anew elsewhere");
        self.givers.gave_nothing(giver);
    }

    /// Puts what a member delivered, by what was copied of it, in the place of the own log.
    ///
    /// The own log's undelivered entries go with it: they are below what is put there, and either the same or of a log that
    /// was never chosen.
    pub fn take_over(&mut self, now: Instant, copy: Snapshot, effects: &mut Vec<Effect>) {
        self.copied = Some(copy);
        self.take_over_copied(now, effects);
    }

    /// The same, as soon as the status lets it: what was promised with the log as it is must be told with it.
    pub(super) fn take_over_copied(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if matches!(self.status, Status::Changing(_)) {
            return;
        }
        let Some(mut copy) = self.copied.take() else {
            return;
        };
        assert!(!self.has_new_disk(), "who has a new disk learns nothing");
        if copy.exceeds(self.config.replicas) {
            self.counters.impossible_views += 1;
            return self.give_copy_up();
        }
        self.copying = None;
        if planted!(self, CopyUndelivered) {
            copy.deliver_all();
        }
        copy.forget_undelivered();
        match &self.status {
            Status::Member(_) | Status::Changing(_) => return,
            Status::Outside(_) => {}
            Status::Installing(install) => {
                let past = copy.delivered_through() >= install.told.view.start;
                if past || copy.promised() > self.promised {
                    self.enter_outside(now, "the view went on meanwhile");
                } else if !copy.agrees_with(&install.fetch.log) {
                    // Nobody who keeps the rules chooses a log without what was delivered.
                    self.counters.impossible_views += 1;
                    return;
                }
            }
        }
        let through = copy.delivered_through();
        // Where the own log has that entry and it is the delivered one, what was lacking came otherwise.
        let own = self.log.boundaries().view_at(through);
        if through <= self.log.ordered_through() && (own.is_none() || own == copy.last_view()) {
            return;
        }
        self.counters.copies_taken += 1;
        self.givers.forgive();
        tracing::info!(replica = %self.me.id, %through, "taking over what a member delivered");
        if !planted!(self, LearnWithoutPromise) {
            // Before any of it counts: no view below the giver's is taken part in any more.
            copy.raise_promise(self.promised);
        }
        copy.keep(self.own_disk.state, self.log.lives(), &self.own_disk.first_disks);
        let replacement = copy.to_replacement();
        self.begin_with(copy);
        self.write_replacement(Arc::new(replacement), effects);
        let own = self.own_delivered();
        for call in self.calls.forget_through(own) {
            if self.calls.end(call) {
                // It was executed where the copy is from, and what came of it is not part of that.
                let detail = "its operation was executed while this replica was away".to_owned();
                let refusal =
                    Refusal::Unavailable { reason: Unavailable::NoView, sent: true, detail };
                effects.push(Effect::Answer { call, result: Err(refusal) });
            }
        }
        self.last_local = self.last_local.max(own);
        self.messages_trimmed_through = through;
        self.view_attention = true;
        self.watch_learner(now);
        if let Status::Installing(install) = &mut self.status {
            let Fetch { log, last, source, .. } = &install.fetch;
            install.fetch = Fetch::new(log.clone(), *last, *source, now);
            install.unlike = install.fetch.log.view_at(through).is_none();
        }
        self.continue_install(now, effects);
    }

    /// Whether entries that are lacking can only be copied: a member said that it holds none below `held_from`.
    pub(super) fn must_copy(&self, through: Seq, held_from: Seq) -> bool {
        let next = self.log.ordered_through().next();
        next <= through && next < held_from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_nothing_is_wanted_neither_counts_nor_hides_that_nothing_comes() {
        let second = |count: u64| Instant(count * 1_000_000_000);
        let mut copying = Copying::new(ReplicaId(1), second(100));
        let mut overdue =
            |at, wanted| copying.is_overdue(second(at), wanted, Duration::from_secs(5));
        // Wanted for 3 s, then a minute not, then again.
        assert!(!overdue(103, true));
        assert!(!overdue(130, false));
        assert!(!overdue(163, false));
        assert!(!overdue(165, true));
        assert!(overdue(166, true));
        // One that comes when none is wanted is no promise of others.
        copying.progress = second(176);
        assert!(!copying.is_overdue(second(176), false, Duration::from_secs(5)));
        assert!(!copying.is_overdue(second(181), true, Duration::from_secs(5)));
        assert!(copying.is_overdue(second(182), true, Duration::from_secs(5)));
    }
}
