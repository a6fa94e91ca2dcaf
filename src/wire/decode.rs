//! Headers and chunks from bytes that nobody vouches for: a sender with the cluster's secret may still have bugs.
//! Whatever comes out keeps every limit that `chunk.rs` documents, so the replica need not check it again.

use bytes::Bytes;

use super::chunk::{Chunk, CopyPlace, Header, Heard, Known, LogEnd, MessageRange, SeqRange};
use super::encode::{
    ACK, COPY, COPY_REQUEST, DATA, ENTRY, FETCH, FORMATTED, HEARTBEAT, INQUIRY, KNOWN, NACK,
    NEW_DISKS, NEW_VIEW, PREPARE, PROMISE, RECOVER, RECOVERY, SEQUENCE, SUMMARY,
};
use super::limits::{MAX_BOUNDARIES, MAX_CHUNKS, MAX_NAMES, MAX_NUMBER, MAX_PAYLOAD, MAX_RANGES};
use crate::codec::{Malformed, Reader};
use crate::entry::{Body, decode_disks, decode_entry};
use crate::types::{
    Boundary, DiskId, Incarnation, LocalSeq, Member, MessageName, ReplicaId, Seq, ViewNumber,
};

/// Reads one datagram's body.
pub(super) struct Decoder<'a> {
    body: &'a Bytes,
    reader: Reader<'a>,
    /// How many replicas there are: ids are below it.
    replicas: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(body: &'a Bytes, replicas: usize) -> Self {
        Self { body, reader: Reader::new(body), replicas }
    }

    /// The header of what `sender` sealed in this incarnation.
    pub(super) fn header(
        &mut self,
        sender: ReplicaId,
        incarnation: Incarnation,
    ) -> Result<Header, Malformed> {
        if incarnation.0 > MAX_NUMBER {
            return Err(TOO_GREAT);
        }
        Ok(Header {
            sender,
            incarnation,
            view: self.view_number()?,
            promised: self.view_number()?,
            highest_seq: Seq(self.number()?),
            highest_local: LocalSeq(self.number()?),
        })
    }

    /// All chunks: 1 to `MAX_CHUNKS`, up to the body's end.
    pub(super) fn chunks(mut self) -> Result<Vec<Chunk>, Malformed> {
        let mut chunks = Vec::new();
        while chunks.is_empty() || !self.reader.is_empty() {
            if chunks.len() == MAX_CHUNKS {
                return Err(Malformed("a datagram has too many chunks"));
            }
            chunks.push(self.chunk()?);
        }
        Ok(chunks)
    }

    fn chunk(&mut self) -> Result<Chunk, Malformed> {
        match self.reader.u8()? {
            DATA => self.data(),
            SEQUENCE => self.sequence(),
            ACK => self.ack(),
            NACK => self.nack(),
            HEARTBEAT => self.heartbeat(),
            NEW_VIEW => self.new_view(),
            PREPARE => Ok(Chunk::Prepare { number: self.proposed()? }),
            PROMISE => self.promise(),
            FETCH => {
                let (from, to) = self.span()?;
                Ok(Chunk::Fetch { from: Seq(from), to: Seq(to) })
            }
            ENTRY => self.entry(),
            INQUIRY => Ok(Chunk::Inquiry { from: self.seq()? }),
            SUMMARY => {
                let through = Seq(self.number()?);
                let held_from = self.seq()?;
                Ok(Chunk::Summary { through, held_from, boundaries: self.boundaries()? })
            }
            COPY_REQUEST => Ok(Chunk::CopyRequest { at: self.copy_place()? }),
            COPY => {
                let at = self.copy_place()?;
                let (length, last_segment) = (self.number()?, self.number()?);
                let count = self.reader.count(MAX_PAYLOAD)?;
                let bytes = keep(self.reader.take(count)?, self.body);
                Ok(Chunk::Copy { at, length, last_segment, bytes })
            }
            KNOWN => self.known(),
            NEW_DISKS => match self.disks()? {
                disks if disks.is_empty() => Err(Malformed("there are no disks")),
                disks => Ok(Chunk::NewDisks { disks }),
            },
            FORMATTED => Ok(Chunk::Formatted { disks: self.disks()? }),
            RECOVER => Ok(Chunk::Recover),
            RECOVERY => {
                let (last_view, last) = (self.view_number()?, Seq(self.number()?));
                if (last == Seq(0)) != (last_view == ViewNumber::NONE) {
                    return Err(Malformed("a log's end has no view"));
                }
                Ok(Chunk::Recovery { last_view, last, fences: self.members()? })
            }
            _ => Err(Malformed("a chunk's tag is unknown")),
        }
    }

    fn data(&mut self) -> Result<Chunk, Malformed> {
        let name = self.message_name()?;
        let length = self.reader.count(MAX_PAYLOAD)?;
        if length == 0 {
            return Err(Malformed("a payload is empty"));
        }
        let payload = self.reader.take(length)?;
        Ok(Chunk::Data { name, payload: keep(payload, self.body) })
    }

    fn sequence(&mut self) -> Result<Chunk, Malformed> {
        let first = self.seq()?;
        let names = self.list(MAX_NAMES, Self::message_name)?;
        if names.is_empty() {
            return Err(Malformed("a SEQUENCE is empty"));
        }
        if first.0 + names.len() as u64 - 1 > MAX_NUMBER {
            return Err(TOO_GREAT);
        }
        Ok(Chunk::Sequence { first, names })
    }

    fn ack(&mut self) -> Result<Chunk, Malformed> {
        Ok(Chunk::Ack { through: Seq(self.number()?), reply: self.reader.bool()? })
    }

    fn nack(&mut self) -> Result<Chunk, Malformed> {
        let sequences = self.list(MAX_RANGES, Self::seq_range)?;
        let messages = self.list(MAX_RANGES - sequences.len(), Self::message_range)?;
        if sequences.is_empty() && messages.is_empty() {
            return Err(Malformed("a NACK is empty"));
        }
        Ok(Chunk::Nack { sequences, messages })
    }

    fn heartbeat(&mut self) -> Result<Chunk, Malformed> {
        let sent_at = self.reader.u32()?;
        let delivered = Seq(self.number()?);
        let leaving = self.reader.bool()?;
        let heard = self.list(self.replicas, Self::heard)?;
        if !heard.is_sorted_by(|a, b| a.replica < b.replica) {
            return Err(Malformed("heard replicas are out of order"));
        }
        Ok(Chunk::Heartbeat { sent_at, delivered, leaving, heard })
    }

    fn new_view(&mut self) -> Result<Chunk, Malformed> {
        let number = self.proposed()?;
        let members = self.members()?;
        let start = self.seq()?;
        let source = self.replica()?;
        let boundaries = self.boundaries()?;
        if members.is_empty() {
            return Err(Malformed("a view has no members"));
        }
        if boundaries.last().is_some_and(|last| last.first >= start) {
            return Err(Malformed("a chosen log reaches past the view's start"));
        }
        Ok(Chunk::NewView { number, members, start, source, boundaries })
    }

    fn promise(&mut self) -> Result<Chunk, Malformed> {
        let number = self.proposed()?;
        let last_view = self.view_number()?;
        let (last, delivered) = (Seq(self.number()?), Seq(self.number()?));
        let past = self.number()?;
        let boundaries = self.boundaries()?;
        let fences = self.members()?;
        let Some(held_from) = delivered.next().0.checked_sub(past).filter(|from| *from > 0) else {
            return Err(Malformed("more is held than there is"));
        };
        if delivered > last {
            return Err(Malformed("more is delivered than there is"));
        }
        if (last == Seq(0)) != (last_view == ViewNumber::NONE) {
            return Err(Malformed("a log's end has no view"));
        }
        let ends = boundaries.last().map(|last| (last.view, last.first));
        if ends.map(|(view, _)| view) != Some(last_view).filter(|view| *view != ViewNumber::NONE)
            || ends.is_some_and(|(_, first)| first > last)
        {
            return Err(Malformed("a log's last boundary is not its end's"));
        }
        Ok(Chunk::Promise {
            number,
            log: Box::new(LogEnd {
                last_view,
                last,
                delivered,
                held_from: Seq(held_from),
                boundaries,
                fences,
            }),
        })
    }

    fn known(&mut self) -> Result<Chunk, Malformed> {
        let lives = self.list(self.replicas, |decoder| {
            Ok(Known {
                life: decoder.member()?,
                view: decoder.view_number()?,
                in_life: decoder.incarnation()?,
                acked: Seq(decoder.number()?),
                promised: decoder.view_number()?,
                promised_in: decoder.incarnation()?,
            })
        })?;
        if !lives.is_sorted_by(|a, b| a.life.id < b.life.id) {
            return Err(Malformed("lives are out of order"));
        }
        Ok(Chunk::Known { lives })
    }

    fn disks(&mut self) -> Result<Vec<DiskId>, Malformed> {
        let disks = decode_disks(&mut self.reader)?;
        if disks.len() > self.replicas {
            return Err(Malformed("there are more disks than replicas"));
        }
        Ok(disks)
    }

    /// Members in id order; none is enough.
    fn members(&mut self) -> Result<Vec<Member>, Malformed> {
        let members = self.list(self.replicas, Self::member)?;
        if !members.is_sorted_by(|a, b| a.id < b.id) {
            return Err(Malformed("members are out of order"));
        }
        Ok(members)
    }

    fn boundaries(&mut self) -> Result<Vec<Boundary>, Malformed> {
        let boundaries = self.list(MAX_BOUNDARIES, Self::boundary)?;
        if !boundaries.is_sorted_by(|a, b| a.first < b.first && a.view < b.view) {
            return Err(Malformed("boundaries are out of order"));
        }
        Ok(boundaries)
    }

    fn boundary(&mut self) -> Result<Boundary, Malformed> {
        Ok(Boundary { view: self.proposed()?, first: self.seq()? })
    }

    fn entry(&mut self) -> Result<Chunk, Malformed> {
        let entry = decode_entry(&mut self.reader)?;
        if entry.seq.0 > MAX_NUMBER || entry.view.round > MAX_NUMBER {
            return Err(TOO_GREAT);
        }
        let small = |id: ReplicaId, incarnation: Incarnation| {
            id.index() < self.replicas && incarnation.0 <= MAX_NUMBER
        };
        let known = match &entry.body {
            Body::Message { name, .. } => {
                small(name.origin, name.incarnation) && name.local.0 <= MAX_NUMBER
            }
            Body::View(members) => {
                members.iter().all(|member| small(member.id, member.incarnation))
            }
        };
        if !known || entry.view.proposer.index() >= self.replicas {
            return Err(Malformed("an entry names what there is not"));
        }
        Ok(Chunk::Entry(entry))
    }

    fn proposed(&mut self) -> Result<ViewNumber, Malformed> {
        match self.view_number()? {
            ViewNumber::NONE => Err(Malformed("a view has no number")),
            number => Ok(number),
        }
    }

    fn seq_range(&mut self) -> Result<SeqRange, Malformed> {
        let (from, to) = self.span()?;
        Ok(SeqRange { from: Seq(from), to: Seq(to) })
    }

    fn message_range(&mut self) -> Result<MessageRange, Malformed> {
        let origin = self.replica()?;
        let incarnation = self.incarnation()?;
        let (from, to) = self.span()?;
        Ok(MessageRange { origin, incarnation, from: LocalSeq(from), to: LocalSeq(to) })
    }

    fn heard(&mut self) -> Result<Heard, Malformed> {
        Ok(Heard {
            replica: self.replica()?,
            incarnation: self.incarnation()?,
            echo: self.reader.u32()?,
            held_for: self.reader.u32()?,
        })
    }

    fn member(&mut self) -> Result<Member, Malformed> {
        Ok(Member { id: self.replica()?, incarnation: self.incarnation()? })
    }

    fn message_name(&mut self) -> Result<MessageName, Malformed> {
        Ok(MessageName {
            origin: self.replica()?,
            incarnation: self.incarnation()?,
            local: LocalSeq(self.positive()?),
        })
    }

    /// A count of at most `limit`, and as many elements.
    fn list<T>(
        &mut self,
        limit: usize,
        element: impl Fn(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.reader.count(limit)?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    fn span(&mut self) -> Result<(u64, u64), Malformed> {
        let from = self.positive()?;
        let to = from + self.number()?;
        if to <= MAX_NUMBER { Ok((from, to)) } else { Err(TOO_GREAT) }
    }

    fn view_number(&mut self) -> Result<ViewNumber, Malformed> {
        let view = ViewNumber { round: self.number()?, proposer: self.replica()? };
        if view.round == 0 && view != ViewNumber::NONE {
            return Err(Malformed("a view number has no round"));
        }
        Ok(view)
    }

    fn replica(&mut self) -> Result<ReplicaId, Malformed> {
        let id = ReplicaId(self.reader.u8()?);
        if id.index() < self.replicas { Ok(id) } else { Err(Malformed("there is no such replica")) }
    }

    fn incarnation(&mut self) -> Result<Incarnation, Malformed> {
        Ok(Incarnation(self.number()?))
    }

    fn copy_place(&mut self) -> Result<CopyPlace, Malformed> {
        Ok(CopyPlace { snapshot: self.number()?, segment: self.number()?, offset: self.number()? })
    }

    fn seq(&mut self) -> Result<Seq, Malformed> {
        Ok(Seq(self.positive()?))
    }

    fn positive(&mut self) -> Result<u64, Malformed> {
        match self.number()? {
            0 => Err(Malformed("a number that starts at 1 is 0")),
            number => Ok(number),
        }
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        let number = self.reader.varint()?;
        if number <= MAX_NUMBER { Ok(number) } else { Err(TOO_GREAT) }
    }
}

const TOO_GREAT: Malformed = Malformed("a number exceeds what the wire carries");

/// A payload for the log, where it stays long. It shares the datagram's buffer where it is most of it; a small one
/// is copied, so that no payload holds more than twice its size in memory.
fn keep(payload: &[u8], body: &Bytes) -> Bytes {
    if payload.len() * 2 >= body.len() {
        body.slice_ref(payload)
    } else {
        Bytes::copy_from_slice(payload)
    }
}
