//! Calls that were tried more than once under one request name: for the checks they are one call, and its further tries
//! take places in the order at which nothing happens.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{Call, Findings, Outcome};

/// How a call was tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tries {
    /// How often it was asked, from 1: each try may have a place in the order, one of them at most that of the
    /// execution.
    pub count: u64,
    /// Whether the answer is that of an earlier try, be it of this call or of another one in the history.
    pub duplicate: bool,
}

impl Tries {
    /// Asked once, and its own answer.
    pub const ONE: Self = Self { count: 1, duplicate: false };
}

/// A history in which no two calls are tries of one name.
pub(super) struct Tried<'a> {
    pub(super) calls: Cow<'a, [Call]>,
    /// When each try began that may have a place at which nothing happened.
    pub(super) idle: Vec<u64>,
    /// Which call of the history each is.
    origins: Option<Vec<usize>>,
}

impl<'a> Tried<'a> {
    /// Takes calls together whose answers are one: a call that was executed, and duplicates that say the same. What does
    /// not agree stays apart, for the checks to find.
    pub(super) fn of(calls: &'a [Call]) -> Self {
        if calls.iter().all(|call| call.tries == Tries::ONE) {
            return Self { calls: Cow::Borrowed(calls), idle: Vec::new(), origins: None };
        }
        let mut places: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (index, call) in calls.iter().enumerate() {
            if let Outcome::Executed { sequence, .. } = call.outcome {
                places.entry(sequence).or_default().push(index);
            }
        }
        let mut tried = Self { calls: Cow::Owned(Vec::new()), idle: Vec::new(), origins: None };
        let mut origins = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            let mut call = call.clone();
            if let Outcome::Executed { sequence, .. } = call.outcome
                && let Some(same) = places.get(&sequence)
                && agree(calls, same)
            {
                if index != same[0] {
                    continue;
                }
                call = together(calls, same, &mut tried.idle);
            } else {
                let idle = match call.outcome {
                    Outcome::NotExecuted => 0,
                    _ => call.tries.count - 1,
                };
                tried.idle.extend((0..idle).map(|_| call.invoked));
            }
            tried.calls.to_mut().push(call);
            origins.push(index);
        }
        tried.origins = Some(origins);
        tried
    }

    /// Names the calls as the history does.
    pub(super) fn name(&self, findings: &mut Findings) {
        if let Some(origins) = &self.origins {
            findings.rename(|index| origins[index]);
        }
    }
}

/// Whether calls that have one sequence can be tries of one name: one at most was executed there, all others say that
/// they are duplicates, what they asked and were answered is the same, and none was answered before that one began.
fn agree(calls: &[Call], same: &[usize]) -> bool {
    let first = &calls[same[0]];
    let mut executed = same.iter().filter(|index| !calls[**index].tries.duplicate);
    let began = executed.next().map_or(0, |index| calls[*index].invoked);
    executed.next().is_none()
        && same.iter().all(|index| {
            let call = &calls[*index];
            call.action == first.action
                && call.outcome == first.outcome
                && call.returned.is_none_or(|returned| returned >= began)
        })
}

/// The one call of which all these are tries. It was executed after the try that was executed began, where that is
/// known, and before any of them was answered.
fn together(calls: &[Call], same: &[usize], idle: &mut Vec<u64>) -> Call {
    let executed = same.iter().find(|index| !calls[**index].tries.duplicate);
    let mut call = calls[*executed.unwrap_or(&same[0])].clone();
    let whole = same.len() == 1 && call.tries.count > 1;
    for index in same {
        let Call { invoked, tries, .. } = calls[*index];
        // One of its tries was executed: its own, or the one that it has in itself.
        let own = Some(index) == executed || whole;
        idle.extend((u64::from(own)..tries.count).map(|_| invoked));
    }
    if executed.is_none() && !whole {
        // What was executed is a try that was not answered, and that may have begun long before.
        call.invoked = 0;
    }
    call.returned = same.iter().filter_map(|index| calls[*index].returned).min();
    call
}
