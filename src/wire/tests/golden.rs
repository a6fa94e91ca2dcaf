//! The format, byte by byte. Replicas of two versions of the program talk to each other while a cluster is upgraded:
//! whoever changes what is here must raise the format's version.

use super::*;
use crate::test_tools::{hex, unhex};

const NO_VIEW: Header = Header {
    sender: SENDER,
    incarnation: LIFE,
    view: ViewNumber::NONE,
    promised: ViewNumber::NONE,
    highest_seq: Seq(0),
    highest_local: LocalSeq(0),
};
const NO_VIEW_BYTES: &str = "00 00  00 00  00  00";

/// Both ways: the chunk has these bytes, and the bytes are this chunk.
fn assert_bytes(header: Header, chunk: Chunk, bytes: &str) {
    let bytes = unhex(bytes);
    assert_eq!(hex(&body(&header, std::slice::from_ref(&chunk))), hex(&bytes));
    let datagram = Datagram { header, chunks: vec![chunk] };
    assert_eq!(Pair::new().open_body(&bytes), Ok(datagram));
}

fn assert_chunk(chunk: Chunk, bytes: &str) {
    assert_bytes(NO_VIEW, chunk, &format!("{NO_VIEW_BYTES} {bytes}"));
}

#[test]
fn header() {
    let header = Header {
        view: ViewNumber { round: 1, proposer: ReplicaId(0) },
        promised: ViewNumber { round: 300, proposer: ReplicaId(4) },
        highest_seq: Seq(MAX_NUMBER),
        highest_local: LocalSeq(128),
        ..NO_VIEW
    };
    let ack = Chunk::Ack { through: Seq(0), reply: false };
    assert_bytes(header, ack, "01 00  ac02 04  ffffffffffffff7f  8001   03 00 00");
}

#[test]
fn data() {
    let payload = Bytes::from_static(b"\x05\x02");
    assert_chunk(Chunk::Data { name: name(2, 300, 1), payload }, "01  02 ac02 01  02 0502");
}

#[test]
fn sequence() {
    let names = vec![name(0, 1, 128), name(4, 1_700_000_000_000, 3)];
    assert_chunk(
        Chunk::Sequence { first: Seq(1_000), names },
        "02  e807  02  00 01 8001  04 80d095ffbc31 03",
    );
}

#[test]
fn ack() {
    assert_chunk(Chunk::Ack { through: Seq(77), reply: true }, "03 4d 01");
    assert_chunk(Chunk::Ack { through: Seq(128), reply: false }, "03 8001 00");
}

#[test]
fn nack() {
    let range = |from, to| SeqRange { from: Seq(from), to: Seq(to) };
    let sequences = vec![range(5, 5), range(128, 130)];
    let messages = vec![MessageRange {
        origin: ReplicaId(3),
        incarnation: Incarnation(9),
        from: LocalSeq(1),
        to: LocalSeq(129),
    }];
    assert_chunk(
        Chunk::Nack { sequences, messages: messages.clone() },
        "04  02  05 00  8001 02  01  03 09 01 8001",
    );
    assert_chunk(Chunk::Nack { sequences: Vec::new(), messages }, "04  00  01  03 09 01 8001");
}

#[test]
fn heartbeat() {
    let heard = |replica, incarnation, echo, held_for| Heard {
        replica: ReplicaId(replica),
        incarnation: Incarnation(incarnation),
        echo,
        held_for,
    };
    assert_chunk(
        Chunk::Heartbeat {
            sent_at: 0x0102_0304,
            heard: vec![heard(0, 200, 1, 2), heard(4, 1, u32::MAX, 0)],
        },
        "05  04030201  02  00 c801 01000000 02000000  04 01 ffffffff 00000000",
    );
    assert_chunk(Chunk::Heartbeat { sent_at: 0, heard: Vec::new() }, "05 00000000 00");
}

#[test]
fn new_view() {
    let member =
        |id, incarnation| Member { id: ReplicaId(id), incarnation: Incarnation(incarnation) };
    assert_chunk(
        Chunk::NewView {
            number: ViewNumber { round: 2, proposer: ReplicaId(1) },
            members: vec![member(0, 5), member(1, 300), member(4, 7)],
            start: Seq(129),
        },
        "06  02 01  03  00 05  01 ac02  04 07  8101",
    );
}

#[test]
fn chunks_follow_each_other_without_a_gap() {
    let ack = Chunk::Ack { through: Seq(1), reply: false };
    let bytes = unhex(&format!("{NO_VIEW_BYTES} 03 01 00 03 01 00"));
    assert_eq!(hex(&body(&NO_VIEW, &[ack.clone(), ack])), hex(&bytes));
}
