//! `ftqueue health`: whether a replica can answer calls, for scripts and containers.

use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use tonic::Request;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::arguments::positive_duration;
use super::exit::Exit;
use crate::client::{Endpoint, connect};

/// The arguments of `health`.
#[derive(Args, Debug)]
#[command(after_help = "\
Prints SERVING and exits with 0 if the replica can answer calls; prints why not and exits with 1 \
otherwise. It asks the gRPC health service (grpc.health.v1), which any other health checker may ask \
too.

Examples:
  ftqueue health --endpoint 127.0.0.1:7002
  HEALTHCHECK CMD [\"/ftqueue\", \"health\", \"--endpoint\", \"127.0.0.1:7000\"]         in a Dockerfile")]
pub(crate) struct HealthArguments {
    /// The replica, as HOST:PORT
    #[arg(
        long,
        env = "FTQUEUE_ENDPOINT",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:7001"
    )]
    endpoint: Endpoint,

    /// How long to wait for the answer
    #[arg(
        long,
        env = "FTQUEUE_HEALTH_TIMEOUT",
        value_name = "TIME",
        default_value = "2s",
        value_parser = positive_duration
    )]
    timeout: Duration,
}

/// Runs the command.
///
/// # Errors
/// When its output cannot be written.
pub(crate) async fn run(arguments: HealthArguments) -> io::Result<Exit> {
    let HealthArguments { endpoint, timeout } = arguments;
    match serving(&endpoint, timeout).await {
        Ok(()) => {
            writeln!(io::stdout(), "SERVING")?;
            Ok(Exit::Ok)
        }
        Err(why) => {
            writeln!(io::stderr(), "{endpoint} is not serving: {why}")?;
            Ok(Exit::Refused)
        }
    }
}

/// Asks a replica whether it serves, for at most `patience`.
///
/// # Errors
/// Why it does not, for people.
pub(crate) async fn serving(endpoint: &Endpoint, patience: Duration) -> Result<(), String> {
    match tokio::time::timeout(patience, status(endpoint, patience)).await {
        Ok(Ok(status)) if status == ServingStatus::Serving as i32 => Ok(()),
        Ok(Ok(_)) => Err("it says NOT_SERVING".to_owned()),
        Ok(Err(why)) => Err(why),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

async fn status(endpoint: &Endpoint, patience: Duration) -> Result<i32, String> {
    let channel = connect(endpoint, patience).await.map_err(|failure| failure.message)?;
    let request = Request::new(HealthCheckRequest { service: String::new() });
    let response = HealthClient::new(channel).check(request).await;
    response.map(|answer| answer.into_inner().status).map_err(|status| status.message().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::test_replica::{Behaviour, Nobody, Queues, TestReplica};

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn only_a_replica_that_says_so_is_serving() {
        let queues = Queues::default();
        let good = TestReplica::start(&queues, Behaviour::Serve).await;
        assert_eq!(serving(&good.endpoint, PATIENCE).await, Ok(()));
        let unavailable = Behaviour::Unavailable { outcome: "not_executed" };
        let bad = TestReplica::start(&queues, unavailable).await;
        assert_eq!(serving(&bad.endpoint, PATIENCE).await, Err("it says NOT_SERVING".to_owned()));
        let nobody = Nobody::new();
        let why = serving(&nobody.endpoint, PATIENCE).await.unwrap_err();
        assert!(why.contains("refused"), "{why}");
    }

    #[tokio::test]
    async fn a_replica_that_accepts_and_says_nothing_is_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string().parse().unwrap();
        let why = serving(&endpoint, Duration::from_millis(100)).await;
        assert_eq!(why, Err("no answer in time".to_owned()));
    }
}
