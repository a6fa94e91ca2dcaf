//! Disks without room: of one replica, and of all. Nothing that was answered is lost, and with room all goes on by
//! itself.

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::calls::Call;
use crate::cluster::{Cluster, Replica, STORAGE_FAILED};
use crate::load::{Load, now, tell};
use crate::tmpfs::Tmpfs;
use crate::tool::{call, call_within, endpoints, run, serving, until_status, wait_for};

const SIZE: usize = 3;

/// A cluster of which some replicas have a small disk of their own, by their ids.
struct Small {
    cluster: Cluster,
    // After the cluster: under a running replica they cannot go.
    disks: Vec<Option<Tmpfs>>,
    _directory: TempDir,
}

impl Small {
    /// None where nothing can be mounted, which is said.
    async fn start(with_small_disks: &[usize]) -> Option<Self> {
        Self::start_and_place(with_small_disks, |_, _| {}).await
    }

    /// The same, with the replicas' logs on their small disks, beside their data.
    async fn start_with_logs(with_small_disks: &[usize]) -> Option<Self> {
        Self::start_and_place(with_small_disks, |replica, disk| {
            replica.log_file = disk.root().join("log");
        })
        .await
    }

    async fn start_and_place(
        with_small_disks: &[usize],
        place: impl Fn(&mut Replica, &Tmpfs),
    ) -> Option<Self> {
        for _ in 0..5 {
            let directory = tempfile::tempdir().unwrap();
            let mut disks: Vec<Option<Tmpfs>> = (0..SIZE).map(|_| None).collect();
            for &id in with_small_disks {
                match Tmpfs::mount(&directory.path().join(format!("disk{id}")), "1m") {
                    Ok(disk) => disks[id] = Some(disk),
                    Err(why) => {
                        tell(&format!("NOT RUN: no small disk can be mounted here: {why}"));
                        return None;
                    }
                }
            }
            let mut cluster = Cluster::start_some(SIZE, &[]);
            for (replica, disk) in cluster.replicas.iter_mut().zip(&disks) {
                if let Some(disk) = disk {
                    replica.data = disk.root().join("data");
                    place(replica, disk);
                }
                replica.start();
            }
            if cluster.all_serve().await {
                return Some(Self { cluster, disks, _directory: directory });
            }
        }
        panic!("ports were taken again and again");
    }

    fn disks(&self) -> impl Iterator<Item = &Tmpfs> {
        self.disks.iter().flatten()
    }
}

fn was_full(call: &Call) -> bool {
    call.error.as_ref().is_some_and(|error| error.reason == "STORAGE_FULL")
}

/// Waits until so many replicas have refused reads and changes for want of room.
async fn refuse(load: &mut Load, replicas: usize, since: u64) {
    load.wait_for(&format!("{replicas} refuse reads and changes"), since, |calls| {
        let refuses = |id: &usize| {
            let mut refused = calls.iter().filter(|call| call.replica == *id && was_full(call));
            refused.clone().any(Call::is_read) && refused.any(|call| !call.is_read())
        };
        (0..SIZE).filter(refuses).count() >= replicas
    })
    .await;
}

/// What was refused says that it was not executed.
fn refusals_are_plain(calls: &[Call]) {
    assert!(calls.iter().any(was_full));
    for call in calls.iter().filter(|call| was_full(call)) {
        let error = call.error.as_ref().unwrap();
        assert_eq!(
            (error.code.as_str(), error.outcome.as_str()),
            ("RESOURCE_EXHAUSTED", "not_executed"),
            "{call:?}"
        );
    }
}

/// Calls a replica whose disk has been filled until it says so: the end of its log's last page is free still.
fn until_refused(cluster: &Cluster, id: usize) {
    let refused = wait_for("a refusal for want of room", || {
        // A read takes room, too: it has a place in the order.
        let (exit, answer) = call_within("300ms", cluster, id, &["size", "1"]);
        let error = &answer["error"];
        // Without a majority that has room nothing is answered.
        let goes_on = error.is_null() || error["code"] == "DEADLINE_EXCEEDED";
        assert!(goes_on || error["reason"] == "STORAGE_FULL", "{answer}");
        if goes_on { Err(answer) } else { Ok((exit, answer)) }
    });
    let error = &refused.1["error"];
    assert_eq!(error["code"], "RESOURCE_EXHAUSTED");
    // A try before it may have come to no answer.
    let outcome = (refused.0, error["outcome"].as_str());
    assert!([(1, Some("not_executed")), (5, Some("unknown"))].contains(&outcome), "{outcome:?}");
}

/// Pushes an item that one replica has to answer for.
fn push(cluster: &Cluster, id: usize, item: i64) {
    let (exit, answer) = call(cluster, id, &["push", "1", &item.to_string()]);
    assert_eq!(exit, 0, "{answer}");
}

/// Pops what was pushed, from 1, and no more.
fn pop_all(cluster: &Cluster, id: usize, pushed: i64) {
    for item in 1..=pushed {
        let (exit, answer) = call(cluster, id, &["pop", "1"]);
        assert_eq!((exit, &answer["result"]), (0, &json!({ "item": item })), "{answer}");
    }
    assert_eq!(call(cluster, id, &["pop", "1"]).1["result"], json!({ "empty": true }));
}

/// Whoever asks a replica without room is told so; the others go on without its acks.
#[tokio::test]
async fn one_without_room_refuses_and_the_others_go_on() {
    let Some(mut small) = Small::start(&[1]).await else { return };
    let (cluster, disk) = (&mut small.cluster, small.disks[1].as_ref().unwrap());
    assert_eq!(call(cluster, 1, &["create", "7"]).0, 0);
    push(cluster, 1, 1);
    disk.fill();
    until_refused(cluster, 1);
    let (exit, answer) = call(cluster, 1, &["push", "1", "-1"]);
    assert_eq!((exit, &answer["error"]["reason"]), (1, &json!("STORAGE_FULL")), "{answer}");
    cluster.replicas[1].until(ServingStatus::NotServing).await;
    let (exit, _) = until_status(cluster, "a replica without room that says so", |replicas| {
        serving(replicas) == 2 && replicas[1]["why_not"] == "storage is full"
    });
    assert_eq!(exit, 0, "a majority serves");
    let ran = run(&["status", "--endpoints", &endpoints(cluster)]);
    let full = format!("{} has not served for ", cluster.replicas[1].grpc);
    let remark = ran.out.lines().find(|line| line.starts_with(&full)).unwrap();
    assert!(remark.ends_with(" s: storage is full"), "{remark}");
    assert!(cluster.replicas[1].log().contains("storage is full: nothing is acked"));
    (2..=5).for_each(|item| push(cluster, if item % 2 == 0 { 0 } else { 2 }, item));

    // With room it goes on in the same life.
    disk.make_room();
    cluster.replicas[1].until(ServingStatus::Serving).await;
    assert!(cluster.replicas[1].log().contains("storage has room again"));
    push(cluster, 1, 6);

    // A replica cannot begin a life without room, and says why.
    disk.fill();
    until_refused(cluster, 1);
    cluster.replicas[1].signal(Signal::TERM);
    assert_eq!(cluster.replicas[1].exit_code().await, Some(0));
    push(cluster, 0, 7);
    cluster.replicas[1].start();
    assert_eq!(cluster.replicas[1].exit_code().await, Some(STORAGE_FAILED));
    let log = cluster.replicas[1].log();
    let last = log.lines().last().unwrap();
    assert!(last.starts_with("error: writing ") && last.contains("No space left"), "{last}");
    disk.make_room();
    cluster.replicas[1].start();
    cluster.replicas[1].until(ServingStatus::Serving).await;
    pop_all(cluster, 1, 7);
}

/// Nobody has room, not for a line of the log either: nobody answers anything, each says why, and with room all go on
/// in the same lives.
#[tokio::test]
async fn none_has_room() {
    let Some(small) = Small::start_with_logs(&[0, 1, 2]).await else { return };
    let cluster = &small.cluster;
    assert_eq!(call(cluster, 0, &["create", "7"]).0, 0);
    (1..=3).for_each(|item| push(cluster, 0, item));
    let lives = |replicas: &Value| {
        let replicas = replicas.as_array().unwrap().iter();
        replicas.map(|one| one["incarnation"].clone()).collect::<Vec<_>>()
    };
    let (_, before) = until_status(cluster, "all serving", |replicas| serving(replicas) == SIZE);
    // One after the other, since what is left of the last page is filled by operations alone.
    for (id, disk) in small.disks().enumerate() {
        disk.fill();
        disk.fill_last_page(&cluster.replicas[id].log_file);
        until_refused(cluster, id);
    }
    for id in cluster.all() {
        let (exit, answer) = call(cluster, id, &["push", "1", "-1"]);
        assert_eq!((exit, &answer["error"]["reason"]), (1, &json!("STORAGE_FULL")), "{answer}");
    }
    let (exit, all) = until_status(cluster, "three without room", |replicas| {
        let replicas = replicas.as_array().unwrap();
        replicas.iter().all(|one| one["why_not"] == "storage is full")
    });
    assert_eq!((exit, &all["majority_serves"]), (1, &json!(false)));
    small.disks().for_each(Tmpfs::make_room);
    let (exit, after) = until_status(cluster, "all serving", |all| serving(all) == SIZE);
    assert_eq!((exit, lives(&after["replicas"])), (0, lives(&before["replicas"])));
    pop_all(cluster, 2, 3);
}

/// The load itself fills one disk. The others leave that replica behind when they must, and take it in again.
#[tokio::test]
async fn a_load_fills_the_disk_of_one() {
    let Some(small) = Small::start(&[2]).await else { return };
    let since = now();
    let cluster = &small.cluster;
    let mut load = Load::start(cluster).await;
    refuse(&mut load, 1, since).await;
    // It learns nothing that it has no room for.
    let outside = |replicas: &Value| replicas[2]["view"].is_null();
    let (_, before) = until_status(cluster, "going on without it", outside);
    let delivered = |all: &Value, id: usize| all["replicas"][id]["delivered"].as_u64().unwrap();
    let (_, after) = until_status(cluster, "going on for long", |replicas| {
        replicas[0]["delivered"].as_u64().unwrap() > delivered(&before, 0) + 4_000
    });
    assert!(outside(&after["replicas"]));
    // Nor is it asked again and again for a promise that it cannot give, which all would wait for.
    let round = |all: &Value| {
        let number = all["replicas"][0]["promised"].as_str().unwrap();
        number.split_once('.').unwrap().0.parse::<u64>().unwrap()
    };
    let (first, last) = (round(&before), round(&after));
    assert!(last <= first + 1, "{} views were proposed meanwhile", last - first);
    let learned = delivered(&after, 2) - delivered(&before, 2);
    assert!(learned < 2_000, "it holds {learned} more in memory");
    load.goes_on(&[0, 1]).await;
    small.disks().for_each(|disk| disk.grow("400m"));
    load.goes_on(&cluster.all()).await;
    let calls = load.end(cluster).await;
    refusals_are_plain(&calls.0);
}

/// The load fills the disks of a majority, and the third does nothing without it, until a majority has room again.
#[tokio::test]
async fn a_load_fills_the_disks_of_all() {
    let Some(small) = Small::start(&[0, 1, 2]).await else { return };
    let cluster = &small.cluster;
    let since = now();
    let mut load = Load::start(cluster).await;
    refuse(&mut load, 2, since).await;
    let (exit, _) = until_status(cluster, "a majority without room", |all| serving(all) < 2);
    assert_eq!(exit, 1);
    let disks: Vec<_> = small.disks().collect();
    // In another order than they are used in.
    disks[2].grow("400m");
    disks[0].grow("400m");
    load.goes_on(&[0, 2]).await;
    disks[1].grow("400m");
    load.goes_on(&cluster.all()).await;
    let calls = load.end(cluster).await;
    refusals_are_plain(&calls.0);
}

/// They are killed as full as they are: what was answered is there when they come back with room.
#[tokio::test]
async fn full_ones_are_killed() {
    let Some(mut small) = Small::start(&[0, 1, 2]).await else { return };
    let since = now();
    let mut load = Load::start(&small.cluster).await;
    refuse(&mut load, 2, since).await;
    small.cluster.kill_all().await;
    small.disks().for_each(|disk| disk.grow("400m"));
    small.cluster.start_all();
    load.goes_on(&small.cluster.all()).await;
    let calls = load.end(&small.cluster).await;
    refusals_are_plain(&calls.0);
}
