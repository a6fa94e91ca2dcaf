//! What callers ask of the queues and what they are answered, and the bytes of what they ask.
//!
//! An operation is a tag byte, the action's integers as zigzag varints, and then, where the tag has the bit
//! [`NAMED`], the request's name: number as a varint, length of the client in one byte, client; and as a varint at which
//! sequence the client was unknown. A tag that is not listed is malformed, so new actions and new flags have room in it, and
//! a replica that does not know them says so instead of guessing.

use crate::codec::{MAX_VARINT_LEN, Malformed, Reader, Writer, varint_len, zigzag_len};

/// A queue's id: positive, unique, never used again.
pub type QueueId = i64;

/// A caller's name for a request, so that a retry can be told from a new one: it is executed once (`requests` has the
/// rules that callers keep to).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestName {
    /// The caller: 1 to [`Self::MAX_CLIENT_BYTES`] bytes.
    pub client: Box<str>,
    /// The caller's request number, from 1.
    pub number: u64,
}

impl RequestName {
    /// The longest client name, in bytes.
    pub const MAX_CLIENT_BYTES: usize = 64;

    /// Whether client and number are in their ranges.
    pub fn is_valid(&self) -> bool {
        (1..=Self::MAX_CLIENT_BYTES).contains(&self.client.len()) && self.number >= 1
    }
}

/// One of the seven operations.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// The label's queue, made if there is none.
    Create {
        /// The label: any integer.
        label: i64,
    },
    /// Destroy a queue and what is in it.
    Destroy {
        /// The queue.
        queue: QueueId,
    },
    /// The label's queue, if any.
    Id {
        /// The label: any integer.
        label: i64,
    },
    /// Append an item at the tail.
    Push {
        /// The queue.
        queue: QueueId,
        /// The item: any integer.
        item: i64,
    },
    /// Remove the item at the head.
    Pop {
        /// The queue.
        queue: QueueId,
    },
    /// Read the item at the head.
    Top {
        /// The queue.
        queue: QueueId,
    },
    /// Count the items.
    Size {
        /// The queue.
        queue: QueueId,
    },
}

/// An action and, where the caller gave one, its request name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// What to do.
    pub action: Action,
    /// The request's name.
    pub request: Option<RequestName>,
    /// Of a client's first request: when it was asked, its replica had executed all up to this sequence and knew nothing of
    /// the client; 0 where it knew it, and for all others. The replica sets it.
    pub unknown_at: u64,
}

/// What an executed operation answers when it could be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Create: the label's queue.
    Queue(QueueId),
    /// Destroy.
    Destroyed,
    /// Id: the label's queue, if any.
    Label(Option<QueueId>),
    /// Push.
    Pushed,
    /// Pop and top: the item, none where the queue was empty.
    Item(Option<i64>),
    /// Size.
    Size(u64),
}

/// Why the state machine could not do an operation. It has its place in the order all the same, and changed nothing
/// there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rejection {
    /// No queue has this id.
    QueueNotFound {
        /// The id.
        queue: QueueId,
    },
    /// There are as many queues as there may be.
    QueuesFull {
        /// How many that is.
        limit: u64,
    },
    /// There are as many items, in all queues together, as there may be.
    ItemsFull {
        /// How many that is.
        limit: u64,
    },
    /// The request's name was executed, with another action.
    RequestReused,
    /// Whether the request's name was executed is not known any more; it will not be, or not again.
    RequestForgotten {
        /// The client's numbers up to this one are forgotten; none where nothing is known of the client: it never
        /// began, or was forgotten as a whole.
        through: Option<u64>,
    },
}

/// The result of an operation that was executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Executed {
    /// Its position in the order of all operations, from 1; of a duplicate, that of the first execution.
    pub sequence: u64,
    /// Whether the answer is that of an earlier execution under the same request name: nothing was executed now.
    pub duplicate: bool,
    /// What came of it.
    pub result: Result<Answer, Rejection>,
}

const CREATE: u8 = 1;
const DESTROY: u8 = 2;
const ID: u8 = 3;
const PUSH: u8 = 4;
const POP: u8 = 5;
const TOP: u8 = 6;
const SIZE: u8 = 7;
/// The bit of a tag that says that a request name follows.
const NAMED: u8 = 0x80;

impl Operation {
    /// The longest encoding: a named push.
    pub const MAX_ENCODED_LEN: usize = 1
        + 2 * MAX_VARINT_LEN
        + MAX_VARINT_LEN
        + 1
        + RequestName::MAX_CLIENT_BYTES
        + MAX_VARINT_LEN;

    /// An operation as a caller asks for it.
    pub fn new(action: Action, request: Option<RequestName>) -> Self {
        Self { action, request, unknown_at: 0 }
    }

    /// Appends its bytes.
    ///
    /// # Panics
    /// When the request name is not valid: no replica could read it back.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        let (tag, first, second) = self.action.parts();
        writer.u8(if self.request.is_some() { tag | NAMED } else { tag });
        writer.zigzag(first);
        if let Some(second) = second {
            writer.zigzag(second);
        }
        if let Some(request) = &self.request {
            assert!(request.is_valid(), "the request name is out of its range: {request:?}");
            writer.varint(request.number);
            writer.count(request.client.len());
            writer.bytes(request.client.as_bytes());
            writer.varint(self.unknown_at);
        }
    }

    /// The length of its bytes: 2 to [`Self::MAX_ENCODED_LEN`].
    pub fn encoded_len(&self) -> usize {
        let (_, first, second) = self.action.parts();
        let name = self.request.as_ref().map_or(0, |request| {
            varint_len(request.number) + 1 + request.client.len() + varint_len(self.unknown_at)
        });
        1 + zigzag_len(first) + second.map_or(0, zigzag_len) + name
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let tag = reader.u8()?;
        let action = Action::decode(tag & !NAMED, reader)?;
        if tag & NAMED == 0 {
            return Ok(Self::new(action, None));
        }
        let request = Some(RequestName::decode(reader)?);
        Ok(Self { action, request, unknown_at: reader.varint()? })
    }
}

/// The operations of a message's payload: one or more, back to back, and nothing else.
///
/// The result takes a bounded number of bytes for each byte of `payload`: an operation has two at least.
pub fn decode_operations(payload: &[u8]) -> Result<Vec<Operation>, Malformed> {
    let mut reader = Reader::new(payload);
    let mut operations = Vec::new();
    while operations.is_empty() || !reader.is_empty() {
        operations.push(Operation::decode(&mut reader)?);
    }
    Ok(operations)
}

impl Action {
    /// Its tag and its one or two integers.
    fn parts(self) -> (u8, i64, Option<i64>) {
        match self {
            Self::Create { label } => (CREATE, label, None),
            Self::Destroy { queue } => (DESTROY, queue, None),
            Self::Id { label } => (ID, label, None),
            Self::Push { queue, item } => (PUSH, queue, Some(item)),
            Self::Pop { queue } => (POP, queue, None),
            Self::Top { queue } => (TOP, queue, None),
            Self::Size { queue } => (SIZE, queue, None),
        }
    }

    /// Appends its bytes.
    pub(super) fn encode(self, writer: &mut Writer<'_>) {
        let (tag, first, second) = self.parts();
        writer.u8(tag);
        writer.zigzag(first);
        if let Some(second) = second {
            writer.zigzag(second);
        }
    }

    /// Reads its bytes.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Self::decode(reader.u8()?, reader)
    }

    fn decode(tag: u8, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match tag {
            CREATE => Self::Create { label: reader.zigzag()? },
            DESTROY => Self::Destroy { queue: reader.zigzag()? },
            ID => Self::Id { label: reader.zigzag()? },
            PUSH => Self::Push { queue: reader.zigzag()?, item: reader.zigzag()? },
            POP => Self::Pop { queue: reader.zigzag()? },
            TOP => Self::Top { queue: reader.zigzag()? },
            SIZE => Self::Size { queue: reader.zigzag()? },
            _ => return Err(Malformed("an operation's tag is unknown")),
        })
    }
}

impl RequestName {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let number = reader.varint()?;
        let length = reader.count(Self::MAX_CLIENT_BYTES)?;
        let client = std::str::from_utf8(reader.take(length)?)
            .map_err(|_| Malformed("a client's name is not UTF-8"))?;
        let name = Self { client: client.into(), number };
        if name.is_valid() {
            Ok(name)
        } else {
            Err(Malformed("a request name is out of its range"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tools::{Random, hex, unhex};

    fn named(client: &str, number: u64) -> Option<RequestName> {
        Some(RequestName { client: client.into(), number })
    }

    fn encoded(operation: &Operation) -> Vec<u8> {
        let mut bytes = Vec::new();
        operation.encode(&mut bytes);
        bytes
    }

    fn random_operation(random: &mut Random) -> Operation {
        let integer = |random: &mut Random| {
            let value = random.of_any_length(64).cast_signed();
            if random.below(2) == 0 { value } else { !value }
        };
        let (queue, label, item) = (integer(random), integer(random), integer(random));
        let action = match random.below(7) {
            0 => Action::Create { label },
            1 => Action::Destroy { queue },
            2 => Action::Id { label },
            3 => Action::Push { queue, item },
            4 => Action::Pop { queue },
            5 => Action::Top { queue },
            _ => Action::Size { queue },
        };
        let letters = 1 + random.index(RequestName::MAX_CLIENT_BYTES);
        let request = match random.below(2) {
            0 => None,
            _ => named(&"c".repeat(letters), random.of_any_length(64).max(1)),
        };
        let unknown_at = request.as_ref().map_or(0, |_| random.of_any_length(64));
        Operation { action, request, unknown_at }
    }

    /// These bytes are in logs on disks and in messages between replicas of two versions.
    #[test]
    fn operations_have_these_bytes() {
        let plain = |action| Operation::new(action, None);
        let pop = Action::Pop { queue: 2 };
        let push = Action::Push { queue: 3, item: i64::MIN };
        for (operation, bytes) in [
            (plain(Action::Create { label: -7 }), "01 0d"),
            (plain(Action::Destroy { queue: 1 }), "02 02"),
            (plain(Action::Id { label: 1_000 }), "03 d00f"),
            (plain(push), "04 06 ffffffffffffffffff01"),
            (plain(Action::Pop { queue: 64 }), "05 8001"),
            (plain(Action::Top { queue: 0 }), "06 00"),
            (plain(Action::Size { queue: i64::MAX }), "07 feffffffffffffffff01"),
            (
                Operation { action: pop, request: named("bob", 300), unknown_at: 299 },
                "85 04 ac02 03 626f62 ab02",
            ),
        ] {
            assert_eq!(hex(&encoded(&operation)), hex(&unhex(bytes)), "{operation:?}");
            assert_eq!(decode_operations(&unhex(bytes)), Ok(vec![operation]));
        }
    }

    #[test]
    fn payloads_give_back_their_operations() {
        let mut random = Random::new(1);
        for _ in 0..2_000 {
            let operations: Vec<_> =
                (0..=random.below(8)).map(|_| random_operation(&mut random)).collect();
            let mut payload = Vec::new();
            for operation in &operations {
                let before = payload.len();
                operation.encode(&mut payload);
                assert_eq!(payload.len() - before, operation.encoded_len());
            }
            assert_eq!(decode_operations(&payload), Ok(operations));
        }
    }

    #[test]
    fn the_longest_operation_is_a_named_push() {
        let client = "c".repeat(RequestName::MAX_CLIENT_BYTES);
        let action = Action::Push { queue: i64::MIN, item: i64::MAX };
        let request = named(&client, u64::MAX);
        let operation = Operation { action, request, unknown_at: u64::MAX };
        assert_eq!(encoded(&operation).len(), Operation::MAX_ENCODED_LEN);
    }

    #[test]
    fn part_of_an_operation_is_malformed() {
        let mut random = Random::new(2);
        for _ in 0..500 {
            let payload = encoded(&random_operation(&mut random));
            for shorter in 0..payload.len() {
                assert!(decode_operations(&payload[..shorter]).is_err(), "{}", hex(&payload));
            }
        }
    }

    #[test]
    fn what_no_replica_writes_is_malformed() {
        let long = format!("85 04 01 41 {} 00", "63".repeat(RequestName::MAX_CLIENT_BYTES + 1));
        for payload in [
            "",
            "00 02",
            "08 02",
            "7f 02",
            "80 02 01 01 63 00",
            // Overlong: queue, number, length, unknown at.
            "05 8200",
            "85 04 8100 01 63 00",
            "85 04 01 8100 63 00",
            "85 04 01 01 63 8000",
            // Number 0, no client, client too long, client not UTF-8.
            "85 04 00 01 63 00",
            "85 04 01 00 00",
            &long,
            "85 04 01 01 ff 00",
            // A good operation and a bad one.
            "05 02 00",
        ] {
            assert!(decode_operations(&unhex(payload)).is_err(), "{payload}");
        }
    }

    #[test]
    fn junk_never_panics_and_has_one_meaning() {
        let mut random = Random::new(3);
        let mut accepted = 0;
        for _ in 0..50_000 {
            let payload = encoded(&random_operation(&mut random));
            let payload = random.mutated(&payload);
            if let Ok(operations) = decode_operations(&payload) {
                accepted += 1;
                let mut again = Vec::new();
                operations.iter().for_each(|operation| operation.encode(&mut again));
                assert_eq!(again, payload);
            }
        }
        assert!(accepted > 1_000, "the mutations are too wild to test anything: {accepted}");
    }

    #[test]
    #[should_panic(expected = "out of its range")]
    fn a_name_that_no_replica_can_read_is_not_written() {
        encoded(&Operation::new(Action::Pop { queue: 1 }, named("", 1)));
    }
}
