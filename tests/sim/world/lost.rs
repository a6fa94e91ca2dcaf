//! Disks that are lost: wiped, rotten, put back to an old copy, or not written as they should be; never more than a
//! minority at a time.

use std::collections::BTreeMap;

use ftqueue::testing::{Incarnation, Record, Recovered, Storage, StorageError};

use super::node::{DiskCopy, Node};
use super::snapshots::Held;
use super::{Happening, World};
use crate::check::DiskLog;
use crate::disk::SimDisk;
use crate::options::{Broken, Fault, Loss, MILLISECOND, SECOND};

impl Node {
    /// Makes a copy of the disk as it is.
    pub(super) fn copy_disk(&mut self) {
        if self.replacement.is_some() {
            // What the world knows of the log is ahead of what there is.
            return;
        }
        let (disk, log, snapshots) = (self.disk.copy(), self.log.clone(), self.snapshots.clone());
        self.copy = Some(Box::new(DiskCopy { disk, log, snapshots }));
    }

    /// Whether its disk may hold what its replica never wrote.
    pub(super) fn is_distrusted(&self) -> bool {
        self.rotten
    }

    /// Begins a life with a disk that is known to be lost.
    pub(super) fn begin_lost(
        &mut self,
        index: usize,
        segment: u64,
        held: &mut Held,
    ) -> Result<(Storage<SimDisk>, Recovered), StorageError> {
        self.begun_lost = true;
        drop(Storage::begin_lost(self.disk.clone(), index as u64, segment)?);
        Storage::open(self.disk.clone(), index as u64, segment, held)
    }

    /// Takes in that a log was begun that says that the disk was lost, now or before a crash. One that goes on after that
    /// was begun in an earlier life, and what rotted is not read any more.
    pub(super) fn note_begun_lost(&mut self, held: &Held) {
        if std::mem::take(&mut self.begun_lost) && held.records == [Record::Lost] {
            let mut left = DiskLog::default();
            left.write(Record::Lost);
            left.synced(1);
            self.lose(left, BTreeMap::from([(0, 0)]));
        }
    }

    /// Takes in that the disk has less than was made durable, and looks as if that were all: the last of it was written
    /// elsewhere.
    pub(super) fn note_lost_writes(&mut self, snapshot: Option<u64>, records: usize) -> bool {
        let Some(past) =
            self.snapshots.get(&snapshot.unwrap_or(0)).filter(|_| self.may_lack_its_end)
        else {
            return false;
        };
        let left = self.log.first(past + records);
        let lacks = left.len() < self.log.durable();
        if lacks {
            let snapshots = self.snapshots.clone();
            self.lose(left, snapshots);
        }
        lacks
    }

    fn lose(&mut self, left: DiskLog, snapshots: BTreeMap<u64, usize>) {
        self.log.lose(left);
        self.promised = self.log.promised().1;
        (self.snapshots, self.snapshot, self.snapshot_wanted) = (snapshots, 0, 0);
    }
}

impl World {
    /// A replica's process ends, and its disk is not what it was when it comes back.
    pub(super) fn lose_disk(&mut self, index: usize, how: Loss, down_for: u64) {
        let lost = self.nodes.iter().filter(|node| node.log.is_lost() || node.rotten).count();
        let others =
            lost - usize::from(self.nodes[index].log.is_lost() || self.nodes[index].rotten);
        let minority = (self.options.replicas - 1) / 2;
        // One that is only slow still says what it knows.
        let broken = self.options.broken.iter();
        let broken = broken.filter(|(_, how)| !matches!(how, Broken::Slow)).count();
        if others + 1 + broken > minority {
            return;
        }
        let impossible = match how {
            Loss::OldCopy => {
                let copy = self.nodes[index].copy.as_ref();
                copy.is_none_or(|copy| !self.others_know(index, &copy.log))
            }
            Loss::Rotten => !self.is_surely_started(index),
            Loss::Decayed | Loss::Misdirected => {
                !self.is_surely_started(index) || self.nodes[index].replica.is_none()
            }
            Loss::Wiped | Loss::WipedAndClock => false,
        };
        if impossible {
            return;
        }
        if matches!(how, Loss::Decayed | Loss::Misdirected) {
            return self.break_disk_beneath(index, how, down_for);
        }
        self.crash(index, true);
        let node = &mut self.nodes[index];
        match how {
            Loss::Wiped | Loss::WipedAndClock => {
                self.probes.hit("disk_wiped");
                node.disk = SimDisk::with(self.planted);
                node.lose(DiskLog::default(), BTreeMap::from([(0, 0)]));
                if how == Loss::WipedAndClock && node.incarnation.0 > 1 << 30 {
                    // No life had that number.
                    node.incarnation = Incarnation(node.incarnation.0 - (1 << 20));
                    self.spy.forget_life(index);
                }
            }
            Loss::Rotten => {
                self.probes.hit("disk_rotten");
                node.rotten = true;
                for _ in 0..self.random.between(1, 20) {
                    node.disk.flip(&mut self.random);
                }
            }
            Loss::OldCopy => {
                self.probes.hit("disk_put_back");
                let copy = *node.copy.take().expect("looked at above");
                node.disk = copy.disk;
                node.lose(copy.log, copy.snapshots);
            }
            Loss::Decayed | Loss::Misdirected => {}
        }
        self.schedule(self.now + down_for, Happening::Restart { node: index });
    }

    /// Whether a replica's disk is known to be no new one, and so are so many others' that one of them always tells the rest.
    /// What is damaged before the first start is a matter for an operator: nobody can tell whether there was one.
    fn is_surely_started(&self, index: usize) -> bool {
        let sound = self.nodes.iter().filter(|node| node.log.is_sound()).count();
        let minority = (self.options.replicas - 1) / 2;
        self.nodes[index].log.is_sound() && sound > minority
    }

    /// Whether one of the others knows that a replica had more than this log.
    pub(super) fn others_know(&self, index: usize, log: &DiskLog) -> bool {
        let (promised, end) = (log.promised().0, log.end());
        self.nodes.iter().enumerate().any(|(other, node)| {
            other != index
                && node.replica.is_some()
                && (node.heard[index].is_more_than(promised, end)
                    || node.log.names_above(promised, index))
        })
    }

    /// A disk goes wrong, and its replica goes on, until it is started anew a little later.
    fn break_disk_beneath(&mut self, index: usize, how: Loss, down_for: u64) {
        let node = &mut self.nodes[index];
        node.rotten = true;
        if how == Loss::Misdirected {
            self.probes.hit("write_misdirected");
            node.may_lack_its_end = true;
            node.disk.misdirect(self.random.fork());
        } else {
            self.probes.hit("disk_decayed");
            for _ in 0..self.random.between(1, 3) {
                if self.random.per_mille(500) {
                    node.disk.flip(&mut self.random);
                } else {
                    node.disk.lose_a_sector(&mut self.random);
                }
            }
        }
        let fault = Fault::Crash { power: self.random.per_mille(500), down_for, after: 0 };
        let within = self.random.pick(&[MILLISECOND, 20 * MILLISECOND, SECOND]);
        let at = self.now + self.random.below(within);
        self.schedule(at, Happening::Fault { node: index, fault });
    }

    /// A write went elsewhere, and a sync after it said that all is well: mostly the process ends before another
    /// write follows, which would show that something is missing.
    pub(super) fn end_after_misdirected(&mut self, index: usize) {
        if self.random.per_mille(800) {
            let fault = Fault::Crash { power: true, down_for: MILLISECOND, after: 0 };
            let within = self.random.pick(&[1, MILLISECOND / 10, 2 * MILLISECOND]);
            let at = self.now + self.random.below(within);
            self.schedule(at, Happening::Fault { node: index, fault });
        }
    }

    /// A replica that hears of a later life of its own ends, and comes back after that one.
    pub(super) fn end_if_outlived(&mut self, index: usize) {
        let outlived = self.nodes[index].replica.as_ref().and_then(|replica| replica.outlived_by());
        if let Some(life) = outlived {
            self.probes.hit("outlived");
            self.crash(index, false);
            self.nodes[index].incarnation = life;
            self.schedule(self.now + 1, Happening::Restart { node: index });
        }
    }

    /// Once a replica with a lost disk takes part again, what was on the disk counts no more: a majority must hold all without
    /// it.
    pub(super) fn check_recovered(&mut self, index: usize) {
        let node = &self.nodes[index];
        let takes_part = node.replica.as_ref().is_some_and(|replica| replica.view().is_some());
        if node.log.is_lost() && takes_part {
            assert!(node.log.is_sound(), "r{index} takes part with a lost disk");
            self.nodes[index].log.forget_lost();
            let logs: Vec<_> = self.nodes.iter().map(|node| &node.log).collect();
            self.ledger.check_all_held(&logs);
            self.probes.hit("disk_made_up_for");
        }
    }
}
