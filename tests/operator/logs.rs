//! Logs that cannot be written: whoever read them is gone.

use std::io;
use std::process::Command;

use rustix::process::Signal;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::cluster::Cluster;
use crate::tool::call;

/// The command, with a pipe that nobody reads as its standard error.
fn unread(mut command: Command) -> Command {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    command.stderr(writer);
    command
}

/// A replica whose log nobody reads serves and stops like any other.
#[tokio::test]
async fn a_replica_goes_on_without_its_log() {
    let mut cluster = Cluster::start_some(1, &[]);
    let command = unread(cluster.replicas[0].command());
    cluster.replicas[0].run(command);
    cluster.replicas[0].until(ServingStatus::Serving).await;
    assert_eq!(call(&cluster, 0, &["create", "7"]).0, 0);
    cluster.replicas[0].signal(Signal::TERM);
    assert_eq!(cluster.replicas[0].exit_code().await, Some(0));
}

/// The exit code says why one cannot start where the message cannot.
#[tokio::test]
async fn the_exit_code_tells_what_no_log_does() {
    let mut cluster = Cluster::start_some(1, &[]);
    std::fs::write(&cluster.replicas[0].data, "no directory").unwrap();
    let command = unread(cluster.replicas[0].command());
    cluster.replicas[0].run(command);
    assert_eq!(cluster.replicas[0].exit_code().await, Some(3));
}
