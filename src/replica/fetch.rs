//! Entries that a replica lacks of a log that it was told of, and who sends them. An entry of the right number and the
//! right view is the right entry, whoever sends it.

use super::Replica;
use super::backoff::Backoff;
use super::boundaries::Boundaries;
use super::event::Effect;
use super::status::Status;
use crate::entry::{Entry, Record};
use crate::types::{Instant, ReplicaId, Seq};
use crate::wire::Chunk;

/// How many entries are asked for at a time: what a holder's budget of resends sends in a millisecond.
const WINDOW: u64 = 64;

/// How many entries may be fetched and not yet durable.
const MAX_UNWRITTEN: u64 = 1_024;

/// A log that is fetched, as far as it is not held.
#[derive(Debug)]
pub(super) struct Fetch {
    /// The views of its entries.
    pub(super) log: Boundaries,
    /// Its last number.
    pub(super) last: Seq,
    /// Who surely had it.
    pub(super) source: ReplicaId,
    /// Entries past the own log's end, by their distance from it.
    ahead: Vec<Option<Entry>>,
    /// What was asked for last, and when again.
    asked_through: Seq,
    again: Backoff,
    /// When the last entry came that was lacking.
    progress: Instant,
}

impl Fetch {
    pub(super) fn new(log: Boundaries, last: Seq, source: ReplicaId, now: Instant) -> Self {
        let (ahead, again) = (Vec::new(), Backoff::default());
        Self { log, last, source, ahead, asked_through: Seq(0), again, progress: now }
    }

    /// When the last lacking entry came.
    pub(super) fn progress(&self) -> Instant {
        self.progress
    }

    /// When is to be asked again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.again.due()
    }

    /// Takes an entry in, if it is one of this log past `ordered`; gives those that follow `ordered` without a gap.
    fn take(&mut self, now: Instant, ordered: Seq, entry: Entry) -> Vec<Entry> {
        let place = entry.seq.0.checked_sub(ordered.0 + 1).filter(|place| *place < WINDOW);
        let (Some(place), true) = (place, entry.seq <= self.last) else {
            return Vec::new();
        };
        if self.log.view_at(entry.seq) != Some(entry.view) {
            return Vec::new();
        }
        let place = usize::try_from(place).expect("within the window");
        if self.ahead.len() <= place {
            self.ahead.resize(place + 1, None);
        }
        if self.ahead[place].is_none() {
            self.progress = now;
            self.ahead[place] = Some(entry);
        }
        let ready = self.ahead.iter().take_while(|entry| entry.is_some()).count();
        self.ahead.drain(..ready).flatten().collect()
    }
}

impl Replica {
    /// An entry arrived.
    pub(super) fn on_entry(
        &mut self,
        now: Instant,
        from: ReplicaId,
        entry: Entry,
        effects: &mut Vec<Effect>,
    ) {
        let ordered = self.log.ordered_through();
        let due = now + self.detector.round_trip_to(from).bound();
        if matches!(&self.status, Status::Installing(install) if install.unlike) {
            return;
        }
        let Some(fetch) = self.fetch_mut() else {
            return;
        };
        let entries = fetch.take(now, ordered, entry);
        if fetch.progress == now {
            // While some come, the rest may be under way; when no more do, it is asked for without further delay.
            fetch.again.restart(due);
        }
        for entry in entries {
            if entry.view < self.log.last_view() {
                self.counters.impossible_views += 1;
                return;
            }
            self.counters.entries_fetched += 1;
            self.log.append(entry.clone());
            self.write(Record::Append(entry), effects);
        }
        self.deliver_learned(now, effects);
        self.continue_install(now, effects);
    }

    /// Asks for what is lacking: at first, when all of what was asked for has come, and again when it has not.
    pub(super) fn ask_for_entries(&mut self, now: Instant) {
        let next = self.log.ordered_through().next();
        let holders = self.holders(now);
        // What is not written yet is in memory: a disk that is slow or full is waited for.
        let unwritten = self.log.ordered_through().0 - self.log.durable_through().0;
        let behind = self.storage_full || unwritten > MAX_UNWRITTEN;
        let longest = self.config.longest_repair_wait;
        let jitter = &mut self.jitter;
        let Some(fetch) = fetch_of(&mut self.status) else {
            return;
        };
        if next > fetch.last || behind {
            fetch.again.stop();
            fetch.asked_through = Seq(0);
            return;
        }
        if next > fetch.asked_through {
            fetch.again.restart(now);
        }
        let first = holders.iter().position(|id| *id == fetch.source).unwrap_or(0);
        let place = (first + fetch.again.attempt() as usize) % holders.len().max(1);
        let holder = holders.get(place).copied();
        let round_trip = holder.map_or(longest, |id| self.detector.round_trip_to(id).bound());
        let due = fetch.again.take_due(now, (round_trip, longest.max(round_trip)), jitter);
        let (Some(holder), true) = (holder, due) else {
            return;
        };
        let to = Seq((next.0 + WINDOW - 1).min(fetch.last.0));
        fetch.asked_through = to;
        self.counters.fetches_sent += 1;
        self.outbox.for_one(holder, Chunk::Fetch { from: next, to });
    }

    /// Who may have entries: all that are heard.
    fn holders(&self, now: Instant) -> Vec<ReplicaId> {
        let connected = self.connected(now);
        connected.into_iter().filter(|id| *id != self.me.id).collect()
    }

    /// A replica lacks entries: it gets what is held of them, within the budget of resends, or is told that it is to copy.
    pub(super) fn on_fetch(&mut self, now: Instant, from: ReplicaId, first: Seq, last: Seq) {
        if first <= self.log.trimmed_through() {
            self.summarize(from, first);
            return;
        }
        let last = last.min(self.log.ordered_through()).min(Seq(first.0 + WINDOW - 1));
        for seq in (first.0..=last.0).map(Seq) {
            if self.budget_is_spent(now) {
                self.counters.resends_held_back += 1;
                return;
            }
            let entry = self.log.get(seq).expect("what is between its ends is held").clone();
            self.resend.spend();
            self.counters.entries_sent += 1;
            self.outbox.for_one(from, Chunk::Entry(entry));
        }
    }

    fn fetch_mut(&mut self) -> Option<&mut Fetch> {
        fetch_of(&mut self.status)
    }

    /// When is to be asked for entries again.
    pub(super) fn fetch_due(&self) -> Option<Instant> {
        match &self.status {
            Status::Installing(install) => install.fetch.due(),
            Status::Outside(learner) => learner.due(),
            _ => None,
        }
    }
}

fn fetch_of(status: &mut Status) -> Option<&mut Fetch> {
    match status {
        Status::Installing(install) => Some(&mut install.fetch),
        Status::Outside(learner) => learner.fetch.as_mut(),
        _ => None,
    }
}
