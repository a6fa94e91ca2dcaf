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
            delivered: Seq(300),
            leaving: true,
            heard: vec![heard(0, 200, 1, 2), heard(4, 1, u32::MAX, 0)],
        },
        "05  04030201  ac02  01  02  00 c801 01000000 02000000  04 01 ffffffff 00000000",
    );
    assert_chunk(
        Chunk::Heartbeat { sent_at: 0, delivered: Seq(0), leaving: false, heard: Vec::new() },
        "05 00000000 00 00 00",
    );
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
            source: ReplicaId(4),
            boundaries: vec![boundary(1, 0, 1), boundary(300, 2, 128)],
        },
        "06  02 01  03  00 05  01 ac02  04 07  8101  04  02  01 00 01  ac02 02 8001",
    );
}

fn boundary(round: u64, proposer: u8, first: u64) -> Boundary {
    let view = ViewNumber { round, proposer: ReplicaId(proposer) };
    Boundary { view, first: Seq(first) }
}

#[test]
fn prepare_and_promise() {
    let member =
        |id, incarnation| Member { id: ReplicaId(id), incarnation: Incarnation(incarnation) };
    let number = ViewNumber { round: 300, proposer: ReplicaId(2) };
    assert_chunk(Chunk::Prepare { number }, "07  ac02 02");
    let log = LogEnd {
        last_view: ViewNumber { round: 2, proposer: ReplicaId(1) },
        last: Seq(129),
        delivered: Seq(128),
        held_from: Seq(127),
        boundaries: vec![boundary(1, 0, 1), boundary(2, 1, 7)],
        fences: vec![member(1, 300), member(4, 5)],
    };
    assert_chunk(
        Chunk::Promise { number, log: Box::new(log) },
        "08  ac02 02  02 01  8101  8001  02  02  01 00 01  02 01 07  02  01 ac02  04 05",
    );
    let empty = LogEnd {
        last_view: ViewNumber::NONE,
        last: Seq(0),
        delivered: Seq(0),
        held_from: Seq(1),
        boundaries: Vec::new(),
        fences: Vec::new(),
    };
    assert_chunk(
        Chunk::Promise { number, log: Box::new(empty) },
        "08  ac02 02  00 00  00  00  00  00  00",
    );
}

#[test]
fn fetch_and_entry() {
    assert_chunk(Chunk::Fetch { from: Seq(128), to: Seq(130) }, "09  8001 02");
    let view = ViewNumber { round: 2, proposer: ReplicaId(1) };
    let body = Body::Message { name: name(2, 300, 1), payload: Bytes::from_static(b"\x05\x02") };
    assert_chunk(
        Chunk::Entry(Entry { seq: Seq(128), view, body }),
        "0a  8001  02 01  01  02 ac02 01  02 0502",
    );
    let member =
        |id, incarnation| Member { id: ReplicaId(id), incarnation: Incarnation(incarnation) };
    let body = Body::View(vec![member(0, 5), member(4, 300)]);
    assert_chunk(
        Chunk::Entry(Entry { seq: Seq(1), view, body }),
        "0a  01  02 01  02  02  00 05  04 ac02",
    );
}

#[test]
fn inquiry_and_summary() {
    assert_chunk(Chunk::Inquiry { from: Seq(128) }, "0b  8001");
    assert_chunk(
        Chunk::Summary {
            through: Seq(129),
            held_from: Seq(3),
            boundaries: vec![boundary(1, 0, 1)],
        },
        "0c  8101 03  01  01 00 01",
    );
}

#[test]
fn known() {
    let life =
        |id, incarnation| Member { id: ReplicaId(id), incarnation: Incarnation(incarnation) };
    let view = ViewNumber { round: 2, proposer: ReplicaId(1) };
    let lives = vec![
        Known {
            life: life(0, 300),
            view,
            in_life: Incarnation(299),
            acked: Seq(128),
            promised: ViewNumber { round: 3, proposer: ReplicaId(0) },
            promised_in: Incarnation(298),
        },
        Known {
            life: life(4, 0),
            view: ViewNumber::NONE,
            in_life: Incarnation(0),
            acked: Seq(0),
            promised: ViewNumber::NONE,
            promised_in: Incarnation(0),
        },
    ];
    assert_chunk(
        Chunk::Known { lives },
        "0f  02  00 ac02  02 01  ab02  8001  03 00  aa02  04 00  00 00  00  00  00 00  00",
    );
}

#[test]
fn new_disks_and_formatted() {
    let disks = vec![DiskId(0x0102_0304_0506_0708), DiskId(0)];
    assert_chunk(
        Chunk::NewDisks { disks: disks.clone() },
        "10  02  0807060504030201  0000000000000000",
    );
    assert_chunk(Chunk::Formatted { disks }, "11  02  0807060504030201  0000000000000000");
    assert_chunk(Chunk::Formatted { disks: Vec::new() }, "11  00");
}

#[test]
fn recover_and_recovery() {
    assert_chunk(Chunk::Recover, "12");
    assert_chunk(
        Chunk::Recovery {
            last_view: ViewNumber { round: 2, proposer: ReplicaId(1) },
            last: Seq(129),
            fences: vec![Member { id: ReplicaId(3), incarnation: Incarnation(300) }],
        },
        "13  02 01  8101  01  03 ac02",
    );
}

#[test]
fn copy_request_and_copy() {
    let at = CopyPlace { snapshot: 3, segment: 0, offset: 128 };
    assert_chunk(Chunk::CopyRequest { at }, "0d  03 00 8001");
    let bytes = Bytes::from_static(b"piece");
    assert_chunk(
        Chunk::Copy { at, length: 133, last_segment: 4, bytes },
        "0e  03 00 8001  8501 04  05 7069656365",
    );
}

#[test]
fn chunks_follow_each_other_without_a_gap() {
    let ack = Chunk::Ack { through: Seq(1), reply: false };
    let bytes = unhex(&format!("{NO_VIEW_BYTES} 03 01 00 03 01 00"));
    assert_eq!(hex(&body(&NO_VIEW, &[ack.clone(), ack])), hex(&bytes));
}
