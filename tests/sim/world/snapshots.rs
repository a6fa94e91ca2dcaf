//! Snapshots of a replica's log: made while it goes on, cut short by crashes, and read when it starts.

use std::io;

use ftqueue::testing::{
    Event, Fold, Made, Malformed, Record, Recovery, Replay, Replica, Snapshot, StorageError,
    make_snapshot,
};

use super::node::Node;
use super::{Happening, World};
use crate::options::MILLISECOND;

/// What a disk held when it was read.
#[derive(Default)]
pub(super) struct Held {
    parts: Vec<Vec<u8>>,
    pub(super) records: Vec<Record>,
}

impl Replay for Held {
    fn part(&mut self, part: &[u8]) -> Result<(), Malformed> {
        self.parts.push(part.to_vec());
        Ok(())
    }

    fn parts_end(&mut self) -> Result<(), Malformed> {
        Ok(())
    }

    fn record(&mut self, record: Record) {
        self.records.push(record);
    }
}

impl Held {
    /// A replica takes it in.
    pub(super) fn replay(self, replica: &mut Replica) {
        let mut recovery = Recovery::new(replica);
        if !self.parts.is_empty() {
            self.parts.iter().for_each(|part| recovery.part(part).expect("what was written"));
            recovery.parts_end().expect("all parts");
        }
        self.records.into_iter().for_each(|record| recovery.record(record));
    }
}

/// A state that counts what it is made of.
struct Counted {
    state: Snapshot,
    records: usize,
}

impl Replay for Counted {
    fn part(&mut self, part: &[u8]) -> Result<(), Malformed> {
        self.state.part(part)
    }

    fn parts_end(&mut self) -> Result<(), Malformed> {
        self.state.parts_end()
    }

    fn record(&mut self, record: Record) {
        self.records += 1;
        self.state.record(record);
    }
}

impl Fold for Counted {
    fn encode(&self, each: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.state.encode(each)
    }
}

impl Node {
    /// Takes in with which snapshot this life began, and checks that it is what the records before it come to.
    pub(super) fn began_with(
        &mut self,
        snapshot: Option<u64>,
        held: &Held,
        empty: impl Fn() -> Snapshot,
    ) {
        self.snapshot = snapshot.unwrap_or(0);
        self.snapshot_wanted = self.snapshot;
        self.snapshot_busy = false;
        let past = self.snapshots[&self.snapshot];
        if snapshot.is_some() {
            assert_eq!(
                held.parts,
                parts(&self.log.fold(past, empty)),
                "a snapshot is what it stands for"
            );
        }
        self.log.recovered(past, &held.records);
    }
}

fn parts(state: &Snapshot) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let mut each = |part: &[u8]| {
        parts.push(part.to_vec());
        Ok(())
    };
    state.encode(&mut each).expect("nothing fails here");
    parts
}

impl World {
    /// Makes states of no records.
    pub(super) fn empty_state(&self) -> impl Fn() -> Snapshot + use<> {
        let (limits, planted) = (self.options.limits, self.planted);
        move || Snapshot::new(limits, planted)
    }

    /// A snapshot is begun where it is time: a little later, as by another thread.
    pub(super) fn watch_snapshots(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let due = node.storage.as_ref().and_then(|storage| storage.snapshot_due());
        let Some(below) = due.filter(|below| *below > node.snapshot_wanted) else {
            return;
        };
        if std::mem::replace(&mut node.snapshot_busy, true) {
            return;
        }
        node.snapshot_wanted = below;
        let life = node.incarnation.0;
        let at = self.now + self.random.below(200 * MILLISECOND);
        self.schedule(at, Happening::Snapshot { node: index, life, below });
    }

    /// A snapshot is made, unless a crash cuts it short.
    pub(super) fn make_snapshot(&mut self, index: usize, life: u64, below: u64) {
        let faults = !self.calm && self.healed_at.is_none() && !self.options.others_must_remember();
        let crash = faults && self.random.per_mille(200);
        let empty = self.empty_state();
        let crash = crash.then(|| self.random.below(20));
        let node = &mut self.nodes[index];
        let Some(storage) = node.storage.as_mut().filter(|_| node.incarnation.0 == life) else {
            return;
        };
        if !node.snapshot_busy || node.snapshot_wanted != below {
            // The log was replaced meanwhile.
            return;
        }
        node.snapshot_busy = false;
        if let Some(operations) = crash {
            node.disk.fail_after(operations);
        }
        let mut state = Counted { state: empty(), records: 0 };
        let made = make_snapshot(&mut node.disk.clone(), index as u64, below, &mut state);
        let past = node.snapshots[&node.snapshot] + state.records;
        node.snapshots.insert(below, past);
        match made {
            Ok(Made::Snapshot { segment, bytes }) => {
                storage.snapshot_made(segment, bytes);
                node.snapshot = segment;
                self.probes.hit("snapshot_made");
            }
            Ok(Made::Full) => self.probes.hit("snapshot_without_room"),
            Err(error @ StorageError::Failed { .. }) => {
                assert!(!self.calm, "r{index} makes a snapshot and finds that {error}");
                self.probes.hit("snapshot_cut_short");
                return self.disk_failed(index);
            }
            Err(StorageError::Damaged { .. }) if self.nodes[index].is_distrusted() => {
                self.probes.hit("snapshot_of_damage");
                self.nodes[index].inbox.push(Event::LogUnreadable);
                return self.wake_soon(index);
            }
            Err(error) => panic!("r{index} makes a snapshot and finds that {error}"),
        }
        if crash.is_some() {
            self.nodes[index].disk.work();
        }
        let (delivered, digest) =
            (state.state.delivered_through().0, state.state.queues().digest());
        self.ledger.check_state(index, delivered, digest);
    }
}
