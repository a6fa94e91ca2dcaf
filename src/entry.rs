//! Entries of the log, and the records that a replica's storage keeps of it; and the bytes of both.
//!
//! An entry is a numbered message, or the beginning of a view. A record is what one write to storage says: an entry
//! more, entries fewer, a promise, how far was delivered. The records of a replica, in their order, are all that it
//! knows after a restart.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]
#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use bytes::Bytes;

use crate::codec::{Malformed, Reader, Writer};
use crate::types::{
    Boundary, DiskId, Incarnation, LocalSeq, MAX_REPLICAS, Member, MessageName, ReplicaId, Seq,
    ViewNumber,
};

/// One position of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its sequence number, from 1.
    pub seq: Seq,
    /// The view in which it was numbered. Two entries with the same number and view are the same entry, and so is all
    /// before them (DESIGN section 3, rule 4).
    pub view: ViewNumber,
    /// What it says.
    pub body: Body,
}

/// What an entry says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// A message.
    Message {
        /// Its name.
        name: MessageName,
        /// Its operations: 1 to 65,535 bytes.
        payload: Bytes,
    },
    /// The entry's view begins here, with these members in id order; at least one.
    View(Vec<Member>),
}

/// The most bytes of a message's operations that an entry may have: more than any datagram carries.
pub(crate) const MAX_PAYLOAD: usize = 65_535;

impl Entry {
    /// The message's name, if it is one.
    pub fn name(&self) -> Option<MessageName> {
        match &self.body {
            Body::Message { name, .. } => Some(*name),
            Body::View(_) => None,
        }
    }

    /// Roughly what the entry takes in memory, in bytes.
    pub(crate) fn memory(&self) -> usize {
        let body = match &self.body {
            Body::Message { payload, .. } => payload.len(),
            Body::View(members) => members.len() * size_of::<Member>(),
        };
        size_of::<Self>() + body
    }
}

/// One write to a replica's storage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// The log has this entry after its last one.
    Append(Entry),
    /// The log has no entries past this number any more.
    Drop {
        /// The last number that stays; 0 for an empty log.
        after: Seq,
    },
    /// Nothing of an earlier view is numbered, appended, acked or delivered from here on.
    Promise(ViewNumber),
    /// Entries through this number were delivered: they never change.
    Delivered(Seq),
    /// Promises of another replica's lives before this one do not count any more: it lost its disk, and asked what was on
    /// it.
    Fence(Member),
    /// The disk is new: the first record of its log.
    New(DiskId),
    /// The replica takes part from here on: these were the disks of all replicas, by id, when the cluster was first
    /// started. 1 to `MAX_REPLICAS`.
    Formatted(Vec<DiskId>),
    /// The disk may lack what it held: until [`Record::Recovered`] its replica takes no part.
    Lost,
    /// All that the lost disk can have held that counts is here again.
    Recovered,
    /// What the lost disk held and is not here does not count any more, on an operator's word.
    Accepted,
}

/// What a replica's disk is good for, by the records on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DiskState {
    /// Nothing is on it.
    #[default]
    Empty,
    /// It was empty, and whether it should have been is not known yet.
    New,
    /// It has all that its replica ever said that it has.
    Sound,
    /// It may lack some of it.
    Lost,
    /// It counts as sound on an operator's word, until its replica has promised a view: what others know that it held
    /// before does not count.
    Accepted,
}

impl DiskState {
    /// The state after a further record. A log that begins with another record than [`Record::New`] and [`Record::Lost`]
    /// is of before there were new disks.
    pub(crate) fn after(self, record: &Record) -> Self {
        match record {
            Record::New(_) => Self::New,
            Record::Lost => Self::Lost,
            Record::Formatted(_) | Record::Recovered => Self::Sound,
            Record::Accepted => Self::Accepted,
            Record::Promise(_) if self == Self::Accepted => Self::Sound,
            _ if self == Self::Empty => Self::Sound,
            _ => self,
        }
    }

    /// Appends its byte.
    pub(crate) fn encode(self, writer: &mut Writer<'_>) {
        writer.u8(match self {
            Self::Empty => 0,
            Self::Sound => 1,
            Self::Lost => 2,
            Self::Accepted => 3,
            Self::New => 4,
        });
    }

    /// Reads its byte.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.u8()? {
            0 => Ok(Self::Empty),
            1 => Ok(Self::Sound),
            2 => Ok(Self::Lost),
            3 => Ok(Self::Accepted),
            4 => Ok(Self::New),
            _ => Err(Malformed("a disk's state is unknown")),
        }
    }
}

/// Who takes in what storage holds: first a snapshot's parts, where there is one, then every record after it, in order.
pub trait Replay {
    /// The next part of the snapshot, as [`Fold::encode`] gave it.
    ///
    /// # Errors
    /// When it is no part, or does not follow the one before.
    fn part(&mut self, part: &[u8]) -> Result<(), Malformed>;

    /// The snapshot has no more parts.
    ///
    /// # Errors
    /// When it lacks some.
    fn parts_end(&mut self) -> Result<(), Malformed>;

    /// The next record.
    fn record(&mut self, record: Record);
}

/// Who only wants the records.
impl<F: FnMut(Record)> Replay for F {
    fn part(&mut self, _: &[u8]) -> Result<(), Malformed> {
        Ok(())
    }

    fn parts_end(&mut self) -> Result<(), Malformed> {
        Ok(())
    }

    fn record(&mut self, record: Record) {
        self(record);
    }
}

/// What the records of a log, as far as it was delivered, come to, to be put in the place of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replacement {
    /// The highest promise.
    pub promised: ViewNumber,
    /// The last entry's number: all are delivered.
    pub delivered: Seq,
    /// What the disk is good for.
    pub disk: DiskState,
    /// Where the views of the entries begin, numbers and views rising: the last ones.
    pub boundaries: Vec<Boundary>,
    /// The snapshot's parts, as [`Fold::encode`] gives them.
    pub parts: Vec<Vec<u8>>,
}

/// What records come to, and can be written down in their place.
pub trait Fold: Replay {
    /// Gives all of it to `each`, in parts of 1 byte to 1 MiB.
    ///
    /// # Errors
    /// Those of `each`.
    fn encode(&self, each: &mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()>;
}

/// What is made of the records of a disk, as far as they can be read.
pub(crate) trait Salvage: Replay + Default {
    /// The last entry's view and number.
    fn end(&self) -> (ViewNumber, Seq);

    /// Promises what another one promised, if that is more, and keeps its fences.
    fn promise_as(&mut self, other: &Self);

    /// What takes the place of a log, and the entries that follow it and are not delivered, which it gives away.
    fn to_log(&mut self, disk: DiskState) -> (Replacement, Vec<Entry>);
}

/// The longest part of a snapshot, in bytes.
pub(crate) const MAX_PART: usize = 1 << 20;

const MESSAGE: u8 = 1;
const VIEW: u8 = 2;

const APPEND: u8 = 1;
const DROP: u8 = 2;
const PROMISE: u8 = 3;
const DELIVERED: u8 = 4;
const FENCE: u8 = 5;
const NEW: u8 = 6;
const FORMATTED: u8 = 7;
const LOST: u8 = 8;
const RECOVERED: u8 = 9;
const ACCEPTED: u8 = 10;

/// Appends an entry's bytes.
pub(crate) fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    let writer = &mut Writer::new(out);
    writer.varint(entry.seq.0);
    encode_view_number(entry.view, writer);
    match &entry.body {
        Body::Message { name, payload } => {
            assert!((1..=MAX_PAYLOAD).contains(&payload.len()), "a payload fits an entry");
            writer.u8(MESSAGE);
            encode_member(Member { id: name.origin, incarnation: name.incarnation }, writer);
            writer.varint(name.local.0);
            writer.count(payload.len());
            writer.bytes(payload);
        }
        Body::View(members) => {
            assert!((1..=MAX_REPLICAS).contains(&members.len()), "a view has members");
            writer.u8(VIEW);
            writer.count(members.len());
            members.iter().for_each(|member| encode_member(*member, writer));
        }
    }
}

/// Appends a record's bytes.
pub(crate) fn encode_record(record: &Record, out: &mut Vec<u8>) {
    match record {
        Record::Append(entry) => {
            out.push(APPEND);
            encode_entry(entry, out);
        }
        Record::Drop { after } => {
            out.push(DROP);
            Writer::new(out).varint(after.0);
        }
        Record::Promise(view) => {
            out.push(PROMISE);
            encode_view_number(*view, &mut Writer::new(out));
        }
        Record::Delivered(through) => {
            out.push(DELIVERED);
            Writer::new(out).varint(through.0);
        }
        Record::Fence(member) => {
            out.push(FENCE);
            encode_member(*member, &mut Writer::new(out));
        }
        Record::New(disk) => {
            out.push(NEW);
            Writer::new(out).u64(disk.0);
        }
        Record::Formatted(disks) => {
            assert!((1..=MAX_REPLICAS).contains(&disks.len()), "replicas have disks");
            out.push(FORMATTED);
            encode_disks(disks, &mut Writer::new(out));
        }
        Record::Lost => out.push(LOST),
        Record::Recovered => out.push(RECOVERED),
        Record::Accepted => out.push(ACCEPTED),
    }
}

/// Appends how many disks there are, and their ids.
pub(crate) fn encode_disks(disks: &[DiskId], writer: &mut Writer<'_>) {
    writer.count(disks.len());
    disks.iter().for_each(|disk| writer.u64(disk.0));
}

pub(crate) fn encode_view_number(view: ViewNumber, writer: &mut Writer<'_>) {
    writer.varint(view.round);
    writer.u8(view.proposer.0);
}

pub(crate) fn encode_member(member: Member, writer: &mut Writer<'_>) {
    writer.u8(member.id.0);
    writer.varint(member.incarnation.0);
}

/// Reads an entry. Ids are below `MAX_REPLICAS`; whether there is such a replica is for the caller to judge.
pub(crate) fn decode_entry(reader: &mut Reader<'_>) -> Result<Entry, Malformed> {
    let seq = Seq(reader.varint()?);
    let view = decode_view_number(reader)?;
    if seq == Seq(0) || view == ViewNumber::NONE {
        return Err(Malformed("an entry has no number or no view"));
    }
    let body = match reader.u8()? {
        MESSAGE => {
            let Member { id: origin, incarnation } = decode_member(reader)?;
            let local = LocalSeq(reader.varint()?);
            let length = reader.count(MAX_PAYLOAD)?;
            if local == LocalSeq(0) || length == 0 {
                return Err(Malformed("a message has no number or no operations"));
            }
            let payload = Bytes::copy_from_slice(reader.take(length)?);
            Body::Message { name: MessageName { origin, incarnation, local }, payload }
        }
        VIEW => {
            let count = reader.count(MAX_REPLICAS)?;
            let mut members = Vec::with_capacity(count);
            for _ in 0..count {
                members.push(decode_member(reader)?);
            }
            if members.is_empty() || !members.is_sorted_by(|one, next| one.id < next.id) {
                return Err(Malformed("a view's members are none or out of order"));
            }
            Body::View(members)
        }
        _ => return Err(Malformed("an entry's kind is unknown")),
    };
    Ok(Entry { seq, view, body })
}

/// Reads a record.
pub(crate) fn decode_record(reader: &mut Reader<'_>) -> Result<Record, Malformed> {
    match reader.u8()? {
        APPEND => decode_entry(reader).map(Record::Append),
        DROP => Ok(Record::Drop { after: Seq(reader.varint()?) }),
        PROMISE => match decode_view_number(reader)? {
            ViewNumber::NONE => Err(Malformed("a promise has no view number")),
            view => Ok(Record::Promise(view)),
        },
        DELIVERED => Ok(Record::Delivered(Seq(reader.varint()?))),
        FENCE => Ok(Record::Fence(decode_member(reader)?)),
        NEW => match DiskId(reader.u64()?) {
            DiskId(0) => Err(Malformed("a disk has no id")),
            disk => Ok(Record::New(disk)),
        },
        FORMATTED => match decode_disks(reader)? {
            disks if disks.is_empty() => Err(Malformed("a cluster has no disks")),
            disks => Ok(Record::Formatted(disks)),
        },
        LOST => Ok(Record::Lost),
        RECOVERED => Ok(Record::Recovered),
        ACCEPTED => Ok(Record::Accepted),
        _ => Err(Malformed("a record's kind is unknown")),
    }
}

/// Reads the ids of at most `MAX_REPLICAS` disks; 0 stands for one that is not known.
pub(crate) fn decode_disks(reader: &mut Reader<'_>) -> Result<Vec<DiskId>, Malformed> {
    let count = reader.count(MAX_REPLICAS)?;
    (0..count).map(|_| reader.u64().map(DiskId)).collect()
}

pub(crate) fn decode_view_number(reader: &mut Reader<'_>) -> Result<ViewNumber, Malformed> {
    let view = ViewNumber { round: reader.varint()?, proposer: decode_id(reader)? };
    if view.round == 0 && view != ViewNumber::NONE {
        return Err(Malformed("a view number has no round"));
    }
    Ok(view)
}

pub(crate) fn decode_member(reader: &mut Reader<'_>) -> Result<Member, Malformed> {
    Ok(Member { id: decode_id(reader)?, incarnation: Incarnation(reader.varint()?) })
}

fn decode_id(reader: &mut Reader<'_>) -> Result<ReplicaId, Malformed> {
    let id = ReplicaId(reader.u8()?);
    if id.index() < MAX_REPLICAS { Ok(id) } else { Err(Malformed("there is no such replica")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tools::Random;

    fn records() -> Vec<Record> {
        let view = ViewNumber { round: 300, proposer: ReplicaId(2) };
        let member =
            |id, incarnation| Member { id: ReplicaId(id), incarnation: Incarnation(incarnation) };
        let name = MessageName {
            origin: ReplicaId(1),
            incarnation: Incarnation(1 << 40),
            local: LocalSeq(7),
        };
        let body = Body::Message { name, payload: Bytes::from_static(b"operations") };
        vec![
            Record::Append(Entry { seq: Seq(1), view, body }),
            Record::Append(Entry {
                seq: Seq(1 << 50),
                view,
                body: Body::View(vec![member(0, 5), member(2, u64::MAX)]),
            }),
            Record::Drop { after: Seq(0) },
            Record::Promise(view),
            Record::Delivered(Seq(u64::MAX)),
            Record::Fence(member(8, 300)),
            Record::New(DiskId(7)),
            Record::Formatted(vec![DiskId(1), DiskId(u64::MAX), DiskId(0)]),
            Record::Lost,
            Record::Recovered,
            Record::Accepted,
        ]
    }

    #[test]
    fn what_is_written_is_read_and_no_less() {
        for record in records() {
            let mut bytes = Vec::new();
            encode_record(&record, &mut bytes);
            let mut reader = Reader::new(&bytes);
            assert_eq!(decode_record(&mut reader), Ok(record));
            assert!(reader.is_empty());
            for shorter in 0..bytes.len() {
                assert!(decode_record(&mut Reader::new(&bytes[..shorter])).is_err());
            }
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_malformed() {
        let mut random = Random::new(1);
        for _ in 0..100_000 {
            let length = random.index(40);
            let mut bytes = random.bytes(length);
            if let Some(first) = bytes.first_mut() {
                *first %= 12;
            }
            let mut reader = Reader::new(&bytes);
            if let Ok(record) = decode_record(&mut reader) {
                let read = bytes.len() - reader.remaining();
                let mut again = Vec::new();
                encode_record(&record, &mut again);
                assert_eq!(again, bytes[..read], "one encoding for each record");
            }
        }
    }
}
