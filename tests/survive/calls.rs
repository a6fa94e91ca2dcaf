//! The calls of a history, and what tests ask of them.

use serde::Deserialize;

/// A call that ended.
#[derive(Debug)]
pub(crate) struct Call {
    /// Whom it asked.
    pub(crate) replica: usize,
    /// What it asked.
    pub(crate) op: String,
    /// When it began, in nanoseconds of the machine's monotonic clock.
    pub(crate) invoked: u64,
    /// When it was answered; none where no answer came.
    pub(crate) returned: Option<u64>,
    /// Why it failed, if it did.
    pub(crate) error: Option<Failure>,
}

/// Why a call failed.
#[derive(Deserialize, Debug)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) reason: String,
    pub(crate) outcome: String,
}

/// All calls of a load.
#[derive(Default)]
pub(crate) struct Calls(pub(crate) Vec<Call>);

/// A line of a history, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    op: String,
    invoked_ns: u64,
    returned_ns: Option<u64>,
    error: Option<Failure>,
    endpoint: String,
}

impl Call {
    /// Reads a line.
    pub(crate) fn read(line: &str, endpoints: &[String]) -> Self {
        let Line { op, invoked_ns, returned_ns, error, endpoint } =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let replica = endpoints.iter().position(|known| *known == endpoint).expect("it was listed");
        Self { replica, op, invoked: invoked_ns, returned: returned_ns, error }
    }

    /// Whether it was done.
    pub(crate) fn succeeded(&self) -> bool {
        self.error.is_none()
    }

    /// Whether it only asks.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.op.as_str(), "top" | "size" | "id")
    }

    /// Whether it was refused for want of a majority.
    pub(crate) fn lacked_majority(&self) -> bool {
        self.error.as_ref().is_some_and(|error| {
            error.code == "UNAVAILABLE" && ["NO_MAJORITY", "NO_VIEW"].contains(&&*error.reason)
        })
    }
}

impl Calls {
    /// Calls at a replica that began after `from` and had ended before `until`.
    pub(crate) fn within(
        &self,
        replica: usize,
        from: u64,
        until: u64,
    ) -> impl Iterator<Item = &Call> {
        self.0.iter().filter(move |call| {
            let ended = call.returned.is_some_and(|returned| returned < until);
            call.replica == replica && call.invoked > from && ended
        })
    }

    /// The longest time between `from` and `until`, in nanoseconds, in which a replica gave no good answer.
    pub(crate) fn longest_pause(&self, replica: usize, from: u64, until: u64) -> u64 {
        let good = self.0.iter().filter(|call| call.replica == replica && call.succeeded());
        let mut times: Vec<_> = good.filter_map(|call| call.returned).collect();
        times.sort_unstable();
        let before = times.iter().rev().find(|time| **time <= from).copied().unwrap_or(from);
        let times = times.into_iter().filter(|time| (from + 1..until).contains(time));
        let (longest, last) =
            times.fold((0, before), |(longest, last), time: u64| (longest.max(time - last), time));
        longest.max(until - last)
    }
}
