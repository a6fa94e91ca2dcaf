//! What is counted and timed during a load, and what is made of it.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::client::{Answered, Failure};
use crate::history::op_name;
use crate::queue::Action;

/// The calls of a load that ended while it was measured.
#[derive(Default)]
pub(super) struct Measurements {
    /// Times of the answered calls, in nanoseconds, by operation.
    times: BTreeMap<&'static str, Histogram<u64>>,
    /// Numbers of the failed ones by reason.
    errors: BTreeMap<String, u64>,
}

/// The longest time that is told apart from longer ones.
const LONGEST: Duration = Duration::from_secs(3_600);

impl Measurements {
    /// Counts a call.
    pub(super) fn add(
        &mut self,
        action: Action,
        nanoseconds: u64,
        result: &Result<Answered, Failure>,
    ) {
        match result {
            Ok(_) => self
                .times
                .entry(op_name(action))
                .or_insert_with(histogram)
                .saturating_record(nanoseconds),
            Err(failure) => {
                let room = self.errors.len() < MAX_REASONS;
                let known = room || self.errors.contains_key(&failure.reason);
                let reason = if known { failure.reason.as_str() } else { "OTHER" };
                *self.errors.entry(reason.to_owned()).or_default() += 1;
            }
        }
    }

    /// How many calls were answered.
    pub(super) fn answered(&self) -> u64 {
        self.times.values().map(Histogram::len).sum()
    }

    /// What it comes to, having measured for so long.
    pub(super) fn summary(&self, measured: Duration) -> Summary {
        let mut all = histogram();
        for times in self.times.values() {
            all.add(times).expect("all histograms have the same bounds");
        }
        let summary = |times: &Histogram<u64>| OperationSummary {
            ops_per_second: per_second(times.len(), measured),
            operations: times.len(),
            latency: Latency::of(times),
        };
        Summary {
            all: summary(&all),
            by_operation: self.times.iter().map(|(&op, times)| (op, summary(times))).collect(),
            errors: self.errors.clone(),
            measured_seconds: measured.as_secs_f64(),
        }
    }
}

/// How many different reasons are counted one by one; what a replica sends must not fill the memory.
const MAX_REASONS: usize = 64;

fn histogram() -> Histogram<u64> {
    let longest = u64::try_from(LONGEST.as_nanos()).expect("an hour is not that long");
    Histogram::new_with_bounds(1, longest, 3).expect("the bounds are sound")
}

/// A load's figures.
#[derive(Serialize, Clone, Debug)]
pub(super) struct Summary {
    /// All answered operations together.
    #[serde(flatten)]
    pub all: OperationSummary,
    /// The same by operation.
    pub by_operation: BTreeMap<&'static str, OperationSummary>,
    /// How many calls failed, by reason.
    pub errors: BTreeMap<String, u64>,
    /// How long was measured.
    pub measured_seconds: f64,
}

/// The figures of some operations.
#[derive(Serialize, Clone, Copy, Debug)]
pub(super) struct OperationSummary {
    /// Answered operations per second.
    pub ops_per_second: f64,
    /// Answered operations.
    pub operations: u64,
    /// How long their answers took.
    #[serde(flatten)]
    pub latency: Latency,
}

/// Percentiles of the time from a call to its answer, in microseconds.
#[derive(Serialize, Clone, Copy, Debug)]
pub(super) struct Latency {
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

impl Latency {
    fn of(times: &Histogram<u64>) -> Self {
        let microseconds = |nanoseconds: u64| tenths(nanoseconds as f64 / 1_000.0);
        let at = |quantile| microseconds(times.value_at_quantile(quantile));
        Self {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: microseconds(times.max()),
        }
    }
}

fn per_second(operations: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { tenths(operations as f64 / time.as_secs_f64()) }
}

/// Rounds to one decimal: more would be noise.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Answer;

    #[test]
    fn answers_are_timed_by_operation_and_failures_counted_by_reason() {
        let mut measurements = Measurements::default();
        let ok = Ok(Answered { answer: Answer::Pushed, sequence: 1, duplicate: false });
        for microseconds in 1..=1_000 {
            let push = Action::Push { queue: 1, item: 1 };
            measurements.add(push, microseconds * 1_000, &ok);
        }
        measurements.add(Action::Pop { queue: 1 }, 5_000_000, &ok);
        for _ in 0..3 {
            measurements.add(Action::Pop { queue: 1 }, 9_000_000, &Err(Failure::no_answer()));
        }
        assert_eq!(measurements.answered(), 1_001);
        let summary = measurements.summary(Duration::from_secs(2));
        assert_eq!(summary.all.operations, 1_001);
        assert_eq!(summary.all.ops_per_second, 500.5);
        assert_eq!(summary.by_operation["push"].operations, 1_000);
        assert_eq!(summary.by_operation["pop"].ops_per_second, 0.5);
        assert_eq!(summary.errors, BTreeMap::from([("NO_ANSWER".to_owned(), 3)]));
        let near = |value: f64, expected: f64| (value / expected - 1.0).abs() < 0.002;
        let Latency { p50_us, p90_us, p99_us, p999_us, max_us } =
            summary.by_operation["push"].latency;
        assert!(near(p50_us, 500.0) && near(p90_us, 900.0) && near(p99_us, 990.0), "{summary:?}");
        assert!(near(p999_us, 999.0) && near(max_us, 1_000.0), "{summary:?}");
        assert!(near(summary.all.latency.max_us, 5_000.0), "{summary:?}");
    }

    #[test]
    fn nothing_measured_is_nothing_per_second() {
        for time in [Duration::ZERO, Duration::from_secs(1)] {
            let summary = Measurements::default().summary(time);
            assert_eq!((summary.all.ops_per_second, summary.all.latency.max_us), (0.0, 0.0));
        }
    }
}
