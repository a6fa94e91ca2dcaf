//! A datagram counts once, from its sender, whole; anything else changes nothing.

use super::window::WINDOW;
use super::*;
use crate::test_tools::{Random, hex};

const REPLICAS: usize = 3;
const OWN: ReplicaId = ReplicaId(0);
const SENDER: ReplicaId = ReplicaId(1);
const LIFE: Incarnation = Incarnation(7);
const KEY_LIFE: u64 = 1 << KEY_SHIFT;

fn cluster_key() -> ClusterKey {
    ClusterKey::new(5, &[9; 32], ClusterId(1))
}

fn opener() -> Opener {
    Opener::new(&cluster_key(), OWN, REPLICAS)
}

fn sealer(sender: ReplicaId, incarnation: Incarnation) -> Sealer {
    Sealer::new(&cluster_key(), sender, incarnation)
}

/// A sealer whose next datagram has this counter.
fn sealer_at(counter: u64) -> Sealer {
    let mut sealer = sealer(SENDER, LIFE);
    sealer.prefix.counter = counter - 1;
    sealer.key = sealer.cluster_key.derive(SENDER, LIFE, sealer.prefix.key_number());
    sealer
}

/// Why a datagram was dropped; asserts that nothing else changed.
fn dropped(opener: &mut Opener, datagram: &[u8]) -> Dropped {
    let before = knowledge(opener);
    let dropped = opener.open(datagram).map(|_| "opened").unwrap_err();
    assert!(knowledge(opener) == before, "a dropped datagram changed something");
    dropped
}

type Knowledge = Vec<Option<(Incarnation, Window, [Option<u64>; 2])>>;

/// All that an opener knows; keys by their number.
fn knowledge(opener: &Opener) -> Knowledge {
    let numbers = |peer: &Peer| peer.keys.each_ref().map(|key| key.as_ref().map(|key| key.number));
    let known = |peer: &Peer| (peer.incarnation, peer.window.clone(), numbers(peer));
    opener.peers.iter().map(|peer| peer.as_ref().map(known)).collect()
}

fn kept_keys(opener: &Opener) -> [Option<u64>; 2] {
    knowledge(opener)[SENDER.index()].as_ref().unwrap().2
}

/// The bytes were made by another implementation of the same RFCs (Python's hmac and cryptography).
#[test]
fn datagrams_have_these_bytes() {
    let secret: Vec<u8> = (0..32).collect();
    let cluster = ClusterId::from_name("test");
    assert_eq!(cluster, ClusterId(0x657d_4c88_81d0_869f));
    let cluster_key = ClusterKey::new(5, &secret, cluster);
    let mut sealer = Sealer::new(&cluster_key, SENDER, Incarnation(0x0002_0304_0506_0708));
    assert_eq!(
        hex(&sealer.seal(b"body")),
        "06059f86d081884c7d6501080706050403020001000000000000004fce0d37a166d8419eb83d6b3717f6a87aa6b301"
    );
    sealer.prefix.counter = KEY_LIFE - 1;
    assert_eq!(
        hex(&sealer.seal(b"body")),
        "06059f86d081884c7d650108070605040302000000400000000000d0e831eec88a6d2df7d01969af115f998e125f24"
    );
}

#[test]
fn a_datagram_opens_once() {
    let (mut sealer, mut opener) = (sealer(SENDER, LIFE), opener());
    let bodies: [&[u8]; 3] = [b"", b"one", &[0; 2_000]];
    for body in bodies {
        let datagram = sealer.seal(body);
        assert_eq!(datagram.len(), body.len() + SEAL_LEN);
        let opened = opener.open(&datagram).unwrap();
        assert_eq!((opened.sender, opened.incarnation), (SENDER, LIFE));
        assert_eq!(opened.body, body);
        assert_eq!(dropped(&mut opener, &datagram), Dropped::Replayed);
    }
}

#[test]
fn datagrams_may_overtake_each_other_within_the_window() {
    let (mut sealer, mut opener) = (sealer(SENDER, LIFE), opener());
    let datagrams: Vec<_> = (0..=WINDOW).map(|_| sealer.seal(b"x")).collect();
    let (oldest, others) = datagrams.split_first().unwrap();
    for datagram in others.iter().rev() {
        assert!(opener.open(datagram).is_ok());
    }
    assert_eq!(dropped(&mut opener, oldest), Dropped::Late);
    for datagram in others {
        assert_eq!(dropped(&mut opener, datagram), Dropped::Replayed);
    }
}

/// Loses, doubles and reorders: each datagram opens at its first arrival and never again.
#[test]
fn whatever_the_order_each_opens_at_most_once() {
    let mut random = Random::new(1);
    let (mut sealer, mut opener) = (sealer(SENDER, LIFE), opener());
    let (mut sent, mut opened) = (Vec::new(), vec![false; 20_000]);
    for _ in 0..20_000 {
        sent.push(sealer.seal(b""));
        let back = random.of_any_length(12).min(sent.len() as u64 - 1);
        let number = sent.len() - 1 - usize::try_from(back).unwrap();
        let expected = if opened[number] { Err(Dropped::Replayed) } else { Ok(()) };
        assert_eq!(opener.open(&sent[number]).map(|_| ()), expected);
        opened[number] = true;
    }
}

#[test]
fn a_new_life_ends_the_old_one() {
    let mut opener = opener();
    let (mut old, mut new) = (sealer(SENDER, LIFE), sealer(SENDER, Incarnation(8)));
    let (first, second, late) = (old.seal(b"1"), old.seal(b"2"), old.seal(b"3"));
    assert!(opener.open(&second).is_ok());
    let born = new.seal(b"4");
    assert_eq!(opener.open(&born).unwrap().incarnation, Incarnation(8));
    for datagram in [&first, &second, &late] {
        assert_eq!(dropped(&mut opener, datagram), Dropped::OldIncarnation);
    }
    assert_eq!(dropped(&mut opener, &born), Dropped::Replayed);
    // Its counters start anew, and another sender's life is its own affair.
    assert!(opener.open(&new.seal(b"5")).is_ok());
    assert!(opener.open(&sealer(ReplicaId(2), LIFE).seal(b"6")).is_ok());
}

#[test]
fn what_is_not_ours_is_told_apart() {
    let mut opener = opener();
    let good = sealer(SENDER, LIFE).seal(b"body");
    let changed = |at: usize, to: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = to;
        bytes
    };
    assert_eq!(dropped(&mut opener, &changed(0, 1)), Dropped::UnknownVersion);
    assert_eq!(dropped(&mut opener, &changed(1, 4)), Dropped::UnknownKey);
    assert_eq!(dropped(&mut opener, &changed(2, 2)), Dropped::ForeignCluster);
    assert_eq!(dropped(&mut opener, &changed(10, 3)), Dropped::UnknownSender);
    assert_eq!(dropped(&mut opener, &changed(10, 255)), Dropped::UnknownSender);
    assert_eq!(dropped(&mut opener, &changed(10, 0)), Dropped::OwnSender);
    assert_eq!(dropped(&mut opener, &changed(10, 2)), Dropped::BadTag);
    assert_eq!(dropped(&mut opener, &sealer(OWN, LIFE).seal(b"body")), Dropped::OwnSender);
    // No counter is 0.
    assert_eq!(dropped(&mut opener, &changed(19, 0)), Dropped::BadTag);
    assert!(opener.open(&good).is_ok());
    assert_eq!(dropped(&mut opener, &changed(19, 0)), Dropped::Late);
}

#[test]
fn another_secret_or_another_cluster_opens_nothing() {
    let mut opener = opener();
    let wrong_secret = ClusterKey::new(5, &[8; 32], ClusterId(1));
    let datagram = Sealer::new(&wrong_secret, SENDER, LIFE).seal(b"body");
    assert_eq!(dropped(&mut opener, &datagram), Dropped::BadTag);

    // One secret for two clusters: the key differs, not just what the prefix says.
    let other_cluster = ClusterKey::new(5, &[9; 32], ClusterId(2));
    let mut datagram = Sealer::new(&other_cluster, SENDER, LIFE).seal(b"body").to_vec();
    assert_eq!(dropped(&mut opener, &datagram), Dropped::ForeignCluster);
    datagram[2] = 1;
    assert_eq!(dropped(&mut opener, &datagram), Dropped::BadTag);
}

/// Two datagrams under one key and one nonce would show the XOR of their bodies. With bodies of zeros each
/// ciphertext is the key stream, so equal ones would show that key and nonce were equal.
#[test]
fn no_two_datagrams_share_key_and_nonce() {
    let mut streams = Vec::new();
    for cluster in [1, 2] {
        let cluster_key = ClusterKey::new(5, &[9; 32], ClusterId(cluster));
        for sender in [0, 1, 2] {
            for incarnation in [1, 256, 1 << 40] {
                let (sender, incarnation) = (ReplicaId(sender), Incarnation(incarnation));
                let mut sealer = Sealer::new(&cluster_key, sender, incarnation);
                for start in [0, KEY_LIFE - 3, 2 * KEY_LIFE - 3] {
                    sealer.prefix.counter = start;
                    let stream = |sealer: &mut Sealer| {
                        sealer.seal(&[0; 32])[PREFIX_LEN..PREFIX_LEN + 32].to_vec()
                    };
                    streams.extend((0..5).map(|_| stream(&mut sealer)));
                }
            }
        }
    }
    let all = streams.len();
    streams.sort();
    streams.dedup();
    assert_eq!(streams.len(), all);
}

#[test]
fn no_bit_of_a_datagram_may_change() {
    let mut opener = opener();
    let mut sealer = sealer(SENDER, LIFE);
    // With and without knowledge of the sender, and with its key kept or not.
    for _ in 0..2 {
        let good = sealer.seal(b"a body of some length");
        for bit in 0..good.len() * 8 {
            let mut bytes = good.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            dropped(&mut opener, &bytes);
        }
        assert!(opener.open(&good).is_ok());
    }
}

#[test]
fn no_byte_of_a_datagram_may_be_missing_or_added() {
    let mut opener = opener();
    let good = sealer(SENDER, LIFE).seal(b"body");
    for length in 0..good.len() {
        let expected = if length < SEAL_LEN {
            Dropped::Malformed(Malformed("shorter than a seal"))
        } else {
            Dropped::BadTag
        };
        assert_eq!(dropped(&mut opener, &good[..length]), expected);
    }
    assert_eq!(dropped(&mut opener, &[&good[..], &[0]].concat()), Dropped::BadTag);
    let longer = sealer(SENDER, LIFE).seal(&vec![0; MAX_DATAGRAM - SEAL_LEN + 1]);
    assert!(matches!(dropped(&mut opener, &longer), Dropped::Malformed(_)));
    let largest = sealer(SENDER, LIFE).seal(&vec![0; MAX_DATAGRAM - SEAL_LEN]);
    assert!(opener.open(&largest).is_ok());
}

/// Forged prefixes of every kind: later lives, counters far ahead, other keys' numbers.
#[test]
fn a_flood_of_junk_moves_no_window_and_evicts_no_key() {
    let mut random = Random::new(2);
    let mut opener = opener();
    let mut sealer = sealer_at(KEY_LIFE - 2);
    let (before, after) = (sealer.seal(b""), [(); 4].map(|()| sealer.seal(b"")));
    assert!(opener.open(&before).is_ok());
    assert!(opener.open(&after[2]).is_ok());
    assert_eq!(kept_keys(&opener), [Some(0), Some(1)]);

    for _ in 0..5_000 {
        let mut prefix = sealer.prefix;
        prefix.sender = ReplicaId(u8::try_from(random.below(4)).unwrap());
        prefix.incarnation = Incarnation(LIFE.0 - 1 + random.below(3) * random.of_any_length(60));
        prefix.counter = match random.below(3) {
            0 => random.of_any_length(64),
            1 => random.below(5) * KEY_LIFE + random.below(5),
            _ => sealer.prefix.counter + random.below(5),
        };
        let mut junk = Vec::new();
        prefix.encode(&mut junk);
        let length = random.index(60);
        junk.extend(random.bytes(length));
        dropped(&mut opener, &junk);
    }
    for datagram in [&after[0], &after[1], &after[3]] {
        assert!(opener.open(datagram).is_ok());
    }
}

#[test]
fn keys_change_in_passing() {
    let mut opener = opener();
    let mut sealer = sealer_at(KEY_LIFE - 2);
    let datagrams: Vec<_> = (0..4).map(|_| sealer.seal(b"body")).collect();
    // The third is the first under the new key; those of the old one still come in after it.
    for (number, kept) in [
        (0, [Some(0), None]),
        (3, [Some(0), Some(1)]),
        (1, [Some(0), Some(1)]),
        (2, [Some(0), Some(1)]),
    ] {
        assert!(opener.open(&datagrams[number]).is_ok());
        assert_eq!(kept_keys(&opener), kept);
    }
    assert!(opener.open(&sealer_at(2 * KEY_LIFE).seal(b"body")).is_ok());
    assert_eq!(kept_keys(&opener), [Some(2), Some(1)]);
    // A receiver that heard nothing for several keys' lives catches up.
    assert!(opener.open(&sealer_at(9 * KEY_LIFE + 5).seal(b"body")).is_ok());
    assert_eq!(kept_keys(&opener), [Some(2), Some(9)]);
    // A new life begins with its own keys, not with numbers that happen to be the same.
    assert!(opener.open(&self::sealer(SENDER, Incarnation(8)).seal(b"body")).is_ok());
    assert_eq!(kept_keys(&opener), [Some(0), None]);
}
