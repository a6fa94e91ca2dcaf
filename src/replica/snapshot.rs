//! What a replica's records come to, in their place: a snapshot. It holds what was delivered as the state that came of
//! it, and the entries past that as they are.
//!
//! ```text
//! head     1 | promised | delivered | last delivered message of each origin | lives | disk | first disks      first
//! views    2 | boundaries
//! entry    3 | an entry that is not delivered                                  in order
//! state    4 | a part of the queues' state                                     in order
//! ```

use std::collections::VecDeque;
use std::io;

use super::Replica;
use super::boundaries::Boundaries;
use super::contents::Contents;
use super::last_names::LastNames;
use super::lives::Lives;
use super::log::Log;
use crate::codec::{Malformed, Reader};
use crate::entry::{
    Body, DiskState, Entry, Fold, MAX_PART, MAX_PAYLOAD, Record, Replacement, Replay, Salvage,
    decode_disks, decode_entry, decode_view_number,
};
use crate::planted::PlantedBug;
use crate::queue::{self, Limits, MAX_STATE_PART, Queues};
use crate::types::{Boundary, DiskId, Seq, ViewNumber};
use crate::wire::MAX_NUMBER;

pub(super) const HEAD: u8 = 1;
pub(super) const VIEWS: u8 = 2;
pub(super) const ENTRY: u8 = 3;
pub(super) const STATE: u8 = 4;

const _: () = assert!(MAX_STATE_PART < MAX_PART && MAX_PAYLOAD + 1_024 <= MAX_PART);

/// What records come to.
#[derive(Debug)]
pub struct Snapshot {
    promised: ViewNumber,
    delivered_through: Seq,
    /// Each origin's last delivered message.
    delivered_names: LastNames,
    lives: Lives,
    disk: DiskState,
    /// The disks of all replicas when the cluster was first started; none where that is not known.
    first_disks: Vec<DiskId>,
    queues: Queues,
    boundaries: Boundaries,
    /// The entries past the delivered ones.
    undelivered: VecDeque<Entry>,
    /// The kind of the last part that was read; 0 before the first.
    part: u8,
}

impl Default for Snapshot {
    /// Of no records, in a cluster.
    fn default() -> Self {
        Self::new(Limits::DEFAULT, None)
    }
}

impl Snapshot {
    /// Of no records; with a bug planted in the state machine, if it is one of its.
    pub fn new(limits: Limits, planted: Option<PlantedBug>) -> Self {
        let mut queues = Queues::new(limits);
        queues.plant(planted);
        Self {
            promised: ViewNumber::NONE,
            delivered_through: Seq(0),
            delivered_names: LastNames::default(),
            lives: Lives::default(),
            disk: DiskState::Empty,
            first_disks: Vec::new(),
            queues,
            boundaries: Boundaries::default(),
            undelivered: VecDeque::new(),
            part: 0,
        }
    }
}

impl Snapshot {
    /// The beginning of a cluster that has these queues from its first entry on, which was `view`'s and is delivered. So
    /// a replica without it lacks an entry, and has to copy it.
    pub(crate) fn beginning(queues: Queues, view: ViewNumber) -> Self {
        let first = Seq(1);
        let boundaries = Boundaries::told(&[Boundary { view, first }]);
        Self {
            promised: view,
            delivered_through: first,
            disk: DiskState::Sound,
            queues,
            boundaries,
            ..Self::default()
        }
    }

    /// The last delivered entry's number: the snapshot stands for the log through it.
    pub fn delivered_through(&self) -> Seq {
        self.delivered_through
    }

    /// The queues as of that entry.
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// The highest promise.
    pub(super) fn promised(&self) -> ViewNumber {
        self.promised
    }

    /// The last delivered entry's view, where that is known.
    pub(super) fn last_view(&self) -> Option<ViewNumber> {
        self.boundaries.view_at(self.delivered_through)
    }

    /// Whether the last delivered entry is that of a log, too, as far as can be told.
    pub(super) fn agrees_with(&self, log: &Boundaries) -> bool {
        let seq = self.delivered_through;
        log.view_at(seq).is_none_or(|view| self.boundaries.view_at(seq) == Some(view))
    }

    /// Takes all entries for delivered, which is a bug to plant.
    pub(super) fn deliver_all(&mut self) {
        while !self.undelivered.is_empty() {
            self.deliver();
        }
    }

    /// Whether it has numbers that no replica of so many can say.
    pub(super) fn exceeds(&self, replicas: usize) -> bool {
        self.promised.round > MAX_NUMBER || self.lives.exceed(replicas)
    }

    /// Lets go of the entries that were not delivered.
    pub(super) fn forget_undelivered(&mut self) {
        self.undelivered.clear();
        self.boundaries.drop_after(self.delivered_through);
    }

    /// Promises what was promised elsewhere, if that is more.
    pub(super) fn raise_promise(&mut self, promised: ViewNumber) {
        self.promised = self.promised.max(promised);
    }

    /// Counts for a disk that is good for as much, in a replica that knows of these lives and first disks, too.
    pub(super) fn keep(&mut self, disk: DiskState, lives: &Lives, first_disks: &[DiskId]) {
        self.disk = disk;
        self.lives.merge(lives);
        if self.first_disks.is_empty() {
            self.first_disks = first_disks.to_vec();
        }
    }

    /// The same, to be put in the place of a log.
    pub(crate) fn to_replacement(&self) -> Replacement {
        self.contents().to_replacement()
    }

    fn contents(&self) -> Contents<'_> {
        Contents {
            promised: self.promised,
            delivered_through: self.delivered_through,
            delivered_names: &self.delivered_names,
            lives: &self.lives,
            disk: self.disk,
            first_disks: &self.first_disks,
            boundaries: &self.boundaries,
            undelivered: self.undelivered.iter().collect(),
            queues: &self.queues,
        }
    }

    fn ordered_through(&self) -> Seq {
        Seq(self.delivered_through.0 + self.undelivered.len() as u64)
    }

    fn append(&mut self, entry: Entry) {
        self.boundaries.append(entry.seq, entry.view);
        self.lives.note(&entry);
        self.undelivered.push_back(entry);
    }

    fn deliver(&mut self) {
        let entry = self.undelivered.pop_front().expect("what is delivered is there");
        self.delivered_through = entry.seq;
        self.boundaries.trim(entry.seq);
        let Body::Message { name, payload } = &entry.body else {
            return;
        };
        self.delivered_names.note(*name);
        // One that cannot be read has no operations, as where it was delivered.
        for operation in queue::decode_operations(payload).unwrap_or_default() {
            self.queues.apply(&operation);
        }
    }

    fn take_part(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let kind = reader.u8()?;
        let once = kind == HEAD || kind == VIEWS;
        if kind < self.part || once && kind == self.part || self.part == 0 && kind != HEAD {
            return Err(Malformed("a part is out of order"));
        }
        self.part = kind;
        match kind {
            HEAD => {
                self.promised = decode_view_number(reader)?;
                self.delivered_through = Seq(reader.varint()?);
                self.delivered_names = LastNames::decode(reader)?;
                if self.promised.round > MAX_NUMBER || self.delivered_through.0 > MAX_NUMBER {
                    return Err(Malformed("a number is too great"));
                }
                // Those of before there were lost disks end here.
                self.disk = DiskState::Sound;
                if !reader.is_empty() {
                    self.lives = Lives::decode(reader)?;
                    self.disk = DiskState::decode(reader)?;
                    self.first_disks = decode_disks(reader)?;
                }
            }
            VIEWS => {
                let mut before = Seq(0);
                for _ in 0..reader.count(MAX_PART)? {
                    let view = decode_view_number(reader)?;
                    let first = Seq(reader.varint()?);
                    let rises = before < first && self.boundaries.last_view() < view;
                    if !rises || view > self.promised || first.0 > MAX_NUMBER {
                        return Err(Malformed("views are out of order"));
                    }
                    before = first;
                    self.boundaries.append(first, view);
                }
            }
            ENTRY => {
                let entry = decode_entry(reader)?;
                let follows = entry.seq == self.ordered_through().next();
                if !follows || self.boundaries.view_at(entry.seq) != Some(entry.view) {
                    return Err(Malformed("an entry does not follow the one before it"));
                }
                self.lives.note(&entry);
                self.undelivered.push_back(entry);
            }
            STATE => return self.queues.take_part(reader),
            _ => return Err(Malformed("a part's kind is unknown")),
        }
        if reader.is_empty() { Ok(()) } else { Err(Malformed("bytes follow a part")) }
    }
}

impl Replay for Snapshot {
    fn part(&mut self, part: &[u8]) -> Result<(), Malformed> {
        self.take_part(&mut Reader::new(part))
    }

    fn parts_end(&mut self) -> Result<(), Malformed> {
        if self.part != STATE {
            return Err(Malformed("it has no state"));
        }
        self.queues.parts_end()
    }

    fn record(&mut self, record: Record) {
        self.disk = self.disk.after(&record);
        match record {
            Record::Append(entry) => self.append(entry),
            Record::Drop { after } => {
                // What is delivered stays: storage's rules say so, and what was copied is no reason to panic.
                while self.ordered_through() > after && self.undelivered.pop_back().is_some() {}
                self.boundaries.drop_after(after);
            }
            Record::Promise(view) => self.promised = view,
            Record::Delivered(through) => {
                while self.delivered_through < through && !self.undelivered.is_empty() {
                    self.deliver();
                }
            }
            Record::Fence(life) => drop(self.lives.raise_fence(life)),
            Record::Formatted(disks) => self.first_disks = disks,
            Record::New(_) | Record::Lost | Record::Recovered | Record::Accepted => {}
        }
    }
}

impl Salvage for Snapshot {
    fn end(&self) -> (ViewNumber, Seq) {
        (self.boundaries.last_view(), self.ordered_through())
    }

    fn promise_as(&mut self, other: &Self) {
        self.raise_promise(other.promised);
        self.lives.merge(&other.lives);
    }

    fn to_log(&mut self, disk: DiskState) -> (Replacement, Vec<Entry>) {
        self.disk = disk;
        let entries = self.undelivered.drain(..).collect();
        self.forget_undelivered();
        (self.to_replacement(), entries)
    }
}

impl Fold for Snapshot {
    fn encode(&self, each: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.contents().encode(each)
    }
}

/// What storage holds, as a replica takes it in when its life begins.
pub struct Recovery<'a> {
    replica: &'a mut Replica,
    snapshot: Option<Snapshot>,
}

impl<'a> Recovery<'a> {
    /// For a replica that has just been made.
    pub fn new(replica: &'a mut Replica) -> Self {
        Self { replica, snapshot: None }
    }

    fn snapshot(&mut self) -> &mut Snapshot {
        let (limits, planted) = (self.replica.config.limits, self.replica.config.planted);
        self.snapshot.get_or_insert_with(|| Snapshot::new(limits, planted))
    }
}

impl Replay for Recovery<'_> {
    fn part(&mut self, part: &[u8]) -> Result<(), Malformed> {
        self.snapshot().part(part)
    }

    fn parts_end(&mut self) -> Result<(), Malformed> {
        self.snapshot().parts_end()?;
        if let Some(snapshot) = self.snapshot.take() {
            self.replica.begin_with(snapshot);
        }
        Ok(())
    }

    fn record(&mut self, record: Record) {
        self.replica.replay(record);
    }
}

impl Replica {
    /// Takes in a snapshot: what storage held before any record, or what takes the place of the log.
    pub(super) fn begin_with(&mut self, snapshot: Snapshot) {
        let Snapshot {
            promised,
            delivered_through,
            delivered_names,
            lives,
            disk,
            first_disks,
            queues,
            boundaries,
            undelivered,
            part: _,
        } = snapshot;
        self.promised = self.promised.max(promised);
        self.delivered_through = delivered_through;
        self.writes.knows_delivered(delivered_through);
        self.log = Log::with(delivered_through, boundaries, &delivered_names, undelivered, lives);
        self.own_disk.begin_with(disk, first_disks);
        self.delivered_names = delivered_names;
        self.queues = queues;
    }
}
