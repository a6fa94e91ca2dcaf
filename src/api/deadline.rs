//! How long a caller waits.

use std::time::{Duration, Instant};

use tonic::codegen::http;

/// The header that says it.
pub(super) const HEADER: &str = "grpc-timeout";
/// How long a call may wait that says nothing.
const DEFAULT: Duration = Duration::from_secs(10);
/// How long a call may wait, whatever it says.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// When a request's headers came: the caller's time began before that, and its body may be late.
#[derive(Clone, Copy)]
pub(super) struct Arrived(Instant);

impl Arrived {
    /// How long ago that was.
    pub(super) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Notes when a request's headers came.
pub(super) fn stamp<B>(mut request: http::Request<B>) -> http::Request<B> {
    request.extensions_mut().insert(Arrived(Instant::now()));
    request
}

/// How long a call may wait for its answer, by its `grpc-timeout` header. Zero: it may not wait at all.
///
/// Less than the caller said by a margin, so that it gets our answer, which says what is known of the outcome, before
/// it gives up by itself. A header that breaks the rules of gRPC counts as none.
pub(super) fn patience(header: Option<&str>) -> Duration {
    match header.and_then(parse) {
        Some(timeout) => (timeout - margin(timeout)).min(LONGEST),
        None => DEFAULT,
    }
}

/// A tenth, within 1 and 50 ms, for the way of the answer to the caller; never more than half.
fn margin(timeout: Duration) -> Duration {
    (timeout / 10).clamp(Duration::from_millis(1), Duration::from_millis(50)).min(timeout / 2)
}

/// At most eight digits and a unit, as the gRPC protocol over HTTP/2 has it.
fn parse(header: &str) -> Option<Duration> {
    let unit = header.chars().last()?;
    let digits = header.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(value * 3_600)),
        'M' => Some(Duration::from_secs(value * 60)),
        'S' => Some(Duration::from_secs(value)),
        'm' => Some(Duration::from_millis(value)),
        'u' => Some(Duration::from_micros(value)),
        'n' => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(header: &str) -> u128 {
        patience(Some(header)).as_micros()
    }

    #[test]
    fn a_margin_is_kept_for_the_way_back() {
        assert_eq!(micros("1S"), 950_000);
        assert_eq!(micros("100m"), 90_000);
        assert_eq!(micros("5m"), 4_000);
        assert_eq!(micros("1m"), 500);
        assert_eq!(micros("100u"), 50);
        assert_eq!(micros("0n"), 0);
    }

    #[test]
    fn long_waits_are_cut() {
        for header in ["61S", "99999999H", "2M"] {
            assert_eq!(patience(Some(header)), LONGEST, "{header}");
        }
    }

    #[test]
    fn no_header_or_nonsense_is_the_default() {
        assert_eq!(patience(None), DEFAULT);
        for header in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "123456789S", " 1S", "1é", "é"] {
            assert_eq!(patience(Some(header)), DEFAULT, "{header}");
        }
    }
}
