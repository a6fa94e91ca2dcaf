//! The time that a datagram and its answer take, estimated as RFC 6298 section 2 does.

use std::time::Duration;

/// Before the first sample: more than a local network takes, less than a user notices.
const INITIAL: Duration = Duration::from_millis(2);
/// Nothing is expected to be quicker: waking a process takes tens of microseconds.
const LEAST: Duration = Duration::from_micros(200);
/// Beyond this the detector judges.
const MOST: Duration = Duration::from_millis(500);

/// A smoothed round trip and its variation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrip {
    estimate: Option<(Duration, Duration)>,
}

impl RoundTrip {
    /// Takes a measured round trip in.
    pub(super) fn sample(&mut self, measured: Duration) {
        let measured = measured.min(MOST);
        self.estimate = Some(match self.estimate {
            None => (measured, measured / 2),
            Some((smoothed, variation)) => {
                let deviation = smoothed.abs_diff(measured);
                ((smoothed * 7 + measured) / 8, (variation * 3 + deviation) / 4)
            }
        });
    }

    /// What a round trip takes at present.
    pub(super) fn smoothed(&self) -> Duration {
        self.estimate.map_or(INITIAL, |(smoothed, _)| smoothed).clamp(LEAST, MOST)
    }

    /// The time after which an answer is overdue: the smoothed round trip and four times its variation.
    pub(super) fn bound(&self) -> Duration {
        let (smoothed, variation) = self.estimate.unwrap_or((INITIAL, Duration::ZERO));
        (smoothed + variation * 4).clamp(LEAST, MOST)
    }
}
