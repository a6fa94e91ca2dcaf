//! Datagrams: a header and chunks, packed to the largest datagram and sealed under the cluster key.
//!
//! ```text
//! chunk     what may be said
//! limits    how large it may be
//! encode    chunks to bytes          decode    bytes to chunks, believing nothing
//! datagram  pack: chunks to sealed datagrams; open: the way back
//! seal      secrecy, authenticity, each datagram once
//! dropped   why a datagram was dropped
//! ```
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]
#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod chunk;
mod limits;

mod datagram;
mod decode;
mod encode;

mod dropped;
mod seal;

pub use chunk::{Chunk, CopyPlace, Header, Heard, Known, LogEnd, MessageRange, SeqRange};
pub use datagram::{Datagram, open, pack};
pub use dropped::Dropped;
pub use limits::{
    MAX_BOUNDARIES, MAX_CHUNKS, MAX_NAMES, MAX_NUMBER, MAX_PAYLOAD, MAX_RANGES, MIN_MAX_DATAGRAM,
    max_payload,
};
pub use seal::{ClusterId, ClusterKey, MAX_DATAGRAM, Opener, Sealer};

#[cfg(test)]
mod tests;
