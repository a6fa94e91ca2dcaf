//! The bytes of entries and records. There is one encoding for each.

use bytes::Bytes;

use super::{Body, Entry, MAX_PAYLOAD, Record};
use crate::codec::{Malformed, Reader, Writer};
use crate::types::{
    DiskId, Incarnation, LocalSeq, MAX_REPLICAS, Member, MessageName, ReplicaId, Seq, ViewNumber,
};

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
