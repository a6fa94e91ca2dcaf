//! What a replica has written, as the world sees it: its records, which of them are durable, and the log that they make.

use ftqueue::testing::{Entry, Record, ViewNumber};

/// All records of a replica's disk.
#[derive(Default)]
pub(crate) struct DiskLog {
    records: Vec<Record>,
    durable: usize,
    /// The log's entries, each with how many records there were once it was written.
    entries: Vec<(Entry, usize)>,
    /// The promises, likewise.
    promises: Vec<(ViewNumber, usize)>,
}

impl DiskLog {
    /// The replica writes a record.
    pub(crate) fn write(&mut self, record: Record) {
        self.records.push(record.clone());
        match record {
            Record::Append(entry) => {
                assert_eq!(entry.seq.0, self.last() + 1, "the log has no gaps");
                self.entries.push((entry, self.records.len()));
            }
            Record::Drop { after } => self.entries.truncate(after.0 as usize),
            Record::Promise(view) => self.promises.push((view, self.records.len())),
            Record::Delivered(_) => {}
        }
    }

    /// The first `count` records are durable.
    pub(crate) fn synced(&mut self, count: usize) {
        assert!(count <= self.records.len());
        self.durable = self.durable.max(count);
    }

    /// The disk came back with these: all that is durable, and perhaps some of what followed it.
    pub(crate) fn recovered(&mut self, records: &[Record]) {
        assert!(records.len() >= self.durable, "{} of {}", records.len(), self.durable);
        assert_eq!(records, &self.records[..records.len()], "what was written is read");
        let records = records.to_vec();
        *self = Self::default();
        records.into_iter().for_each(|record| self.write(record));
        self.durable = self.records.len();
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

    /// An entry.
    pub(crate) fn get(&self, number: u64) -> Option<&Entry> {
        self.entries.get(number as usize - 1).map(|(entry, _)| entry)
    }

    /// Whether this very entry is in the log, durably.
    pub(crate) fn holds(&self, entry: &Entry) -> bool {
        let held = self.entries.get(entry.seq.0 as usize - 1);
        held.is_some_and(|(held, records)| *records <= self.durable && held == entry)
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
