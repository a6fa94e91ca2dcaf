//! As few datagrams as the order allows, none too large, and room for what must travel together.

use super::*;
use crate::types::MAX_REPLICAS;

const GREATEST: ViewNumber = ViewNumber { round: MAX_NUMBER, proposer: ReplicaId(4) };

/// The header whose every field is as long as it can be.
fn longest_header() -> Header {
    Header {
        sender: SENDER,
        incarnation: LIFE,
        view: GREATEST,
        promised: GREATEST,
        highest_seq: Seq(MAX_NUMBER),
        highest_local: LocalSeq(MAX_NUMBER),
    }
}

fn longest_data(length: usize) -> Chunk {
    Chunk::Data { name: name(4, MAX_NUMBER, MAX_NUMBER), payload: vec![0; length].into() }
}

fn longest_sequence() -> Chunk {
    let names = vec![name(4, MAX_NUMBER, MAX_NUMBER); MAX_NAMES];
    Chunk::Sequence { first: Seq(MAX_NUMBER - 7), names }
}

fn longest_ack() -> Chunk {
    Chunk::Ack { through: Seq(MAX_NUMBER), reply: true }
}

/// The lengths of the datagrams.
fn lengths(header: &Header, chunks: &[Chunk], max_datagram: usize) -> Vec<usize> {
    let datagrams = pack(&mut Pair::new().sealer, header, chunks, max_datagram);
    datagrams.iter().map(Bytes::len).collect()
}

#[test]
fn a_message_its_number_and_an_ack_share_a_datagram_at_the_greatest_numbers() {
    for max_datagram in [MIN_MAX_DATAGRAM, 1_400, 8_900, MAX_DATAGRAM] {
        let chunks = |payload| [longest_data(payload), longest_sequence(), longest_ack()];
        let payload = max_payload(max_datagram);
        // Full to the last byte: `max_payload` gives nothing away.
        assert_eq!(lengths(&longest_header(), &chunks(payload), max_datagram), [max_datagram]);
        if max_datagram < MAX_DATAGRAM {
            assert_eq!(lengths(&longest_header(), &chunks(payload + 1), max_datagram).len(), 2);
        }
    }
}

#[test]
fn any_chunk_but_a_message_fits_in_the_smallest_datagram() {
    let messages = vec![
        MessageRange {
            origin: ReplicaId(4),
            incarnation: Incarnation(MAX_NUMBER),
            from: LocalSeq(MAX_NUMBER / 2),
            to: LocalSeq(MAX_NUMBER),
        };
        MAX_RANGES
    ];
    let ids = || (0..u8::try_from(MAX_REPLICAS).unwrap()).map(ReplicaId);
    let incarnation = Incarnation(MAX_NUMBER);
    let first = MAX_NUMBER - MAX_BOUNDARIES as u64;
    let boundaries: Vec<_> = (first..MAX_NUMBER)
        .map(|number| Boundary {
            view: ViewNumber { round: number, proposer: ReplicaId(4) },
            first: Seq(number),
        })
        .collect();
    let heard = |replica| Heard { replica, incarnation, echo: u32::MAX, held_for: u32::MAX };
    for chunk in [
        longest_sequence(),
        longest_ack(),
        Chunk::Nack { sequences: Vec::new(), messages },
        Chunk::Heartbeat {
            sent_at: u32::MAX,
            delivered: Seq(MAX_NUMBER),
            leaving: true,
            heard: ids().map(heard).collect(),
        },
        Chunk::NewView {
            number: GREATEST,
            members: ids().map(|id| Member { id, incarnation }).collect(),
            start: Seq(MAX_NUMBER),
            source: ReplicaId(4),
            boundaries: boundaries.clone(),
        },
        Chunk::Promise {
            number: GREATEST,
            log: Box::new(LogEnd {
                last_view: GREATEST,
                last: Seq(MAX_NUMBER),
                delivered: Seq(MAX_NUMBER),
                held_from: Seq(1),
                boundaries: boundaries.clone(),
                fences: ids().map(|id| Member { id, incarnation }).collect(),
            }),
        },
        Chunk::Known {
            lives: ids()
                .map(|id| Known {
                    life: Member { id, incarnation },
                    view: GREATEST,
                    in_life: incarnation,
                    acked: Seq(MAX_NUMBER),
                    promised: GREATEST,
                    promised_in: incarnation,
                })
                .collect(),
        },
        Chunk::Summary { through: Seq(MAX_NUMBER), held_from: Seq(MAX_NUMBER), boundaries },
        Chunk::Copy {
            at: CopyPlace { snapshot: MAX_NUMBER, segment: MAX_NUMBER, offset: MAX_NUMBER },
            length: MAX_NUMBER,
            last_segment: MAX_NUMBER,
            bytes: vec![7; max_payload(MIN_MAX_DATAGRAM)].into(),
        },
        // Whatever came in DATA, beside SEQUENCE and ACK, can be fetched.
        Chunk::Entry(Entry {
            seq: Seq(MAX_NUMBER),
            view: GREATEST,
            body: Body::Message {
                name: name(4, MAX_NUMBER, MAX_NUMBER),
                payload: vec![7; max_payload(MIN_MAX_DATAGRAM)].into(),
            },
        }),
    ] {
        let lengths = lengths(&longest_header(), &[chunk], MIN_MAX_DATAGRAM);
        assert!(lengths.len() == 1 && lengths[0] <= MIN_MAX_DATAGRAM);
    }
}

#[test]
fn datagrams_are_filled_in_order() {
    let mut random = Random::new(1);
    for _ in 0..500 {
        let header = random_header(&mut random);
        let chunks: Vec<_> = (0..random.below(12)).map(|_| random_chunk(&mut random)).collect();
        let mut pair = Pair::new();
        let datagrams = pack(&mut pair.sealer, &header, &chunks, MIN_MAX_DATAGRAM);
        let mut rest = chunks.as_slice();
        for datagram in datagrams {
            let packed = open(&mut pair.opener, &datagram).unwrap().chunks;
            assert!(datagram.len() <= MIN_MAX_DATAGRAM);
            let (these, others) = rest.split_at(packed.len());
            assert_eq!(packed, these);
            rest = others;
            // The next one had no room here: in this order there is no way with fewer datagrams.
            if let Some(next) = rest.first() {
                let with_next = body(&header, &[these, std::slice::from_ref(next)].concat());
                assert!(with_next.len() + seal::SEAL_LEN > MIN_MAX_DATAGRAM);
            }
        }
        assert!(rest.is_empty());
    }
}

#[test]
fn no_chunks_make_no_datagram() {
    assert!(lengths(&longest_header(), &[], 1_400).is_empty());
}

/// A peer with larger datagrams made it; this replica has to resend it.
#[test]
fn a_message_that_is_too_large_travels_alone() {
    let payload = max_payload(8_900);
    let chunks = [longest_ack(), longest_data(payload), longest_ack(), longest_ack()];
    let lengths = lengths(&longest_header(), &chunks, 1_400);
    assert_eq!(lengths.len(), 3);
    assert!(lengths[0] < 1_400 && lengths[1] > payload && lengths[2] < 1_400);
    // Nor can the largest of all exceed what UDP carries.
    let largest = [longest_data(MAX_PAYLOAD)];
    let lengths = self::lengths(&longest_header(), &largest, MIN_MAX_DATAGRAM);
    assert!(lengths.len() == 1 && lengths[0] <= MAX_DATAGRAM);
}

#[test]
#[should_panic(expected = "another incarnation")]
fn a_header_must_be_its_sealers() {
    let header = Header { incarnation: Incarnation(8), ..longest_header() };
    lengths(&header, &[longest_ack()], 1_400);
}
