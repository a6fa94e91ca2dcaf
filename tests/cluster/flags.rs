//! What `ftqueue serve` refuses to start with, and how it says so.

use std::fs;
use std::process::Output;

use crate::cluster::{Cluster, free_ports, ftqueue};

/// Runs `serve` with these settings over good ones, which it must refuse.
fn refused(settings: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let ports = free_ports(2);
    let data = directory.path().join("r0");
    let mut command = ftqueue();
    command
        .arg("serve")
        .env("FTQUEUE_ID", "0")
        .env("FTQUEUE_CLUSTER", format!("0=127.0.0.1:{}", ports[0]))
        .env("FTQUEUE_LISTEN", format!("127.0.0.1:{}", ports[1]))
        .env("FTQUEUE_DATA", data);
    for (variable, value) in settings {
        command.env(variable, value);
    }
    // It ends by itself: nothing it is given here lets it start.
    command.output().unwrap()
}

#[track_caller]
fn ended(output: &Output, code: i32, message: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(message), "'{message}' is not in: {text}");
}

#[test]
fn bad_settings_are_named() {
    let five = "0=a:1,1=b:1,2=c:1,3=d:1";
    for (variable, value, message) in [
        ("FTQUEUE_ID", "1", "replica ids are 0 to 0, not 1"),
        ("FTQUEUE_ID", "x", "invalid value 'x' for '--id"),
        ("FTQUEUE_CLUSTER", five, "an odd number of replicas, not 4"),
        ("FTQUEUE_CLUSTER", "0=a:1,0=b:1,1=c:1", "replica 0 is listed twice"),
        ("FTQUEUE_CLUSTER", "0=a:1,1=b:1,3=c:1", "replica 2 is missing"),
        ("FTQUEUE_CLUSTER", "0=a:1,1=b:1,2=a:1", "cannot share the address a:1"),
        ("FTQUEUE_CLUSTER", "0=a", "'a' is not HOST:PORT"),
        ("FTQUEUE_LISTEN", "7001", "'7001' is not HOST:PORT"),
        ("FTQUEUE_RING_LISTEN", "::1:1", "an IPv6 address needs brackets"),
        ("FTQUEUE_MAX_DATAGRAM", "1000", "a size is 1200 to 65507 bytes"),
        ("FTQUEUE_CLUSTER_NAME", "a b", "a name has 1 to 64 letters"),
        ("FTQUEUE_CLUSTER_KEY", "1234", "FTQUEUE_CLUSTER_KEY does not hold 64 hexadecimal digits"),
        ("FTQUEUE_CLUSTER_KEY_FILE", "/nowhere/key", "/nowhere/key cannot be read"),
        ("FTQUEUE_LOG", "ftqueue=loud", "--log"),
    ] {
        ended(&refused(&[(variable, value)]), 2, message);
    }
}

#[test]
fn a_missing_setting_is_named() {
    let output = ftqueue().args(["serve", "--id", "0"]).output().unwrap();
    for flag in ["--cluster", "--listen", "--data"] {
        ended(&output, 2, flag);
    }
}

#[test]
fn a_key_is_never_shown() {
    let secret = "00112233445566778899aabbccddeeff00112233445566778899aabbccddee";
    let output = refused(&[("FTQUEUE_CLUSTER_KEY", secret)]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains(secret));

    let help = ftqueue()
        .args(["serve", "--help"])
        .env("FTQUEUE_CLUSTER_KEY", secret)
        .stdout(std::process::Stdio::piped())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&help.stdout);
    assert!(text.contains("FTQUEUE_CLUSTER_KEY"), "{text}");
    assert!(!text.contains(secret));
    assert!(text.contains("Exit codes:"), "{text}");
}

#[test]
fn a_name_that_does_not_resolve_is_no_place_to_listen() {
    ended(&refused(&[("FTQUEUE_LISTEN", "nowhere.invalid:1")]), 3, "nowhere.invalid:1");
    let output = refused(&[("FTQUEUE_RING_LISTEN", "nowhere.invalid:1")]);
    ended(&output, 3, "the ring cannot listen on UDP nowhere.invalid:1");
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let below = file.join("r0");
    let output = refused(&[("FTQUEUE_DATA", below.to_str().unwrap())]);
    ended(&output, 3, "cannot be used");
}

#[tokio::test]
async fn what_a_running_replica_holds_is_not_taken() {
    let cluster = Cluster::start(1).await;
    let replica = &cluster.replicas[0];

    let data = replica.data.to_str().unwrap();
    ended(&refused(&[("FTQUEUE_DATA", data)]), 3, "is in use by another process");

    let listen = replica.grpc.to_string();
    ended(&refused(&[("FTQUEUE_LISTEN", &listen)]), 3, "gRPC cannot be served on");
}

#[tokio::test]
async fn a_ring_address_in_use_is_named() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let members = format!("0={}", socket.local_addr().unwrap());
    let output = refused(&[("FTQUEUE_CLUSTER", &members)]);
    ended(&output, 3, "the ring cannot listen on UDP");
}
