use crate::entry::DiskState;
use std::sync::{Arc, Mutex, MutexGuard};

use super::*;
use crate::types::{ReplicaId, Seq, ViewNumber};

/// Far beyond what anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// What was done with a store, and what it is to do.
#[derive(Default)]
struct State {
    done: Vec<String>,
    full: bool,
    fails_to_write: bool,
    fails_to_sync: bool,
    unreadable: bool,
    /// Syncs wait as long as someone holds this.
    gate: Arc<Mutex<()>>,
}

#[derive(Clone, Default)]
struct TestStore(Arc<Mutex<State>>);

impl TestStore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn done(&self) -> Vec<String> {
        self.state().done.clone()
    }

    fn fill(&self, full: bool) {
        self.state().full = full;
    }
}

impl Store for TestStore {
    fn append(&mut self, records: &[Record]) -> Result<(), NotWritten> {
        let mut state = self.state();
        if state.fails_to_write {
            return Err(NotWritten::Failed("writing failed".to_owned()));
        }
        if state.full {
            state.done.push("full".to_owned());
            return Err(NotWritten::Full);
        }
        state.done.push(format!("append {}", records.len()));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), String> {
        let gate = Arc::clone(&self.state().gate);
        drop(gate.lock().unwrap());
        let mut state = self.state();
        if state.fails_to_sync {
            return Err("syncing failed".to_owned());
        }
        state.done.push("sync".to_owned());
        Ok(())
    }

    fn replace(&mut self, _: &Replacement) -> Result<(), NotWritten> {
        let mut state = self.state();
        if state.full {
            state.done.push("full".to_owned());
            return Err(NotWritten::Full);
        }
        state.done.push("replace".to_owned());
        Ok(())
    }

    fn cannot_be_read_back(&mut self) -> bool {
        std::mem::take(&mut self.state().unreadable)
    }

    fn mark_async(&mut self, runs_ahead: bool) -> Result<(), String> {
        self.state().done.push(format!("mark {runs_ahead}"));
        Ok(())
    }
}

fn records(count: u64) -> Vec<Record> {
    (1..=count).map(|seq| Record::Delivered(Seq(seq))).collect()
}

fn promise() -> Vec<Record> {
    vec![Record::Promise(ViewNumber { round: 1, proposer: ReplicaId(0) })]
}

/// Waits for a progress that is as wanted.
async fn until(disk: &mut DiskThread, wanted: impl Fn(&Progress) -> bool) -> Progress {
    let waiting = async {
        loop {
            // In this order: what a thread says before it ends is not missed.
            let ended = disk.has_ended();
            let progress = disk.progress();
            if wanted(&progress) {
                return progress;
            }
            assert!(!ended, "it ended: {progress:?}");
            disk.progressed().await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.unwrap()
}

#[expect(clippy::await_holding_lock, reason = "the gate holds up the disk's thread, not this one")]
#[tokio::test]
async fn what_came_during_a_sync_shares_the_next_one() {
    let store = TestStore::default();
    let mut disk = DiskThread::start(store.clone(), Durability::Fsync).unwrap();
    let gate = Arc::clone(&store.state().gate);
    let held = gate.lock().unwrap();
    disk.write(records(2));
    let appended = async {
        while store.done().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, appended).await.unwrap();
    disk.write(records(3));
    disk.write(records(4));
    assert_eq!(disk.progress(), Progress::default(), "nothing is durable before the sync");
    drop(held);
    until(&mut disk, |progress| progress.writes == 9).await;
    assert_eq!(store.done(), ["append 2", "sync", "append 7", "sync"]);
    disk.end().await.unwrap();
    assert_eq!(store.done().len(), 4, "there was nothing left to do");
}

#[tokio::test]
async fn a_full_disk_is_told_once_and_tried_until_there_is_room() {
    let store = TestStore::default();
    store.fill(true);
    let mut disk = DiskThread::start(store.clone(), Durability::Fsync).unwrap();
    disk.write(records(2));
    let full = until(&mut disk, |progress| progress.full).await;
    assert_eq!(full.writes, 0);
    disk.write(records(1));
    let tried = async {
        while store.done().len() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, tried).await.unwrap();
    assert!(!disk.progress.has_changed().unwrap(), "it was told again");
    store.fill(false);
    let room = until(&mut disk, |progress| !progress.full).await;
    assert_eq!(room.writes, 3);
    disk.end().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_does_not_hold_up_the_end() {
    let store = TestStore::default();
    store.fill(true);
    let mut disk = DiskThread::start(store.clone(), Durability::Fsync).unwrap();
    disk.write(records(2));
    until(&mut disk, |progress| progress.full).await;
    tokio::time::timeout(LONG, disk.end()).await.unwrap().unwrap();
    assert_eq!(store.done(), ["full", "full"], "it was tried a last time");
}

#[tokio::test]
async fn a_failed_write_or_sync_ends_the_thread_and_is_not_tried_again() {
    for sync in [false, true] {
        let store = TestStore::default();
        store.state().fails_to_sync = sync;
        store.state().fails_to_write = !sync;
        let mut disk = DiskThread::start(store.clone(), Durability::Fsync).unwrap();
        disk.write(records(1));
        let failed = until(&mut disk, |progress| progress.failure.is_some()).await;
        assert_eq!(failed.writes, 0);
        disk.write(records(1));
        let why = tokio::time::timeout(LONG, disk.end()).await.unwrap().unwrap_err();
        assert!(why.ends_with("failed"), "{why}");
        assert_eq!(store.done().len(), usize::from(sync), "only the append that went well");
    }
}

#[expect(clippy::await_holding_lock, reason = "the gate holds up the disk's thread, not this one")]
#[tokio::test]
async fn async_runs_ahead_of_the_disk_but_not_with_promises() {
    let store = TestStore::default();
    let mut disk = DiskThread::start(store.clone(), Durability::Async).unwrap();
    let gate = Arc::clone(&store.state().gate);
    let held = gate.lock().unwrap();
    disk.write(records(2));
    until(&mut disk, |progress| progress.writes == 2).await;
    assert_eq!(store.done(), ["mark true", "append 2"], "the mark comes first, the sync later");
    drop(held);
    let synced = async {
        while store.done().len() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, synced).await.unwrap();
    disk.write(promise());
    until(&mut disk, |progress| progress.writes == 3).await;
    disk.write(records(1));
    disk.end().await.unwrap();
    let expected =
        ["mark true", "append 2", "sync", "append 1", "sync", "append 1", "sync", "mark false"];
    assert_eq!(store.done(), expected);
}

#[tokio::test]
async fn async_that_wrote_nothing_leaves_no_mark() {
    let store = TestStore::default();
    let disk = DiskThread::start(store.clone(), Durability::Async).unwrap();
    disk.end().await.unwrap();
    assert!(store.done().is_empty());
}

#[tokio::test]
async fn a_replacement_stands_for_what_waited_before_it() {
    let store = TestStore::default();
    store.fill(true);
    let mut disk = DiskThread::start(store.clone(), Durability::Fsync).unwrap();
    disk.write(records(2));
    until(&mut disk, |progress| progress.full).await;
    let (promised, delivered) = (ViewNumber::NONE, Seq(9));
    let (boundaries, parts) = (Vec::new(), Vec::new());
    disk.replace(Arc::new(Replacement {
        promised,
        delivered,
        last: delivered,
        disk: DiskState::Sound,
        boundaries,
        parts,
    }));
    disk.write(records(1));
    store.fill(false);
    let written = until(&mut disk, |progress| progress.writes > 0).await;
    assert!(written.writes == 3 || written.writes == 4, "{written:?}");
    until(&mut disk, |progress| progress.writes == 4).await;
    disk.end().await.unwrap();
    let done = store.done();
    let done: Vec<_> = done.iter().map(String::as_str).filter(|what| *what != "full").collect();
    let together = ["replace", "append 1", "sync"].as_slice();
    let apart = ["replace", "sync", "append 1", "sync"].as_slice();
    // Or the room was there before the replacement was.
    let late = ["append 2", "sync", "replace", "append 1", "sync"].as_slice();
    assert!([together, apart, late].contains(&done.as_slice()), "{done:?}");
}
