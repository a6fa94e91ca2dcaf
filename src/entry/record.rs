//! What one write to a replica's storage says.

use super::Entry;
use crate::types::{DiskId, Member, Seq, ViewNumber};

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
