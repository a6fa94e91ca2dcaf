//! The chunks that datagrams are made of.

use bytes::Bytes;

use crate::types::{Incarnation, LocalSeq, Member, MessageName, ReplicaId, Seq, ViewNumber};

/// What a datagram says of its sender before its chunks. The view covers every chunk: a receiver in another view
/// ignores those that belong to one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Who sent it.
    pub sender: ReplicaId,
    /// The sender's incarnation.
    pub incarnation: Incarnation,
    /// The sender's present view; `NONE` outside.
    pub view: ViewNumber,
    /// The highest view number that the sender promised.
    pub promised: ViewNumber,
    /// The highest sequence number that the sender knows to be given out in `view`.
    pub highest_seq: Seq,
    /// The sender's own highest local sequence number.
    pub highest_local: LocalSeq,
}

/// What a sender heard of one other replica; tells the other its round trip, and who hears whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heard {
    /// The other replica.
    pub replica: ReplicaId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// `sent_at` of its last heartbeat that was heard, in its own clock's microseconds (wrapping).
    pub echo: u32,
    /// How long ago that was, in microseconds (saturating).
    pub held_for: u32,
}

/// A range of sequence numbers, both ends included; `from <= to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SeqRange {
    /// The first.
    pub from: Seq,
    /// The last.
    pub to: Seq,
}

/// A range of an origin's messages, both ends included; `from <= to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageRange {
    /// Whose messages.
    pub origin: ReplicaId,
    /// Of which incarnation.
    pub incarnation: Incarnation,
    /// The first.
    pub from: LocalSeq,
    /// The last.
    pub to: LocalSeq,
}

/// One chunk of a datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Chunk {
    /// A message, from its origin or resent by another who holds it.
    Data {
        /// Its name.
        name: MessageName,
        /// Its operations, opaque to the ring: 1 to `MAX_PAYLOAD` bytes.
        payload: Bytes,
    },
    /// Numberings: message `names[i]` has sequence number `first + i`.
    Sequence {
        /// The first number, from 1.
        first: Seq,
        /// The messages: 1 to `MAX_NAMES`.
        names: Vec<MessageName>,
    },
    /// "My log is durable through this number."
    Ack {
        /// The number; 0 for an empty log.
        through: Seq,
        /// Whether the sender wants the receiver's own ack at once.
        reply: bool,
    },
    /// "I lack these; send them." At most `MAX_RANGES` ranges in all, at least one.
    Nack {
        /// Numberings.
        sequences: Vec<SeqRange>,
        /// Messages.
        messages: Vec<MessageRange>,
    },
    /// "I am here, and hear these."
    Heartbeat {
        /// The sender's clock in microseconds (wrapping).
        sent_at: u32,
        /// Whom it hears, each at most once, in id order; at most `MAX_REPLICAS`.
        heard: Vec<Heard>,
    },
    /// A view to install.
    NewView {
        /// Its number, not `NONE`.
        number: ViewNumber,
        /// Its members in id order, each once; 1 to `MAX_REPLICAS`.
        members: Vec<Member>,
        /// The sequence number at which it starts, from 1.
        start: Seq,
    },
}
