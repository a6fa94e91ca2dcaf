//! Small random histories: right ones, and what chance makes of them.

use super::exhaustive::Model;
use crate::history::{Call, Outcome, Tries};
use crate::queue::{Action, Answer};

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What a history has in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// One queue, pushes and pops.
    PushAndPop,
    /// The same, and some outcomes are unknown.
    PushAndPopUnknown,
    /// Two queues, all seven operations.
    AllOperations,
    /// The same, and some outcomes are unknown.
    AllOperationsUnknown,
}

impl Kind {
    pub(super) fn is_of_one_queue(self) -> bool {
        matches!(self, Self::PushAndPop | Self::PushAndPopUnknown)
    }

    fn has_unknown(self) -> bool {
        matches!(self, Self::PushAndPopUnknown | Self::AllOperationsUnknown)
    }

    /// Whether the checks that trust what they can are exact here.
    pub(super) fn is_exact(self) -> bool {
        !self.has_unknown()
    }

    fn action(self, random: &mut Random, item: i64) -> Action {
        let queue = 1 + random.below(2) as i64;
        match self {
            Self::PushAndPop | Self::PushAndPopUnknown => match random.below(2) {
                0 => Action::Push { queue: 1, item },
                _ => Action::Pop { queue: 1 },
            },
            Self::AllOperations | Self::AllOperationsUnknown => match random.below(12) {
                0 => Action::Create { label: queue },
                1 => Action::Id { label: queue },
                2 => Action::Destroy { queue },
                3 => Action::Top { queue },
                4 => Action::Size { queue },
                5..8 => Action::Pop { queue },
                _ => Action::Push { queue, item },
            },
        }
    }
}

/// A history that a right service can have given: calls take effect one after the other, each within its time.
pub(super) fn history(random: &mut Random, kind: Kind) -> Vec<Call> {
    let mut model = Model::default();
    let mut calls = Vec::new();
    let mut sequence = 0;
    let tries = Tries::ONE;
    let span = [3, 15, 60][random.below(3) as usize];
    for place in 0..3 + random.below(7) {
        let action = match place {
            0 => Action::Create { label: 1 },
            // The pattern check is exact for distinct items only; the witness check does not mind.
            _ if !kind.is_of_one_queue() && random.below(3) == 0 => {
                let item = 1 + random.below(3) as i64;
                kind.action(random, item)
            }
            _ => kind.action(random, place as i64),
        };
        let moment = 100 + 10 * place;
        let invoked = moment - random.below(span);
        let returned = Some(moment + random.below(span));
        if kind.has_unknown() && place > 0 && random.below(4) == 0 {
            // It is executed, later perhaps than its caller waits, or not at all.
            if random.below(3) > 0 {
                model.apply(action).ok();
                sequence += 1;
            }
            let invoked = invoked.saturating_sub(random.below(30));
            calls.push(Call { action, invoked, returned: None, outcome: Outcome::Unknown, tries });
            continue;
        }
        if random.below(12) == 0 && place > 0 {
            calls.push(Call { action, invoked, returned, outcome: Outcome::NotExecuted, tries });
            continue;
        }
        sequence += 1;
        let outcome = Outcome::Executed { sequence, result: model.apply(action) };
        calls.push(Call { action, invoked, returned, outcome, tries });
    }
    calls
}

/// Changes something of a history, as a service that is wrong might.
pub(super) fn mutate(random: &mut Random, calls: &mut Vec<Call>) {
    let one = random.below(calls.len() as u64) as usize;
    let other = random.below(calls.len() as u64) as usize;
    match random.below(8) {
        0 => {
            let outcome = calls[one].outcome;
            let swaps = std::mem::discriminant(&calls[one].action)
                == std::mem::discriminant(&calls[other].action);
            if swaps {
                calls[one].outcome = calls[other].outcome;
                calls[other].outcome = outcome;
            }
        }
        1 => {
            let (times, others) = (
                (calls[one].invoked, calls[one].returned),
                (calls[other].invoked, calls[other].returned),
            );
            if times.1.is_some() && others.1.is_some() {
                (calls[one].invoked, calls[one].returned) = others;
                (calls[other].invoked, calls[other].returned) = times;
            }
        }
        2 => calls[one].outcome = Outcome::NotExecuted,
        3 => {
            calls.remove(one);
            if calls.is_empty() {
                calls.push(Call {
                    action: Action::Id { label: 1 },
                    invoked: 1,
                    returned: Some(2),
                    outcome: Outcome::Executed { sequence: 1, result: Ok(Answer::Label(None)) },
                    tries: Tries::ONE,
                });
            }
        }
        4 => {
            if let Outcome::Executed { sequence, .. } = calls[one].outcome
                && let Outcome::Executed { sequence: with, .. } = &mut calls[other].outcome
            {
                *with = sequence;
            }
        }
        _ => {
            if let Outcome::Executed { result: Ok(answer), .. } = &mut calls[one].outcome {
                let any = random.below(6) as i64;
                match answer {
                    Answer::Item(item) => *item = (any > 0).then_some(any),
                    Answer::Size(size) => *size = any as u64,
                    Answer::Label(id) => *id = (any > 0).then_some(any),
                    Answer::Queue(id) => *id = 1 + any / 2,
                    Answer::Pushed | Answer::Destroyed => {}
                }
            }
        }
    }
}
