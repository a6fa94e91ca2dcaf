//! Simulated clients: each asks one operation at a time, at any replica, and waits for the answer.

use ftqueue::testing::{Action, Executed};

use crate::options::{MILLISECOND, Options, SECOND};
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

/// One call. Times are the simulation's, in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) client: usize,
    pub(crate) node: usize,
    pub(crate) action: Action,
    pub(crate) invoked: u64,
    pub(crate) returned: u64,
    pub(crate) patience: u64,
    pub(crate) outcome: Outcome,
}

/// All clients.
pub(crate) struct Workload {
    random: Random,
    replicas: usize,
    queues: i64,
    impatient: u64,
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
            replicas: options.replicas,
            queues: options.queues,
            impatient: options.impatient,
            calls: Vec::new(),
            waiting: 0,
            left: options.operations,
        }
    }

    /// A client's next call, as an index into `calls`; none when there were enough.
    pub(crate) fn invoke(&mut self, now: u64, client: usize) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        self.waiting += 1;
        let action = self.draw_action();
        let impatient = self.random.per_mille(self.impatient);
        let patience =
            if impatient { self.random.below(5 * MILLISECOND) + 1 } else { 3_600 * SECOND };
        let node = self.random.below(self.replicas as u64) as usize;
        let outcome = Outcome::Unknown;
        self.calls.push(Call {
            client,
            node,
            action,
            invoked: now,
            returned: u64::MAX,
            patience,
            outcome,
        });
        Some(self.calls.len() - 1)
    }

    /// A call of a story, to be asked later.
    pub(crate) fn tell(&mut self, node: usize, action: Action) -> usize {
        self.waiting += 1;
        let (invoked, returned, patience) = (0, u64::MAX, 3_600 * SECOND);
        let (client, outcome) = (usize::MAX, Outcome::Unknown);
        self.calls.push(Call { client, node, action, invoked, returned, patience, outcome });
        self.calls.len() - 1
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
