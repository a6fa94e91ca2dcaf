//! Bodies that break a rule, from a sender whose seal is good: a replica with a bug, or of another version.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::test_tools::{hex, unhex};

const HEADER: &str = "01 00  01 00  05  06";
/// 2^56 and 2^56 - 1.
const TOO_GREAT: &str = "8080808080808080 01";
const GREATEST: &str = "ffffffffffffff7f";

#[test]
fn what_breaks_a_limit_is_malformed() {
    let mut pair = Pair::new();
    let range = "00 01 01 00";
    let names = |count| format!("02 01 {count:02x} {}", "00 01 01".repeat(count));
    let nack = |sequences, messages| {
        let sequences = format!("{sequences:02x} {}", "01 00".repeat(sequences));
        format!("04 {sequences} {messages:02x} {}", range.repeat(messages))
    };
    let heard = "01 00000000 00000000";
    for (chunks, why) in [
        (String::new(), "no chunk"),
        ("00".into(), "unknown tag"),
        ("0d".into(), "unknown tag"),
        ("83 01 00".into(), "unknown tag"),
        ("03 01 00 00".into(), "unknown tag after a good chunk"),
        ("01 05 01 01 01 00".into(), "origin that is not there"),
        ("01 00 01 00 01 00".into(), "local number 0"),
        ("01 00 01 01 00".into(), "empty payload"),
        ("01 00 01 01 02 00".into(), "payload longer than the body"),
        ("01 00 01 01 ffffffffffffffffff01 00".into(), "payload of 2^64 bytes"),
        (format!("01 00 {TOO_GREAT} 01 01 00"), "incarnation too great"),
        (format!("01 00 01 {TOO_GREAT} 01 00"), "local number too great"),
        ("01 00 01 8100 01 00".into(), "overlong number"),
        ("02 00 01 00 01 01".into(), "SEQUENCE from 0"),
        ("02 01 00".into(), "SEQUENCE of no names"),
        (names(MAX_NAMES + 1), "too many names"),
        (format!("02 {GREATEST} 02 00 01 01 00 01 02"), "numbers beyond the greatest"),
        (format!("02 {TOO_GREAT} 01 00 01 01"), "number too great"),
        (format!("03 {TOO_GREAT} 00"), "ack too great"),
        ("03 01 02".into(), "neither true nor false"),
        ("04 00 00".into(), "NACK of nothing"),
        ("04 01 00 01 00".into(), "range from 0"),
        (format!("04 01 {GREATEST} 01 00"), "range beyond the greatest"),
        (format!("04 00 01 00 01 {GREATEST} 01"), "range beyond the greatest"),
        ("04 00 01 05 01 01 00".into(), "origin that is not there"),
        ("04 00 01 00 01 00 00".into(), "range from 0"),
        (nack(MAX_RANGES + 1, 0), "too many ranges"),
        (nack(0, MAX_RANGES + 1), "too many ranges"),
        (nack(MAX_RANGES / 2 + 1, MAX_RANGES / 2), "too many ranges in all"),
        ("03 00 00".repeat(MAX_CHUNKS + 1), "too many chunks"),
        (format!("05 00000000 00 00 02 01 {heard} 01 {heard}"), "heard twice"),
        (format!("05 00000000 00 00 02 02 {heard} 01 {heard}"), "heard out of order"),
        (format!("05 00000000 00 00 01 05 {heard}"), "heard that is not there"),
        (format!("05 00000000 00 00 06 {}", format!("00 {heard}").repeat(6)), "heard too many"),
        ("06 00 00 01 00 01 01 00 00".into(), "view without number"),
        ("06 00 01 01 00 01 01 00 00".into(), "view without round"),
        ("06 01 05 01 00 01 01 00 00".into(), "proposer that is not there"),
        ("06 01 00 00 01 00 00".into(), "view of nobody"),
        ("06 01 00 02 01 01 01 01 01 00 00".into(), "member twice"),
        ("06 01 00 02 02 01 01 01 01 00 00".into(), "members out of order"),
        ("06 01 00 01 05 01 01 00 00".into(), "member that is not there"),
        ("06 01 00 01 00 01 00 00 00".into(), "view that starts at 0"),
    ] {
        let body = unhex(&format!("{HEADER} {chunks}"));
        assert!(pair.open_body(&body).is_err(), "{why}: {}", hex(&body));
    }
    // The very limits are good.
    for chunks in [
        names(MAX_NAMES),
        "03 00 00".repeat(MAX_CHUNKS),
        nack(MAX_RANGES, 0),
        nack(0, MAX_RANGES),
        nack(MAX_RANGES / 2, MAX_RANGES / 2),
        format!("02 {GREATEST} 01 04 {GREATEST} {GREATEST}"),
        format!("04 01 01 {} 00", "feffffffffffff7f"),
        "06 01 04 01 04 00 01 00 00".into(),
    ] {
        let body = unhex(&format!("{HEADER} {chunks}"));
        assert!(pair.open_body(&body).is_ok(), "{}", hex(&body));
    }
}

#[test]
fn a_header_that_breaks_a_limit_is_malformed() {
    let mut pair = Pair::new();
    for header in [
        "00 01  00 00  00  00",
        "00 00  00 01  00  00",
        "01 05  01 00  00  00",
        &format!("{TOO_GREAT} 00  01 00  00  00"),
        &format!("01 00  01 00  {TOO_GREAT}  00"),
        &format!("01 00  01 00  00  {TOO_GREAT}"),
    ] {
        assert!(pair.open_body(&unhex(&format!("{header} 03 00 00"))).is_err(), "{header}");
    }
    let key = ClusterKey::new(0, &[1; 32], ClusterId(1));
    let mut sealer = Sealer::new(&key, SENDER, Incarnation(MAX_NUMBER + 1));
    let datagram = sealer.seal(&unhex(&format!("{HEADER} 03 00 00")));
    assert!(matches!(open(&mut pair.opener, &datagram), Err(Dropped::MalformedBody(_))));
}

/// What no receiver takes, no sender makes: it would be sent again and again.
#[test]
fn a_chunk_that_breaks_a_limit_is_not_written() {
    let names = |count| vec![name(0, 1, 1); count];
    let ranges = |count| vec![SeqRange { from: Seq(1), to: Seq(1) }; count];
    let nack = |from, to| {
        let sequences = vec![SeqRange { from: Seq(from), to: Seq(to) }];
        Chunk::Nack { sequences, messages: Vec::new() }
    };
    let heard = |id| Heard { replica: ReplicaId(id), incarnation: LIFE, echo: 0, held_for: 0 };
    let member = |id| Member { id: ReplicaId(id), incarnation: LIFE };
    let new_view = |round, members: &[u8], start| Chunk::NewView {
        number: ViewNumber { round, proposer: ReplicaId(0) },
        members: members.iter().map(|id| member(*id)).collect(),
        start: Seq(start),
        source: ReplicaId(0),
        boundaries: Vec::new(),
    };
    let heartbeat =
        |heard| Chunk::Heartbeat { sent_at: 0, delivered: Seq(0), leaving: false, heard };
    let boundary = |first| Boundary {
        view: ViewNumber { round: first, proposer: ReplicaId(0) },
        first: Seq(first),
    };
    let summary = |boundaries| Chunk::Summary { through: Seq(1), held_from: Seq(1), boundaries };
    let data = |name, length| Chunk::Data { name, payload: vec![0; length].into() };
    for chunk in [
        data(name(0, 1, 1), 0),
        data(name(0, 1, 1), MAX_PAYLOAD + 1),
        data(name(0, 1, 0), 1),
        data(name(9, 1, 1), 1),
        data(name(0, MAX_NUMBER + 1, 1), 1),
        Chunk::Sequence { first: Seq(1), names: names(0) },
        Chunk::Sequence { first: Seq(1), names: names(MAX_NAMES + 1) },
        Chunk::Sequence { first: Seq(0), names: names(1) },
        Chunk::Sequence { first: Seq(MAX_NUMBER), names: names(2) },
        Chunk::Ack { through: Seq(MAX_NUMBER + 1), reply: false },
        Chunk::Nack { sequences: Vec::new(), messages: Vec::new() },
        Chunk::Nack { sequences: ranges(MAX_RANGES + 1), messages: Vec::new() },
        nack(0, 1),
        nack(2, 1),
        nack(1, MAX_NUMBER + 1),
        heartbeat(vec![heard(1), heard(1)]),
        heartbeat(vec![heard(2), heard(1)]),
        Chunk::Prepare { number: ViewNumber::NONE },
        Chunk::Fetch { from: Seq(2), to: Seq(1) },
        Chunk::Inquiry { from: Seq(0) },
        summary(vec![boundary(2), boundary(1)]),
        summary((1..=MAX_BOUNDARIES as u64 + 1).map(boundary).collect()),
        new_view(0, &[0], 1),
        new_view(1, &[], 1),
        new_view(1, &[1, 1], 1),
        new_view(1, &[1, 0], 1),
        new_view(1, &[0], 0),
    ] {
        let write = || encode::chunk(&chunk, &mut Vec::new());
        assert!(catch_unwind(AssertUnwindSafe(write)).is_err(), "{chunk:?}");
    }
}

/// What is told of views and logs contradicts itself.
#[test]
fn a_log_that_cannot_be_is_malformed() {
    let mut pair = Pair::new();
    for chunk in [
        // NEWVIEW: a boundary at its start; boundaries whose numbers or views do not rise; no number.
        "06  02 01  01  00 05  07  00  01  01 00 07",
        "06  02 01  01  00 05  09  00  02  01 00 07  02 00 07",
        "06  02 01  01  00 05  09  00  02  02 00 01  01 00 07",
        "06  00 00  01  00 05  07  00  00",
        // PROMISE: more delivered than there is; an end without a view; a last boundary that is not its end's, or past it.
        "08  02 01  01 00  05  06  01  01 00 01",
        "08  02 01  00 00  05  01  00",
        "08  02 01  02 00  05  01  01  01 00 01",
        "08  02 01  01 00  05  01  01  01 00 06",
        "08  02 01  01 00  05  01  00",
        // ENTRY: no number, no view, an empty message, no such origin, members out of order, an unknown kind.
        "0a  00  02 01  01  02 01 01  01 05",
        "0a  01  00 00  01  02 01 01  01 05",
        "0a  01  02 01  01  02 01 01  00",
        "0a  01  02 01  01  05 01 01  01 05",
        "0a  01  02 01  02  02  01 01  00 01",
        "0a  01  02 01  03  00",
        // FETCH and INQUIRY from nothing.
        "09  00 01",
        "0b  00",
    ] {
        let bytes = unhex(&format!("{HEADER} {chunk}"));
        assert!(pair.open_body(&bytes).is_err(), "{chunk}");
    }
}

#[test]
fn part_of_a_chunk_is_malformed() {
    let mut random = Random::new(1);
    let mut pair = Pair::new();
    for _ in 0..150 {
        let header = random_header(&mut random);
        let body = body(&header, &[random_chunk(&mut random)]);
        for length in 0..body.len() {
            assert!(pair.open_body(&body[..length]).is_err(), "{length} of {}", hex(&body));
        }
    }
}

/// Whatever is accepted could have been sent: encoding it again (which asserts every limit) gives the same bytes.
#[test]
fn junk_never_panics_and_has_one_meaning() {
    let mut random = Random::new(2);
    let mut pair = Pair::new();
    let mut accepted = 0;
    for round in 0..40_000 {
        let header = random_header(&mut random);
        let chunks: Vec<_> = (0..=random.below(3)).map(|_| random_chunk(&mut random)).collect();
        let junk = match round % 4 {
            0 => {
                let length = random.index(80);
                [body(&header, &[]), random.bytes(length)].concat()
            }
            _ => {
                let good = body(&header, &chunks);
                random.mutated(&good)
            }
        };
        if let Ok(datagram) = pair.open_body(&junk) {
            accepted += 1;
            assert_eq!(hex(&body(&datagram.header, &datagram.chunks)), hex(&junk));
        }
    }
    assert!(accepted > 1_000, "the mutations are too wild to test anything: {accepted}");
}

/// The same through the seal: nothing of a datagram that was changed on its way gets in.
#[test]
fn changed_datagrams_are_dropped() {
    let mut random = Random::new(3);
    let mut pair = Pair::new();
    for _ in 0..2_000 {
        let header = random_header(&mut random);
        let chunks = [random_chunk(&mut random)];
        for datagram in pack(&mut pair.sealer, &header, &chunks, 1_400) {
            let changed = random.mutated(&datagram);
            if changed != datagram {
                assert!(open(&mut pair.opener, &changed).is_err());
            }
            assert!(open(&mut pair.opener, &datagram).is_ok());
        }
    }
}
