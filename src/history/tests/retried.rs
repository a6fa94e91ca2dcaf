//! Histories of callers that try again under one name.

use super::exhaustive::Model;
use super::random_histories::Random;
use crate::history::{Call, Class, Outcome, Tries, patterns, witness};
use crate::queue::{Action, Answer, Rejection};

/// How a request is tried, and what its lines say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// Once.
    Once,
    /// One line; a second try comes after the answer, or never.
    SecondIsLate,
    /// One line; the first try is executed, the second is answered.
    SecondIsAnswered,
    /// A line for each of two tries, both answered.
    Both,
    /// A line for each; the first is executed, and its answer is lost.
    FirstIsLost,
    /// One line of two tries, both lost.
    AllLost,
    /// Another operation comes by the same name.
    Reused,
}

const MANNERS: [Manner; 7] = [
    Manner::Once,
    Manner::SecondIsLate,
    Manner::SecondIsAnswered,
    Manner::Both,
    Manner::FirstIsLost,
    Manner::AllLost,
    Manner::Reused,
];

/// One place in the order: when, of which request, and whether it is the one of its execution.
struct Place {
    at: u64,
    request: usize,
    executes: bool,
}

/// A history that a right service can have given.
fn history(random: &mut Random) -> Vec<Call> {
    let count = 3 + random.below(8) as usize;
    let mut requests = Vec::new();
    let mut places = Vec::new();
    for request in 0..count {
        let action = match (request, random.below(4)) {
            (0, _) => Action::Create { label: 1 },
            (_, 0 | 1) => Action::Push { queue: 1, item: request as i64 },
            (_, 2) => Action::Pop { queue: 1 },
            _ => Action::Size { queue: 1 },
        };
        let manner = if request == 0 {
            Manner::Once
        } else {
            MANNERS[random.below(MANNERS.len() as u64) as usize]
        };
        // No two places are at one time.
        let first = 1_000 * (request as u64 + 1) + request as u64;
        let second = first + 100 + 1_000 * random.below(4) + 50;
        places.push(Place { at: first, request, executes: true });
        let never =
            matches!(manner, Manner::SecondIsLate | Manner::AllLost) && random.below(2) == 0;
        if manner != Manner::Once && !never {
            places.push(Place { at: second, request, executes: false });
        }
        requests.push((action, manner, first, second));
    }
    places.sort_unstable_by_key(|place| place.at);
    let mut model = Model::default();
    let mut outcomes = vec![None; count];
    let mut sequences = vec![0; count];
    for (sequence, place) in (1..).zip(&places) {
        if place.executes {
            let result = model.apply(requests[place.request].0);
            outcomes[place.request] = Some(Outcome::Executed { sequence, result });
        } else {
            sequences[place.request] = sequence;
        }
    }
    let mut calls = Vec::new();
    for (request, (action, manner, first, second)) in requests.into_iter().enumerate() {
        let outcome = outcomes[request].expect("each is executed");
        let mut around = |at: u64| (at - 1 - random.below(900), Some(at + 1 + random.below(900)));
        let ((began, answered), (again, answered_again)) = (around(first), around(second));
        let mut add = |invoked, returned, outcome, count, duplicate| {
            let tries = Tries { count, duplicate };
            calls.push(Call { action, invoked, returned, outcome, tries });
        };
        match manner {
            Manner::Once => add(began, answered, outcome, 1, false),
            Manner::SecondIsLate => add(began, answered, outcome, 2, false),
            Manner::SecondIsAnswered => add(began, answered_again, outcome, 2, true),
            Manner::Both => {
                add(again, answered_again, outcome, 1, true);
                add(began, answered, outcome, 1, false);
            }
            Manner::FirstIsLost => {
                add(again, answered_again, outcome, 1, true);
                add(began, None, Outcome::Unknown, 1, false);
            }
            Manner::AllLost => add(began, None, Outcome::Unknown, 2, false),
            Manner::Reused => {
                add(began, answered, outcome, 1, false);
                let (sequence, result) = (sequences[request], Err(Rejection::RequestReused));
                let outcome = Outcome::Executed { sequence, result };
                let (action, tries) = (Action::Push { queue: 1, item: -1 }, Tries::ONE);
                let (invoked, returned) = (again, answered_again);
                calls.push(Call { action, invoked, returned, outcome, tries });
            }
        }
    }
    calls
}

#[test]
fn tries_of_one_name_are_one_call() {
    let (mut duplicates, mut apart) = (0, 0);
    for seed in 0..20_000 {
        let calls = history(&mut Random(seed));
        for findings in [witness(&calls, false), witness(&calls, true), patterns(&calls)] {
            let told: Vec<_> = findings.each().collect();
            assert!(findings.is_empty(), "seed {seed}: {told:#?} of {calls:#?}");
        }
        // What is said of tries is what makes it right.
        let mut untold = calls.clone();
        untold.iter_mut().for_each(|call| call.tries = Tries::ONE);
        if calls.iter().any(|call| call.tries.duplicate) {
            duplicates += 1;
            apart += usize::from(!witness(&untold, false).is_empty());
        }
    }
    assert!(duplicates > 10_000 && apart > duplicates / 2, "{apart} of {duplicates}");
}

/// A queue with two items, pushed and popped; the second push is answered again by a line of its own, the last.
fn pushed_again() -> Vec<Call> {
    let answers = [
        (Action::Create { label: 7 }, 1, Answer::Queue(1), false),
        (Action::Push { queue: 1, item: 5 }, 2, Answer::Pushed, false),
        (Action::Push { queue: 1, item: 6 }, 3, Answer::Pushed, false),
        (Action::Pop { queue: 1 }, 5, Answer::Item(Some(5)), false),
        (Action::Pop { queue: 1 }, 6, Answer::Item(Some(6)), false),
        (Action::Push { queue: 1, item: 6 }, 3, Answer::Pushed, true),
    ];
    let call = |(place, (action, sequence, answer, duplicate))| {
        let invoked = 10 * place as u64;
        let outcome = Outcome::Executed { sequence, result: Ok(answer) };
        let tries = Tries { count: 1, duplicate };
        Call { action, invoked, returned: Some(invoked + 5), outcome, tries }
    };
    let mut calls: Vec<_> = answers.into_iter().enumerate().map(call).collect();
    // The second try was under way for long.
    calls[5].invoked = 21;
    calls
}

#[test]
fn what_tries_do_not_explain_is_found() {
    type Change = fn(&mut Vec<Call>);
    let right: Change = |_| {};
    let table: [(Change, Option<Class>); 8] = [
        (right, None),
        // The answer of neither is said to be the first's.
        (|calls| calls[5].tries.duplicate = false, Some(Class::Duplicated)),
        // The same name with another item, or another answer.
        (|calls| calls[5].action = Action::Push { queue: 1, item: 7 }, Some(Class::Duplicated)),
        (
            |calls| {
                let result = Err(Rejection::QueueNotFound { queue: 1 });
                calls[5].outcome = Outcome::Executed { sequence: 3, result };
            },
            Some(Class::Duplicated),
        ),
        // The duplicate is answered before the first is asked.
        (|calls| (calls[5].invoked, calls[5].returned) = (1, Some(2)), Some(Class::Duplicated)),
        // Sequence 4 is nobody's without the second try.
        (|calls| calls.truncate(5), Some(Class::Unexpected)),
        // The second try began too late to have it.
        (|calls| (calls[5].invoked, calls[5].returned) = (50, Some(60)), Some(Class::Unexpected)),
        // It was executed again, and the item came again.
        (
            |calls| {
                let mut again = calls[4].clone();
                again.outcome =
                    Outcome::Executed { sequence: 7, result: Ok(Answer::Item(Some(6))) };
                (again.invoked, again.returned) = (60, Some(61));
                calls.push(again);
            },
            Some(Class::Duplicated),
        ),
    ];
    for (number, (change, class)) in table.into_iter().enumerate() {
        let mut calls = pushed_again();
        change(&mut calls);
        let findings = witness(&calls, false);
        assert_eq!(findings.each().next().map(|finding| finding.class), class, "change {number}");
    }
}

#[test]
fn findings_name_the_lines_of_the_history() {
    let mut calls = pushed_again();
    let duplicate = calls.pop().unwrap();
    calls.insert(0, duplicate);
    let result = Ok(Answer::Item(Some(9)));
    calls[5].outcome = Outcome::Executed { sequence: 6, result };
    for findings in [witness(&calls, false), patterns(&calls)] {
        let finding = findings.each().next().unwrap();
        assert_eq!(finding.calls, [5], "{finding:?}");
    }
}
