//! Chunks that keep the rules: what is packed comes out again.

use arbitrary::Unstructured;
use ftqueue::testing::{MAX_CHUNKS, MIN_MAX_DATAGRAM, open, pack};

use super::plausible::Plausible;
use super::{LIFE, Reached, SENDER, pair};

/// The bytes choose a header and chunks.
pub(crate) fn feed(bytes: &[u8]) -> Reached {
    let (mut sealer, mut opener) = pair();
    let mut input = Unstructured::new(bytes);
    let plausible = Plausible::unknowing(super::REPLICAS);
    let header = plausible.header(&mut input, SENDER, LIFE);
    let mut chunks = Vec::new();
    while !input.is_empty() && chunks.len() < 2 * MAX_CHUNKS {
        chunks.push(plausible.chunk(&mut input));
    }
    let datagrams = pack(&mut sealer, &header, &chunks, MIN_MAX_DATAGRAM);
    let mut received = Vec::new();
    for bytes in &datagrams {
        let datagram = open(&mut opener, bytes).expect("what is packed can be read");
        assert_eq!(datagram.header, header);
        received.extend(datagram.chunks);
    }
    assert_eq!(received, chunks);
    Reached::from([match datagrams.len() {
        0 => "nothing",
        1 => "one datagram",
        _ => "several datagrams",
    }])
}
