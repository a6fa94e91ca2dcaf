//! The whole state in parts of bounded length, and back: what a snapshot holds of it.
//!
//! ```text
//! counts  1 | sequence | last id | queues | items | clients | clients forgotten through      first
//! queue   2 | id | label | items, each zigzag, to the end of the part   in the order of the ids
//! more    3 | further items of the queue before, likewise
//! client  4 | name | last use | forgotten through | answers             in the order of their last use
//! answer      number | action | sequence | result                       numbers rising
//! ```

use super::items::Items;
use super::operation::{Action, Answer, Rejection, RequestName};
use super::requests::{AnswerRecord, ClientRecord};
use super::{Queue, Queues};
use crate::codec::{MAX_VARINT_LEN, Malformed, Reader, Writer};

const COUNTS: u8 = 1;
const QUEUE: u8 = 2;
const MORE: u8 = 3;
const CLIENT: u8 = 4;

/// No sequence or id is as great: the next one is counted in 64 bits.
const MOST: i64 = 1 << 62;

/// How many items a part has at most.
const ITEMS: usize = 8_192;
/// The longest part, in bytes.
pub(crate) const MAX_STATE_PART: usize = 1 + (ITEMS + 2) * MAX_VARINT_LEN;

impl Queues {
    /// Gives all of it to `each`, in parts of 1 to [`MAX_STATE_PART`] bytes.
    ///
    /// # Errors
    /// Those of `each`.
    pub(crate) fn encode<E>(&self, each: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut part = Vec::new();
        let mut writer = Writer::new(&mut part);
        writer.u8(COUNTS);
        writer.varint(self.sequence);
        writer.zigzag(self.last_id);
        writer.count(self.queues.len());
        writer.varint(self.items);
        writer.varint(self.requests.clients());
        writer.varint(self.requests.forgotten_through());
        each(&part)?;
        for (id, queue) in &self.queues {
            part.clear();
            let mut writer = Writer::new(&mut part);
            writer.u8(QUEUE);
            writer.zigzag(*id);
            writer.zigzag(queue.label);
            let mut left = ITEMS;
            for item in queue.items.iter() {
                if left == 0 {
                    each(&part)?;
                    part.clear();
                    part.push(MORE);
                    left = ITEMS;
                }
                left -= 1;
                Writer::new(&mut part).zigzag(item);
            }
            each(&part)?;
        }
        for client in self.requests.records() {
            part.clear();
            part.push(CLIENT);
            encode_client(&client, &mut Writer::new(&mut part));
            each(&part)?;
        }
        Ok(())
    }

    /// [`Self::take_part`] of all of `part`.
    ///
    /// # Errors
    /// Those of [`Self::take_part`].
    pub(crate) fn read_part(&mut self, part: &[u8]) -> Result<(), Malformed> {
        self.take_part(&mut Reader::new(part))
    }

    /// Takes in the next part of the state that this one becomes; it was empty before the first.
    ///
    /// # Errors
    /// When it is no part, or does not follow the one before.
    pub(crate) fn take_part(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        match reader.u8()? {
            COUNTS if self.last_id == 0 && self.sequence == 0 => {
                self.sequence = reader.varint()?;
                self.last_id = reader.zigzag()?;
                let queues = reader.varint()?;
                let items = reader.varint()?;
                let clients = reader.varint()?;
                let forgotten_through = reader.varint()?;
                if forgotten_through > self.sequence {
                    return Err(Malformed("clients are forgotten that did not call yet"));
                }
                self.requests.begin_again(forgotten_through);
                if self.sequence >= MOST.cast_unsigned() {
                    return Err(Malformed("a sequence is too great"));
                }
                if queues > self.limits.queues
                    || items > self.limits.items
                    || !(0..MOST).contains(&self.last_id)
                {
                    return Err(Malformed("a state has more than it may"));
                }
                self.announced = (queues, items, clients);
            }
            QUEUE => {
                let (id, label) = (reader.zigzag()?, reader.zigzag()?);
                let rises = self.queues.last_key_value().is_none_or(|(last, _)| *last < id);
                if !rises || id <= 0 || id > self.last_id {
                    return Err(Malformed("a queue's id is out of order"));
                }
                if self.labels.insert(label, id).is_some() {
                    return Err(Malformed("two queues have one label"));
                }
                let mut items = Items::new();
                let count = take_items(&mut items, reader)?;
                self.queues.insert(id, Queue { label, items });
                self.items += count;
            }
            MORE => {
                let mut last = self.queues.last_entry();
                let queue = last.as_mut().ok_or(Malformed("items are of no queue"))?.get_mut();
                self.items += take_items(&mut queue.items, reader)?;
            }
            CLIENT => self.requests.add(&decode_client(reader)?)?,
            _ => return Err(Malformed("a part of the state is unknown, or out of order")),
        }
        if reader.is_empty() { Ok(()) } else { Err(Malformed("bytes follow a part of the state")) }
    }

    /// All parts were taken in.
    ///
    /// # Errors
    /// When some are missing.
    pub(crate) fn parts_end(&mut self) -> Result<(), Malformed> {
        let present = (self.queues.len() as u64, self.items, self.requests.clients());
        if std::mem::take(&mut self.announced) == present {
            Ok(())
        } else {
            Err(Malformed("parts of the state are missing"))
        }
    }
}

fn encode_client(client: &ClientRecord, writer: &mut Writer<'_>) {
    writer.count(client.name.len());
    writer.bytes(client.name.as_bytes());
    writer.varint(client.last_used);
    writer.varint(client.forgotten_through);
    writer.count(client.answers.len());
    for AnswerRecord { number, action, sequence, result } in &client.answers {
        writer.varint(*number);
        action.encode(writer);
        writer.varint(*sequence);
        encode_result(*result, writer);
    }
}

fn decode_client(reader: &mut Reader<'_>) -> Result<ClientRecord, Malformed> {
    let length = reader.count(RequestName::MAX_CLIENT_BYTES)?;
    let name = str::from_utf8(reader.take(length)?)
        .map_err(|_| Malformed("a client's name is not UTF-8"))?
        .into();
    let (last_used, forgotten_through) = (reader.varint()?, reader.varint()?);
    let mut answers = Vec::new();
    for _ in 0..reader.count(usize::MAX)? {
        let number = reader.varint()?;
        let action = Action::read(reader)?;
        let sequence = reader.varint()?;
        answers.push(AnswerRecord { number, action, sequence, result: decode_result(reader)? });
    }
    Ok(ClientRecord { name, last_used, forgotten_through, answers })
}

fn encode_result(result: Result<Answer, Rejection>, writer: &mut Writer<'_>) {
    match result {
        Ok(Answer::Queue(queue)) => signed(1, queue, writer),
        Ok(Answer::Destroyed) => writer.u8(2),
        Ok(Answer::Label(None)) => writer.u8(3),
        Ok(Answer::Label(Some(queue))) => signed(4, queue, writer),
        Ok(Answer::Pushed) => writer.u8(5),
        Ok(Answer::Item(None)) => writer.u8(6),
        Ok(Answer::Item(Some(item))) => signed(7, item, writer),
        Ok(Answer::Size(size)) => unsigned(8, size, writer),
        Err(Rejection::QueueNotFound { queue }) => signed(9, queue, writer),
        Err(Rejection::QueuesFull { limit }) => unsigned(10, limit, writer),
        Err(Rejection::ItemsFull { limit }) => unsigned(11, limit, writer),
        Err(Rejection::RequestForgotten { .. } | Rejection::RequestReused) => {
            unreachable!("what the table itself refuses is not kept")
        }
    }
}

fn signed(tag: u8, value: i64, writer: &mut Writer<'_>) {
    writer.u8(tag);
    writer.zigzag(value);
}

fn unsigned(tag: u8, value: u64, writer: &mut Writer<'_>) {
    writer.u8(tag);
    writer.varint(value);
}

fn decode_result(reader: &mut Reader<'_>) -> Result<Result<Answer, Rejection>, Malformed> {
    Ok(match reader.u8()? {
        1 => Ok(Answer::Queue(reader.zigzag()?)),
        2 => Ok(Answer::Destroyed),
        3 => Ok(Answer::Label(None)),
        4 => Ok(Answer::Label(Some(reader.zigzag()?))),
        5 => Ok(Answer::Pushed),
        6 => Ok(Answer::Item(None)),
        7 => Ok(Answer::Item(Some(reader.zigzag()?))),
        8 => Ok(Answer::Size(reader.varint()?)),
        9 => Err(Rejection::QueueNotFound { queue: reader.zigzag()? }),
        10 => Err(Rejection::QueuesFull { limit: reader.varint()? }),
        11 => Err(Rejection::ItemsFull { limit: reader.varint()? }),
        _ => return Err(Malformed("a result's tag is unknown")),
    })
}

fn take_items(items: &mut Items, reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    let mut count = 0;
    while !reader.is_empty() {
        items.push_back(reader.zigzag()?);
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Action, Answer, Limits, Operation};
    use crate::test_tools::Random;

    fn parts(queues: &Queues) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        let mut each = |part: &[u8]| -> Result<(), ()> {
            assert!((1..=MAX_STATE_PART).contains(&part.len()));
            parts.push(part.to_vec());
            Ok(())
        };
        queues.encode(&mut each).unwrap();
        parts
    }

    fn read(parts: &[Vec<u8>]) -> Result<Queues, Malformed> {
        let mut queues = Queues::new(Limits::DEFAULT);
        for part in parts {
            queues.take_part(&mut Reader::new(part))?;
        }
        queues.parts_end()?;
        Ok(queues)
    }

    fn random_state(random: &mut Random, operations: u64) -> Queues {
        let mut queues = Queues::new(Limits::DEFAULT);
        for _ in 0..operations {
            let label = random.below(20).cast_signed() - 10;
            let queue = 1 + random.below(20).cast_signed();
            let action = match random.below(20) {
                0 => Action::Create { label },
                1 if random.below(20) == 0 => Action::Destroy { queue },
                2..5 => Action::Pop { queue },
                _ => Action::Push { queue, item: random.next().cast_signed() },
            };
            let request = (random.below(3) == 0).then(|| RequestName {
                client: format!("client {}", random.below(30)).into(),
                number: 1 + random.below(50),
            });
            queues.apply(&Operation { action, request, unknown_at: queues.sequence() });
        }
        queues
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let mut random = Random::new(1);
        for operations in [0, 1, 10, 1_000, 300_000] {
            let mut queues = random_state(&mut random, operations);
            let written = parts(&queues);
            let mut again = read(&written).unwrap();
            assert_eq!(again.digest(), queues.digest());
            // It goes on like the other.
            for label in 0..100 {
                let create = Operation::new(Action::Create { label }, None);
                assert_eq!(again.apply(&create), queues.apply(&create));
            }
            assert_eq!(parts(&again), parts(&queues));
        }
    }

    #[test]
    fn a_part_that_is_missing_doubled_or_cut_is_found() {
        let mut random = Random::new(2);
        let mut queues = random_state(&mut random, 2_000);
        let create = Operation::new(Action::Create { label: 99 }, None);
        let Ok(Answer::Queue(queue)) = queues.apply(&create).result else { panic!("no queue") };
        for item in 0..2 * ITEMS as i64 {
            queues.apply(&Operation::new(Action::Push { queue, item }, None));
        }
        let written = parts(&queues);
        assert!(written.iter().any(|part| part.first() == Some(&MORE)));
        for place in 0..written.len() {
            let mut less = written.clone();
            less.remove(place);
            assert!(read(&less).is_err(), "without part {place}");
            let mut twice = written.clone();
            twice.insert(place, written[place].clone());
            assert!(read(&twice).is_err(), "part {place} twice");
            let mut cut = written.clone();
            cut[place].pop();
            assert!(read(&cut).is_err(), "part {place} cut");
        }
    }

    #[test]
    fn junk_never_panics() {
        let mut random = Random::new(3);
        let written = parts(&random_state(&mut random, 2_000));
        for _ in 0..3_000 {
            let place = random.index(written.len());
            let mut changed = written.clone();
            changed[place] = random.mutated(&changed[place]);
            read(&changed).ok();
        }
    }
}
