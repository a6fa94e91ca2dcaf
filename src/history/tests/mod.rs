//! Both checks against one that tries every order.

mod exhaustive;
mod random_histories;
mod retried;

use self::exhaustive::{Model, Trust, is_possible};
use self::random_histories::{Kind, Random, history, mutate};
use super::{Call, Class, Outcome, Tries, patterns, witness};
use crate::queue::{Action, Answer};

/// How many histories of each kind are tried, right and mutated.
const HISTORIES: u64 = 20_000;

/// How many histories of a kind were possible and impossible, and how many of the impossible were found.
#[derive(Default, Debug)]
struct Seen {
    possible: usize,
    impossible: usize,
    found: usize,
}

/// Whether the check's word is the exhaustive one's: on right histories, and on what chance makes of them.
fn compare(kind: Kind, trust: Trust, check: impl Fn(&[Call]) -> bool) -> Seen {
    let mut seen = Seen::default();
    for seed in 0..HISTORIES {
        let mut random = Random(seed);
        let mut calls = history(&mut random, kind);
        assert!(!check(&calls), "a right history, seed {seed}: {calls:#?}");
        for _ in 0..random.below(5) {
            mutate(&mut random, &mut calls);
        }
        let before = if trust == Trust::Nothing && kind.is_of_one_queue() {
            // The pattern check is told nothing of queues, so here there is one, from the start.
            calls.retain(|call| matches!(call.action, Action::Push { .. } | Action::Pop { .. }));
            Model::with_a_queue()
        } else {
            Model::default()
        };
        let (possible, found) = (is_possible(&calls, trust, before), check(&calls));
        assert!(!(possible && found), "seed {seed} is found and possible: {calls:#?}");
        seen.possible += usize::from(possible);
        seen.impossible += usize::from(!possible);
        seen.found += usize::from(found);
        // A history that begins later says nothing of the queues that were there before.
        let exact = match trust {
            Trust::Nothing => kind == Kind::PushAndPop,
            Trust::Sequences => kind.is_exact() && begins_at_one(&calls),
        };
        if exact {
            assert_eq!(found, !possible, "seed {seed} is not found: {calls:#?}");
        }
    }
    println!("{kind:?}, {trust:?}: {seen:?}");
    assert!(seen.possible > HISTORIES as usize / 10, "{seen:?}");
    assert!(seen.impossible > HISTORIES as usize / 10, "{seen:?}");
    seen
}

fn begins_at_one(calls: &[Call]) -> bool {
    calls.iter().any(|call| matches!(call.outcome, Outcome::Executed { sequence: 1, .. }))
}

fn witnessed(calls: &[Call]) -> bool {
    !witness(calls, false).is_empty()
}

fn patterned(calls: &[Call]) -> bool {
    !patterns(calls).is_empty()
}

#[test]
fn the_witness_check_finds_exactly_what_is_impossible() {
    compare(Kind::AllOperations, Trust::Sequences, witnessed);
    compare(Kind::PushAndPop, Trust::Sequences, witnessed);
}

#[test]
fn the_witness_check_is_sound_with_unknown_outcomes_and_finds_most() {
    for kind in [Kind::PushAndPopUnknown, Kind::AllOperationsUnknown] {
        let seen = compare(kind, Trust::Sequences, witnessed);
        assert!(seen.found * 2 > seen.impossible, "{seen:?}");
    }
}

#[test]
fn the_pattern_check_finds_exactly_what_no_order_explains() {
    compare(Kind::PushAndPop, Trust::Nothing, patterned);
}

#[test]
fn the_pattern_check_is_sound_with_other_operations_and_unknown_outcomes() {
    for kind in [Kind::AllOperations, Kind::PushAndPopUnknown, Kind::AllOperationsUnknown] {
        let seen = compare(kind, Trust::Nothing, patterned);
        assert!(seen.found > 0, "{seen:?}");
    }
}

/// A history of one client, a call after the other, that pushes and pops; the answers are given.
fn pops(answers: &[Option<i64>]) -> Vec<Call> {
    let call = |place: usize, action, answer| {
        let (invoked, sequence) = (10 * place as u64, place as u64 + 1);
        let outcome = Outcome::Executed { sequence, result: Ok(answer) };
        Call { action, invoked, returned: Some(invoked + 5), outcome, tries: Tries::ONE }
    };
    let mut calls = vec![call(0, Action::Create { label: 7 }, Answer::Queue(1))];
    for item in 1..=answers.len() as i64 {
        calls.push(call(calls.len(), Action::Push { queue: 1, item }, Answer::Pushed));
    }
    for answer in answers {
        calls.push(call(calls.len(), Action::Pop { queue: 1 }, Answer::Item(*answer)));
    }
    calls
}

#[test]
fn findings_have_the_class_that_a_person_would_give_them() {
    for (answers, expected) in [
        (
            vec![Some(1), Some(2), Some(3)],
            "0 lost, 0 duplicated, 0 unexpected, 0 reordered, 0 stale",
        ),
        (vec![Some(1), Some(3), None], "1 lost, 0 duplicated, 0 unexpected, 0 reordered, 0 stale"),
        (
            vec![Some(1), Some(2), Some(2)],
            "0 lost, 1 duplicated, 0 unexpected, 0 reordered, 0 stale",
        ),
        (
            vec![Some(1), Some(9), Some(2)],
            "0 lost, 0 duplicated, 1 unexpected, 0 reordered, 0 stale",
        ),
        (
            vec![Some(2), Some(1), Some(3)],
            "0 lost, 0 duplicated, 0 unexpected, 1 reordered, 0 stale",
        ),
        (vec![None, Some(1), Some(2)], "1 lost, 0 duplicated, 0 unexpected, 0 reordered, 2 stale"),
    ] {
        let findings = witness(&pops(&answers), false);
        assert_eq!(findings.to_string(), expected, "{answers:?}");
        assert_eq!(patterns(&pops(&answers)).is_empty(), findings.is_empty(), "{answers:?}");
    }
}

#[test]
fn what_is_wrong_in_every_call_is_found_as_fast() {
    // A long queue, and pops of what was never pushed: half an hour if each searched the queue.
    let mut calls = pops(&vec![None; 100_000]);
    for (place, call) in calls.iter_mut().enumerate().skip(100_001) {
        if let Outcome::Executed { result, .. } = &mut call.outcome {
            *result = Ok(Answer::Item(Some(-(place as i64))));
        }
    }
    assert_eq!(witness(&calls, false).count(Class::Unexpected), 100_000);
    assert_eq!(patterns(&calls).count(Class::Unexpected), 100_000);
}

#[test]
fn a_million_calls_are_no_burden() {
    // Each of many queues is filled and emptied, all mixed; 0.5 s in an optimised build.
    let mut calls = Vec::new();
    let mut add = |action, answer| {
        let (invoked, sequence) = (10 * calls.len() as u64, calls.len() as u64 + 1);
        let outcome = Outcome::Executed { sequence, result: Ok(answer) };
        calls.push(Call {
            action,
            invoked,
            returned: Some(invoked + 25),
            outcome,
            tries: Tries::ONE,
        });
    };
    for label in 1..=16 {
        add(Action::Create { label }, Answer::Queue(label));
    }
    for item in 0..200_000 {
        add(Action::Push { queue: item % 16 + 1, item }, Answer::Pushed);
        if item >= 1_000 {
            let (queue, item) = ((item - 1_000) % 16 + 1, item - 1_000);
            add(Action::Pop { queue }, Answer::Item(Some(item)));
        }
    }
    assert!(witness(&calls, false).is_empty());
    assert!(patterns(&calls).is_empty());
}
