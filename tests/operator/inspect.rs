//! `ftqueue inspect`: of replicas that run and that do not, and of files that are not as they were written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};
use tempfile::TempDir;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::cluster::Cluster;
use crate::load::Load;
use crate::tool::{Ran, call, run, until_status, wait_for};

const SIZE: usize = 3;
/// The exit codes of a directory without a log, and of one that is damaged.
const UNREADABLE: i32 = 3;
const DAMAGED: i32 = 6;
/// The unit in which a disk loses what was not synced.
const SECTOR: usize = 512;

fn inspect(directory: &Path, further: &[&str]) -> Ran {
    run(&[&["inspect", directory.to_str().unwrap()], further].concat())
}

/// What it says as JSON of a log that can be read.
fn inspected(directory: &Path) -> Value {
    let ran = inspect(directory, &["--json"]);
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""));
    ran.object()
}

/// All files of a directory: their bytes and when they were changed.
fn snapshot(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let state =
        |file: &Path| (fs::read(file).unwrap(), file.metadata().unwrap().modified().unwrap());
    let mut all: BTreeMap<_, _> = files.map(|file| (file.clone(), state(&file))).collect();
    all.insert(
        directory.to_owned(),
        (Vec::new(), directory.metadata().unwrap().modified().unwrap()),
    );
    all
}

/// A copy of a replica's files, whose log was changed.
fn changed(data: &Path, change: impl FnOnce(&mut Vec<u8>)) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(data).unwrap() {
        let file = entry.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let log = log_of(copy.path());
    let mut bytes = fs::read(&log).unwrap();
    change(&mut bytes);
    fs::write(&log, bytes).unwrap();
    copy
}

/// The only segment of a short log.
fn log_of(data: &Path) -> PathBuf {
    data.join(format!("log-{:020}", 1))
}

/// The value of a line that a person is told.
fn told<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find(|line| line.starts_with(name));
    line.unwrap_or_else(|| panic!("no {name}: {text}"))[name.len()..].trim()
}

/// A replica that has ended after ten operations, one message each, in its first view; and its last status.
async fn after_ten_operations() -> (Cluster, Value) {
    let mut cluster = Cluster::start(SIZE).await;
    assert_eq!(call(&cluster, 0, &["create", "7"]).0, 0);
    for item in 0..8 {
        assert_eq!(call(&cluster, item % SIZE, &["push", "1", "5"]).0, 0);
    }
    assert_eq!(call(&cluster, 1, &["pop", "1"]).1["sequence"], 10);
    let (_, all) = until_status(&cluster, "ten operations at all", |replicas| {
        replicas.as_array().unwrap().iter().all(|one| one["sequence"] == 10)
    });
    // How far was delivered is written down when all is quiet.
    let status = all["replicas"][0].clone();
    wait_for("that it is written down", || {
        let log = inspected(&cluster.replicas[0].data);
        if log["delivered"] == status["delivered"] { Ok(()) } else { Err(log) }
    });
    cluster.replicas[0].kill().await;
    (cluster, status)
}

#[tokio::test]
async fn a_log_is_what_was_executed_and_stays_as_it_is() {
    let (cluster, status) = after_ten_operations().await;
    let data = &cluster.replicas[0].data;
    let before = snapshot(data);
    let log = inspected(data);
    let text = inspect(data, &[]);
    let entries = inspect(data, &["--entries"]);
    assert_eq!(snapshot(data), before, "looking changes nothing");
    assert_eq!((text.exit, text.err.as_str()), (0, ""));
    assert_eq!((entries.exit, entries.err.as_str()), (0, ""));

    // As it said itself when it ran.
    let view = format!("v{}", status["view"]["number"].as_str().unwrap());
    assert_eq!(status["delivered"], status["durable"]);
    for (field, value) in [
        ("last", &status["durable"]),
        ("delivered", &status["delivered"]),
        ("last_view", &json!(view)),
        ("promised", &json!(format!("v{}", status["promised"].as_str().unwrap()))),
        ("torn_bytes", &json!(0)),
        ("acks_ahead_of_disk", &json!(false)),
    ] {
        assert_eq!(&log[field], value, "{field}: {log}");
    }
    let bytes = log_of(data).metadata().unwrap().len();
    assert_eq!(log["segments"], json!([{ "number": 1, "bytes": bytes }]));

    // A person is told the same.
    let (last, delivered) = (&log["last"], &log["delivered"]);
    assert_eq!(told(&text.out, "segments"), format!("1 of {bytes} bytes in all"));
    let records = format!("{} in {} batches", log["records"], log["batches"]);
    assert_eq!(told(&text.out, "records"), records);
    assert_eq!(told(&text.out, "last entry"), format!("#{last} of view {view}"));
    assert_eq!(told(&text.out, "delivered"), format!("through #{delivered}"));
    assert_eq!(told(&text.out, "promised"), log["promised"].as_str().unwrap());
    assert_eq!((told(&text.out, "disk"), &log["disk"]), ("sound", &json!("sound")));
    assert_eq!(text.out.lines().count(), 7, "{}", text.out);

    // And record by record: the lines before the same summary.
    let lines = entries.out.strip_suffix(&text.out).expect("the summary ends it");
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(json!(lines.len()), log["records"]);
    let appended: Vec<_> = lines.iter().filter(|line| line.starts_with("append ")).collect();
    assert_eq!(json!(appended.len()), *last, "nothing was dropped");
    for (number, line) in (1..).zip(&appended) {
        assert!(line.starts_with(&format!("append #{number} of ")), "{line}");
    }
    let views = appended.iter().filter(|line| line.contains(": the view of ")).count();
    assert_eq!(appended.len() - views, 10, "a message for each operation: {appended:#?}");
    let last_of = |what: &str| lines.iter().rev().find_map(|line| line.strip_prefix(what));
    assert_eq!(last_of("promise "), log["promised"].as_str());
    assert_eq!(last_of("delivered through #"), Some(delivered.to_string().as_str()));
}

#[tokio::test]
async fn a_torn_tail_is_told_and_the_next_start_cuts_it_off() {
    let (mut cluster, _) = after_ten_operations().await;
    let data = cluster.replicas[0].data.clone();
    let whole = inspected(&data);
    let zero_the_last_sector = |log: &mut Vec<u8>| {
        let from = (log.len() - 1) / SECTOR * SECTOR;
        log[from..].fill(0);
    };
    for torn in
        [changed(&data, |log| log.truncate(log.len() - 100)), changed(&data, zero_the_last_sector)]
    {
        let before = snapshot(torn.path());
        let log = inspected(torn.path());
        let text = inspect(torn.path(), &[]);
        assert_eq!(snapshot(torn.path()), before, "looking changes nothing");
        let bytes = log["torn_bytes"].as_u64().unwrap();
        assert!(bytes > 0, "{log}");
        assert!(log["records"].as_u64() < whole["records"].as_u64(), "{log}");
        let rest = log["segments"][0]["bytes"].as_u64().unwrap();
        assert_eq!(rest + bytes, log_of(torn.path()).metadata().unwrap().len());
        assert_eq!((text.exit, text.err.as_str()), (0, ""));
        let tail = format!("{bytes} bytes, which the next start cuts off");
        assert_eq!(told(&text.out, "torn tail"), tail);
    }

    // It is what the next start does, of a batch that was being written.
    let mut log = fs::read(log_of(&data)).unwrap();
    let first_batch = log[56..56 + 50].to_vec();
    log.extend(first_batch);
    fs::write(log_of(&data), log).unwrap();
    assert_eq!(inspected(&data)["torn_bytes"], 50);
    cluster.replicas[0].start();
    cluster.replicas[0].until(ServingStatus::Serving).await;
    assert!(cluster.replicas[0].log().contains("cut_bytes=50 "));
    assert_eq!(call(&cluster, 0, &["size", "1"]).1["result"], json!({ "size": 7 }));
    assert_eq!(inspected(&data)["torn_bytes"], 0);
}

/// A disk that lost what it said it had synced, at its end: nothing shows that, and the others have let go of what all
/// had acked. Such a replica copies what one of them holds.
#[tokio::test]
async fn one_that_lost_what_it_acked_copies_it() {
    let (mut cluster, _) = after_ten_operations().await;
    let file = log_of(&cluster.replicas[0].data);
    let file = fs::File::options().write(true).open(file).unwrap();
    file.set_len(file.metadata().unwrap().len() - 100).unwrap();
    cluster.replicas[0].start();
    cluster.replicas[0].until(ServingStatus::Serving).await;
    assert!(cluster.replicas[0].log().contains("taking over what a member delivered"));
    assert_eq!(call(&cluster, 1, &["push", "1", "5"]).0, 0);
    assert_eq!(call(&cluster, 2, &["size", "1"]).1["result"], json!({ "size": 8 }));
    assert_eq!(call(&cluster, 0, &["size", "1"]).1["result"], json!({ "size": 8 }));
}

#[tokio::test]
async fn damage_is_told_with_its_place_and_the_replica_recovers() {
    let (mut cluster, _) = after_ten_operations().await;
    let data = cluster.replicas[0].data.clone();
    let middle = log_of(&data).metadata().unwrap().len() / 2;
    let at = usize::try_from(middle).unwrap();
    let zero_a_sector = |log: &mut Vec<u8>| {
        let from = at / SECTOR * SECTOR;
        log[from..from + SECTOR].fill(0);
    };
    let damaged = changed(&data, |log| log[at] ^= 1);
    // A sector that is lost is no torn tail where something later says that it was synced.
    for damaged in [&damaged, &changed(&data, zero_a_sector)] {
        let before = snapshot(damaged.path());
        let text = inspect(damaged.path(), &[]);
        let object = inspect(damaged.path(), &["--json"]);
        let entries = inspect(damaged.path(), &["--entries"]);
        assert_eq!(snapshot(damaged.path()), before, "looking changes nothing");
        assert_eq!((text.exit, text.out.as_str()), (DAMAGED, ""));
        let says = text.err.strip_prefix("error: ").unwrap().trim();
        let place = format!("{} is damaged: at byte ", log_of(damaged.path()).display());
        let rest = says.strip_prefix(&place).unwrap_or_else(|| panic!("{says}"));
        let offset: u64 = rest.split_once(':').unwrap().0.parse().unwrap();
        assert!((1..=middle).contains(&offset), "the batch that holds it begins there: {says}");
        assert_eq!((object.exit, object.err.as_str()), (DAMAGED, ""));
        assert_eq!(object.object(), json!({ "error": says, "damaged": true }));
        // What is before it can be read still.
        assert_eq!((entries.exit, entries.err), (DAMAGED, text.err.clone()));
        assert!(entries.out.starts_with("new disk "), "{}", entries.out);
    }

    fs::copy(log_of(damaged.path()), log_of(&data)).unwrap();
    cluster.replicas[0].start();
    cluster.replicas[0].until(ServingStatus::Serving).await;
    let log = cluster.replicas[0].log();
    let line = log.lines().find(|line| line.contains("is damaged: at byte ")).expect("it is told");
    assert!(line.contains(" ERROR ") && line.contains("asked of the other replicas"), "{line}");
    assert_eq!(call(&cluster, 0, &["size", "1"]).1["result"], json!({ "size": 7 }));
}

/// One that is alone has nobody to ask.
#[tokio::test]
async fn one_that_is_alone_does_not_start_with_damage() {
    let mut cluster = Cluster::start(1).await;
    assert_eq!(call(&cluster, 0, &["create", "7"]).0, 0);
    cluster.replicas[0].kill().await;
    let data = cluster.replicas[0].data.clone();
    let mut log = fs::read(log_of(&data)).unwrap();
    let middle = log.len() / 2;
    log[middle] ^= 1;
    fs::write(log_of(&data), log).unwrap();
    let before = snapshot(&data);
    cluster.replicas[0].start();
    assert_eq!(cluster.replicas[0].exit_code().await, Some(DAMAGED));
    let said = cluster.replicas[0].log();
    let last = said.lines().last().unwrap();
    assert!(last.contains("is damaged: at byte ") && last.contains("no other replica"), "{last}");
    let logs =
        |files: &BTreeMap<PathBuf, (Vec<u8>, SystemTime)>| files.get(&log_of(&data)).cloned();
    assert_eq!(logs(&snapshot(&data)), logs(&before), "nothing of it was changed");
}

/// While it writes, all that is looked at is right as far as it goes.
#[tokio::test]
async fn a_running_replica_is_not_disturbed() {
    let cluster = Cluster::start(SIZE).await;
    let mut load = Load::start(&cluster).await;
    let mut last = 0;
    for _ in 0..10 {
        let log = inspected(&cluster.replicas[1].data);
        let now = log["last"].as_u64().unwrap();
        assert!(now >= last && log["delivered"].as_u64().unwrap() <= now, "{log}");
        last = now;
        load.goes_on(&cluster.all()).await;
    }
    assert!(last > 0);
    load.end(&cluster).await;
}

#[test]
fn where_there_is_no_log_that_is_said() {
    let empty = tempfile::tempdir().unwrap();
    let absent = empty.path().join("absent");
    let file = empty.path().join("file");
    for (directory, says) in [
        (empty.path(), "there is no log of a replica in "),
        (absent.as_path(), "No such file or directory"),
        (file.as_path(), "Not a directory"),
    ] {
        if directory == file {
            fs::write(&file, "").unwrap();
        }
        let text = inspect(directory, &[]);
        assert_eq!((text.exit, text.out.as_str()), (UNREADABLE, ""), "{text:?}");
        let why = text.err.strip_prefix("error: ").unwrap().trim();
        assert!(why.contains(says) && why.contains(directory.to_str().unwrap()), "{why}");
        let object = inspect(directory, &["--json"]);
        assert_eq!((object.exit, object.err.as_str()), (UNREADABLE, ""));
        assert_eq!(object.object(), json!({ "error": why, "damaged": false }));
    }
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 1, "nothing was made");
}
