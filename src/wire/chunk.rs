//! The chunks that datagrams are made of.

use bytes::Bytes;

use crate::entry::Entry;
use crate::types::{
    Boundary, DiskId, Incarnation, LocalSeq, Member, MessageName, ReplicaId, Seq, ViewNumber,
};

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

/// What a promise says of its sender's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogEnd {
    /// The last entry's view; `NONE` where the log is empty.
    pub last_view: ViewNumber,
    /// The last entry's number; 0 where the log is empty.
    pub last: Seq,
    /// The last number that was delivered; not above `last`.
    pub delivered: Seq,
    /// The first number whose entry its sender still has to send; at most `delivered + 1`.
    pub held_from: Seq,
    /// Where the views of the last entries begin, numbers and views rising; at most `MAX_BOUNDARIES`, the last ones.
    pub boundaries: Vec<Boundary>,
    /// Below which lives promises do not count, in id order; at most `MAX_REPLICAS`.
    pub fences: Vec<Member>,
}

/// What a replica knows of what another one must have on its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// The other replica, and the last life of it that is known.
    pub life: Member,
    /// The last view that it is known to have been in, or to be named in; `NONE` for none.
    pub view: ViewNumber,
    /// In which life that was; 0 for none.
    pub in_life: Incarnation,
    /// What it is known to have acked in that view; 0 for nothing.
    pub acked: Seq,
    /// The highest view that it is known to have promised in its last life that promised one; `NONE` for none.
    pub promised: ViewNumber,
    /// In which life it did that; 0 for none.
    pub promised_in: Incarnation,
}

/// A place in what a replica's storage holds: its newest snapshot and the segments that follow it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CopyPlace {
    /// Which snapshot: the first segment that it does not cover; 1 where there is none, 0 for whichever is newest.
    pub snapshot: u64,
    /// Which segment; 0 for the snapshot's own file.
    pub segment: u64,
    /// Where in the file, in bytes.
    pub offset: u64,
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
        /// The last number that it has delivered; 0 for none. From a replica in no view this is its JOIN: it wants to
        /// be taken in.
        delivered: Seq,
        /// Whether it wants a view without it: it is about to stop, has no room to write, or its disk is new or lost.
        leaving: bool,
        /// Whom it hears, each at most once, in id order; at most `MAX_REPLICAS`.
        heard: Vec<Heard>,
    },
    /// "Promise me to take no part in views below this one."
    Prepare {
        /// The number of the view that is proposed, not `NONE`; its proposer is the sender.
        number: ViewNumber,
    },
    /// "I take no part in views below this one any more, and this is my log."
    Promise {
        /// The number of the view that was proposed, not `NONE`.
        number: ViewNumber,
        /// The log. In a box: it is the largest of all that chunks have.
        log: Box<LogEnd>,
    },
    /// A view to install.
    NewView {
        /// Its number, not `NONE`.
        number: ViewNumber,
        /// Its members in id order, each once; 1 to `MAX_REPLICAS`.
        members: Vec<Member>,
        /// The sequence number at which it starts, from 1: all below it is the chosen log.
        start: Seq,
        /// Whose log was chosen.
        source: ReplicaId,
        /// The chosen log's boundaries, as in [`LogEnd`].
        boundaries: Vec<Boundary>,
    },
    /// "I lack these entries; send them."
    Fetch {
        /// The first.
        from: Seq,
        /// The last; not below the first.
        to: Seq,
    },
    /// An entry of the sender's log. Nothing but the entry's own view says which log that is.
    Entry(Entry),
    /// "Which views' entries did you deliver, from this number on?"
    Inquiry {
        /// The number.
        from: Seq,
    },
    /// "I delivered entries through this number, and they are of these views."
    Summary {
        /// The last number of which this speaks: delivered by the sender.
        through: Seq,
        /// The lowest number whose entry the sender can still send, from 1.
        held_from: Seq,
        /// The boundaries up to there; the first covers the number that was asked for.
        boundaries: Vec<Boundary>,
    },
    /// "Send me what your storage holds, from there on."
    CopyRequest {
        /// Of which file.
        at: CopyPlace,
    },
    /// A piece of what the sender's storage holds.
    Copy {
        /// Where in which file it begins.
        at: CopyPlace,
        /// How long the file is now, in bytes.
        length: u64,
        /// The last segment that there is now.
        last_segment: u64,
        /// The bytes: 0 to `MAX_PAYLOAD`.
        bytes: Bytes,
    },
    /// "This is what I know of what others must have on their disks."
    Known {
        /// Of each replica of which something is known, in id order; at most `MAX_REPLICAS`.
        lives: Vec<Known>,
    },
    /// "My disk is new, and these are the disks that I have heard of."
    NewDisks {
        /// By replica, the sender's own included; 1 to `MAX_REPLICAS`, 0 for one that is not known.
        disks: Vec<DiskId>,
    },
    /// "The cluster was started with these disks."
    Formatted {
        /// By replica; at most `MAX_REPLICAS`, none where that is not known any more.
        disks: Vec<DiskId>,
    },
    /// "I may lack what was on my disk; what do you know?"
    Recover,
    /// The answer to RECOVER: nothing of the asker's earlier lives counts any more. What was promised the header says.
    Recovery {
        /// The view of the last entry of the sender's log; `NONE` where the log is empty.
        last_view: ViewNumber,
        /// The last entry's number; 0 where the log is empty.
        last: Seq,
        /// As in [`LogEnd`].
        fences: Vec<Member>,
    },
}
