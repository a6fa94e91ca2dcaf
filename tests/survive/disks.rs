//! Disks that are lost under a load: gone, damaged, put back to an old copy, and gone again in the midst of it. Their
//! replicas come back by themselves, and nothing is lost.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, LIMIT, Replica};
use crate::load::Load;
use crate::random::Random;
use crate::{others, rounds};

const SIZE: usize = 3;
/// The shortest that there are, so that there are snapshots.
const SETTINGS: [(&str, &str); 1] = [("FTQUEUE_SEGMENT_LENGTH", "65536")];

fn files(data: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(data).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn is_kind(file: &Path, kind: &str) -> bool {
    file.file_name().unwrap().to_string_lossy().starts_with(kind)
}

/// A file of a kind that the next start reads: of the log, none before the newest snapshot. A process that was killed may
/// have left such, and unfinished snapshots.
fn one_that_counts(data: &Path, kind: &str) -> PathBuf {
    let number = |file: &Path, kind: &str| -> Option<u64> {
        file.file_name().unwrap().to_str()?.strip_prefix(kind)?.parse().ok()
    };
    let all = files(data);
    let newest = all.iter().filter_map(|file| number(file, "snapshot-")).max();
    let counts = |file: &&PathBuf| match kind {
        "incarnation" => is_kind(file, kind),
        _ => number(file, kind).is_some_and(|number| Some(number) >= newest),
    };
    all.iter().find(counts).unwrap_or_else(|| panic!("no {kind} among {all:?}")).clone()
}

/// Waits until something is so of a replica's files or log.
async fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn has_snapshot(replica: &Replica) {
    let there = || files(&replica.data).iter().any(|file| is_kind(file, "snapshot-"));
    wait_for("a snapshot", there).await;
}

fn count(replica: &Replica, said: &str) -> usize {
    replica.log().matches(said).count()
}

const RECOVERED: &str = "what the disk lost that counts is here again";

#[tokio::test]
async fn a_data_directory_is_gone() {
    let mut cluster = Cluster::start_with(SIZE, &SETTINGS).await;
    let mut load = Load::start(&cluster).await;
    for round in 0..rounds() {
        let lost = round % SIZE;
        cluster.replicas[lost].kill().await;
        load.goes_on(&others(SIZE, lost)).await;
        fs::remove_dir_all(&cluster.replicas[lost].data).unwrap();
        let before = count(&cluster.replicas[lost], RECOVERED);
        cluster.replicas[lost].start_with(&SETTINGS);
        load.goes_on(&cluster.all()).await;
        assert!(count(&cluster.replicas[lost], RECOVERED) > before, "r{lost} did not recover");
    }
    // What came back is as good as what was lost: any two have all.
    cluster.kill_all().await;
    cluster.start_all_with(&SETTINGS);
    load.goes_on(&cluster.all()).await;
    load.end(&cluster).await;
}

#[tokio::test]
async fn bytes_are_others_in_a_file_of_each_kind() {
    let mut cluster = Cluster::start_with(SIZE, &SETTINGS).await;
    let mut load = Load::start(&cluster).await;
    let mut random = Random::new(1);
    for round in 0..rounds() {
        for kind in ["incarnation", "log-", "snapshot-"] {
            let lost = (round + kind.len()) % SIZE;
            has_snapshot(&cluster.replicas[lost]).await;
            cluster.replicas[lost].kill().await;
            let data = cluster.replicas[lost].data.clone();
            let file = one_that_counts(&data, kind);
            let mut bytes = fs::read(&file).unwrap();
            let place = random.below(bytes.len() as u64) as usize;
            bytes[place] ^= 1 << random.below(8);
            fs::write(&file, bytes).unwrap();
            let before = count(&cluster.replicas[lost], RECOVERED);
            cluster.replicas[lost].start_with(&SETTINGS);
            load.goes_on(&cluster.all()).await;
            let said = count(&cluster.replicas[lost], RECOVERED);
            assert!(
                said > before,
                "r{lost} did not recover from byte {place} of {}",
                file.display()
            );
            let set_aside = files(&data).iter().any(|file| is_kind(file, "lost-"));
            assert!(!set_aside, "what was set aside goes with the recovery");
        }
    }
    load.end(&cluster).await;
}

/// A disk that says of a file's bytes that they cannot be read (EIO), as this one does of the process's first.
#[tokio::test]
async fn a_file_of_each_kind_cannot_be_read() {
    let mut cluster = Cluster::start_with(SIZE, &SETTINGS).await;
    let mut load = Load::start(&cluster).await;
    for (lost, kind) in ["incarnation", "log-", "snapshot-"].into_iter().enumerate() {
        has_snapshot(&cluster.replicas[lost]).await;
        cluster.replicas[lost].kill().await;
        let data = cluster.replicas[lost].data.clone();
        let file = one_that_counts(&data, kind);
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/proc/self/mem", &file).unwrap();
        let before = count(&cluster.replicas[lost], RECOVERED);
        cluster.replicas[lost].start_with(&SETTINGS);
        load.goes_on(&cluster.all()).await;
        let log = cluster.replicas[lost].log();
        assert!(count(&cluster.replicas[lost], RECOVERED) > before, "r{lost} did not recover");
        assert!(log.contains("Input/output error (os error 5)"), "of {kind}");
    }
    load.end(&cluster).await;
}

/// Changes a bit of the last segment that is not written to any more; gives its file, where there is one.
fn change_last_whole_segment(data: &Path) -> Option<PathBuf> {
    let segments: Vec<_> = files(data).into_iter().filter(|file| is_kind(file, "log-")).collect();
    let [.., whole, _] = &segments[..] else {
        return None;
    };
    // A snapshot may just have taken its place.
    let file = fs::File::options().read(true).write(true).open(whole).ok()?;
    let place = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).unwrap();
    file.write_all_at(&[byte[0] ^ 1], place).unwrap();
    Some(whole.clone())
}

/// Whoever meets damage in its own log while it runs writes all of it anew, and has lost nothing.
#[tokio::test]
async fn what_cannot_be_read_back_is_written_anew() {
    for size in [1, SIZE] {
        let mut cluster = Cluster::start_with(size, &SETTINGS).await;
        let mut load = Load::start(&cluster).await;
        for round in 0..rounds() {
            let hit = round % size;
            let data = cluster.replicas[hit].data.clone();
            let anew = |replica: &Replica| count(replica, "writing the log anew");
            let before = anew(&cluster.replicas[hit]);
            let (mut last, mut changed) = (Instant::now() - LIMIT, Vec::new());
            wait_for("a log written anew", || {
                let written = anew(&cluster.replicas[hit]) > before;
                // A snapshot may have been past that place.
                if !written && last.elapsed() > Duration::from_secs(1) {
                    changed.extend(change_last_whole_segment(&data));
                    last = Instant::now();
                }
                written
            })
            .await;
            // The others answer meanwhile, whether it is durable or not.
            wait_for("the changed files to go", || !changed.iter().any(|file| file.exists())).await;
            load.goes_on(&cluster.all()).await;
            let recovered = count(&cluster.replicas[hit], RECOVERED);
            cluster.replicas[hit].kill().await;
            cluster.replicas[hit].start_with(&SETTINGS);
            load.goes_on(&cluster.all()).await;
            assert_eq!(count(&cluster.replicas[hit], RECOVERED), recovered, "r{hit} lost its disk");
        }
        load.end(&cluster).await;
    }
}

/// A copy from before the present view lacks a promise; one of the same view lacks what was acked in it.
#[tokio::test]
async fn an_old_copy_is_put_back() {
    let mut cluster = Cluster::start_with(SIZE, &SETTINGS).await;
    let mut load = Load::start(&cluster).await;
    for round in 0..rounds() {
        for views_between in [false, true] {
            let old = round % SIZE;
            let data = cluster.replicas[old].data.clone();
            let copy = tempfile::tempdir().unwrap();
            // In order, so that the copy is as of one moment.
            cluster.replicas[old].kill().await;
            for file in files(&data) {
                fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
            }
            cluster.replicas[old].start_with(&SETTINGS);
            load.goes_on(&cluster.all()).await;
            if views_between {
                let other = (old + 1) % SIZE;
                cluster.replicas[other].kill().await;
                load.goes_on(&others(SIZE, other)).await;
                cluster.replicas[other].start_with(&SETTINGS);
                load.goes_on(&cluster.all()).await;
            }
            cluster.replicas[old].kill().await;
            fs::remove_dir_all(&data).unwrap();
            fs::rename(copy.keep(), &data).unwrap();
            let before = count(&cluster.replicas[old], RECOVERED);
            cluster.replicas[old].start_with(&SETTINGS);
            load.goes_on(&cluster.all()).await;
            assert!(count(&cluster.replicas[old], RECOVERED) > before, "r{old} did not notice");
        }
    }
    load.end(&cluster).await;
}

#[tokio::test]
async fn one_that_recovers_is_killed_in_the_midst_of_it() {
    let mut cluster = Cluster::start_with(SIZE, &SETTINGS).await;
    let mut load = Load::start(&cluster).await;
    for round in 0..rounds() {
        let lost = round % SIZE;
        has_snapshot(&cluster.replicas[(lost + 1) % SIZE]).await;
        cluster.replicas[lost].kill().await;
        fs::remove_dir_all(&cluster.replicas[lost].data).unwrap();
        for said in [
            "the disk is lost",
            "copying what a member holds",
            "taking over what a member delivered",
        ] {
            let before = count(&cluster.replicas[lost], said);
            cluster.replicas[lost].start_with(&SETTINGS);
            // It need not copy twice: what it has it keeps.
            let replica = &cluster.replicas[lost];
            let or_done = |replica: &Replica| {
                count(replica, said) > before || replica.log().ends_with("ready\n")
            };
            wait_for(said, || or_done(replica)).await;
            cluster.replicas[lost].kill().await;
        }
        cluster.replicas[lost].start_with(&SETTINGS);
        load.goes_on(&cluster.all()).await;
    }
    load.end(&cluster).await;
}
