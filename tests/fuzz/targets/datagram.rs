//! The inside of a datagram whose seal holds.

use allocation_counter::measure;
use ftqueue::testing::{MAX_CHUNKS, MAX_DATAGRAM, open, pack};

use super::{Reached, pair};

/// The most memory that reading a datagram may take at a time: a fixed room for chunks, and ten times its bytes (a
/// range of messages has 4 bytes at least on the wire, and 40 in memory).
fn bound(datagram: usize) -> u64 {
    (MAX_CHUNKS * 64 * 2 + datagram * 10) as u64
}

/// The bytes are a body. Whatever is accepted could have been sent: packed again it has the same bytes.
pub(crate) fn feed(body: &[u8]) -> Reached {
    if body.len() > MAX_DATAGRAM - 100 {
        return Reached::new();
    }
    let (mut sealer, mut opener) = pair();
    let sealed = sealer.seal(body);
    // The first datagram of a sender makes its window and its key.
    open(&mut opener, &sealer.seal(&[])).expect_err("an empty body");
    let mut read = None;
    let memory = measure(|| read = Some(open(&mut opener, &sealed)));
    assert!(
        memory.bytes_max <= bound(sealed.len()),
        "{} bytes of memory for a datagram of {}",
        memory.bytes_max,
        sealed.len()
    );
    let Some(Ok(datagram)) = read else {
        return Reached::from(["dropped"]);
    };
    let again = pack(&mut sealer, &datagram.header, &datagram.chunks, MAX_DATAGRAM);
    assert_eq!(again.len(), 1, "what came in one datagram leaves in one");
    assert_eq!(opener.open(&again[0]).expect("a good seal").body, body, "two encodings");
    Reached::from(["read"])
}
