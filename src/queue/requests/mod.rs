//! Which named requests were executed, and what they were answered: so each counts once, however often it comes.
//!
//! What a caller has to keep to, or is refused ([`Rejection::RequestForgotten`], [`Rejection::RequestReused`]):
//!
//! - A client begins with number 1, and has nothing else under way until that is answered: of a client that is not known
//!   a higher number may be one that was executed before the client was forgotten.
//! - Later it may have several requests under way, in any order and with gaps, but begins number n only once all up to
//!   n - 32 are answered: its answers beyond the last 32 are forgotten.
//! - A name is for one action.
//!
//! A number that cannot be judged is not executed. A client that was forgotten as a whole looks like a new one when its
//! number 1 comes again. Where that was asked before it was forgotten, and comes late, it is refused: it says at which
//! sequence its client was unknown ([`Operation::unknown_at`]), which was before the client began, and so before it was last
//! used. One hole is left, which no bounded table closes: a client's number 1 that is asked again once the client is forgotten
//! is executed again, and so are its others then. No client is forgotten before so many others called that they have all
//! [`Limits::answers`], each at most [`Limits::answers_of_client`] of them.

mod kept;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::kept::Kept;
use super::operation::{Action, Answer, Executed, Operation, Rejection, RequestName};
use super::{Digest, Limits};
use crate::codec::Malformed;
use crate::planted::{PlantedBug, planted};

/// The answers that are kept, by client. At most [`Limits::answers`] in all: beyond, the client that was not used for
/// longest is forgotten with all its answers.
#[derive(Debug)]
pub(super) struct Requests {
    limits: Limits,
    planted: Option<PlantedBug>,
    /// The clients by the sequence at which each was last used: when a request of it was executed, or answered again.
    clients: BTreeMap<u64, Client>,
    /// When each client was last used: the way to it.
    last_used: BTreeMap<Arc<str>, u64>,
    /// All clients that were forgotten as a whole were last used up to this sequence; 0 for none.
    forgotten_through: u64,
    /// How many answers are kept in all.
    answers: u64,
    /// The sum of the clients' digests.
    digest: u64,
}

/// What is kept of a client.
#[derive(Debug)]
struct Client {
    name: Arc<str>,
    /// Numbers up to this one are forgotten; 0 for none.
    forgotten_through: u64,
    /// Its last answers by rising number, all past `forgotten_through`; one at least.
    answers: Vec<Kept>,
    /// The sum of the answers' digests.
    answers_digest: u64,
}

/// What is to be done about a named request.
pub(super) enum Judgement {
    /// It is to be executed, and its answer kept.
    Execute,
    /// It was executed before; this is the answer.
    Repeat(Executed),
    /// It must not be executed.
    Refuse(Rejection),
}

/// A client as a snapshot holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ClientRecord {
    /// Its name.
    pub(super) name: Box<str>,
    /// The sequence at which it was last used.
    pub(super) last_used: u64,
    /// Its numbers up to this one are forgotten; 0 for none.
    pub(super) forgotten_through: u64,
    /// Its answers that are kept, by rising number.
    pub(super) answers: Vec<AnswerRecord>,
}

/// An answer as a snapshot holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct AnswerRecord {
    /// The request's number.
    pub(super) number: u64,
    /// What was asked.
    pub(super) action: Action,
    /// Its place in the order of all operations.
    pub(super) sequence: u64,
    /// What came of it.
    pub(super) result: Result<Answer, Rejection>,
}

impl Requests {
    /// No client is known.
    ///
    /// # Panics
    /// Where a single client's answers could be more than all: none could be forgotten then.
    pub(super) fn new(limits: Limits) -> Self {
        let Limits { answers, answers_of_client, .. } = limits;
        assert!((1..=answers).contains(&answers_of_client), "{limits:?}");
        Self {
            limits,
            planted: None,
            clients: BTreeMap::new(),
            last_used: BTreeMap::new(),
            forgotten_through: 0,
            answers: 0,
            digest: 0,
        }
    }

    /// Plants a bug, if it is one of this table's.
    pub(super) fn plant(&mut self, bug: Option<PlantedBug>) {
        self.planted = bug;
    }

    /// What is to be done about a request that is next in the order, at `sequence`.
    pub(super) fn judge(
        &mut self,
        name: &RequestName,
        operation: &Operation,
        sequence: u64,
    ) -> Judgement {
        let action = operation.action;
        let forgotten = |through| Judgement::Refuse(Rejection::RequestForgotten { through });
        let Some(client) = self.client(&name.client) else {
            let begins = name.number == 1 || planted!(in self.planted, BeginAnywhere);
            let late = name.number == 1
                && operation.unknown_at < self.forgotten_through
                && !planted!(in self.planted, BeginLate);
            return if begins && !late { Judgement::Execute } else { forgotten(None) };
        };
        match client.answer(name.number) {
            Some(kept) if kept.is_of(action) || planted!(in self.planted, AnswerAnotherAction) => {
                let first = Executed {
                    sequence: kept.sequence,
                    duplicate: true,
                    result: kept.result(self.limits),
                };
                if let Some(client) = self.take(&name.client) {
                    self.put(client, sequence);
                }
                Judgement::Repeat(first)
            }
            Some(_) => Judgement::Refuse(Rejection::RequestReused),
            None if client.forgotten_through < name.number
                || planted!(in self.planted, ExecuteForgotten) =>
            {
                Judgement::Execute
            }
            None => forgotten(Some(client.forgotten_through)),
        }
    }

    /// Whether anything is kept of a client.
    pub(super) fn knows(&self, client: &str) -> bool {
        self.last_used.contains_key(client)
    }

    /// Keeps the answer of a request that was just executed; forgets what there is no room for.
    pub(super) fn keep(&mut self, name: &RequestName, action: Action, executed: Executed) {
        let kept = Kept::new(name.number, executed.sequence, action, executed.result)
            .expect("the answer is one of the action's");
        let mut client = self.take(&name.client).unwrap_or_else(|| Client::new(&name.client));
        client.add(kept, self.limits.answers_of_client);
        self.put(client, executed.sequence);
        while self.answers > self.limits.answers {
            self.forget_least_used();
        }
    }

    /// A hash of the whole table.
    pub(super) fn digest(&self) -> u64 {
        self.digest.wrapping_add(self.forgotten_through)
    }

    /// All clients that were forgotten as a whole were last used up to this sequence; 0 for none.
    pub(super) fn forgotten_through(&self) -> u64 {
        self.forgotten_through
    }

    /// Begins a table that is built again, before [`Self::add`].
    pub(super) fn begin_again(&mut self, forgotten_through: u64) {
        self.forgotten_through = forgotten_through;
    }

    /// All clients in the order in which they were last used: what [`Self::add`] takes.
    pub(super) fn records(&self) -> impl Iterator<Item = ClientRecord> {
        let missing = planted!(in self.planted, TableNotInSnapshot);
        let clients = self.clients.iter().filter(move |_| !missing);
        clients.map(|(last_used, client)| ClientRecord {
            name: (*client.name).into(),
            last_used: *last_used,
            forgotten_through: client.forgotten_through,
            answers: client.answers.iter().map(|kept| self.record(kept)).collect(),
        })
    }

    /// How many clients are known.
    pub(super) fn clients(&self) -> u64 {
        if planted!(in self.planted, TableNotInSnapshot) {
            return 0;
        }
        self.clients.len() as u64
    }

    fn record(&self, kept: &Kept) -> AnswerRecord {
        AnswerRecord {
            number: kept.number,
            action: kept.action(),
            sequence: kept.sequence,
            result: kept.result(self.limits),
        }
    }

    /// Adds the next client of [`Self::records`] to a table that is being built again.
    ///
    /// # Errors
    /// When no table can have it next.
    pub(super) fn add(&mut self, record: &ClientRecord) -> Result<(), Malformed> {
        if self.last_used.contains_key(&*record.name) {
            return Err(Malformed("a client is there twice"));
        }
        let before =
            self.clients.last_key_value().map_or(self.forgotten_through, |(last, _)| *last);
        if before >= record.last_used {
            return Err(Malformed("the clients are not in the order of their use"));
        }
        let answers = record.answers.len() as u64;
        let most = self.limits.answers_of_client.min(self.limits.answers - self.answers);
        if !(1..=most).contains(&answers) {
            return Err(Malformed("a client has no answers or too many"));
        }
        let mut client = Client::new(&record.name);
        client.forgotten_through = record.forgotten_through;
        client.answers.reserve_exact(record.answers.len());
        let mut before = record.forgotten_through;
        for AnswerRecord { number, action, sequence, result } in &record.answers {
            if *number <= before {
                return Err(Malformed("a client's numbers do not rise"));
            }
            before = *number;
            if !(1..=record.last_used).contains(sequence) {
                return Err(Malformed("a client's answer has an impossible sequence"));
            }
            let kept = Kept::new(*number, *sequence, *action, *result)
                .ok_or(Malformed("an answer is none of its action's"))?;
            client.add(kept, most);
        }
        self.put(client, record.last_used);
        Ok(())
    }

    fn client(&self, name: &str) -> Option<&Client> {
        self.clients.get(self.last_used.get(name)?)
    }

    /// Takes a client that is about to be used; [`Self::put`] is the way back.
    fn take(&mut self, name: &str) -> Option<Client> {
        let last_used = *self.last_used.get(name)?;
        let client = self.clients.remove(&last_used)?;
        self.answers -= client.answers.len() as u64;
        self.digest = self.digest.wrapping_sub(client.digest(last_used));
        Some(client)
    }

    fn put(&mut self, client: Client, last_used: u64) {
        self.answers += client.answers.len() as u64;
        self.digest = self.digest.wrapping_add(client.digest(last_used));
        self.last_used.insert(Arc::clone(&client.name), last_used);
        self.clients.insert(last_used, client);
    }

    fn forget_least_used(&mut self) {
        let (last_used, client) = self.clients.pop_first().expect("answers are of clients");
        self.last_used.remove(&client.name);
        self.forgotten_through = last_used;
        self.answers -= client.answers.len() as u64;
        self.digest = self.digest.wrapping_sub(client.digest(last_used));
    }
}

impl Client {
    fn new(name: &str) -> Self {
        Self { name: name.into(), forgotten_through: 0, answers: Vec::new(), answers_digest: 0 }
    }

    fn answer(&self, number: u64) -> Option<&Kept> {
        let place = self.answers.partition_point(|kept| kept.number < number);
        self.answers.get(place).filter(|kept| kept.number == number)
    }

    /// Keeps an answer; of more than `most` forgets the one with the lowest number.
    fn add(&mut self, kept: Kept, most: u64) {
        if self.answers.len() as u64 >= most {
            let lowest = self.answers.first().map_or(0, |first| first.number);
            self.forgotten_through = lowest.min(kept.number).max(self.forgotten_through);
            if kept.number < lowest {
                return;
            }
            let forgotten = self.answers.remove(0);
            self.answers_digest = self.answers_digest.wrapping_sub(digest_of(&forgotten));
        }
        // Most clients have few answers, so room for them doubles from one, not from four.
        if self.answers.len() == self.answers.capacity() {
            self.answers.reserve_exact(self.answers.len().max(1));
        }
        let place = self.answers.partition_point(|other| other.number < kept.number);
        self.answers.insert(place, kept);
        self.answers_digest = self.answers_digest.wrapping_add(digest_of(&kept));
    }

    /// A hash of all that is kept, and of when it was last used.
    fn digest(&self, last_used: u64) -> u64 {
        let mut digest = Digest::new();
        digest.add(self.name.len() as u64);
        for bytes in self.name.as_bytes().chunks(8) {
            digest.add(bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
        digest.add(last_used);
        digest.add(self.forgotten_through);
        digest.add(self.answers_digest);
        digest.finish()
    }
}

/// A hash of an answer.
fn digest_of(kept: &Kept) -> u64 {
    let mut digest = Digest::new();
    kept.add_to(&mut digest);
    digest.finish()
}

#[cfg(test)]
mod tests;
