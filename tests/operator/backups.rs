//! `ftqueue backup` and `ftqueue restore`: of a cluster that goes on meanwhile, into one of another name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use ftqueue::testing::proto::ft_queue_client::FtQueueClient;
use ftqueue::testing::proto::{
    QCreateRequest, QDestroyRequest, QIdRequest, QPopRequest, QPushRequest, QSizeRequest,
    RequestName,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::{JoinSet, spawn_blocking};
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::cluster::{Cluster, LIMIT};
use crate::tool::{Ran, call, run, until_status, wait_for};

const SIZE: usize = 3;
/// Short segments, so that snapshots are made soon, and files go while others read them.
const SHORT: (&str, &str) = ("FTQUEUE_SEGMENT_LENGTH", "65536");
const NEW_NAME: &str = "after";
const NAMED: (&str, &str) = ("FTQUEUE_CLUSTER_NAME", NEW_NAME);
/// How many callers push at each replica.
const PUSHERS: usize = 4;

/// Exit codes.
const REFUSED: i32 = 1;
const USAGE: i32 = 2;
const NOT_STARTED: i32 = 3;
const DAMAGED: i32 = 6;

/// A cluster with settings, all of whose replicas serve. `prepare` has the data directory of each made, if it wants to.
async fn start(settings: &[(&str, &str)], prepare: impl Fn(usize, &Path)) -> Cluster {
    for _ in 0..5 {
        let mut cluster = Cluster::start_some(SIZE, &[]);
        for (id, replica) in cluster.replicas.iter_mut().enumerate() {
            prepare(id, &replica.data);
            replica.start_with(settings);
        }
        if cluster.all_serve().await {
            return cluster;
        }
    }
    panic!("ports were taken again and again");
}

fn backup(cluster: &Cluster, id: usize, file: &Path, further: &[&str]) -> Ran {
    backup_at(&cluster.replicas[id].grpc.to_string(), file, further)
}

fn backup_at(endpoint: &str, file: &Path, further: &[&str]) -> Ran {
    let file = file.to_str().unwrap();
    run(&[&["backup", file, "--endpoint", endpoint, "--json"], further].concat())
}

fn restore(file: &Path, id: usize, data: &Path, further: &[&str]) -> Ran {
    let (file, data, id) = (file.to_str().unwrap(), data.to_str().unwrap(), id.to_string());
    let arguments = ["restore", file, "--id", &id, "--data", data, "--json"];
    run(&[&arguments, further].concat())
}

/// Restores a replica, which has to work, and gives what is said of the backup.
fn restored(file: &Path, id: usize, data: &Path) -> Value {
    let ran = restore(file, id, data, &["--cluster-name", NEW_NAME]);
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{ran:?}");
    ran.object()["backup"].clone()
}

/// What is in a folder, by name.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A push that was answered.
#[derive(Clone, Debug)]
struct Pushed {
    request: RequestName,
    item: i64,
    sequence: u64,
}

/// Callers that push named requests at all replicas until they are told to end.
struct Pushers {
    pushed: Arc<Mutex<Vec<Pushed>>>,
    end: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Pushers {
    async fn start(cluster: &Cluster, queue_id: i64) -> Self {
        let (pushed, end) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let mut tasks = JoinSet::new();
        for id in cluster.all() {
            let client = cluster.client(id).await;
            for pusher in id * PUSHERS..(id + 1) * PUSHERS {
                let pushing =
                    push(client.clone(), queue_id, pusher, Arc::clone(&pushed), Arc::clone(&end));
                tasks.spawn(pushing);
            }
        }
        Self { pushed, end, tasks }
    }

    /// What was answered so far.
    fn so_far(&self) -> Vec<Pushed> {
        self.pushed.lock().unwrap().clone()
    }

    /// Waits until a push past `sequence` was answered.
    async fn until_past(&self, sequence: u64) {
        let started = Instant::now();
        while !self.so_far().iter().any(|pushed| pushed.sequence > sequence) {
            assert!(started.elapsed() < LIMIT, "nothing is pushed any more");
            tokio::task::yield_now().await;
        }
    }

    /// Ends them, and gives all that was answered, in its order.
    async fn end(mut self) -> Vec<Pushed> {
        self.end.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        let mut all = self.so_far();
        all.sort_by_key(|pushed| pushed.sequence);
        all
    }
}

async fn push(
    mut client: FtQueueClient<Channel>,
    queue_id: i64,
    pusher: usize,
    pushed: Arc<Mutex<Vec<Pushed>>>,
    end: Arc<AtomicBool>,
) {
    for number in 1.. {
        if end.load(Ordering::Relaxed) {
            return;
        }
        let request = RequestName { client: format!("pusher {pusher}"), number };
        let item = i64::try_from(pusher).unwrap() << 32 | i64::try_from(number).unwrap();
        let message = QPushRequest { queue_id, item, request: Some(request.clone()) };
        // By its name it counts once, should a loaded machine bring on another view.
        let answer = loop {
            match client.q_push(message.clone()).await {
                Ok(answer) => break answer.into_inner(),
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
            }
        };
        pushed.lock().unwrap().push(Pushed { request, item, sequence: answer.sequence });
    }
}

/// A cluster whose queue 1, of label 7, is pushed to, and whose queue 2 is destroyed; and the request that made queue 1.
async fn pushed_to(settings: &[(&str, &str)]) -> (Cluster, Pushers, QCreateRequest) {
    let cluster = start(settings, |_, _| {}).await;
    let mut client = cluster.client(0).await;
    let request = Some(RequestName { client: "maker".to_owned(), number: 1 });
    let create = QCreateRequest { label: 7, request };
    assert_eq!(client.q_create(create.clone()).await.unwrap().into_inner().queue_id, 1);
    let other = QCreateRequest { label: 8, request: None };
    assert_eq!(client.q_create(other).await.unwrap().into_inner().queue_id, 2);
    client.q_destroy(QDestroyRequest { queue_id: 2, request: None }).await.unwrap();
    let pushers = Pushers::start(&cluster, 1).await;
    (cluster, pushers, create)
}

/// Waits until a replica has made a snapshot.
async fn until_snapshot(data: PathBuf) {
    let has = move || {
        let made = names(&data).into_iter().find(|name| {
            name.starts_with("snapshot-") && name.bytes().next_back().unwrap().is_ascii_digit()
        });
        made.ok_or("no snapshot")
    };
    spawn_blocking(|| wait_for("a snapshot", has)).await.unwrap();
}

#[tokio::test]
async fn a_new_cluster_goes_on_from_a_backup_under_load() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("backup");
    let (old, pushers, create) = pushed_to(&[SHORT]).await;
    until_snapshot(old.replicas[1].data.clone()).await;

    // Again and again, so that some are made while snapshots take the place of segments.
    let mut before = Vec::new();
    let mut last = Value::Null;
    for id in [0, 1, 2, 1, 1] {
        before = pushers.so_far();
        let (endpoint, file) = (old.replicas[id].grpc.to_string(), file.clone());
        let ran = spawn_blocking(move || backup_at(&endpoint, &file, &["--force"])).await.unwrap();
        assert_eq!((ran.exit, ran.err.as_str()), (0, ""), "{ran:?}");
        last = ran.object();
        assert_eq!((&last["cluster"], &last["replica"]), (&json!("ftqueue"), &json!(id)));
    }
    // The load goes on past the backup.
    let backed_up = last["sequence"].as_u64().unwrap();
    pushers.until_past(backed_up).await;
    let all = pushers.end().await;
    assert_eq!(names(directory.path()), ["backup"]);
    let missing = before.iter().find(|pushed| pushed.sequence > backed_up);
    assert!(missing.is_none(), "{missing:?} was answered before the backup through {backed_up}");
    let expected: Vec<_> = all.iter().filter(|pushed| pushed.sequence <= backed_up).collect();
    assert_eq!((&last["queues"], &last["items"]), (&json!(1), &json!(expected.len())));

    // The old cluster is there still, and neither disturbs the other.
    let prepare = |id: usize, data: &Path| assert_eq!(restored(&file, id, data), last);
    let new = start(&[NAMED], prepare).await;
    let mut clients = new.clients().await;
    let mut sequence = backed_up;
    for client in &mut clients {
        let size = client.q_size(QSizeRequest { queue_id: 1 }).await.unwrap().into_inner();
        assert_eq!(size.size, Some(expected.len() as u64));
        assert!(size.sequence > sequence, "{} after {sequence}", size.sequence);
        sequence = size.sequence;
    }
    for (label, queue_id) in [(7, 1), (8, -1)] {
        let answer = clients[1].q_id(QIdRequest { label }).await.unwrap().into_inner();
        assert_eq!(answer.queue_id, queue_id, "label {label}");
    }

    // What was answered before the backup is answered again, and not executed again.
    let created = clients[2].q_create(create).await.unwrap().into_inner();
    assert_eq!((created.queue_id, created.sequence, created.duplicate), (1, 1, true));
    let by_client = expected.iter().map(|pushed| (pushed.request.client.as_str(), *pushed));
    let last_of: BTreeMap<&str, &Pushed> = by_client.collect();
    assert_eq!(last_of.len(), SIZE * PUSHERS);
    for Pushed { request, item, sequence } in last_of.into_values() {
        let message = QPushRequest { queue_id: 1, item: *item, request: Some(request.clone()) };
        let answer = clients[0].q_push(message).await.unwrap().into_inner();
        assert_eq!((answer.sequence, answer.duplicate), (*sequence, true), "{request:?}");
    }

    // An id that was used is not used again.
    let further = QCreateRequest { label: 9, request: None };
    assert_eq!(clients[0].q_create(further).await.unwrap().into_inner().queue_id, 3);
    for (at, pushed) in expected.iter().enumerate() {
        let pop = QPopRequest { queue_id: 1, request: None };
        let popped = clients[at % SIZE].q_pop(pop).await.unwrap().into_inner();
        assert_eq!(popped.item, Some(pushed.item), "item {at}");
    }
    let pop = QPopRequest { queue_id: 1, request: None };
    assert!(clients[0].q_pop(pop).await.unwrap().into_inner().empty);
}

/// A replica of the new cluster that was not restored knows that it lacks something. And what was restored survives
/// restarts, also that of all at once.
#[tokio::test]
async fn one_that_was_not_restored_copies_and_all_can_restart() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("backup");
    let old = Cluster::start(1).await;
    assert_eq!(call(&old, 0, &["create", "7"]).0, 0);
    for item in ["17", "18"] {
        assert_eq!(call(&old, 0, &["push", "1", item]).0, 0);
    }
    assert_eq!(backup(&old, 0, &file, &[]).exit, 0);

    let mut new = Cluster::start_some(SIZE, &[]);
    for id in [0, 1] {
        restored(&file, id, &new.replicas[id].data);
        new.replicas[id].start_with(&[NAMED]);
    }
    for id in [0, 1] {
        new.replicas[id].until(ServingStatus::Serving).await;
    }
    new.replicas[2].start_with(&[NAMED]);
    new.replicas[2].until(ServingStatus::Serving).await;
    assert!(new.replicas[2].log().contains("taking over what a member delivered"));
    assert_eq!(call(&new, 2, &["pop", "1"]).1["result"], json!({ "item": 17 }));

    new.kill_all().await;
    new.replicas.iter_mut().for_each(|replica| replica.start_with(&[NAMED]));
    assert!(new.all_serve().await);
    assert_eq!(call(&new, 0, &["pop", "1"]).1["result"], json!({ "item": 18 }));
    assert_eq!(call(&new, 1, &["size", "1"]).1["result"], json!({ "size": 0 }));
}

#[tokio::test]
async fn without_a_majority_there_is_no_backup() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("backup");
    let mut cluster = Cluster::start(SIZE).await;
    assert_eq!(call(&cluster, 0, &["create", "7"]).0, 0);
    cluster.replicas[1].kill().await;
    cluster.replicas[2].kill().await;
    // At once, and when it knows that it is alone.
    let early = backup(&cluster, 0, &file, &["--timeout", "1s"]);
    let alone = "it reaches 1 of 3 replicas, and 2 make a majority";
    until_status(&cluster, "a survivor that does not serve", |all| all[0]["why_not"] == alone);
    let late = backup(&cluster, 0, &file, &["--timeout", "1s"]);
    for ran in [&early, &late] {
        assert_eq!((ran.exit, ran.err.as_str()), (REFUSED, ""), "{ran:?}");
        let reason = ran.object()["error"]["reason"].as_str().unwrap().to_owned();
        let known = ["NO_MAJORITY", "NO_VIEW", "DEADLINE_EXCEEDED"];
        assert!(known.contains(&reason.as_str()), "{ran:?}");
    }
    assert_eq!(late.object()["error"]["code"], "UNAVAILABLE");
    // A person is told the same.
    let (to, endpoint) = (file.to_str().unwrap(), cluster.replicas[0].grpc.to_string());
    let ran = run(&["backup", to, "--endpoint", &endpoint, "--timeout", "1s"]);
    assert_eq!((ran.exit, ran.out.as_str()), (REFUSED, ""));
    assert!(ran.err.starts_with("backup failed: this replica cannot answer: "), "{}", ran.err);
    assert!(ran.err.trim_end().ends_with("backup was not written"), "{}", ran.err);
    // And nobody at all is there.
    cluster.replicas[0].kill().await;
    assert_eq!(backup(&cluster, 0, &file, &["--timeout", "1s"]).exit, NOT_STARTED);
    assert!(names(directory.path()).is_empty());
}

#[tokio::test]
async fn a_file_that_is_there_stays_unless_it_is_to_be_replaced() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("backup");
    let cluster = Cluster::start(1).await;
    fs::write(&file, "mine").unwrap();
    let ran = backup(&cluster, 0, &file, &[]);
    assert_eq!((ran.exit, ran.err.as_str()), (NOT_STARTED, ""));
    let error = ran.object()["error"]["message"].as_str().unwrap().to_owned();
    assert!(error.contains("--force"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    let ran = backup(&cluster, 0, &file, &["--force"]);
    assert_eq!(ran.exit, 0, "{ran:?}");
    assert_eq!(ran.object()["bytes"], fs::metadata(&file).unwrap().len());
    // Into a folder that is not there, or where a backup is being written.
    let nowhere = directory.path().join("nowhere/backup");
    assert_eq!(backup(&cluster, 0, &nowhere, &[]).exit, NOT_STARTED);
    fs::write(directory.path().join("backup.new"), "").unwrap();
    assert_eq!(backup(&cluster, 0, &file, &["--force"]).exit, NOT_STARTED);
    assert_eq!(names(directory.path()), ["backup", "backup.new"]);

    // What people are told has all that machines are.
    fs::remove_file(directory.path().join("backup.new")).unwrap();
    let (to, endpoint) = (file.to_str().unwrap(), cluster.replicas[0].grpc.to_string());
    let ran = run(&["backup", to, "--endpoint", &endpoint, "--force"]);
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""));
    let bytes = fs::metadata(&file).unwrap().len();
    assert!(ran.out.contains(&format!("{to} of {bytes} bytes, check ")), "{}", ran.out);
    assert!(ran.out.contains("holds    queues 0, items 0, through operation "), "{}", ran.out);
}

#[tokio::test]
async fn a_restore_takes_a_whole_backup_an_empty_folder_and_another_name() {
    let directory = TempDir::new().unwrap();
    let (file, data) = (directory.path().join("backup"), directory.path().join("data"));
    let cluster = Cluster::start(1).await;
    assert_eq!(call(&cluster, 0, &["create", "7"]).0, 0);
    assert_eq!(backup(&cluster, 0, &file, &[]).exit, 0);
    let named = ["--cluster-name", NEW_NAME];

    let good = fs::read(&file).unwrap();
    let damaged = directory.path().join("damaged");
    for bad in [&good[..good.len() - 1], &[&good[..], b"x"].concat(), b"ftqueue", b""] {
        fs::write(&damaged, bad).unwrap();
        let ran = restore(&damaged, 0, &data, &named);
        assert_eq!((ran.exit, ran.err.as_str()), (DAMAGED, ""), "{ran:?}");
        assert_eq!(ran.object()["damaged"], true);
    }
    let ran = restore(&directory.path().join("absent"), 0, &data, &named);
    assert_eq!((ran.exit, &ran.object()["damaged"]), (NOT_STARTED, &json!(false)));
    let ran = restore(&file, 0, &data, &["--cluster-name", "ftqueue"]);
    assert_eq!((ran.exit, ran.err.as_str()), (USAGE, ""));
    assert!(ran.object()["error"].as_str().unwrap().contains("--same-name"), "{ran:?}");
    assert!(!data.exists(), "nothing was made");

    let used = &cluster.replicas[0].data;
    let before = names(used);
    for occupied in [used.as_path(), directory.path()] {
        let ran = restore(&file, 0, occupied, &named);
        assert_eq!((ran.exit, ran.err.as_str()), (NOT_STARTED, ""), "{ran:?}");
        assert!(ran.object()["error"].as_str().unwrap().contains("is not empty"), "{ran:?}");
    }
    assert_eq!(names(used), before);

    fs::create_dir(&data).unwrap();
    assert_eq!(restore(&file, 0, &data, &["--cluster-name", "ftqueue", "--same-name"]).exit, 0);
    let ran = restore(&file, 0, &data, &named);
    assert_eq!(ran.exit, NOT_STARTED, "once: {ran:?}");
    // A person is told which line comes next.
    let (from, to) = (file.to_str().unwrap(), directory.path().join("other"));
    let (at, words) = (to.to_str().unwrap(), ["restore", from, "--id", "2", "--data"]);
    let ran = run(&[&words[..], &[at], &named].concat());
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""));
    let next = ran.out.lines().last().unwrap();
    let serve = format!(" serve --id 2 --cluster-name {NEW_NAME} --data {at} --cluster 0=");
    assert!(next.starts_with("next ") && next.contains(&serve), "{}", ran.out);
}
