//! Replica ids as indices and as bits of a set.

use crate::types::{MAX_REPLICAS, ReplicaId};

/// A replica's bit in a set.
pub(super) fn bit(id: ReplicaId) -> u16 {
    1 << id.0
}

/// The replica at an index.
pub(super) fn replica_id(index: usize) -> ReplicaId {
    assert!(index < MAX_REPLICAS);
    ReplicaId(u8::try_from(index).expect("ids are small"))
}
