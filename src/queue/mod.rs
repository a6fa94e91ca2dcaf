//! The replicated state machine: deterministic; the same operations in the same order give the same answers and the
//! same state at every replica. No clock, no randomness and no order of a hash map reaches it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]
#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod digest;
mod items;
mod operation;
mod parts;
mod requests;

use std::collections::BTreeMap;

use digest::Digest;
use items::Items;
pub(crate) use parts::MAX_STATE_PART;
use requests::{Judgement, Requests};

use crate::planted::PlantedBug;

pub use operation::{
    Action, Answer, Executed, Operation, QueueId, Rejection, RequestName, decode_operations,
};

/// How much the queues and the table of requests may hold. Part of the state machine: a replica with other limits would reject what its peers
/// execute and so differ from them for ever. Hence constants of the program, not settings of a replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// How many queues there may be.
    pub queues: u64,
    /// How many items there may be, in all queues together.
    pub items: u64,
    /// How many answers of named requests are kept, of all clients together: not fewer than of one.
    pub answers: u64,
    /// How many answers are kept of one client, from 1.
    pub answers_of_client: u64,
}

impl Limits {
    /// The limits of every cluster: an item takes at most 32 bytes and a queue some 200, so that full queues
    /// need 1 to 3.5 GB. An answer takes some 50 bytes where clients have many, and at most 320 where each has one and
    /// the longest name: a full table needs 50 to 320 MB.
    pub const DEFAULT: Self =
        Self { queues: 1_000_000, items: 100_000_000, answers: 1_000_000, answers_of_client: 32 };
}

/// All queues, how many operations were executed on them, and what named ones were answered.
#[derive(Debug)]
pub struct Queues {
    limits: Limits,
    /// The sequence of the last executed operation; 0 before the first.
    sequence: u64,
    /// The id of the queue made last; 0 before the first. Ids rise and are never used again.
    last_id: QueueId,
    /// How many items there are in all queues together.
    items: u64,
    queues: BTreeMap<QueueId, Queue>,
    /// The queue of each label: the inverse of `Queue::label`.
    labels: BTreeMap<i64, QueueId>,
    /// How many queues, items and clients there are to be, while the state is read from parts.
    announced: (u64, u64, u64),
    requests: Requests,
}

#[derive(Debug)]
struct Queue {
    label: i64,
    items: Items,
}

impl Queues {
    /// No queues; no operation executed yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            sequence: 0,
            last_id: 0,
            items: 0,
            queues: BTreeMap::new(),
            labels: BTreeMap::new(),
            announced: (0, 0, 0),
            requests: Requests::new(limits),
        }
    }

    /// Plants a bug, if it is one of the state machine's.
    pub(crate) fn plant(&mut self, bug: Option<PlantedBug>) {
        self.requests.plant(bug);
    }

    /// Executes an operation, unless its request's name says that it was executed before: then the answer is the first
    /// one again. Every operation takes the next sequence, reads, rejected ones and duplicates too; a rejected one
    /// changes nothing of the queues.
    pub fn apply(&mut self, operation: &Operation) -> Executed {
        self.sequence += 1;
        let Some(name) = &operation.request else {
            return self.execute(operation.action);
        };
        match self.requests.judge(name, operation, self.sequence) {
            Judgement::Execute => {
                let executed = self.execute(operation.action);
                self.requests.keep(name, operation.action, executed);
                executed
            }
            Judgement::Repeat(first) => first,
            Judgement::Refuse(rejection) => {
                Executed { sequence: self.sequence, duplicate: false, result: Err(rejection) }
            }
        }
    }

    /// Says in an operation, when it is asked, whether its client is known by now: so that it can be told, when it comes late,
    /// whether it was executed and forgotten meanwhile.
    pub fn mark(&self, operation: &mut Operation) {
        let begins = |name: &RequestName| name.number == 1 && !self.requests.knows(&name.client);
        let begins = operation.request.as_ref().is_some_and(begins);
        operation.unknown_at = if begins { self.sequence } else { 0 };
    }

    fn execute(&mut self, action: Action) -> Executed {
        let result = match action {
            Action::Create { label } => self.create(label),
            Action::Destroy { queue } => self.destroy(queue),
            Action::Id { label } => Ok(Answer::Label(self.labels.get(&label).copied())),
            Action::Push { queue, item } => self.push(queue, item),
            Action::Pop { queue } => self.pop(queue),
            Action::Top { queue } => {
                self.queue(queue).map(|queue| Answer::Item(queue.items.front()))
            }
            Action::Size { queue } => {
                self.queue(queue).map(|queue| Answer::Size(queue.items.len()))
            }
        };
        Executed { sequence: self.sequence, duplicate: false, result }
    }

    /// The sequence of the last executed operation; 0 before the first.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How many queues there are, and how many items in all of them together.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.queues.len() as u64, self.items)
    }

    /// A hash of the whole state: equal at all replicas that executed the same operations. Reads every item, so it
    /// is for tests and for comparing replicas now and then.
    pub fn digest(&self) -> u64 {
        let mut digest = Digest::new();
        digest.add(self.sequence);
        digest.add(self.last_id.cast_unsigned());
        for (id, queue) in &self.queues {
            digest.add(id.cast_unsigned());
            digest.add(queue.label.cast_unsigned());
            digest.add(queue.items.len());
            for item in queue.items.iter() {
                digest.add(item.cast_unsigned());
            }
        }
        digest.add(self.requests.digest());
        digest.finish()
    }

    fn create(&mut self, label: i64) -> Result<Answer, Rejection> {
        if let Some(id) = self.labels.get(&label) {
            return Ok(Answer::Queue(*id));
        }
        if self.queues.len() as u64 >= self.limits.queues {
            return Err(Rejection::QueuesFull { limit: self.limits.queues });
        }
        self.last_id += 1;
        self.queues.insert(self.last_id, Queue { label, items: Items::new() });
        self.labels.insert(label, self.last_id);
        Ok(Answer::Queue(self.last_id))
    }

    fn destroy(&mut self, id: QueueId) -> Result<Answer, Rejection> {
        let queue = self.queues.remove(&id).ok_or(Rejection::QueueNotFound { queue: id })?;
        let labelled = self.labels.remove(&queue.label);
        assert_eq!(labelled, Some(id), "label {} named another queue", queue.label);
        self.items -= queue.items.len();
        Ok(Answer::Destroyed)
    }

    fn push(&mut self, id: QueueId, item: i64) -> Result<Answer, Rejection> {
        let full = self.items >= self.limits.items;
        let queue = self.queue_mut(id)?;
        if full {
            return Err(Rejection::ItemsFull { limit: self.limits.items });
        }
        queue.items.push_back(item);
        self.items += 1;
        Ok(Answer::Pushed)
    }

    fn pop(&mut self, id: QueueId) -> Result<Answer, Rejection> {
        let item = self.queue_mut(id)?.items.pop_front();
        self.items -= u64::from(item.is_some());
        Ok(Answer::Item(item))
    }

    fn queue(&self, id: QueueId) -> Result<&Queue, Rejection> {
        self.queues.get(&id).ok_or(Rejection::QueueNotFound { queue: id })
    }

    fn queue_mut(&mut self, id: QueueId) -> Result<&mut Queue, Rejection> {
        self.queues.get_mut(&id).ok_or(Rejection::QueueNotFound { queue: id })
    }
}

#[cfg(test)]
mod tests;
