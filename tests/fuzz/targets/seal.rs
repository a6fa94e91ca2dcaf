//! Sealed bytes that were changed on their way, or that nobody sealed.

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use ftqueue::testing::{ClusterId, ClusterKey, Incarnation, Opener, ReplicaId, Sealer};

use super::{REPLICAS, Reached, key, pair};

/// Where the parts of a datagram's prefix begin, and how long they are: see `src/wire/seal`.
const PREFIX: [(usize, usize); 6] = [(0, 1), (1, 1), (2, 8), (10, 1), (11, 8), (19, 8)];

/// What a sender sealed, in the order of its counter.
struct Sealed {
    /// So many that the window has left the first behind.
    known: Vec<Bytes>,
    /// One of each length of body.
    fresh: Vec<Bytes>,
}

static SEALED: LazyLock<Sealed> = LazyLock::new(|| {
    let (mut sealer, _) = pair();
    let known = (0..5_000).map(|_| sealer.seal(b"known")).collect();
    Sealed { known, fresh: (0..=64).map(|length| sealer.seal(&vec![7; length])).collect() }
});

/// The bytes choose a datagram and what is done to it.
pub(crate) fn feed(bytes: &[u8]) -> Reached {
    let mut reached = Reached::new();
    let Sealed { known, fresh } = &*SEALED;
    let (_, mut opener) = pair();
    // What a receiver knows of a sender that it has heard for a while.
    for datagram in &known[4_950..] {
        opener.open(datagram).expect("authentic and new");
    }
    let mut input = Unstructured::new(bytes);
    let sealed = input.choose(fresh).unwrap_or(&fresh[0]);
    let changed = change(&mut input, sealed).unwrap_or_else(|_| sealed.to_vec());
    for junk in [&changed, bytes] {
        if *junk != sealed[..] {
            reached.insert(opener.open(junk).expect_err("nobody sealed this").name());
        }
    }
    // Old ones, by what is known of them.
    for datagram in [&known[0], &known[4_990]] {
        reached.insert(opener.open(datagram).expect_err("it is old").name());
    }
    // Junk has changed nothing: the datagram still counts, once.
    assert!(opener.open(sealed).is_ok(), "authentic and new");
    reached.insert(opener.open(sealed).expect_err("it was here").name());
    foreign(sealed, &mut reached);
    reached
}

/// The datagram with one part of its prefix set to another value, or its bytes changed anywhere.
fn change(input: &mut Unstructured<'_>, sealed: &[u8]) -> Result<Vec<u8>> {
    let mut changed = sealed.to_vec();
    if input.ratio(1, 2)? {
        let (start, length) = *input.choose(&PREFIX)?;
        let mut value = input.arbitrary::<u64>()?;
        if input.ratio(1, 2)? {
            value %= 10;
        }
        changed[start..start + length].copy_from_slice(&value.to_le_bytes()[..length]);
        return Ok(changed);
    }
    for _ in 0..input.int_in_range(1..=4)? {
        let at = input.int_in_range(0..=changed.len().saturating_sub(1))?;
        match input.int_in_range(0..=3)? {
            0 => changed.truncate(at),
            1 => changed.insert(at, input.arbitrary()?),
            2 if at < changed.len() => drop(changed.remove(at)),
            _ => changed.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1),
        }
    }
    Ok(changed)
}

/// To a receiver of another cluster, of another key, with fewer replicas, or that is itself the sender, an authentic
/// datagram says nothing.
fn foreign(sealed: &[u8], reached: &mut Reached) {
    let other = |key_id, cluster| ClusterKey::new(key_id, &[7; 32], ClusterId::from_name(cluster));
    for mut opener in [
        Opener::new(&other(1, "another"), ReplicaId(0), REPLICAS),
        Opener::new(&other(2, "fuzzed"), ReplicaId(0), REPLICAS),
        Opener::new(&ClusterKey::new(1, &[8; 32], ClusterId::from_name("fuzzed")), ReplicaId(0), 5),
        Opener::new(&key(), ReplicaId(0), 1),
        Opener::new(&key(), super::SENDER, REPLICAS),
    ] {
        reached.insert(opener.open(sealed).expect_err("not for this receiver").name());
    }
    // A later life makes the earlier one's datagrams old.
    let mut opener = Opener::new(&key(), ReplicaId(0), REPLICAS);
    let mut later = Sealer::new(&key(), super::SENDER, Incarnation(super::LIFE.0 + 1));
    opener.open(&later.seal(b"later")).expect("authentic and new");
    reached.insert(opener.open(sealed).expect_err("of an earlier life").name());
}
