//! The log as it is in memory: numbered messages in order, without gaps, kept until no member can ask for them.

use std::collections::VecDeque;

use super::event::Entry;
use crate::types::Seq;

/// Entries `trimmed_through + 1 ..= ordered_through`.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// Entries through this one are no longer held in memory.
    trimmed_through: Seq,
    /// Entries through this one are durable here: what an ack says.
    durable_through: Seq,
}

impl Log {
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

    /// Appends the next entry.
    pub(super) fn append(&mut self, entry: Entry) {
        assert_eq!(entry.seq, self.ordered_through().next(), "the log has no gaps");
        self.entries.push_back(entry);
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

    /// Lets go of the first entry.
    pub(super) fn trim_first(&mut self) -> Option<Entry> {
        let first = self.entries.pop_front()?;
        assert!(first.seq <= self.durable_through, "what is trimmed is durable");
        self.trimmed_through = first.seq;
        Some(first)
    }
}
