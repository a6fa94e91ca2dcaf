//! One answer that is kept for its request's name, in 40 bytes.

use crate::queue::digest::Digest;
use crate::queue::{Action, Answer, Limits, Rejection};

/// A named request that was executed, and what it was answered.
///
/// An action has two integers at most, and where it has two its answer has none: so two hold both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// The request's number.
    pub(super) number: u64,
    /// Its place in the order of all operations.
    pub(super) sequence: u64,
    /// The label or the queue that was asked for.
    first: i64,
    /// The item that was pushed, or what the answer holds.
    second: i64,
    kind: Kind,
    outcome: Outcome,
}

/// Which action it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Create,
    Destroy,
    Id,
    Push,
    Pop,
    Top,
    Size,
}

/// Which answer or rejection it came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Queue,
    Destroyed,
    Label,
    NoLabel,
    Pushed,
    Item,
    Empty,
    Size,
    QueueNotFound,
    QueuesFull,
    ItemsFull,
}

impl Kept {
    /// An answer to keep; none where it is not one that the action can have.
    pub(super) fn new(
        number: u64,
        sequence: u64,
        action: Action,
        result: Result<Answer, Rejection>,
    ) -> Option<Self> {
        let (kind, first, item) = parts(action);
        let (outcome, value) = match (kind, result) {
            (Kind::Create, Ok(Answer::Queue(queue))) => (Outcome::Queue, queue),
            (Kind::Destroy, Ok(Answer::Destroyed)) => (Outcome::Destroyed, 0),
            (Kind::Id, Ok(Answer::Label(Some(queue)))) => (Outcome::Label, queue),
            (Kind::Id, Ok(Answer::Label(None))) => (Outcome::NoLabel, 0),
            (Kind::Push, Ok(Answer::Pushed)) => (Outcome::Pushed, 0),
            (Kind::Pop | Kind::Top, Ok(Answer::Item(Some(item)))) => (Outcome::Item, item),
            (Kind::Pop | Kind::Top, Ok(Answer::Item(None))) => (Outcome::Empty, 0),
            (Kind::Size, Ok(Answer::Size(size))) => (Outcome::Size, size.cast_signed()),
            (Kind::Create, Err(Rejection::QueuesFull { .. })) => (Outcome::QueuesFull, 0),
            (Kind::Push, Err(Rejection::ItemsFull { .. })) => (Outcome::ItemsFull, 0),
            (
                Kind::Destroy | Kind::Push | Kind::Pop | Kind::Top | Kind::Size,
                Err(Rejection::QueueNotFound { queue }),
            ) if queue == first => (Outcome::QueueNotFound, 0),
            _ => return None,
        };
        let second = item.unwrap_or(value);
        Some(Self { number, sequence, first, second, kind, outcome })
    }

    /// Whether this is what was asked.
    pub(super) fn is_of(&self, action: Action) -> bool {
        self.action() == action
    }

    /// What was asked.
    pub(super) fn action(&self) -> Action {
        let first = self.first;
        match self.kind {
            Kind::Create => Action::Create { label: first },
            Kind::Destroy => Action::Destroy { queue: first },
            Kind::Id => Action::Id { label: first },
            Kind::Push => Action::Push { queue: first, item: self.second },
            Kind::Pop => Action::Pop { queue: first },
            Kind::Top => Action::Top { queue: first },
            Kind::Size => Action::Size { queue: first },
        }
    }

    /// What it was answered. The limits are the state machine's, so they are those of then.
    pub(super) fn result(&self, limits: Limits) -> Result<Answer, Rejection> {
        let value = self.second;
        Ok(match self.outcome {
            Outcome::Queue => Answer::Queue(value),
            Outcome::Destroyed => Answer::Destroyed,
            Outcome::Label => Answer::Label(Some(value)),
            Outcome::NoLabel => Answer::Label(None),
            Outcome::Pushed => Answer::Pushed,
            Outcome::Item => Answer::Item(Some(value)),
            Outcome::Empty => Answer::Item(None),
            Outcome::Size => Answer::Size(value.cast_unsigned()),
            Outcome::QueueNotFound => {
                return Err(Rejection::QueueNotFound { queue: self.first });
            }
            Outcome::QueuesFull => return Err(Rejection::QueuesFull { limit: limits.queues }),
            Outcome::ItemsFull => return Err(Rejection::ItemsFull { limit: limits.items }),
        })
    }

    /// Adds all of it.
    pub(super) fn add_to(&self, digest: &mut Digest) {
        digest.add(self.number);
        digest.add(self.sequence);
        digest.add(self.first.cast_unsigned());
        digest.add(self.second.cast_unsigned());
        digest.add((self.kind as u64) << 8 | self.outcome as u64);
    }
}

/// An action's kind and its one or two integers.
fn parts(action: Action) -> (Kind, i64, Option<i64>) {
    match action {
        Action::Create { label } => (Kind::Create, label, None),
        Action::Destroy { queue } => (Kind::Destroy, queue, None),
        Action::Id { label } => (Kind::Id, label, None),
        Action::Push { queue, item } => (Kind::Push, queue, Some(item)),
        Action::Pop { queue } => (Kind::Pop, queue, None),
        Action::Top { queue } => (Kind::Top, queue, None),
        Action::Size { queue } => (Kind::Size, queue, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_given_back_as_it_was() {
        let limits = Limits { queues: 3, items: 5, ..Limits::DEFAULT };
        let (queue, label, item) = (7, -8, i64::MIN);
        let not_found = Err(Rejection::QueueNotFound { queue });
        let actions = [
            Action::Create { label },
            Action::Destroy { queue },
            Action::Id { label },
            Action::Push { queue, item },
            Action::Pop { queue },
            Action::Top { queue },
            Action::Size { queue },
        ];
        let results = [
            Ok(Answer::Queue(i64::MAX)),
            Ok(Answer::Destroyed),
            Ok(Answer::Label(Some(7))),
            Ok(Answer::Label(None)),
            Ok(Answer::Pushed),
            Ok(Answer::Item(Some(-1))),
            Ok(Answer::Item(None)),
            Ok(Answer::Size(u64::MAX)),
            not_found,
            Err(Rejection::QueuesFull { limit: 3 }),
            Err(Rejection::ItemsFull { limit: 5 }),
            Err(Rejection::RequestReused),
            Err(Rejection::RequestForgotten { through: None }),
        ];
        let mut fitting = 0;
        for action in actions {
            for result in results {
                let Some(kept) = Kept::new(2, 9, action, result) else {
                    continue;
                };
                fitting += 1;
                assert_eq!((kept.number, kept.sequence), (2, 9));
                assert_eq!((kept.action(), kept.result(limits)), (action, result));
                let asked = actions.iter().filter(|other| kept.is_of(**other));
                assert_eq!(asked.collect::<Vec<_>>(), [&action]);
            }
        }
        // Each action's answers: 1 + 1 + 2 + 1 + 2 + 2 + 1; its rejections: 1 + 1 + 0 + 2 + 1 + 1 + 1.
        assert_eq!(fitting, 10 + 7);
        let other = Err(Rejection::QueueNotFound { queue: 8 });
        assert!(Kept::new(1, 1, Action::Pop { queue }, other).is_none());
    }

    #[test]
    fn an_answer_takes_no_more_than_it_is_said_to() {
        assert_eq!(size_of::<Kept>(), 40);
    }
}
