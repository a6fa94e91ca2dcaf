//! What must come of named requests: the table of requests, written again in the simplest way, and what holds of every
//! name whatever a table says.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ftqueue::testing::{Action, Limits, Operation, Rejection, RequestName};

use crate::workload::{Call, Outcome};

/// What must be done about a request that is next in the order.
pub(super) enum Due {
    Execute,
    /// It gets the answer of this sequence.
    Repeat(u64),
    Refuse(Rejection),
}

/// What is kept of a client.
#[derive(Default)]
struct Client {
    /// The sequence at which it was last used.
    last_use: u64,
    forgotten: u64,
    answers: BTreeMap<u64, (Action, u64)>,
}

/// See the module.
pub(super) struct Table {
    limits: Limits,
    clients: HashMap<Box<str>, Client>,
    /// When the client was last used that was forgotten last.
    forgotten_use: u64,
    /// Where each name was executed.
    executed: HashMap<Box<str>, BTreeMap<u64, u64>>,
    /// The clients that were forgotten as a whole, and at which sequence; and those of them that began again: their names
    /// may count again.
    forgotten: BTreeMap<Box<str>, u64>,
    begun_again: BTreeSet<Box<str>>,
    /// How often each thing happened that is rare.
    pub(super) seen: BTreeMap<&'static str, u64>,
}

impl Table {
    pub(super) fn new(limits: Limits) -> Self {
        let rare = [
            "client_begun_again",
            "client_forgotten",
            "request_came_late",
            "request_forgotten",
            "request_of_unknown_client",
            "request_repeated",
            "request_reused",
        ];
        Self {
            limits,
            clients: HashMap::new(),
            forgotten_use: 0,
            executed: HashMap::new(),
            forgotten: BTreeMap::new(),
            begun_again: BTreeSet::new(),
            seen: rare.map(|name| (name, 0)).into(),
        }
    }

    fn hit(&mut self, name: &'static str) {
        *self.seen.get_mut(name).expect("it is listed") += 1;
    }

    pub(super) fn due(&mut self, name: &RequestName, operation: &Operation, sequence: u64) -> Due {
        let action = operation.action;
        let Some(client) = self.clients.get_mut(&name.client) else {
            let late = name.number == 1 && operation.unknown_at < self.forgotten_use;
            if name.number == 1 && !late {
                return Due::Execute;
            }
            self.hit(if late { "request_came_late" } else { "request_of_unknown_client" });
            return Due::Refuse(Rejection::RequestForgotten { through: None });
        };
        if let Some((asked, first)) = client.answers.get(&name.number).copied() {
            if asked != action {
                self.hit("request_reused");
                return Due::Refuse(Rejection::RequestReused);
            }
            client.last_use = sequence;
            self.hit("request_repeated");
            return Due::Repeat(first);
        }
        if name.number <= client.forgotten {
            let through = Some(client.forgotten);
            self.hit("request_forgotten");
            return Due::Refuse(Rejection::RequestForgotten { through });
        }
        Due::Execute
    }

    /// A request is executed: for the first time, or else its client was forgotten since and begins again: with what was
    /// asked after that.
    pub(super) fn executes(&mut self, name: &RequestName, operation: &Operation, sequence: u64) {
        let action = operation.action;
        if name.number == 1
            && let Some(forgotten_at) = self.forgotten.get(&name.client)
        {
            let unknown_at = operation.unknown_at;
            assert!(
                unknown_at >= *forgotten_at,
                "{name:?} is executed again at {sequence}; its client was unknown at {unknown_at}, and forgotten at {forgotten_at}"
            );
            self.begun_again.insert(name.client.clone());
            self.hit("client_begun_again");
        }
        if !self.executed.contains_key(&name.client) {
            self.executed.insert(name.client.clone(), BTreeMap::new());
        }
        let of_client = self.executed.get_mut(&name.client).expect("it was added");
        if let Some(before) = of_client.insert(name.number, sequence) {
            let excused = self.begun_again(name);
            assert!(excused, "{name:?} is executed at {before}, and again at {sequence}");
        }
        if !self.clients.contains_key(&name.client) {
            self.clients.insert(name.client.clone(), Client::default());
        }
        let client = self.clients.get_mut(&name.client).expect("it was added");
        client.last_use = sequence;
        client.answers.insert(name.number, (action, sequence));
        if client.answers.len() as u64 > self.limits.answers_of_client {
            client.forgotten = client.answers.pop_first().expect("there are some").0;
        }
        let kept = |table: &Self| -> u64 {
            table.clients.values().map(|client| client.answers.len() as u64).sum()
        };
        // Few runs have so small a table that it is worth a look.
        while self.limits.answers < Limits::DEFAULT.answers && kept(self) > self.limits.answers {
            let oldest = self.clients.iter().min_by_key(|(_, client)| client.last_use);
            let oldest = oldest.expect("answers are of clients").0.clone();
            let client = self.clients.remove(&oldest).expect("it was just found");
            self.forgotten_use = client.last_use;
            self.forgotten.insert(oldest, sequence);
            self.hit("client_forgotten");
        }
    }

    /// Whether a name may be executed again since its client was forgotten and began again.
    pub(super) fn begun_again(&self, name: &RequestName) -> bool {
        self.begun_again.contains(&name.client)
    }

    /// Every name that was answered was executed, once, and all its answers are that one's; what came by it is no more
    /// than what was asked and not refused.
    pub(super) fn check(&self, calls: &[Call], places: &HashMap<Asked<'_>, usize>) {
        let mut answers: HashMap<(&str, u64), (usize, u64)> = HashMap::new();
        let mut asked: HashMap<Asked<'_>, usize> = HashMap::new();
        for (index, call) in calls.iter().enumerate() {
            let Some(name) = &call.name else {
                continue;
            };
            let (client, number) = (&*name.client, name.number);
            if !matches!(call.outcome, Outcome::NotExecuted) {
                *asked.entry((client, number, call.action)).or_default() += 1;
            }
            if let Outcome::Executed(executed) = &call.outcome
                && !is_refusal(executed.result)
                && !self.begun_again(name)
            {
                let sequence = executed.sequence;
                let there = self.executed.get(client).and_then(|of_client| of_client.get(&number));
                assert_eq!(there, Some(&sequence), "{name:?} of call {index}");
                let (other, first) = *answers.entry((client, number)).or_insert((index, sequence));
                assert_eq!(first, sequence, "calls {other} and {index} are both {name:?}");
            }
        }
        for (key, count) in places {
            let asked = asked.get(key).copied().unwrap_or(0);
            assert!(*count <= asked, "{key:?} is in the order {count} times, and asked {asked}");
        }
    }
}

/// What was asked by a name: client, number, action.
pub(super) type Asked<'a> = (&'a str, u64, Action);

/// Whether a name was refused: it is not what came of its execution.
pub(super) fn is_refusal<T>(result: Result<T, Rejection>) -> bool {
    matches!(result, Err(Rejection::RequestReused | Rejection::RequestForgotten { .. }))
}
