//! The state machine, alone and against a model that is too simple to be wrong.

use super::*;
use crate::test_tools::Random;

const SMALL: Limits = Limits { queues: 3, items: 5, ..Limits::DEFAULT };

fn plain(action: Action) -> Operation {
    Operation::new(action, None)
}

/// What came of an action; asserts that it took the next sequence.
fn apply(queues: &mut Queues, action: Action) -> Result<Answer, Rejection> {
    let before = queues.sequence();
    let executed = queues.apply(&plain(action));
    assert_eq!(executed.sequence, before + 1);
    assert_eq!(queues.sequence(), before + 1);
    assert!(!executed.duplicate);
    executed.result
}

#[test]
fn items_leave_a_queue_in_the_order_in_which_they_came() {
    let mut queues = Queues::new(SMALL);
    assert_eq!(apply(&mut queues, Action::Create { label: -7 }), Ok(Answer::Queue(1)));
    for item in [i64::MIN, 0, i64::MAX] {
        assert_eq!(apply(&mut queues, Action::Push { queue: 1, item }), Ok(Answer::Pushed));
    }
    assert_eq!(apply(&mut queues, Action::Size { queue: 1 }), Ok(Answer::Size(3)));
    for item in [Some(i64::MIN), Some(0), Some(i64::MAX), None] {
        assert_eq!(apply(&mut queues, Action::Top { queue: 1 }), Ok(Answer::Item(item)));
        assert_eq!(apply(&mut queues, Action::Pop { queue: 1 }), Ok(Answer::Item(item)));
    }
    assert_eq!(apply(&mut queues, Action::Size { queue: 1 }), Ok(Answer::Size(0)));
}

#[test]
fn a_label_names_one_queue_and_an_id_is_never_used_again() {
    let mut queues = Queues::new(SMALL);
    assert_eq!(apply(&mut queues, Action::Id { label: 9 }), Ok(Answer::Label(None)));
    assert_eq!(apply(&mut queues, Action::Create { label: 9 }), Ok(Answer::Queue(1)));
    assert_eq!(apply(&mut queues, Action::Create { label: 9 }), Ok(Answer::Queue(1)));
    assert_eq!(apply(&mut queues, Action::Create { label: 8 }), Ok(Answer::Queue(2)));
    assert_eq!(apply(&mut queues, Action::Id { label: 8 }), Ok(Answer::Label(Some(2))));
    assert_eq!(apply(&mut queues, Action::Destroy { queue: 2 }), Ok(Answer::Destroyed));
    assert_eq!(apply(&mut queues, Action::Id { label: 8 }), Ok(Answer::Label(None)));
    assert_eq!(apply(&mut queues, Action::Create { label: 8 }), Ok(Answer::Queue(3)));
    assert_eq!(apply(&mut queues, Action::Id { label: 9 }), Ok(Answer::Label(Some(1))));
}

#[test]
fn an_unknown_queue_is_rejected_at_its_place_in_the_order() {
    let mut queues = Queues::new(SMALL);
    for queue in [0, 1, -1, i64::MIN, i64::MAX] {
        for action in [
            Action::Destroy { queue },
            Action::Push { queue, item: 1 },
            Action::Pop { queue },
            Action::Top { queue },
            Action::Size { queue },
        ] {
            assert_eq!(apply(&mut queues, action), Err(Rejection::QueueNotFound { queue }));
        }
    }
    assert_eq!(queues.sequence(), 25);
}

#[test]
fn full_queues_reject_what_would_add_and_nothing_else() {
    let mut queues = Queues::new(SMALL);
    for label in 1..=3 {
        assert_eq!(apply(&mut queues, Action::Create { label }), Ok(Answer::Queue(label)));
    }
    let full = Err(Rejection::QueuesFull { limit: 3 });
    assert_eq!(apply(&mut queues, Action::Create { label: 4 }), full);
    assert_eq!(apply(&mut queues, Action::Create { label: 3 }), Ok(Answer::Queue(3)));

    for item in 0..5 {
        let queue = 1 + item % 2;
        assert_eq!(apply(&mut queues, Action::Push { queue, item }), Ok(Answer::Pushed));
    }
    let full = Err(Rejection::ItemsFull { limit: 5 });
    let not_found = Err(Rejection::QueueNotFound { queue: 9 });
    assert_eq!(apply(&mut queues, Action::Push { queue: 3, item: 1 }), full);
    assert_eq!(apply(&mut queues, Action::Push { queue: 9, item: 1 }), not_found);

    // A removed item makes room for one; a destroyed queue of three items for three, and for a queue.
    assert_eq!(apply(&mut queues, Action::Pop { queue: 2 }), Ok(Answer::Item(Some(1))));
    assert_eq!(apply(&mut queues, Action::Push { queue: 3, item: 1 }), Ok(Answer::Pushed));
    assert_eq!(apply(&mut queues, Action::Push { queue: 3, item: 1 }), full);
    assert_eq!(apply(&mut queues, Action::Destroy { queue: 1 }), Ok(Answer::Destroyed));
    for item in 0..3 {
        assert_eq!(apply(&mut queues, Action::Push { queue: 3, item }), Ok(Answer::Pushed));
    }
    assert_eq!(apply(&mut queues, Action::Push { queue: 3, item: 1 }), full);
    // The rejected create used up no id.
    assert_eq!(apply(&mut queues, Action::Create { label: 4 }), Ok(Answer::Queue(4)));
}

/// Queues as a list of (id, label, items), searched from its start each time.
#[derive(Default)]
struct Model {
    last_id: i64,
    queues: Vec<(i64, i64, Vec<i64>)>,
}

impl Model {
    fn apply(&mut self, limits: Limits, action: Action) -> Result<Answer, Rejection> {
        let total = self.queues.iter().map(|(_, _, items)| items.len() as u64).sum::<u64>();
        let room = total < limits.items;
        match action {
            Action::Create { label } => {
                if let Some((id, _, _)) = self.queues.iter().find(|queue| queue.1 == label) {
                    return Ok(Answer::Queue(*id));
                }
                if self.queues.len() as u64 == limits.queues {
                    return Err(Rejection::QueuesFull { limit: limits.queues });
                }
                self.last_id += 1;
                self.queues.push((self.last_id, label, Vec::new()));
                Ok(Answer::Queue(self.last_id))
            }
            Action::Id { label } => {
                let found = self.queues.iter().find(|queue| queue.1 == label);
                Ok(Answer::Label(found.map(|queue| queue.0)))
            }
            Action::Destroy { queue } => {
                self.items(queue)?;
                self.queues.retain(|(id, _, _)| *id != queue);
                Ok(Answer::Destroyed)
            }
            Action::Push { queue, item } => {
                let items = self.items(queue)?;
                if !room {
                    return Err(Rejection::ItemsFull { limit: limits.items });
                }
                items.push(item);
                Ok(Answer::Pushed)
            }
            Action::Pop { queue } => {
                let items = self.items(queue)?;
                Ok(Answer::Item((!items.is_empty()).then(|| items.remove(0))))
            }
            Action::Top { queue } => Ok(Answer::Item(self.items(queue)?.first().copied())),
            Action::Size { queue } => Ok(Answer::Size(self.items(queue)?.len() as u64)),
        }
    }

    fn items(&mut self, id: i64) -> Result<&mut Vec<i64>, Rejection> {
        let found = self.queues.iter_mut().find(|queue| queue.0 == id);
        found.map(|queue| &mut queue.2).ok_or(Rejection::QueueNotFound { queue: id })
    }
}

fn random_action(random: &mut Random) -> Action {
    let label = random.below(7).cast_signed() - 2;
    let item = random.next().cast_signed();
    let queue = random.below(30).cast_signed();
    match random.below(20) {
        0..3 => Action::Create { label },
        3 => Action::Destroy { queue },
        4 => Action::Id { label },
        5..12 => Action::Push { queue, item },
        12..17 => Action::Pop { queue },
        17 => Action::Top { queue },
        _ => Action::Size { queue },
    }
}

#[test]
fn answers_are_those_of_the_model() {
    for seed in 0..50 {
        let mut random = Random::new(seed);
        let (queues, items) = (1 + random.below(5), 1 + random.below(20));
        let limits = Limits { queues, items, ..Limits::DEFAULT };
        let (mut queues, mut model) = (Queues::new(limits), Model::default());
        for _ in 0..1_000 {
            let action = random_action(&mut random);
            assert_eq!(apply(&mut queues, action), model.apply(limits, action), "seed {seed}");
        }
    }
}

#[test]
fn equal_histories_have_equal_digests_at_every_step() {
    let mut random = Random::new(1);
    let (mut one, mut other) = (Queues::new(Limits::DEFAULT), Queues::new(Limits::DEFAULT));
    for _ in 0..2_000 {
        let action = random_action(&mut random);
        assert_eq!(one.digest(), other.digest());
        assert_eq!(apply(&mut one, action), apply(&mut other, action));
    }
}

/// States of one sequence that differ in a single thing.
#[test]
fn different_states_have_different_digests() {
    let read = Action::Id { label: 0 };
    let create = |label| Action::Create { label };
    let push = |queue, item| Action::Push { queue, item };
    let pop = Action::Pop { queue: 1 };
    let histories: [&[Action]; 12] = [
        &[],
        &[read],
        &[create(1), read, read, read, read],
        &[create(2), read, read, read, read],
        &[create(1), create(2), read, read, read],
        &[create(1), create(2), push(1, 5), read, read],
        &[create(1), create(2), push(2, 5), read, read],
        &[create(1), create(2), push(1, 5), push(1, 6), read],
        &[create(1), create(2), push(1, 6), push(1, 5), read],
        &[create(1), create(2), push(1, 6), push(1, 5), pop],
        // The same but for the next id.
        &[create(1), Action::Destroy { queue: 1 }, read, read, read],
        &[read, read, read, read, read],
    ];
    let digests = histories.map(|history| {
        let mut queues = Queues::new(SMALL);
        for action in history {
            assert!(apply(&mut queues, *action).is_ok());
        }
        queues.digest()
    });
    for (index, digest) in digests.iter().enumerate() {
        // The tenth ends in the state of the sixth, on purpose: a digest is of the state, not of the history.
        let twin = digests.iter().position(|other| other == digest);
        assert_eq!(twin, Some(if index == 9 { 5 } else { index }));
    }
}

/// Replicas of different builds compare digests.
#[test]
fn the_digest_is_this_number() {
    let mut queues = Queues::new(Limits::DEFAULT);
    for action in [Action::Create { label: -1 }, Action::Push { queue: 1, item: 42 }] {
        assert!(apply(&mut queues, action).is_ok());
    }
    assert_eq!(queues.digest(), 0x91b8_2b8a_2d45_b056);
}
