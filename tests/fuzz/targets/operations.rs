//! The payload of a message.

use allocation_counter::measure;
use ftqueue::testing::decode_operations;

use super::Reached;

/// The most memory for each byte of a payload: an operation has 2 bytes at least on the wire, 56 in memory, and the
/// list of them grows by doubling.
const MEMORY_OF_A_BYTE: u64 = 56 / 2 * 3;
/// The least that a list takes.
const MEMORY_OF_A_LIST: u64 = 4 * 56;

/// The bytes are a payload. Whatever is accepted has no second encoding.
pub(crate) fn feed(payload: &[u8]) -> Reached {
    let mut decoded = None;
    let memory = measure(|| decoded = Some(decode_operations(payload)));
    let most = MEMORY_OF_A_LIST + payload.len() as u64 * MEMORY_OF_A_BYTE;
    assert!(memory.bytes_max <= most, "{} of {} bytes", memory.bytes_max, payload.len());
    let Some(Ok(operations)) = decoded else {
        return Reached::from(["refused"]);
    };
    let mut again = Vec::new();
    operations.iter().for_each(|operation| operation.encode(&mut again));
    assert_eq!(again, payload, "two encodings");
    Reached::from(["read"])
}
