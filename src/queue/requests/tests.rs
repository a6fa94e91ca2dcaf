//! The table by itself, against a model that is too simple to be wrong, and in memory.

use super::*;
use crate::queue::{Operation, QueueId, Queues};
use crate::test_tools::Random;

/// As few as may be: of one client 3, of all together 7.
const TINY: Limits = Limits { queues: 3, items: 5, answers: 7, answers_of_client: 3 };

fn named(client: &str, number: u64, action: Action) -> Operation {
    let request = RequestName { client: client.into(), number };
    // Asked so late that nobody was forgotten since.
    Operation { action, request: Some(request), unknown_at: u64::MAX }
}

fn first(sequence: u64, result: Result<Answer, Rejection>) -> Executed {
    Executed { sequence, duplicate: false, result }
}

fn again(sequence: u64, result: Result<Answer, Rejection>) -> Executed {
    Executed { sequence, duplicate: true, result }
}

fn forgotten(sequence: u64, through: Option<u64>) -> Executed {
    first(sequence, Err(Rejection::RequestForgotten { through }))
}

const CREATE: Action = Action::Create { label: 7 };
const POP: Action = Action::Pop { queue: 1 };
const SIZE: Action = Action::Size { queue: 1 };

fn push(item: i64) -> Action {
    Action::Push { queue: 1, item }
}

#[test]
fn a_name_is_executed_once_and_its_answer_repeated() {
    let mut queues = Queues::new(TINY);
    let mut ask = |client, number, action| queues.apply(&named(client, number, action));
    assert_eq!(ask("a", 1, CREATE), first(1, Ok(Answer::Queue(1))));
    assert_eq!(ask("a", 2, push(5)), first(2, Ok(Answer::Pushed)));
    assert_eq!(ask("a", 2, push(5)), again(2, Ok(Answer::Pushed)));
    assert_eq!(ask("b", 1, SIZE), first(4, Ok(Answer::Size(1))));
    assert_eq!(ask("b", 2, POP), first(5, Ok(Answer::Item(Some(5)))));
    // The answers are those of then, whatever has happened since.
    assert_eq!(ask("b", 1, SIZE), again(4, Ok(Answer::Size(1))));
    assert_eq!(ask("b", 2, POP), again(5, Ok(Answer::Item(Some(5)))));
    assert_eq!(ask("a", 1, CREATE), again(1, Ok(Answer::Queue(1))));
    let not_found = Err(Rejection::QueueNotFound { queue: 9 });
    assert_eq!(ask("b", 3, Action::Pop { queue: 9 }), first(9, not_found));
    assert_eq!(ask("b", 3, Action::Pop { queue: 9 }), again(9, not_found));
}

#[test]
fn a_name_is_for_one_action() {
    let mut queues = Queues::new(TINY);
    let mut ask = |client, number, action| queues.apply(&named(client, number, action));
    assert_eq!(ask("a", 1, CREATE), first(1, Ok(Answer::Queue(1))));
    assert_eq!(ask("a", 2, push(5)), first(2, Ok(Answer::Pushed)));
    let reused = Err(Rejection::RequestReused);
    assert_eq!(ask("a", 2, push(6)), first(3, reused));
    assert_eq!(ask("a", 2, POP), first(4, reused));
    assert_eq!(ask("a", 2, push(5)), again(2, Ok(Answer::Pushed)));
    assert_eq!(ask("a", 3, SIZE), first(6, Ok(Answer::Size(1))));
}

#[test]
fn numbers_may_leave_gaps_and_come_in_any_order_among_the_last() {
    let mut queues = Queues::new(TINY);
    let mut ask = |number| queues.apply(&named("a", number, Action::Id { label: 1 }));
    let none = Ok(Answer::Label(None));
    assert_eq!(ask(1), first(1, none));
    assert_eq!(ask(9), first(2, none));
    assert_eq!(ask(5), first(3, none));
    // One more than are kept: the lowest falls out.
    assert_eq!(ask(7), first(4, none));
    assert_eq!(ask(1), forgotten(5, Some(1)));
    // What was not asked before, and is past what is forgotten, is executed; it may fall out at once.
    assert_eq!(ask(3), first(6, none));
    assert_eq!(ask(3), forgotten(7, Some(3)));
    assert_eq!(ask(2), forgotten(8, Some(3)));
    for (number, sequence) in [(5, 3), (7, 4), (9, 2)] {
        assert_eq!(ask(number), again(sequence, none));
    }
    assert_eq!(ask(u64::MAX), first(12, none));
    assert_eq!(ask(5), forgotten(13, Some(5)));
}

#[test]
fn the_client_that_was_not_used_for_longest_is_forgotten_first() {
    let mut queues = Queues::new(TINY);
    let mut ask = |client, number| queues.apply(&named(client, number, Action::Id { label: 1 }));
    let none = Ok(Answer::Label(None));
    for (sequence, (client, number)) in
        [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3), ("c", 1), ("c", 2)].iter().enumerate()
    {
        assert_eq!(ask(client, *number), first(sequence as u64 + 1, none));
    }
    // An answer that is repeated is a use; a refusal is none.
    assert_eq!(ask("a", 1), again(1, none));
    assert_eq!(ask("d", 2), forgotten(9, None));
    assert_eq!(ask("d", 1), first(10, none));
    assert_eq!(ask("b", 3), forgotten(11, None));
    assert_eq!(ask("b", 4), forgotten(12, None));
    assert_eq!(ask("c", 2), again(7, none));
    assert_eq!(ask("a", 2), again(2, none));
    // There was room for three answers once b was gone, and one is taken.
    assert_eq!(ask("d", 2), first(15, none));
    assert_eq!(ask("d", 3), first(16, none));
    assert_eq!(ask("e", 1), first(17, none));
    assert_eq!(ask("c", 2), forgotten(18, None));
    assert_eq!(ask("a", 1), again(1, none));
    // The hole that is left: asked again once it is forgotten as a whole, it looks like a new client.
    assert_eq!(ask("c", 1), first(20, none));
}

#[test]
fn a_first_request_that_comes_late_is_not_executed_again() {
    let mut queues = Queues::new(TINY);
    let late = Operation { unknown_at: 0, ..named("a", 1, CREATE) };
    queues.apply(&late);
    // Those that come in time are executed, however many others are forgotten.
    for client in 0..9 {
        let sequence = queues.sequence();
        let other = Operation { unknown_at: sequence, ..named(&client.to_string(), 1, CREATE) };
        assert_eq!(queues.apply(&other), first(sequence + 1, Ok(Answer::Queue(1))));
    }
    assert_eq!(queues.apply(&late), forgotten(11, None));
}

#[test]
fn a_first_request_says_when_its_client_was_unknown() {
    let mut queues = Queues::new(TINY);
    let marked = |queues: &Queues, client, number| {
        let mut operation = named(client, number, CREATE);
        queues.mark(&mut operation);
        operation.unknown_at
    };
    queues.apply(&Operation::new(CREATE, None));
    assert_eq!((marked(&queues, "a", 1), marked(&queues, "a", 2)), (1, 0));
    queues.apply(&named("a", 1, CREATE));
    assert_eq!((marked(&queues, "a", 1), marked(&queues, "b", 1)), (0, 2));
}

#[test]
fn what_has_no_name_is_executed_each_time() {
    let mut queues = Queues::new(TINY);
    queues.apply(&Operation::new(CREATE, None));
    for sequence in 2..5 {
        let executed = queues.apply(&Operation::new(push(1), None));
        assert_eq!(executed, first(sequence, Ok(Answer::Pushed)));
    }
}

/// The table as a list of clients in the order of their use, searched from its start each time.
#[derive(Default)]
struct Model {
    clients: Vec<ModelClient>,
    /// When the client was last used that was forgotten last.
    forgotten: u64,
}

struct ModelClient {
    name: String,
    last_used: u64,
    through: u64,
    answers: Vec<AnswerRecord>,
}

impl Model {
    /// Gives what must come of a request, where it must not be executed.
    fn judge(
        &mut self,
        name: &RequestName,
        operation: &Operation,
        sequence: u64,
    ) -> Option<Executed> {
        let Some(place) = self.clients.iter().position(|client| client.name == *name.client) else {
            let begins = name.number == 1 && operation.unknown_at >= self.forgotten;
            return (!begins).then(|| forgotten(sequence, None));
        };
        let ModelClient { through, answers, .. } = &self.clients[place];
        match answers.iter().find(|answer| answer.number == name.number) {
            Some(answer) if answer.action == operation.action => {
                let executed = again(answer.sequence, answer.result);
                let client = self.clients.remove(place);
                self.clients.push(ModelClient { last_used: sequence, ..client });
                Some(executed)
            }
            Some(_) => Some(first(sequence, Err(Rejection::RequestReused))),
            None if name.number <= *through => Some(forgotten(sequence, Some(*through))),
            None => None,
        }
    }

    fn keep(&mut self, limits: Limits, client: &str, answer: AnswerRecord) {
        let place = self.clients.iter().position(|known| known.name == client);
        let known = place.map(|place| self.clients.remove(place));
        let mut known = known.unwrap_or_else(|| ModelClient {
            name: client.to_owned(),
            last_used: 0,
            through: 0,
            answers: Vec::new(),
        });
        known.last_used = answer.sequence;
        known.answers.push(answer);
        known.answers.sort_by_key(|answer| answer.number);
        if known.answers.len() as u64 > limits.answers_of_client {
            known.through = known.answers.remove(0).number;
        }
        self.clients.push(known);
        let kept = |client: &ModelClient| client.answers.len() as u64;
        while self.clients.iter().map(kept).sum::<u64>() > limits.answers {
            self.forgotten = self.clients.remove(0).last_used;
        }
    }
}

fn random_limits(random: &mut Random) -> Limits {
    let answers_of_client = 1 + random.below(5);
    Limits { answers: answers_of_client + random.below(12), answers_of_client, ..TINY }
}

fn random_operation(random: &mut Random, next: &mut [u64]) -> Operation {
    let queue: QueueId = 1 + random.below(3).cast_signed();
    let item = random.below(3).cast_signed();
    let action = match random.below(8) {
        0 | 1 => Action::Create { label: queue },
        2 => Action::Destroy { queue },
        3 => Action::Id { label: queue },
        4 | 5 => Action::Push { queue, item },
        6 => Action::Pop { queue },
        _ => Action::Size { queue },
    };
    let client = random.index(next.len());
    let number = match random.below(10) {
        0 => 1,
        // Again, of what was or was not asked.
        1..5 => next[client].saturating_sub(random.below(7)).max(1),
        _ => {
            next[client] += 1 + random.below(8) / 6;
            next[client]
        }
    };
    match random.below(12) {
        0 => Operation::new(action, None),
        1 => named(&format!("client {client}"), number, action),
        // One number is for one action, mostly.
        _ => named(&format!("client {client}"), number, push(number.cast_signed() % 3)),
    }
}

/// The queues execute what the model says is to be executed, and nothing else: another that is given just that, without
/// names, gives the same answers.
#[test]
fn named_requests_are_executed_as_the_model_says() {
    let (mut executed, mut repeated, mut reused, mut forgot, mut unknown) = (0, 0, 0, 0, 0);
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let limits = random_limits(&mut random);
        let (mut queues, mut bare) = (Queues::new(limits), Queues::new(limits));
        let mut model = Model::default();
        let mut next = vec![0; 1 + random.index(8)];
        for _ in 0..600 {
            let mut operation = random_operation(&mut random, &mut next);
            operation.unknown_at = queues.sequence().saturating_sub(random.below(40));
            let sequence = queues.sequence() + 1;
            let answer = queues.apply(&operation);
            assert_eq!(queues.sequence(), sequence, "every operation takes one");
            let name = operation.request.as_ref();
            let judged = name.and_then(|name| model.judge(name, &operation, sequence));
            let expected = judged.unwrap_or_else(|| {
                let unnamed = Operation::new(operation.action, None);
                let result = bare.apply(&unnamed).result;
                if let Some(name) = name {
                    let RequestName { number, .. } = *name;
                    let kept = AnswerRecord { number, action: operation.action, sequence, result };
                    model.keep(limits, &name.client, kept);
                }
                executed += 1;
                first(sequence, result)
            });
            assert_eq!(answer, expected, "seed {seed}: {operation:?}");
            match answer.result {
                _ if answer.duplicate => repeated += 1,
                Err(Rejection::RequestReused) => reused += 1,
                Err(Rejection::RequestForgotten { through: Some(_) }) => forgot += 1,
                Err(Rejection::RequestForgotten { through: None }) => unknown += 1,
                _ => {}
            }
        }
    }
    let each = [executed, repeated, reused, forgot, unknown];
    assert!(each.iter().all(|count| *count > 1_000), "{each:?}");
}

/// Built again from its records, the table has the same digest and goes on in the same way: the digest that is kept up
/// to date is the one of the state, and the order of use is in the records.
#[test]
fn a_table_can_be_built_again_from_its_records() {
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let limits = random_limits(&mut random);
        let mut table = Requests::new(limits);
        let mut next = vec![0; 1 + random.index(8)];
        let apply = |table: &mut Requests, sequence, operation: &Operation| {
            let name = operation.request.as_ref().unwrap();
            match table.judge(name, operation, sequence) {
                Judgement::Execute => {
                    let executed = first(sequence, Ok(Answer::Pushed));
                    table.keep(name, operation.action, executed);
                    executed
                }
                Judgement::Repeat(executed) => executed,
                Judgement::Refuse(rejection) => first(sequence, Err(rejection)),
            }
        };
        for sequence in 1..200 {
            if random.below(20) == 0 {
                let records: Vec<_> = table.records().collect();
                let mut built = Requests::new(limits);
                built.begin_again(table.forgotten_through());
                records.iter().for_each(|record| built.add(record).unwrap());
                assert_eq!(built.digest(), table.digest(), "seed {seed}");
                assert!(built.records().eq(records), "seed {seed}");
                table = built;
            }
            let client = random.index(next.len());
            next[client] += random.below(3);
            let number = next[client].max(1);
            let operation = named(&format!("{client}"), number, push(random.below(4) as i64 / 3));
            let mut other = Requests::new(limits);
            other.begin_again(table.forgotten_through());
            table.records().for_each(|record| other.add(&record).unwrap());
            let answer = apply(&mut table, sequence, &operation);
            assert_eq!(apply(&mut other, sequence, &operation), answer, "seed {seed}");
            assert_eq!(other.digest(), table.digest(), "seed {seed}");
        }
    }
}

#[test]
fn records_that_no_table_has_are_malformed() {
    let answer = |number, sequence| {
        let result = Ok(Answer::Pushed);
        AnswerRecord { number, action: push(1), sequence, result }
    };
    let record = |name: &str, last_used, answers: &[AnswerRecord]| {
        let (name, answers) = (name.into(), answers.to_vec());
        ClientRecord { name, last_used, forgotten_through: 2, answers }
    };
    let good = record("a", 5, &[answer(3, 4), answer(9, 5)]);
    let mut table = Requests::new(TINY);
    table.add(&good).unwrap();
    let mut unfit = answer(3, 4);
    unfit.result = Ok(Answer::Destroyed);
    let digest = table.digest();
    for bad in [
        record("a", 6, &[answer(3, 4)]),
        record("b", 5, &[answer(3, 4)]),
        record("b", 6, &[]),
        record("b", 6, &[answer(3, 1), answer(4, 2), answer(5, 3), answer(6, 4)]),
        record("b", 6, &[answer(4, 3), answer(3, 4)]),
        record("b", 6, &[answer(3, 3), answer(3, 4)]),
        record("b", 6, &[answer(2, 3)]),
        record("b", 6, &[answer(3, 7)]),
        record("b", 6, &[answer(3, 0)]),
        record("b", 6, &[unfit]),
    ] {
        assert!(table.add(&bad).is_err(), "{bad:?}");
        assert_eq!(table.digest(), digest, "{bad:?}");
    }
    table.add(&record("b", 6, &[answer(3, 1), answer(4, 2), answer(5, 3)])).unwrap();
    let all = record("c", 7, &[answer(3, 1), answer(4, 2), answer(5, 3)]);
    assert!(table.add(&all).is_err(), "eight in all");
    table.add(&record("c", 7, &[answer(3, 1), answer(4, 2)])).unwrap();
}

/// States that differ in a single thing.
#[test]
fn different_tables_have_different_digests() {
    let id = |label| Action::Id { label };
    let histories: [&[(&str, u64, Action)]; 8] = [
        &[("a", 1, id(1)), ("b", 1, id(1))],
        &[("b", 1, id(1)), ("a", 1, id(1))],
        &[("a", 1, id(1)), ("a", 2, id(1))],
        &[("a", 1, id(1)), ("a", 3, id(1))],
        &[("a", 1, id(2)), ("b", 1, id(1))],
        &[("a", 1, id(1)), ("c", 1, id(1))],
        // Used last; refused.
        &[("a", 1, id(1)), ("a", 1, id(1))],
        &[("a", 1, id(1)), ("a", 1, id(2))],
    ];
    let digests = histories.map(|history| {
        let mut queues = Queues::new(TINY);
        for (client, number, action) in history {
            queues.apply(&named(client, *number, *action));
        }
        queues.digest()
    });
    for (index, digest) in digests.iter().enumerate() {
        assert_eq!(digests.iter().position(|other| other == digest), Some(index));
    }
}

/// What the limits promise, measured.
#[test]
fn an_answer_takes_no_more_memory_than_is_promised() {
    let measured = |clients: u64, answers_of_each: u64| {
        let fill = || {
            let mut table = Requests::new(Limits::DEFAULT);
            let mut sequence = 0;
            for number in 1..=answers_of_each {
                for client in 0..clients {
                    sequence += 1;
                    // In no order, as names are.
                    let client = client.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let name = RequestName { client: format!("{client:064x}").into(), number };
                    table.keep(&name, push(1), first(sequence, Ok(Answer::Pushed)));
                }
            }
            std::mem::forget(table);
        };
        let taken = allocation_counter::measure(fill).bytes_current;
        taken as u64 / (clients * answers_of_each)
    };
    let (alone, many) = (measured(20_000, 1), measured(2_000, 32));
    println!("{alone} bytes for an answer where each client has one, {many} where it has 32");
    assert!(alone <= 320 && many <= 50, "{alone} and {many} bytes");
}
