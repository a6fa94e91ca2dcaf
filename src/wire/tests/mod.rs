//! Datagrams there and back: packed, sealed, opened, and refused where they break a rule.

mod golden;
mod hostile;
mod packing;

use bytes::Bytes;

use super::*;
use crate::codec::Malformed;
use crate::entry::{Body, Entry};
use crate::test_tools::Random;
use crate::types::{
    Boundary, DiskId, Incarnation, LocalSeq, Member, MessageName, ReplicaId, Seq, ViewNumber,
};

const REPLICAS: u8 = 5;
const SENDER: ReplicaId = ReplicaId(1);
const LIFE: Incarnation = Incarnation(7);

/// One sender and one receiver.
struct Pair {
    sealer: Sealer,
    opener: Opener,
}

impl Pair {
    fn new() -> Self {
        let key = ClusterKey::new(0, &[1; 32], ClusterId(1));
        Self {
            sealer: Sealer::new(&key, SENDER, LIFE),
            opener: Opener::new(&key, ReplicaId(0), usize::from(REPLICAS)),
        }
    }

    /// What the receiver makes of a body, whatever it is, from an authentic sender.
    fn open_body(&mut self, body: &[u8]) -> Result<Datagram, Malformed> {
        let sealed = self.sealer.seal(body);
        open(&mut self.opener, &sealed).map_err(|dropped| match dropped {
            Dropped::MalformedBody(malformed) => malformed,
            _ => panic!("dropped for another reason: {dropped}"),
        })
    }
}

/// The bytes of a datagram's inside.
fn body(header: &Header, chunks: &[Chunk]) -> Vec<u8> {
    let mut body = Vec::new();
    encode::header(header, &mut body);
    chunks.iter().for_each(|chunk| encode::chunk(chunk, &mut body));
    body
}

fn name(origin: u8, incarnation: u64, local: u64) -> MessageName {
    MessageName {
        origin: ReplicaId(origin),
        incarnation: Incarnation(incarnation),
        local: LocalSeq(local),
    }
}

/// A number of any length that the wire carries.
fn number(random: &mut Random) -> u64 {
    random.of_any_length(56)
}

fn positive(random: &mut Random) -> u64 {
    number(random).max(1)
}

fn replica(random: &mut Random) -> ReplicaId {
    ReplicaId(u8::try_from(random.below(u64::from(REPLICAS))).unwrap())
}

/// Some of the replicas, each once, in order; at least `least`.
fn replicas(random: &mut Random, least: usize) -> Vec<ReplicaId> {
    loop {
        let chosen = random.next();
        let some: Vec<_> =
            (0..REPLICAS).filter(|id| chosen >> id & 1 == 1).map(ReplicaId).collect();
        if some.len() >= least {
            return some;
        }
    }
}

fn view_number(random: &mut Random) -> ViewNumber {
    ViewNumber { round: positive(random), proposer: replica(random) }
}

fn random_name(random: &mut Random) -> MessageName {
    name(replica(random).0, number(random), positive(random))
}

fn span(random: &mut Random) -> (u64, u64) {
    let (one, other) = (positive(random), positive(random));
    (one.min(other), one.max(other))
}

fn random_header(random: &mut Random) -> Header {
    let view = |random: &mut Random| match random.below(4) {
        0 => ViewNumber::NONE,
        _ => view_number(random),
    };
    Header {
        sender: SENDER,
        incarnation: LIFE,
        view: view(random),
        promised: view(random),
        highest_seq: Seq(number(random)),
        highest_local: LocalSeq(number(random)),
    }
}

fn random_chunk(random: &mut Random) -> Chunk {
    match random.below(19) {
        0 => {
            let length = 1 + random.index(max_payload(MIN_MAX_DATAGRAM));
            Chunk::Data { name: random_name(random), payload: random.bytes(length).into() }
        }
        1 => Chunk::Sequence {
            first: Seq(positive(random).min(MAX_NUMBER - MAX_NAMES as u64)),
            names: (0..=random.index(MAX_NAMES)).map(|_| random_name(random)).collect(),
        },
        2 => Chunk::Ack { through: Seq(number(random)), reply: random.below(2) == 1 },
        3 => random_nack(random),
        4 => Chunk::Heartbeat {
            sent_at: u32::try_from(random.of_any_length(32)).unwrap(),
            delivered: Seq(number(random)),
            leaving: random.below(2) == 1,
            heard: replicas(random, 0).into_iter().map(|id| random_heard(random, id)).collect(),
        },
        5 => {
            let boundaries = random_boundaries(random);
            let last = boundaries.last().map_or(0, |last| last.first.0);
            Chunk::NewView {
                number: view_number(random),
                members: random_members(random),
                start: Seq(last + 1 + random.below(1_000)),
                source: replica(random),
                boundaries,
            }
        }
        6 => Chunk::Prepare { number: view_number(random) },
        7 => Chunk::Promise { number: view_number(random), log: Box::new(random_log_end(random)) },
        8 => {
            let (from, to) = span(random);
            Chunk::Fetch { from: Seq(from), to: Seq(to) }
        }
        9 => Chunk::Entry(random_entry(random)),
        10 => Chunk::Inquiry { from: Seq(positive(random)) },
        11 => Chunk::Summary {
            through: Seq(number(random)),
            held_from: Seq(positive(random)),
            boundaries: random_boundaries(random),
        },
        12 => Chunk::CopyRequest { at: random_place(random) },
        13 => Chunk::Known { lives: random_lives(random) },
        14 => Chunk::NewDisks { disks: random_disks(random, 1) },
        15 => Chunk::Formatted { disks: random_disks(random, 0) },
        16 => Chunk::Recover,
        17 => {
            let LogEnd { last_view, last, fences, .. } = random_log_end(random);
            Chunk::Recovery { last_view, last, fences }
        }
        _ => {
            let length = random.index(300);
            Chunk::Copy {
                at: random_place(random),
                length: number(random),
                last_segment: number(random),
                bytes: random.bytes(length).into(),
            }
        }
    }
}

fn random_place(random: &mut Random) -> CopyPlace {
    CopyPlace { snapshot: number(random), segment: number(random), offset: number(random) }
}

fn random_lives(random: &mut Random) -> Vec<Known> {
    let ids = replicas(random, 0);
    let known = |id| Known {
        life: Member { id, incarnation: Incarnation(number(random)) },
        view: view_number(random),
        in_life: Incarnation(number(random)),
        acked: Seq(number(random)),
        promised: view_number(random),
        promised_in: Incarnation(number(random)),
    };
    ids.into_iter().map(known).collect()
}

fn random_disks(random: &mut Random, least: usize) -> Vec<DiskId> {
    let count = replicas(random, least).len();
    (0..count).map(|_| DiskId(random.of_any_length(64))).collect()
}

fn random_members(random: &mut Random) -> Vec<Member> {
    let ids = replicas(random, 1);
    let member = |id| Member { id, incarnation: Incarnation(number(random)) };
    ids.into_iter().map(member).collect()
}

fn random_boundaries(random: &mut Random) -> Vec<Boundary> {
    let (mut first, mut round) = (0, 0);
    let count = random.index(MAX_BOUNDARIES + 1);
    (0..count)
        .map(|_| {
            first += 1 + random.of_any_length(40);
            round += 1 + random.of_any_length(40);
            let view = ViewNumber { round, proposer: replica(random) };
            Boundary { view, first: Seq(first) }
        })
        .collect()
}

fn random_log_end(random: &mut Random) -> LogEnd {
    let boundaries = random_boundaries(random);
    match boundaries.last().copied() {
        None => LogEnd {
            last_view: ViewNumber::NONE,
            last: Seq(0),
            delivered: Seq(0),
            held_from: Seq(1),
            boundaries,
            fences: Vec::new(),
        },
        Some(Boundary { view, first }) => {
            let last = first.0 + random.below(1_000);
            let delivered = Seq(random.below(last + 1));
            let held_from = Seq(1 + random.below(delivered.0 + 1));
            let fences = random_members(random);
            LogEnd { last_view: view, last: Seq(last), delivered, held_from, boundaries, fences }
        }
    }
}

fn random_entry(random: &mut Random) -> Entry {
    let body = if random.below(2) == 0 {
        let length = 1 + random.index(max_payload(MIN_MAX_DATAGRAM));
        Body::Message { name: random_name(random), payload: random.bytes(length).into() }
    } else {
        Body::View(random_members(random))
    };
    Entry { seq: Seq(positive(random)), view: view_number(random), body }
}

fn random_nack(random: &mut Random) -> Chunk {
    let ranges = 1 + random.index(MAX_RANGES);
    let numberings = random.index(ranges + 1);
    let sequences = (0..numberings).map(|_| span(random));
    let sequences = sequences.map(|(from, to)| SeqRange { from: Seq(from), to: Seq(to) }).collect();
    let message_range = |random: &mut Random| {
        let (from, to) = span(random);
        MessageRange {
            origin: replica(random),
            incarnation: Incarnation(number(random)),
            from: LocalSeq(from),
            to: LocalSeq(to),
        }
    };
    let messages = (numberings..ranges).map(|_| message_range(random)).collect();
    Chunk::Nack { sequences, messages }
}

fn random_heard(random: &mut Random, replica: ReplicaId) -> Heard {
    Heard {
        replica,
        incarnation: Incarnation(number(random)),
        echo: u32::try_from(random.of_any_length(32)).unwrap(),
        held_for: u32::try_from(random.of_any_length(32)).unwrap(),
    }
}

#[test]
fn datagrams_give_back_what_was_packed() {
    let mut random = Random::new(1);
    let mut pair = Pair::new();
    for _ in 0..2_000 {
        let header = random_header(&mut random);
        let chunks: Vec<_> = (0..random.below(10)).map(|_| random_chunk(&mut random)).collect();
        let mut received = Vec::new();
        for datagram in pack(&mut pair.sealer, &header, &chunks, 1_400) {
            let datagram = open(&mut pair.opener, &datagram).unwrap();
            assert_eq!(datagram.header, header);
            received.extend(datagram.chunks);
        }
        assert_eq!(received, chunks);
    }
}

#[test]
fn a_replayed_datagram_is_dropped() {
    let mut random = Random::new(2);
    let mut pair = Pair::new();
    let (header, chunk) = (random_header(&mut random), random_chunk(&mut random));
    let datagrams = pack(&mut pair.sealer, &header, &[chunk], 1_400);
    assert!(open(&mut pair.opener, &datagrams[0]).is_ok());
    assert_eq!(open(&mut pair.opener, &datagrams[0]), Err(Dropped::Replayed));
}

/// A payload stays in the log for long, and the datagram it came in with it, unless it is copied.
#[test]
fn a_payload_holds_no_more_than_twice_its_size() {
    let mut random = Random::new(3);
    for length in [1, 10, 400, 800, 1_000] {
        let header = random_header(&mut random);
        let payload = Bytes::from(random.bytes(length));
        let data = Chunk::Data { name: name(2, 3, 4), payload };
        let filler = Chunk::Data { name: name(2, 3, 5), payload: Bytes::from(vec![0; 600]) };
        let body = Bytes::from(body(&header, &[data, filler]));
        let mut decoder = decode::Decoder::new(&body, usize::from(REPLICAS));
        decoder.header(SENDER, LIFE).unwrap();
        let chunks = decoder.chunks().unwrap();
        let Chunk::Data { payload, .. } = &chunks[0] else { panic!("not DATA") };
        let shared = body.as_ptr_range().contains(&payload.as_ptr());
        assert_eq!(shared, 2 * length >= body.len(), "{length} of {}", body.len());
    }
}

#[test]
fn each_cause_of_a_drop_has_its_name() {
    let causes = [
        Dropped::Malformed(Malformed("")),
        Dropped::UnknownVersion,
        Dropped::ForeignCluster,
        Dropped::UnknownKey,
        Dropped::UnknownSender,
        Dropped::OwnSender,
        Dropped::OldIncarnation,
        Dropped::Late,
        Dropped::Replayed,
        Dropped::BadTag,
        Dropped::MalformedBody(Malformed("")),
    ];
    assert_eq!(causes.map(Dropped::name), Dropped::NAMES);
}
