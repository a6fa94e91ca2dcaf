//! How large the parts of a datagram may be, and that one datagram always has room for what must travel together.

use super::seal::{MAX_DATAGRAM, SEAL_LEN};
use crate::codec::varint_len;
use crate::types::MAX_REPLICAS;

/// The least that "the largest datagram" may be set to: IPv6 carries 1,280 bytes over every path, headers included,
/// and QUIC asks for the same.
pub const MIN_MAX_DATAGRAM: usize = 1_200;

/// The most messages that one SEQUENCE names. A SEQUENCE repeats the numberings before its own so that a lost one
/// is made good without a NACK: with a tenth of all datagrams lost, eight in a row are lost once in 10^8.
pub const MAX_NAMES: usize = 8;

/// The most ranges that one NACK asks for.
pub const MAX_RANGES: usize = 32;

/// The most boundaries of a log that are told at a time: those above what is delivered, and one more. A view's
/// boundary lies above it only until the view's first entry is delivered.
pub const MAX_BOUNDARIES: usize = 40;

/// The most chunks in one datagram. In memory a chunk takes some twenty times the bytes of the shortest one on the
/// wire: this bounds what a datagram full of those can make of itself.
pub const MAX_CHUNKS: usize = 128;

/// The greatest sequence number, local number, incarnation and round on the wire: 2^56 - 1, eight bytes as a varint.
/// At a million a second it lasts 2,000 years, and arithmetic on it cannot overflow 64 bits.
pub const MAX_NUMBER: u64 = (1 << 56) - 1;

/// The largest payload of a message in a datagram of any size.
pub const MAX_PAYLOAD: usize = max_payload(MAX_DATAGRAM);

/// The largest payload of a message where datagrams have at most `max_datagram` bytes ([`MIN_MAX_DATAGRAM`] to
/// [`MAX_DATAGRAM`]): DATA with it, SEQUENCE with [`MAX_NAMES`] names and ACK fit in one datagram, whatever the
/// numbers in them.
pub const fn max_payload(max_datagram: usize) -> usize {
    assert!(MIN_MAX_DATAGRAM <= max_datagram && max_datagram <= MAX_DATAGRAM);
    let data = TAG_LEN + NAME_LEN + varint_len(max_datagram as u64);
    max_datagram - SEAL_LEN - HEADER_LEN - SEQUENCE_LEN - ACK_LEN - data
}

const NUMBER_LEN: usize = varint_len(MAX_NUMBER);
const ID_LEN: usize = 1;
const TAG_LEN: usize = 1;
/// A count of names, ranges or replicas.
const COUNT_LEN: usize = 1;
const VIEW_NUMBER_LEN: usize = NUMBER_LEN + ID_LEN;
const NAME_LEN: usize = ID_LEN + 2 * NUMBER_LEN;

// The longest encodings.
const HEADER_LEN: usize = 2 * VIEW_NUMBER_LEN + 2 * NUMBER_LEN;
const SEQUENCE_LEN: usize = TAG_LEN + NUMBER_LEN + COUNT_LEN + MAX_NAMES * NAME_LEN;
const ACK_LEN: usize = TAG_LEN + NUMBER_LEN + 1;
const NACK_LEN: usize = TAG_LEN + 2 * COUNT_LEN + MAX_RANGES * (ID_LEN + 3 * NUMBER_LEN);
const HEARTBEAT_LEN: usize =
    TAG_LEN + 4 + NUMBER_LEN + 1 + COUNT_LEN + MAX_REPLICAS * (ID_LEN + NUMBER_LEN + 4 + 4);
const MEMBERS_LEN: usize = COUNT_LEN + MAX_REPLICAS * (ID_LEN + NUMBER_LEN);
const BOUNDARIES_LEN: usize = COUNT_LEN + MAX_BOUNDARIES * (VIEW_NUMBER_LEN + NUMBER_LEN);
const NEW_VIEW_LEN: usize =
    TAG_LEN + VIEW_NUMBER_LEN + MEMBERS_LEN + NUMBER_LEN + ID_LEN + BOUNDARIES_LEN;
const PROMISE_LEN: usize =
    TAG_LEN + 2 * VIEW_NUMBER_LEN + 3 * NUMBER_LEN + BOUNDARIES_LEN + MEMBERS_LEN;
const KNOWN_LEN: usize = TAG_LEN + MEMBERS_LEN + MAX_REPLICAS * (VIEW_NUMBER_LEN + 2 * NUMBER_LEN);
const SUMMARY_LEN: usize = TAG_LEN + 2 * NUMBER_LEN + BOUNDARIES_LEN;
const COPY_LEN: usize = TAG_LEN + 5 * NUMBER_LEN + 3;
// A piece of a copy is as long as a payload: what else it says is less than what else goes with DATA.
const _: () = assert!(COPY_LEN < SEQUENCE_LEN + ACK_LEN);
// An entry's message came in DATA, beside SEQUENCE and ACK: what the entry says more than DATA does is less than those.
const _: () = assert!(NUMBER_LEN + VIEW_NUMBER_LEN + 1 < SEQUENCE_LEN + ACK_LEN);

// One datagram has room for any chunk but DATA, and for a payload worth the rest.
const ROOM: usize = MIN_MAX_DATAGRAM - SEAL_LEN - HEADER_LEN;
const _: () = assert!(NACK_LEN <= ROOM && HEARTBEAT_LEN <= ROOM && NEW_VIEW_LEN <= ROOM);
const _: () = assert!(PROMISE_LEN <= ROOM && SUMMARY_LEN <= ROOM && KNOWN_LEN <= ROOM);
const _: () = assert!(max_payload(MIN_MAX_DATAGRAM) >= MIN_MAX_DATAGRAM * 3 / 4);
// Counts take one byte.
const _: () =
    assert!(MAX_NAMES < 0x80 && MAX_RANGES < 0x80 && MAX_REPLICAS < 0x80 && MAX_BOUNDARIES < 0x80);
