//! Datagrams: a header and chunks, packed as full as they go, and sealed.

use bytes::Bytes;

use super::chunk::{Chunk, Header};
use super::decode::Decoder;
use super::dropped::Dropped;
use super::encode;
use super::limits::{MAX_CHUNKS, MIN_MAX_DATAGRAM};
use super::seal::{MAX_DATAGRAM, Opener, SEAL_LEN, Sealer};

/// What one datagram says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram {
    /// What it says of its sender.
    pub header: Header,
    /// The chunks, in the order in which they were packed; 1 to `MAX_CHUNKS`.
    pub chunks: Vec<Chunk>,
}

/// Packs chunks into datagrams of at most `max_datagram` bytes and [`MAX_CHUNKS`] chunks: the fewest that keep their
/// order. No chunks make no
/// datagram. Where a chunk alone exceeds `max_datagram` (a message from a peer that was set to larger ones) it
/// travels in a larger datagram of its own, which IP will fragment.
///
/// # Panics
/// When the header is not of the sealer's replica and incarnation, `max_datagram` is out of its range
/// ([`MIN_MAX_DATAGRAM`] to [`MAX_DATAGRAM`]), or a chunk breaks a limit of its documentation.
pub fn pack(
    sealer: &mut Sealer,
    header: &Header,
    chunks: &[Chunk],
    max_datagram: usize,
) -> Vec<Bytes> {
    assert_eq!(header.sender, sealer.sender(), "a header of another sender");
    assert_eq!(header.incarnation, sealer.incarnation(), "a header of another incarnation");
    assert!((MIN_MAX_DATAGRAM..=MAX_DATAGRAM).contains(&max_datagram));

    let max_body = max_datagram - SEAL_LEN;
    let mut datagrams = Vec::new();
    let mut body = Vec::with_capacity(max_body);
    encode::header(header, &mut body);
    let header_len = body.len();
    let mut packed = 0;
    let mut encoded = Vec::new();
    for chunk in chunks {
        encoded.clear();
        encode::chunk(chunk, &mut encoded);
        if packed == MAX_CHUNKS || packed > 0 && body.len() + encoded.len() > max_body {
            datagrams.push(sealer.seal(&body));
            body.truncate(header_len);
            packed = 0;
        }
        body.extend_from_slice(&encoded);
        packed += 1;
    }
    if packed > 0 {
        datagrams.push(sealer.seal(&body));
    }
    datagrams
}

/// What a datagram says, if it is authentic, new and well-formed. Every chunk is decoded and checked before the
/// first is given out: a datagram counts wholly or not at all.
///
/// # Errors
/// Says why the datagram is to be dropped.
pub fn open(opener: &mut Opener, datagram: &[u8]) -> Result<Datagram, Dropped> {
    let replicas = opener.replicas();
    let opened = opener.open(datagram)?;
    let mut decoder = Decoder::new(&opened.body, replicas);
    let header =
        decoder.header(opened.sender, opened.incarnation).map_err(Dropped::MalformedBody)?;
    let chunks = decoder.chunks().map_err(Dropped::MalformedBody)?;
    Ok(Datagram { header, chunks })
}
