//! Entries of the log, and the records that a replica's storage keeps of it; and the bytes of both.
//!
//! An entry is a numbered message, or the beginning of a view. A record is what one write to storage says: an entry
//! more, entries fewer, a promise, how far was delivered. The records of a replica, in their order, are all that it
//! knows after a restart.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]
#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod disk_state;
mod encoding;
mod record;
mod replay;

use bytes::Bytes;

pub use self::disk_state::DiskState;
pub(crate) use self::encoding::{
    decode_disks, decode_entry, decode_member, decode_record, decode_view_number, encode_disks,
    encode_entry, encode_member, encode_record, encode_view_number,
};
pub use self::record::Record;
pub use self::replay::{Fold, Replacement, Replay};
pub(crate) use self::replay::{MAX_PART, Salvage};
use crate::types::{Member, MessageName, Seq, ViewNumber};

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
