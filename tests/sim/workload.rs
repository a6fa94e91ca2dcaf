//! Simulated clients: each asks some operations at a time, at any replica, and waits for the answers; where its requests
//! have names it may ask again.

use ftqueue::testing::{Action, Executed, Rejection, RequestName};

use crate::options::{MILLISECOND, Names, Options, SECOND};
use crate::random::Random;

/// What a caller knows of a call.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Executed(Executed),
    NotExecuted,
    /// It may have been executed, or not; also while it waits.
    Unknown,
}

impl Outcome {
    /// As stories tell it.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Executed(executed) => match executed.result {
                Ok(answer) => format!("{answer:?}, sequence {}", executed.sequence),
                Err(rejection) => format!("{rejection:?}, sequence {}", executed.sequence),
            },
            Self::NotExecuted => "that it was not executed".to_owned(),
            Self::Unknown => "that it is unknown whether it was executed".to_owned(),
        }
    }
}

/// What a client asks for once more, by the name that it used before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Again {
    /// The same, since it was not answered: the client waits for it.
    Unanswered,
    /// The same, whatever came of it: nobody waits for it.
    Besides,
    /// Something else.
    Other,
}

/// One call: a request, or one of its tries. Times are the simulation's, in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Who waits for it: one of a client's callers, each of which waits for one call; `usize::MAX` for nobody.
    pub(crate) caller: usize,
    pub(crate) node: usize,
    pub(crate) action: Action,
    pub(crate) name: Option<RequestName>,
    pub(crate) invoked: u64,
    pub(crate) returned: u64,
    pub(crate) patience: u64,
    pub(crate) outcome: Outcome,
}

/// A client that names its requests. When it is refused as forgotten, or gives up its first request, it begins anew.
#[derive(Clone, Default)]
struct Client {
    life: u64,
    /// The number of its last request.
    last: u64,
    /// Whether its first request is answered: until then it has no other.
    begun: bool,
}

/// All clients.
pub(crate) struct Workload {
    random: Random,
    /// The chance of tries, so that runs without any do not change with them.
    retry_random: Random,
    replicas: usize,
    queues: i64,
    impatient: u64,
    names: Names,
    retries: bool,
    pipeline: usize,
    clients: Vec<Client>,
    pub(crate) calls: Vec<Call>,
    /// How many calls wait for an answer.
    pub(crate) waiting: usize,
    /// How many more calls there will be.
    pub(crate) left: usize,
}

impl Workload {
    pub(crate) fn new(options: &Options, random: Random) -> Self {
        Self {
            random,
            retry_random: Random::new(options.seed ^ 0x7265_7472_6965_7300),
            replicas: options.replicas,
            queues: options.queues,
            impatient: options.impatient,
            names: options.names,
            retries: options.retries && options.names != Names::None,
            pipeline: options.pipeline,
            clients: vec![Client::default(); options.clients],
            calls: Vec::new(),
            waiting: 0,
            left: options.operations,
        }
    }

    /// Whether a caller may ask now: not before its client's first request is answered.
    pub(crate) fn may_ask(&self, caller: usize) -> bool {
        let client = &self.clients[caller / self.pipeline];
        self.names == Names::None || client.begun || client.last == 0
    }

    /// A caller's next call, as an index into `calls`; none when there were enough.
    pub(crate) fn invoke(&mut self, now: u64, caller: usize) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        self.waiting += 1;
        let action = self.draw_action();
        let impatient = self.random.per_mille(self.impatient);
        let patience =
            if impatient { self.random.below(5 * MILLISECOND) + 1 } else { 3_600 * SECOND };
        let patience = if self.retries { self.patience(patience) } else { patience };
        let node = self.random.below(self.replicas as u64) as usize;
        let name = self.next_name(caller / self.pipeline);
        Some(self.add(caller, node, action, name, now, patience))
    }

    /// A call of a story, to be asked later.
    pub(crate) fn tell(&mut self, node: usize, action: Action) -> usize {
        self.waiting += 1;
        self.add(usize::MAX, node, action, None, 0, 3_600 * SECOND)
    }

    /// Another try of a call, at one of these replicas; none where there were enough calls and nobody waits for it.
    pub(crate) fn ask_again(
        &mut self,
        now: u64,
        index: usize,
        again: Again,
        nodes: &[usize],
    ) -> Option<usize> {
        if again == Again::Unanswered {
            // Its caller waits already.
            self.left = self.left.saturating_sub(1);
        } else {
            self.left = self.left.checked_sub(1)?;
            self.waiting += 1;
        }
        let Call { caller, action, ref name, .. } = self.calls[index];
        let name = name.clone();
        let caller = if again == Again::Unanswered { caller } else { usize::MAX };
        let action = if again == Again::Other { self.draw_action() } else { action };
        let node = self.retry_random.pick(nodes);
        let patience = self.patience(3_600 * SECOND);
        Some(self.add(caller, node, action, name, now, patience))
    }

    /// How a client that tries again waits: often not for long.
    fn patience(&mut self, otherwise: u64) -> u64 {
        if self.retry_random.per_mille(200) {
            self.retry_random.below(100 * MILLISECOND) + 1
        } else {
            otherwise
        }
    }

    fn add(
        &mut self,
        caller: usize,
        node: usize,
        action: Action,
        name: Option<RequestName>,
        invoked: u64,
        patience: u64,
    ) -> usize {
        let (returned, outcome) = (u64::MAX, Outcome::Unknown);
        self.calls.push(Call { caller, node, action, name, invoked, returned, patience, outcome });
        self.calls.len() - 1
    }

    fn next_name(&mut self, index: usize) -> Option<RequestName> {
        let client = &mut self.clients[index];
        client.last += 1;
        let name = format!("{index}.{}", client.life);
        let name = match self.names {
            Names::None => return None,
            Names::Short => name,
            Names::Long => format!("{name:0>64}"),
        };
        Some(RequestName { client: name.into(), number: client.last })
    }

    /// A named call has ended, and its caller does not try it again: its client goes on, or begins anew.
    pub(crate) fn settle(&mut self, index: usize) {
        let Call { caller, name: Some(name), outcome, .. } = &self.calls[index] else {
            return;
        };
        let client = &mut self.clients[caller / self.pipeline];
        let forgotten = matches!(
            outcome,
            Outcome::Executed(Executed { result: Err(Rejection::RequestForgotten { .. }), .. })
        );
        if !name.client.ends_with(&format!(".{}", client.life)) {
            // It is of an earlier life.
        } else if forgotten || name.number == 1 && !matches!(outcome, Outcome::Executed(_)) {
            *client = Client { life: client.life + 1, last: 0, begun: false };
        } else if name.number == 1 {
            client.begun = true;
        }
    }

    /// Whether a call that has no answer is to be tried again; for good where it must be answered in the end.
    pub(crate) fn tries_again(&mut self, index: usize, for_good: bool) -> bool {
        let named = self.calls[index].name.is_some();
        self.retries && named && (for_good || !self.retry_random.per_mille(50))
    }

    /// Whether a client asks once more by a call's name, and after how long.
    pub(crate) fn besides(&mut self, index: usize, again: Again) -> Option<u64> {
        let often = match again {
            Again::Unanswered => 1_000,
            Again::Besides => 40,
            Again::Other => 8,
        };
        let asks = self.retries && self.calls[index].name.is_some();
        let random = &mut self.retry_random;
        let longest = if random.per_mille(500) { 4 * MILLISECOND } else { 200 * MILLISECOND };
        (asks && random.per_mille(often)).then(|| random.below(longest))
    }

    fn draw_action(&mut self) -> Action {
        let random = &mut self.random;
        // One more than there are: some calls name a queue that is not there.
        let queue = random.between(1, self.queues as u64 + 1) as i64;
        let item = self.calls.len() as i64 - 1_000;
        match random.below(100) {
            0..8 => Action::Create { label: queue },
            8..12 => Action::Id { label: queue },
            12 => Action::Destroy { queue: random.between(1, 40) as i64 },
            13..55 => Action::Push { queue, item },
            55..85 => Action::Pop { queue },
            85..93 => Action::Top { queue },
            _ => Action::Size { queue },
        }
    }
}
