//! A member with a good key that says anything, among replicas that keep the rules.
//!
//! What is promised, whatever it says: no replica panics, is kept awake, takes back or changes what it delivered,
//! delivers what it was not told to be held by a majority, or sends more than a bounded number of datagrams at a time.
//! What is not: that replicas agree, or go on. A member is trusted not to lie.

use std::time::Duration;

use allocation_counter::measure;
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use ftqueue::testing::{MIN_MAX_DATAGRAM, pack};

use super::Reached;
use super::plausible::{byte, operation};
use super::town::Town;

/// The most steps of an input.
const STEPS: usize = 200;

/// The most memory that all replicas and what is under way between them may take, in bytes: far more than they need,
/// far less than what a number taken for a size would make of it.
const MEMORY: u64 = 4 << 20;

/// The bytes choose what happens.
pub(crate) fn feed(bytes: &[u8]) -> Reached {
    let mut reached = Reached::new();
    let memory = measure(|| reached = happen(bytes));
    assert!(memory.bytes_max <= MEMORY, "{} bytes of memory", memory.bytes_max);
    reached
}

fn happen(bytes: &[u8]) -> Reached {
    let mut input = Unstructured::new(bytes);
    let mut town = Town::new(if byte(&mut input).is_multiple_of(4) { 5 } else { 3 });
    if !byte(&mut input).is_multiple_of(8) {
        town.form();
    }
    for _ in 0..STEPS {
        if input.is_empty() || step(&mut input, &mut town).is_err() {
            break;
        }
    }
    town.finish()
}

fn step(input: &mut Unstructured<'_>, town: &mut Town) -> Result<()> {
    let node = usize::from(byte(input)) % town.size();
    match byte(input) % 16 {
        0..=2 => town.call(node, operation(input)),
        3..=5 => town.pass(Duration::from_micros(u64::from(byte(input)) * 40)),
        6 => town.pass(Duration::from_millis(byte(input).into())),
        7 => town.lose(usize::from(byte(input)) % 16),
        8..=10 => lie(input, town, node),
        11 => {
            let length = usize::from(byte(input)).min(input.len());
            let bytes = town.seal(input.bytes(length)?);
            town.deliver(node, bytes);
        }
        12 => {
            let Some(bytes) = kept(input, town) else { return Ok(()) };
            if let Some(body) = town.inside(&bytes) {
                let body = change(input, &body)?;
                let bytes = town.seal(&body);
                town.deliver(node, bytes);
            }
        }
        13 => {
            let Some(bytes) = kept(input, town) else { return Ok(()) };
            let changed = change(input, &bytes)?;
            town.deliver(node, changed.into());
        }
        14 => {
            let Some(bytes) = kept(input, town) else { return Ok(()) };
            town.deliver(node, bytes);
        }
        _ if byte(input).is_multiple_of(32) => town.start_anew(),
        _ => (0..8).for_each(|_| lie(input, town, node)),
    }
    Ok(())
}

/// A datagram that is well-formed and plausible.
fn lie(input: &mut Unstructured<'_>, town: &mut Town, node: usize) {
    let plausible = town.plausible(node);
    let header = plausible.header(input, town.liar(), town.life());
    let chunks: Vec<_> = (0..=byte(input) % 8).map(|_| plausible.chunk(input)).collect();
    for bytes in pack(town.sealer(), &header, &chunks, MIN_MAX_DATAGRAM) {
        town.deliver(node, bytes);
    }
}

/// One of the datagrams that were sent.
fn kept(input: &mut Unstructured<'_>, town: &Town) -> Option<Bytes> {
    let place = usize::from(byte(input)) % town.sent.len().max(1);
    town.sent.get(place).cloned()
}

/// The bytes with one of them set, added or removed.
fn change(input: &mut Unstructured<'_>, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    let at = input.int_in_range(0..=bytes.len())?;
    match byte(input) % 4 {
        0 => bytes.insert(at, byte(input)),
        1 if at < bytes.len() => drop(bytes.remove(at)),
        2 => bytes.truncate(at),
        _ => bytes.iter_mut().skip(at).take(1).for_each(|changed| *changed = byte(input)),
    }
    Ok(bytes)
}
