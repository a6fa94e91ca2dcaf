//! One call as a series of tries: at which endpoint, for how long, and what is known in the end.
//!
//! A round tries each endpoint once, the one that answered last first. After a round there is a pause. Rounds go on to
//! the deadline.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::backoff::Backoff;
use super::failure::{Failure, FailureCause, Outcome};
use super::{Answered, random};

/// Makes one try of a call.
pub(super) trait Attempt {
    /// Tries at an endpoint, an index, for at most `patience`.
    fn attempt(
        &self,
        endpoint: usize,
        patience: Duration,
    ) -> impl Future<Output = Result<Answered, Failure>> + Send;
}

/// The bounds of a call's tries.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// How many endpoints there are; at least one.
    pub endpoints: usize,
    /// The endpoint to try first: an index.
    pub first: usize,
    /// When the call ends at the latest.
    pub deadline: Instant,
    /// Whether tries of the same request, before this call, may have been executed.
    pub maybe_executed: bool,
}

/// How a call ended.
#[derive(Debug)]
pub(super) struct Tried {
    /// The endpoint that answered, or was tried, as the result has it: an index.
    pub endpoint: usize,
    /// The answer, or the failure that tells most of the last tries. Its outcome is that of all tries.
    pub result: Result<Answered, Failure>,
    /// Whether a try before the last one may have been executed.
    pub maybe_executed: bool,
}

/// The least that a try is given: less would be in vain in most cases, and a load.
const LEAST_TRY: Duration = Duration::from_millis(100);

/// Where less than this is left no further round is begun.
const LEAST_ROUND: Duration = Duration::from_millis(20);

/// Tries until an answer comes, or a failure that no further try changes, or the deadline, or `stop` ends.
pub(super) async fn call(
    attempt: &impl Attempt,
    bounds: Bounds,
    stop: impl Future<Output = ()>,
) -> Tried {
    let Bounds { endpoints, first, deadline, mut maybe_executed } = bounds;
    let mut stop = pin!(stop);
    let interrupted = |endpoint, sent| {
        let result = Err(Failure::interrupted(sent));
        Tried { endpoint, result, maybe_executed: sent }
    };
    let mut backoff = Backoff::new();
    let mut last_round = vec![(first, Failure::not_sent())];
    loop {
        let mut failures = Vec::new();
        for step in 0..endpoints {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let endpoint = (first + step) % endpoints;
            let patience = share(left, endpoints - step);
            let mut sent = false;
            let ended = tokio::select! {
                biased;
                () = &mut stop => None,
                result = async {
                    sent = true;
                    attempt.attempt(endpoint, patience).await
                } => Some(result),
            };
            let Some(result) = ended else {
                return interrupted(endpoint, sent || maybe_executed || any_unknown(&failures));
            };
            match result {
                Err(failure) if failure.allows_retry() => failures.push((endpoint, failure)),
                result => {
                    maybe_executed |= any_unknown(&failures);
                    let result = result.map_err(|failure| in_all(failure, maybe_executed));
                    return Tried { endpoint, result, maybe_executed };
                }
            }
        }
        maybe_executed |= any_unknown(&failures);
        if !failures.is_empty() {
            last_round = failures;
        }
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        if left < LEAST_ROUND {
            let (endpoint, failure) = most_telling(last_round);
            return Tried {
                endpoint,
                result: Err(in_all(failure, maybe_executed)),
                maybe_executed,
            };
        }
        // Never so long that nothing is left for a last round.
        let pause = backoff.next(random::bits()).min(left / 2);
        tokio::select! {
            () = &mut stop => return interrupted(first, maybe_executed),
            () = sleep_until(now + pause) => {}
        }
    }
}

/// How long one try may take when `left` is left and `endpoints` are still to be tried in this round, this one
/// included: an equal share for each and for what comes after the round, so that one that hangs costs only its own.
fn share(left: Duration, endpoints: usize) -> Duration {
    let shares = u32::try_from(endpoints).unwrap_or(u32::MAX).saturating_add(1);
    (left / shares).max(LEAST_TRY).min(left)
}

fn any_unknown(failures: &[(usize, Failure)]) -> bool {
    failures.iter().any(|(_, failure)| failure.outcome == Outcome::Unknown)
}

/// A failure whose outcome is that of all tries.
fn in_all(failure: Failure, maybe_executed: bool) -> Failure {
    if maybe_executed { failure.after_unknown() } else { failure }
}

/// The failure of a round that tells most: a replica's own word before a failure to reach one. Where none was reached,
/// why not, of each.
fn most_telling(mut failures: Vec<(usize, Failure)>) -> (usize, Failure) {
    let unreached = |(_, failure): &(usize, Failure)| failure.cause == FailureCause::NotConnected;
    if failures.len() > 1 && failures.iter().all(unreached) {
        let why: Vec<_> = failures.iter().map(|(_, failure)| failure.message.as_str()).collect();
        let why = Failure::not_connected(why.join("; "));
        return (failures.swap_remove(0).0, why);
    }
    let told = failures.into_iter().min_by_key(|(_, failure)| failure.cause);
    told.expect("a round has a failure")
}

#[cfg(test)]
mod tests;
