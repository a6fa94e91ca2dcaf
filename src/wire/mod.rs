//! Datagrams: a header and chunks, packed to the largest datagram and sealed under the cluster key.

mod chunk;

pub(crate) use chunk::{Chunk, Header, Heard, MessageRange, SeqRange};
