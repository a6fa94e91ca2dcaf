//! `--durability async`: it is said, and a replica that did not end in order is not trusted again.

use rustix::process::Signal;
use serde_json::json;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::cluster::Cluster;
use crate::tool::{call, endpoints, run, serving, status, until_status, wait_for};

const SIZE: usize = 3;
const ASYNC: [(&str, &str); 1] = [("FTQUEUE_DURABILITY", "async")];
const WARNING: &str = "--durability async: a loss of power can take back what was answered";

#[tokio::test]
async fn it_is_told_and_only_an_end_in_order_is_trusted() {
    let mut cluster = Cluster::start_with(SIZE, &ASYNC).await;
    assert_eq!(call(&cluster, 0, &["create", "7"]).0, 0);
    for id in cluster.all() {
        let log = cluster.replicas[id].log();
        let line = log.lines().find(|line| line.contains(WARNING)).expect("it is told");
        assert!(line.contains(" WARN "), "{line}");
        assert_eq!(call(&cluster, id, &["push", "1", "5"]).0, 0);
    }
    let replicas = status(&cluster).1["replicas"].clone();
    assert!(replicas.as_array().unwrap().iter().all(|one| one["durability"] == "async"));
    let table = run(&["status", "--endpoints", &endpoints(&cluster)]).out;
    assert_eq!(table.matches(" async ").count(), SIZE, "{table}");
    let data = cluster.replicas[2].data.to_str().unwrap().to_owned();
    assert_eq!(run(&["inspect", &data, "--json"]).object()["acks_ahead_of_disk"], true);

    // Told to stop, it leaves all on its disk, and starts again: with this setting, and with the other.
    for settings in [&ASYNC[..], &[]] {
        cluster.replicas[2].signal(Signal::TERM);
        assert_eq!(cluster.replicas[2].exit_code().await, Some(0));
        let ran = run(&["inspect", &data, "--json"]);
        assert_eq!(ran.object()["acks_ahead_of_disk"], false, "{ran:?}");
        cluster.replicas[2].start_with(settings);
        cluster.replicas[2].until(ServingStatus::Serving).await;
        assert_eq!(call(&cluster, 2, &["size", "1"]).1["result"], json!({ "size": 3 }));
    }
    assert_eq!(status(&cluster).1["replicas"][2]["durability"], "fsync");

    // Killed, it is as one whose disk is damaged: the others may have counted on what its disk never had.
    cluster.replicas[1].kill().await;
    let data = cluster.replicas[1].data.to_str().unwrap().to_owned();
    let ran = run(&["inspect", &data]);
    assert_eq!(ran.exit, 0, "{ran:?}");
    assert!(ran.out.contains("\nasync      acks run ahead of the disk"), "{}", ran.out);
    // So it asks them what it had.
    cluster.replicas[1].start_with(&ASYNC);
    let (exit, _) = until_status(&cluster, "all serving", |all| serving(all) == 3);
    assert_eq!(exit, 0);
    let log = cluster.replicas[1].log();
    let line = log.lines().find(|line| line.contains("cannot be trusted")).expect("it is told");
    assert!(line.contains("--durability async and did not end in order"), "{line}");
    assert!(log.contains("what the disk lost that counts is here again"), "{log}");
    for id in [1, 0] {
        assert_eq!(call(&cluster, id, &["pop", "1"]).1["result"], json!({ "item": 5 }));
    }
}

/// A second signal ends it at once, which is not in order either.
#[tokio::test]
async fn an_end_at_once_is_not_in_order() {
    let mut cluster = Cluster::start_with(SIZE, &ASYNC).await;
    assert_eq!(call(&cluster, 0, &["create", "7"]).0, 0);
    // Without the others it waits for them when it is told to leave, for as long as that may take.
    for id in [1, 2] {
        cluster.replicas[id].signal(Signal::STOP);
    }
    cluster.replicas[0].signal(Signal::TERM);
    wait_for("that it is about to stop", || {
        let log = cluster.replicas[0].log();
        if log.contains("told to stop") { Ok(()) } else { Err(log) }
    });
    cluster.replicas[0].signal(Signal::TERM);
    let code = cluster.replicas[0].exit_code().await;
    for id in [1, 2] {
        cluster.replicas[id].signal(Signal::CONT);
    }
    // It may have ended in order before the second one came.
    let in_order = code == Some(0);
    assert!(in_order || code == Some(128 + Signal::TERM.as_raw()), "{code:?}");
    let data = cluster.replicas[0].data.to_str().unwrap();
    assert_eq!(run(&["inspect", data, "--json"]).object()["acks_ahead_of_disk"], !in_order);
    cluster.replicas[0].start_with(&ASYNC);
    cluster.replicas[0].until(ServingStatus::Serving).await;
    assert_eq!(cluster.replicas[0].log().contains("cannot be trusted"), !in_order);
}
