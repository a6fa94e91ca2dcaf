//! What a replica has written, as the world sees it: its records, which of them are durable, and the log that they make.

use std::rc::Rc;
use std::sync::Arc;

use ftqueue::testing::{
    Body, DiskState, Entry, Member, Record, Replacement, Replay as _, Snapshot, ViewNumber,
};

/// One write.
#[derive(Clone)]
enum Written {
    Record(Record),
    /// In the place of all before; with the entries for which it stands.
    Replacement(Arc<Replacement>, Rc<[Entry]>),
}

/// All records of a replica's disk.
#[derive(Clone, Default)]
pub(crate) struct DiskLog {
    records: Vec<Written>,
    durable: usize,
    /// The log's entries, each with how many records there were once it was written.
    entries: Vec<(Entry, usize)>,
    /// The promises, likewise.
    promises: Vec<(ViewNumber, usize)>,
    /// What the disk held before it was lost, until it has recovered: it counts as held.
    lost: Option<Box<Self>>,
}

impl DiskLog {
    /// What others delivered takes the place of the log: these entries.
    pub(crate) fn replace(&mut self, replacement: Arc<Replacement>, entries: Rc<[Entry]>) {
        assert_eq!(replacement.last.0, entries.len() as u64, "these are its entries");
        let count = self.records.len() + 1;
        self.entries = entries.iter().map(|entry| (entry.clone(), count)).collect();
        self.promises.push((replacement.promised, count));
        self.records.push(Written::Replacement(replacement, entries));
    }

    /// All that was written takes its own place: what was durable is that before this is.
    pub(crate) fn rewrite(&mut self, replacement: Arc<Replacement>) {
        assert_eq!(replacement.last.0, self.last(), "all of it is written anew");
        let entries = self.entries.iter().map(|(entry, _)| entry.clone()).collect();
        self.records.push(Written::Replacement(replacement, entries));
    }

    /// The disk is lost, and has `left` on it now.
    pub(crate) fn lose(&mut self, left: Self) {
        let lost = std::mem::replace(self, left);
        self.lost = Some(Box::new(lost));
    }

    /// Whether what the disk held is not made up for yet.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// A disk with the first `count` records alone.
    pub(crate) fn first(&self, count: usize) -> Self {
        let mut first = Self::default();
        for written in self.records.iter().take(count).cloned() {
            match written {
                Written::Record(record) => first.write(record),
                Written::Replacement(replacement, entries) => first.replace(replacement, entries),
            }
        }
        first.durable = first.records.len();
        first
    }

    /// How many records are durable.
    pub(crate) fn durable(&self) -> usize {
        self.durable
    }

    /// What was lost does not count any more.
    pub(crate) fn forget_lost(&mut self) {
        self.lost = None;
    }

    /// The replica writes a record.
    pub(crate) fn write(&mut self, record: Record) {
        self.records.push(Written::Record(record.clone()));
        match record {
            Record::Append(entry) => {
                assert_eq!(entry.seq.0, self.last() + 1, "the log has no gaps");
                self.entries.push((entry, self.records.len()));
            }
            Record::Drop { after } => self.entries.truncate(after.0 as usize),
            Record::Promise(view) => self.promises.push((view, self.records.len())),
            _ => {}
        }
    }

    /// The first `count` records are durable.
    pub(crate) fn synced(&mut self, count: usize) {
        assert!(count <= self.records.len());
        self.durable = self.durable.max(count);
    }

    /// The disk came back with these after a snapshot of the first `past` records: all that is durable, and perhaps some of
    /// what followed it.
    pub(crate) fn recovered(&mut self, past: usize, records: &[Record]) {
        let count = past + records.len();
        assert!(count >= self.durable, "{count} of {}", self.durable);
        for (record, written) in records.iter().zip(&self.records[past..count]) {
            assert!(matches!(written, Written::Record(written) if written == record), "{record:?}");
        }
        self.records.truncate(count);
        let lost = self.lost.take();
        for written in std::mem::take(self).records {
            match written {
                Written::Record(record) => self.write(record),
                Written::Replacement(replacement, entries) => self.replace(replacement, entries),
            }
        }
        self.durable = self.records.len();
        self.lost = lost;
    }

    /// What the first `count` records come to.
    pub(crate) fn fold(&self, count: usize, empty: impl Fn() -> Snapshot) -> Snapshot {
        let mut state = empty();
        for written in &self.records[..count] {
            match written {
                Written::Record(record) => state.record(record.clone()),
                Written::Replacement(replacement, _) => {
                    state = empty();
                    replacement.parts.iter().for_each(|part| state.part(part).expect("a part"));
                    state.parts_end().expect("all parts");
                }
            }
        }
        state
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// The last entry's number.
    pub(crate) fn last(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The last number through which all entries are durable.
    pub(crate) fn durable_entries(&self) -> u64 {
        self.entries.partition_point(|(_, records)| *records <= self.durable) as u64
    }

    /// The same, or what was durable on a disk that was lost, if that is more.
    pub(crate) fn acked_entries(&self) -> u64 {
        let lost = self.lost.as_ref().map_or(0, |lost| lost.acked_entries());
        self.durable_entries().max(lost)
    }

    /// The view and number of the last entry.
    pub(crate) fn end(&self) -> (ViewNumber, u64) {
        self.entries.last().map_or((ViewNumber::NONE, 0), |(entry, _)| (entry.view, entry.seq.0))
    }

    /// Whether a view above this one names a replica.
    pub(crate) fn names_above(&self, view: ViewNumber, replica: usize) -> bool {
        self.entries.iter().rev().take_while(|(entry, _)| entry.view > view).any(|(entry, _)| {
            matches!(&entry.body, Body::View(members) if members.iter().any(|one| one.id.index() == replica))
        })
    }

    /// An entry.
    pub(crate) fn get(&self, number: u64) -> Option<&Entry> {
        self.entries.get(number as usize - 1).map(|(entry, _)| entry)
    }

    /// Whether this very entry is in the log, durably.
    pub(crate) fn holds(&self, entry: &Entry) -> bool {
        let held = self.entries.get(entry.seq.0 as usize - 1);
        held.is_some_and(|(held, records)| *records <= self.durable && held == entry)
            || self.lost.as_ref().is_some_and(|lost| lost.holds(entry))
    }

    /// Whether it is durable here that promises of a replica before this life do not count. Whom a view names is another
    /// matter; and what was copied says what it says.
    pub(crate) fn is_fenced(&self, life: Member) -> bool {
        let named = |written: &Written| match written {
            Written::Record(Record::Append(entry)) => match &entry.body {
                Body::View(members) => members.contains(&life),
                Body::Message { .. } => false,
            },
            Written::Record(_) => false,
            Written::Replacement(..) => true,
        };
        let fenced = |written: &Written| matches!(written, Written::Record(Record::Fence(fence)) if *fence == life);
        self.records[..self.durable].iter().any(fenced) || self.records.iter().any(named)
    }

    /// Whether the disk is known durably to be sound.
    pub(crate) fn is_sound(&self) -> bool {
        let mut state = DiskState::New;
        for written in &self.records[..self.durable] {
            match written {
                Written::Record(Record::Lost) => state = DiskState::Lost,
                Written::Record(Record::Formatted(_) | Record::Recovered) => {
                    state = DiskState::Sound;
                }
                Written::Replacement(replacement, _) => state = replacement.disk,
                Written::Record(_) => {}
            }
        }
        state == DiskState::Sound
    }

    /// The highest promise; and the highest that is durable.
    pub(crate) fn promised(&self) -> (ViewNumber, ViewNumber) {
        let highest = |promises: &[(ViewNumber, usize)]| {
            promises.last().map_or(ViewNumber::NONE, |(view, _)| *view)
        };
        let durable = self.promises.partition_point(|(_, records)| *records <= self.durable);
        (highest(&self.promises), highest(&self.promises[..durable]))
    }
}
