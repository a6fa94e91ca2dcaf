//! The log as it is in memory: entries in order, without gaps. What storage has of it beyond that is behind
//! `trimmed_through`, and delivered.

use std::collections::VecDeque;

use super::boundaries::Boundaries;
use super::last_names::LastNames;
use super::lives::Lives;
use crate::entry::Entry;
use crate::types::{Member, Seq, ViewNumber};

/// Entries `trimmed_through + 1 ..= ordered_through`.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// What the entries take in memory, roughly, in bytes.
    memory: usize,
    /// Entries through this one are no longer held in memory.
    trimmed_through: Seq,
    /// Entries through this one are durable here: what an ack says.
    durable_through: Seq,
    boundaries: Boundaries,
    /// Each origin's last message in the log.
    last_names: LastNames,
    /// What is known of the replicas' lives: what its entries say, dropped ones too, and more.
    lives: Lives,
}

impl Log {
    /// A durable log of which nothing through `delivered` is in memory, and `entries` follow. `names` are the last ones as
    /// of the delivered entries.
    pub(super) fn with(
        delivered: Seq,
        boundaries: Boundaries,
        names: &LastNames,
        entries: VecDeque<Entry>,
        lives: Lives,
    ) -> Self {
        let mut last_names = names.clone();
        entries.iter().filter_map(Entry::name).for_each(|name| last_names.note(name));
        Self {
            memory: entries.iter().map(Entry::memory).sum(),
            trimmed_through: delivered,
            durable_through: Seq(delivered.0 + entries.len() as u64),
            entries,
            boundaries,
            last_names,
            lives,
        }
    }

    /// The last entry's number.
    pub(super) fn ordered_through(&self) -> Seq {
        Seq(self.trimmed_through.0 + self.entries.len() as u64)
    }

    /// The last number through which all entries are durable here.
    pub(super) fn durable_through(&self) -> Seq {
        self.durable_through
    }

    /// The last number through which entries are no longer held in memory.
    pub(super) fn trimmed_through(&self) -> Seq {
        self.trimmed_through
    }

    /// What the entries in memory take, roughly, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// The last entry's view; `NONE` for an empty log.
    pub(super) fn last_view(&self) -> ViewNumber {
        self.boundaries.last_view()
    }

    /// Where views begin in the log.
    pub(super) fn boundaries(&self) -> &Boundaries {
        &self.boundaries
    }

    /// Each origin's last message in the log.
    pub(super) fn last_names(&self) -> &LastNames {
        &self.last_names
    }

    /// What is known of the replicas' lives.
    pub(super) fn lives(&self) -> &Lives {
        &self.lives
    }

    /// A replica's promises before this life do not count any more. Says whether that is new.
    pub(super) fn raise_fence(&mut self, life: Member) -> bool {
        self.lives.raise_fence(life)
    }

    /// Appends the next entry.
    pub(super) fn append(&mut self, entry: Entry) {
        assert_eq!(entry.seq, self.ordered_through().next(), "the log has no gaps");
        assert!(entry.view >= self.last_view(), "views in a log rise");
        self.boundaries.append(entry.seq, entry.view);
        if let Some(name) = entry.name() {
            self.last_names.note(name);
        }
        self.lives.note(&entry);
        self.memory += entry.memory();
        self.entries.push_back(entry);
    }

    /// Drops all entries past `after`. `delivered` are the last names as of the last delivered entry, which stays.
    pub(super) fn drop_after(&mut self, after: Seq, delivered: (Seq, &LastNames)) {
        let (delivered_through, delivered_names) = delivered;
        assert!(after >= delivered_through, "what is delivered is never dropped");
        while self.ordered_through() > after {
            let dropped = self.entries.pop_back().expect("what is not delivered is in memory");
            self.memory -= dropped.memory();
        }
        self.durable_through = self.durable_through.min(after);
        self.boundaries.drop_after(after);
        self.last_names = delivered_names.clone();
        for seq in delivered_through.0 + 1..=after.0 {
            let entry = self.get(Seq(seq)).expect("what is not delivered is in memory");
            if let Some(name) = entry.name() {
                self.last_names.note(name);
            }
        }
    }

    /// Takes the last messages for others than they are, which is a bug to plant.
    #[cfg(feature = "planted-bugs")]
    pub(super) fn count_as_numbered(&mut self, names: &LastNames) {
        self.last_names = names.clone();
    }

    /// An entry that is held.
    pub(super) fn get(&self, seq: Seq) -> Option<&Entry> {
        let place = seq.0.checked_sub(self.trimmed_through.0 + 1)?;
        self.entries.get(usize::try_from(place).ok()?)
    }

    /// Takes in that the entries through `through` are durable here.
    pub(super) fn synced(&mut self, through: Seq) {
        assert!(through <= self.ordered_through(), "only what was appended can be synced");
        self.durable_through = self.durable_through.max(through);
    }

    /// Nothing of it is durable yet: it has just taken another one's place.
    pub(super) fn nothing_durable(&mut self) {
        self.durable_through = Seq(0);
    }

    /// Lets go of the first entry.
    pub(super) fn trim_first(&mut self) {
        let Some(first) = self.entries.pop_front() else {
            return;
        };
        assert!(first.seq <= self.durable_through, "what is trimmed is durable");
        self.memory -= first.memory();
        self.trimmed_through = first.seq;
        self.boundaries.trim(first.seq);
    }
}
