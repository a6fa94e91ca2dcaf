//! Arguments that several commands share.

use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::client::{Client, ClientOptions, Endpoint};

/// The dev cluster's endpoints: those of `ftqueue cluster` with its defaults.
pub(crate) const DEV_CLUSTER: &str = "127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003";

/// Which cluster is called.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConnectionArguments {
    /// The replicas to call, as HOST:PORT, separated by commas; any one will do, more are safer
    #[arg(
        long,
        env = "FTQUEUE_ENDPOINTS",
        value_name = "HOST:PORT,…",
        value_delimiter = ',',
        default_value = DEV_CLUSTER
    )]
    pub endpoints: Vec<Endpoint>,

    /// How long a call may take, all its tries together, such as 500ms, 5s or 2m; a
    /// replica waits at most 60s for one try
    #[arg(
        long,
        env = "FTQUEUE_TIMEOUT",
        value_name = "TIME",
        default_value = "5s",
        value_parser = positive_duration
    )]
    pub timeout: Duration,
}

impl ConnectionArguments {
    /// A client of that cluster.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.endpoints.clone(), ClientOptions::default().timeout(self.timeout))
    }
}

/// For whom the output is.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArguments {
    /// Print JSON, for machines
    #[arg(long, env = "FTQUEUE_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
}

/// The longest duration that is taken: beyond a day it is more likely a mistake.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads `500ms`, `5s`, `2m` or `1h`.
///
/// # Errors
/// Says what was expected.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a whole number and a unit, such as 500ms, 5s, 2m or 1h".to_owned();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| expected())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(expected()),
    };
    milliseconds
        .map(Duration::from_millis)
        .filter(|&duration| duration <= LONGEST)
        .ok_or_else(|| "at most 24h".to_owned())
}

/// Reads a duration above zero.
///
/// # Errors
/// Says what was expected.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    duration(text)
        .and_then(|read| if read.is_zero() { Err("more than zero".to_owned()) } else { Ok(read) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("24h"), Ok(LONGEST));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for wrong in ["", "5", "s", "-5s", "1.5s", "5 s", "5d", "25h", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong:?} was taken");
        }
        assert!(positive_duration("0ms").is_err());
    }
}
