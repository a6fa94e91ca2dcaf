//! `ftqueue recover --accept-loss`: more disks are lost than the others can make up for.

use std::fs;
use std::path::Path;

use serde_json::json;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::cluster::Cluster;
use crate::tool::{Ran, call, run, serving, until_status};

const REFUSED: i32 = 1;
const USAGE: i32 = 2;
const UNREADABLE: i32 = 3;
const DAMAGED: i32 = 6;

fn recover(data: &Path) -> Ran {
    run(&["recover", "--accept-loss", "--json", "--data", data.to_str().unwrap()])
}

/// Two of three disks are gone. The third has all, and nobody takes part until an operator says so for one of the two;
/// then all come back.
#[tokio::test]
async fn two_of_three_disks_are_gone() {
    let mut cluster = Cluster::start(3).await;
    assert_eq!(call(&cluster, 0, &["create", "7"]).0, 0);
    assert_eq!(call(&cluster, 1, &["push", "1", "5"]).0, 0);
    assert_eq!(recover(&cluster.replicas[1].data).exit, UNREADABLE, "it runs");
    cluster.kill_all().await;
    assert_eq!(recover(&cluster.replicas[2].data).exit, REFUSED, "it is sound");
    for id in [0, 1] {
        fs::remove_dir_all(&cluster.replicas[id].data).unwrap();
        assert_eq!(recover(&cluster.replicas[id].data).exit, UNREADABLE, "there is nothing");
    }
    cluster.start_all();
    let (_, all) = until_status(&cluster, "two that recover", |replicas| {
        (0..2).all(|id| replicas[id]["status"] == "recovering")
    });
    assert_eq!(serving(&all["replicas"]), 0);
    let why = all["replicas"][0]["why_not"].as_str().unwrap();
    assert_eq!(why, "its disk was lost: 0 of 2 others that are needed said what was on it");

    cluster.replicas[0].kill().await;
    let data = cluster.replicas[0].data.to_str().unwrap().to_owned();
    assert_eq!(run(&["recover", "--data", &data]).exit, USAGE, "it must be said");
    let accepted = recover(Path::new(&data));
    assert_eq!((accepted.exit, accepted.object()["replica"].clone()), (0, json!(0)));
    assert_eq!(accepted.object()["sequence"], 0);
    cluster.replicas[0].start();
    let (exit, _) = until_status(&cluster, "all serving", |replicas| serving(replicas) == 3);
    assert_eq!(exit, 0);
    for id in cluster.all() {
        assert_eq!(call(&cluster, id, &["size", "1"]).1["result"], json!({ "size": 1 }));
    }
}

/// One that is alone goes on with what can be read before the damage.
#[tokio::test]
async fn one_that_is_alone_goes_on_with_what_can_be_read() {
    let mut cluster = Cluster::start(1).await;
    assert_eq!(call(&cluster, 0, &["create", "7"]).0, 0);
    for item in 0..20 {
        assert_eq!(call(&cluster, 0, &["push", "1", &item.to_string()]).0, 0);
    }
    cluster.replicas[0].kill().await;
    let data = cluster.replicas[0].data.clone();
    let log = data.join(format!("log-{:020}", 1));
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, bytes).unwrap();
    cluster.replicas[0].start();
    assert_eq!(cluster.replicas[0].exit_code().await, Some(DAMAGED));

    let accepted = recover(&data);
    assert_eq!(accepted.exit, 0, "{accepted:?}");
    cluster.replicas[0].start();
    cluster.replicas[0].until(ServingStatus::Serving).await;
    let left = call(&cluster, 0, &["size", "1"]).1["result"]["size"].as_u64().unwrap();
    assert!((1..20).contains(&left), "{left} of 20 are left");
    for item in 0..left {
        assert_eq!(call(&cluster, 0, &["pop", "1"]).1["result"], json!({ "item": item }));
    }
    let sequence = call(&cluster, 0, &["push", "1", "99"]).1["sequence"].as_u64().unwrap();
    assert!(sequence > accepted.object()["sequence"].as_u64().unwrap(), "{sequence}");
}

/// What cannot be read at all is no reason not to go on without it, where an operator says so.
#[tokio::test]
async fn one_that_is_alone_goes_on_without_what_cannot_be_read() {
    let mut cluster = Cluster::start(1).await;
    assert_eq!(call(&cluster, 0, &["create", "7"]).0, 0);
    cluster.replicas[0].kill().await;
    let data = cluster.replicas[0].data.clone();
    let log = data.join(format!("log-{:020}", 1));
    fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink("/proc/self/mem", &log).unwrap();
    for _ in 0..2 {
        cluster.replicas[0].start();
        assert_eq!(cluster.replicas[0].exit_code().await, Some(DAMAGED));
    }
    let accepted = recover(&data);
    assert_eq!((accepted.exit, accepted.object()["sequence"].clone()), (0, json!(0)));
    cluster.replicas[0].start();
    cluster.replicas[0].until(ServingStatus::Serving).await;
    assert_eq!(call(&cluster, 0, &["id", "7"]).1["result"], json!({ "queue_id": -1 }));
}

/// Acks that run ahead of the disk are no reason to distrust one that has no entry yet.
#[tokio::test]
async fn a_first_start_in_pieces_with_async_durability() {
    let settings = [("FTQUEUE_DURABILITY", "async")];
    let mut cluster = Cluster::start_some(3, &[]);
    for _ in 0..2 {
        cluster.replicas[0].start_with(&settings);
        cluster.replicas[0].until(ServingStatus::NotServing).await;
        cluster.replicas[0].kill().await;
    }
    cluster.start_all_with(&settings);
    for replica in &cluster.replicas {
        replica.until(ServingStatus::Serving).await;
    }
}

/// Each loss is one of what there was then: nothing older takes its place.
#[tokio::test]
async fn one_disk_is_lost_after_another_and_then_all() {
    let settings = [("FTQUEUE_DURABILITY", "async")];
    let mut cluster = Cluster::start_with(3, &settings).await;
    assert_eq!(call(&cluster, 0, &["create", "7"]).0, 0);
    for id in cluster.all() {
        cluster.replicas[id].kill().await;
        cluster.replicas[id].start_with(&settings);
        let (exit, _) = until_status(&cluster, "all serving", |replicas| serving(replicas) == 3);
        assert_eq!(exit, 0);
        assert_eq!(call(&cluster, id, &["push", "1", "5"]).0, 0);
    }
    cluster.kill_all().await;
    cluster.start_all_with(&settings);
    until_status(&cluster, "three that recover", |replicas| {
        (0..3).all(|id| replicas[id]["status"] == "recovering")
    });
    cluster.kill_all().await;
    // The processes were killed, not the machines: the files have all.
    for id in [0, 1] {
        assert_eq!(recover(&cluster.replicas[id].data).exit, 0);
    }
    cluster.start_all_with(&settings);
    let (exit, _) = until_status(&cluster, "all serving", |replicas| serving(replicas) == 3);
    assert_eq!(exit, 0);
    for id in cluster.all() {
        assert_eq!(call(&cluster, id, &["size", "1"]).1["result"], json!({ "size": 3 }));
    }
}

/// The file that says whose directory it is and which life is gone, and the log is sound: an operator who says whose it is
/// gets it back, and is told that nothing was lost.
#[tokio::test]
async fn a_directory_that_does_not_say_whose_it_is() {
    let mut cluster = Cluster::start(1).await;
    assert_eq!(call(&cluster, 0, &["create", "7"]).0, 0);
    cluster.replicas[0].kill().await;
    let data = cluster.replicas[0].data.clone();
    let file = data.join("incarnation");
    let told = |name: &str| {
        let data = data.to_str().unwrap();
        let whose = ["--id", "0", "--cluster-name", name];
        run(&[&["recover", "--accept-loss", "--json", "--data", data], &whose[..]].concat())
    };
    let before = fs::read(&file).unwrap();
    assert_eq!((told("ftqueue").exit, fs::read(&file).unwrap()), (REFUSED, before), "it is sound");

    fs::remove_file(&file).unwrap();
    cluster.replicas[0].start();
    assert_eq!(cluster.replicas[0].exit_code().await, Some(DAMAGED));
    let unknown = recover(&data);
    let why = unknown.object()["error"].as_str().unwrap().to_owned();
    assert_eq!(unknown.exit, UNREADABLE, "{why}");
    assert!(why.contains("it is missing") && why.contains("--id and --cluster-name"), "{why}");
    assert_eq!((told("another").exit, file.exists()), (UNREADABLE, false));

    let written = told("ftqueue");
    let expected = json!({ "replica": 0, "cluster": "ftqueue", "lost": false });
    assert_eq!((written.exit, written.object()), (0, expected));
    cluster.replicas[0].start();
    cluster.replicas[0].until(ServingStatus::Serving).await;
    assert_eq!(call(&cluster, 0, &["id", "7"]).1["result"], json!({ "queue_id": 1 }));
}
