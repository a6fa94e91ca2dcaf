//! The bytes of headers and chunks. `decode.rs` reads them back, function for function.
//!
//! A chunk is a tag byte and its fields; it ends where its fields end. Everything that counts is a varint, ids are
//! one byte, clocks four. What no peer would accept is a bug here, and asserted.

use super::chunk::{Chunk, CopyPlace, Header, Heard, Known, LogEnd, MessageRange, SeqRange};
use super::limits::{MAX_BOUNDARIES, MAX_NAMES, MAX_NUMBER, MAX_PAYLOAD, MAX_RANGES};
use crate::codec::Writer;
use crate::entry::{Entry, encode_disks, encode_entry};
use crate::types::{
    Boundary, Incarnation, LocalSeq, MAX_REPLICAS, Member, MessageName, ReplicaId, Seq, ViewNumber,
};

pub(super) const DATA: u8 = 1;
pub(super) const SEQUENCE: u8 = 2;
pub(super) const ACK: u8 = 3;
pub(super) const NACK: u8 = 4;
pub(super) const HEARTBEAT: u8 = 5;
pub(super) const NEW_VIEW: u8 = 6;
pub(super) const PREPARE: u8 = 7;
pub(super) const PROMISE: u8 = 8;
pub(super) const FETCH: u8 = 9;
pub(super) const ENTRY: u8 = 10;
pub(super) const INQUIRY: u8 = 11;
pub(super) const SUMMARY: u8 = 12;
pub(super) const COPY_REQUEST: u8 = 13;
pub(super) const COPY: u8 = 14;
pub(super) const KNOWN: u8 = 15;
pub(super) const NEW_DISKS: u8 = 16;
pub(super) const FORMATTED: u8 = 17;
pub(super) const RECOVER: u8 = 18;
pub(super) const RECOVERY: u8 = 19;

/// Appends a header's bytes. Sender and incarnation are not among them: the seal says them.
pub(super) fn header(header: &Header, out: &mut Vec<u8>) {
    let writer = &mut Writer::new(out);
    view_number(header.view, writer);
    view_number(header.promised, writer);
    number(header.highest_seq.0, writer);
    number(header.highest_local.0, writer);
}

/// Appends a chunk's bytes.
///
/// # Panics
/// When a field breaks a limit of its documentation.
pub(super) fn chunk(chunk: &Chunk, out: &mut Vec<u8>) {
    let writer = &mut Writer::new(out);
    match chunk {
        Chunk::Data { name, payload } => data(*name, payload, writer),
        Chunk::Sequence { first, names } => sequence(*first, names, writer),
        Chunk::Ack { through, reply } => ack(*through, *reply, writer),
        Chunk::Nack { sequences, messages } => nack(sequences, messages, writer),
        Chunk::Heartbeat { sent_at, delivered, leaving, heard } => {
            heartbeat(*sent_at, *delivered, *leaving, heard, writer);
        }
        Chunk::Prepare { number } => {
            writer.u8(PREPARE);
            proposed(*number, writer);
        }
        Chunk::Promise { number, log } => promise(*number, log, writer),
        Chunk::NewView { number, members, start, source, boundaries: chosen } => {
            new_view(*number, members, writer);
            seq(*start, writer);
            replica(*source, writer);
            boundaries(chosen, writer);
        }
        Chunk::Fetch { from, to } => {
            writer.u8(FETCH);
            span(from.0, to.0, writer);
        }
        Chunk::Entry(entry) => {
            check_entry(entry);
            writer.u8(ENTRY);
            encode_entry(entry, out);
        }
        Chunk::Inquiry { from } => {
            writer.u8(INQUIRY);
            seq(*from, writer);
        }
        Chunk::Summary { through, held_from, boundaries: of_log } => {
            writer.u8(SUMMARY);
            number(through.0, writer);
            seq(*held_from, writer);
            boundaries(of_log, writer);
        }
        Chunk::CopyRequest { at } => {
            writer.u8(COPY_REQUEST);
            copy_place(*at, writer);
        }
        Chunk::Copy { at, length, last_segment, bytes } => {
            assert!(bytes.len() <= MAX_PAYLOAD, "a piece of a copy has {} bytes", bytes.len());
            writer.u8(COPY);
            copy_place(*at, writer);
            number(*length, writer);
            number(*last_segment, writer);
            writer.count(bytes.len());
            writer.bytes(bytes);
        }
        Chunk::Known { lives } => known(lives, writer),
        Chunk::NewDisks { disks } => {
            assert!((1..=MAX_REPLICAS).contains(&disks.len()), "{} disks", disks.len());
            writer.u8(NEW_DISKS);
            encode_disks(disks, writer);
        }
        Chunk::Formatted { disks } => {
            assert!(disks.len() <= MAX_REPLICAS, "{} disks", disks.len());
            writer.u8(FORMATTED);
            encode_disks(disks, writer);
        }
        Chunk::Recover => writer.u8(RECOVER),
        Chunk::Recovery { last_view, last, fences } => {
            assert_eq!(*last == Seq(0), *last_view == ViewNumber::NONE, "a log's end has a view");
            writer.u8(RECOVERY);
            view_number(*last_view, writer);
            number(last.0, writer);
            members(fences, writer);
        }
    }
}

fn known(lives: &[Known], writer: &mut Writer<'_>) {
    assert!(lives.len() <= MAX_REPLICAS, "{} lives", lives.len());
    assert!(lives.is_sorted_by(|a, b| a.life.id < b.life.id), "lives are out of order");
    writer.u8(KNOWN);
    writer.count(lives.len());
    for one in lives {
        replica(one.life.id, writer);
        incarnation(one.life.incarnation, writer);
        view_number(one.view, writer);
        incarnation(one.in_life, writer);
        number(one.acked.0, writer);
        view_number(one.promised, writer);
        incarnation(one.promised_in, writer);
    }
}

/// A count, and members in id order.
fn members(members: &[Member], writer: &mut Writer<'_>) {
    assert!(members.len() <= MAX_REPLICAS, "{} members", members.len());
    assert!(members.is_sorted_by(|a, b| a.id < b.id), "members are out of order");
    writer.count(members.len());
    for member in members {
        replica(member.id, writer);
        incarnation(member.incarnation, writer);
    }
}

fn data(name: MessageName, payload: &[u8], writer: &mut Writer<'_>) {
    assert!((1..=MAX_PAYLOAD).contains(&payload.len()), "a payload has {} bytes", payload.len());
    writer.u8(DATA);
    message_name(name, writer);
    writer.count(payload.len());
    writer.bytes(payload);
}

fn sequence(first: Seq, names: &[MessageName], writer: &mut Writer<'_>) {
    assert!((1..=MAX_NAMES).contains(&names.len()), "a SEQUENCE has {} names", names.len());
    let last = first.0.saturating_add(names.len() as u64 - 1);
    assert!(last <= MAX_NUMBER, "{last} exceeds what the wire carries");
    writer.u8(SEQUENCE);
    seq(first, writer);
    writer.count(names.len());
    for name in names {
        message_name(*name, writer);
    }
}

fn ack(through: Seq, reply: bool, writer: &mut Writer<'_>) {
    writer.u8(ACK);
    number(through.0, writer);
    writer.bool(reply);
}

fn nack(sequences: &[SeqRange], messages: &[MessageRange], writer: &mut Writer<'_>) {
    let ranges = sequences.len() + messages.len();
    assert!((1..=MAX_RANGES).contains(&ranges), "a NACK has {ranges} ranges");
    writer.u8(NACK);
    writer.count(sequences.len());
    for range in sequences {
        span(range.from.0, range.to.0, writer);
    }
    writer.count(messages.len());
    for range in messages {
        replica(range.origin, writer);
        incarnation(range.incarnation, writer);
        span(range.from.0, range.to.0, writer);
    }
}

fn heartbeat(
    sent_at: u32,
    delivered: Seq,
    leaving: bool,
    heard: &[Heard],
    writer: &mut Writer<'_>,
) {
    assert!(heard.len() <= MAX_REPLICAS, "a HEARTBEAT has heard {} replicas", heard.len());
    assert!(heard.is_sorted_by(|a, b| a.replica < b.replica), "heard replicas are out of order");
    writer.u8(HEARTBEAT);
    writer.u32(sent_at);
    number(delivered.0, writer);
    writer.bool(leaving);
    writer.count(heard.len());
    for one in heard {
        replica(one.replica, writer);
        incarnation(one.incarnation, writer);
        writer.u32(one.echo);
        writer.u32(one.held_for);
    }
}

fn promise(number: ViewNumber, log: &LogEnd, writer: &mut Writer<'_>) {
    assert!(log.delivered <= log.last, "delivered past the log's end");
    let held_from = Seq(1)..=log.delivered.next();
    assert!(held_from.contains(&log.held_from), "the first held one is not past the delivered");
    writer.u8(PROMISE);
    proposed(number, writer);
    view_number(log.last_view, writer);
    self::number(log.last.0, writer);
    self::number(log.delivered.0, writer);
    self::number(log.delivered.next().0 - log.held_from.0, writer);
    boundaries(&log.boundaries, writer);
    members(&log.fences, writer);
}

fn boundaries(boundaries: &[Boundary], writer: &mut Writer<'_>) {
    assert!(boundaries.len() <= MAX_BOUNDARIES, "{} boundaries", boundaries.len());
    assert!(boundaries.is_sorted_by(|a, b| a.first < b.first), "boundaries are out of order");
    writer.count(boundaries.len());
    for boundary in boundaries {
        proposed(boundary.view, writer);
        seq(boundary.first, writer);
    }
}

fn check_entry(entry: &Entry) {
    assert!(entry.seq.0 <= MAX_NUMBER && entry.view.round <= MAX_NUMBER, "an entry's numbers");
}

fn proposed(number: ViewNumber, writer: &mut Writer<'_>) {
    assert!(number != ViewNumber::NONE, "a view has a number");
    view_number(number, writer);
}

fn new_view(number: ViewNumber, of: &[Member], writer: &mut Writer<'_>) {
    assert!(number != ViewNumber::NONE, "a view to install has no number");
    assert!(!of.is_empty(), "a view has members");
    writer.u8(NEW_VIEW);
    view_number(number, writer);
    members(of, writer);
}

fn message_name(name: MessageName, writer: &mut Writer<'_>) {
    replica(name.origin, writer);
    incarnation(name.incarnation, writer);
    local_seq(name.local, writer);
}

/// A range: its first number and how many follow, so that none ends before it begins.
fn span(from: u64, to: u64, writer: &mut Writer<'_>) {
    assert!(1 <= from && from <= to && to <= MAX_NUMBER, "a range goes from {from} to {to}");
    number(from, writer);
    number(to - from, writer);
}

fn view_number(view: ViewNumber, writer: &mut Writer<'_>) {
    assert!(view.round > 0 || view == ViewNumber::NONE, "view {view} has no round");
    number(view.round, writer);
    replica(view.proposer, writer);
}

fn replica(id: ReplicaId, writer: &mut Writer<'_>) {
    assert!(id.index() < MAX_REPLICAS, "there is no replica {id}");
    writer.u8(id.0);
}

fn incarnation(incarnation: Incarnation, writer: &mut Writer<'_>) {
    number(incarnation.0, writer);
}

fn copy_place(at: CopyPlace, writer: &mut Writer<'_>) {
    number(at.snapshot, writer);
    number(at.segment, writer);
    number(at.offset, writer);
}

fn seq(seq: Seq, writer: &mut Writer<'_>) {
    assert!(seq >= Seq(1), "sequence numbers start at 1");
    number(seq.0, writer);
}

fn local_seq(local: LocalSeq, writer: &mut Writer<'_>) {
    assert!(local >= LocalSeq(1), "local sequence numbers start at 1");
    number(local.0, writer);
}

fn number(value: u64, writer: &mut Writer<'_>) {
    assert!(value <= MAX_NUMBER, "{value} exceeds what the wire carries");
    writer.varint(value);
}
