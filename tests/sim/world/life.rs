//! The lives of a replica: it starts with what its disk holds, writes and syncs, crashes or leaves, and comes back.

use std::sync::Arc;

use ftqueue::testing::{
    Append, Counters, Event, Incarnation, Record, Replacement, Storage, StorageError,
};

use super::node::{Resent, new_replica};
use super::snapshots::Held;
use super::{Happening, World};
use crate::check::Said;
use crate::options::{MILLISECOND, SECOND};
use crate::workload::Outcome;

/// How soon is tried again what there was no room for.
pub(super) const RETRY: u64 = 200 * MILLISECOND;
/// How long a replica waits at most until no view needs it any more, as the program does once all calls are answered.
const LEAVE_TIME: u64 = 2 * SECOND;

impl World {
    /// A replica starts, in a new incarnation.
    pub(super) fn start(&mut self, index: usize) {
        if self.nodes[index].replica.is_some() || self.nodes[index].gone {
            return;
        }
        self.note(&[7, index as u64]);
        let further = 1 + self.random.below(1_000);
        let seed = self.random.next();
        let empty = self.empty_state();
        let node = &mut self.nodes[index];
        node.incarnation = Incarnation(node.incarnation.0 + further);
        node.disk.aim_well();
        let (segment, mut held) = (self.options.segment, Held::default());
        let mut opened = Storage::open(node.disk.clone(), index as u64, segment, &mut held);
        if matches!(opened, Err(StorageError::Damaged { .. })) && node.is_distrusted() {
            held = Held::default();
            if self.random.per_mille(500) {
                node.disk.fail_after(self.random.below(12));
            }
            opened = node.begin_lost(index, segment, &mut held);
            node.disk.work();
            self.probes.hit("disk_rotten_and_found_out");
        }
        let (storage, recovered) = match opened {
            Ok(opened) => opened,
            Err(StorageError::Failed { .. }) => {
                // The disk failed; the next time it does not.
                node.disk.crash(&mut self.random);
                self.probes.hit("disk_failed");
                return self.schedule(self.now + RETRY, Happening::Restart { node: index });
            }
            Err(error) => panic!("r{index} cannot be started: {error}"),
        };
        node.note_begun_lost(&held);
        if node.note_lost_writes(recovered.snapshot, held.records.len()) {
            self.probes.hit("durable_write_lost");
            if !self.others_know(index, &self.nodes[index].log) {
                self.hopeless = true;
                return;
            }
        }
        let node = &mut self.nodes[index];
        node.began_with(recovered.snapshot, &held, empty);
        let local = node.local(self.now);
        let mut replica =
            new_replica(index, &self.options, self.planted, node.incarnation, seed, local);
        held.replay(&mut replica);
        let promised = replica.promised();
        assert!(
            promised >= node.promised || self.planted.is_some(),
            "r{index} forgets that it promised {}",
            node.promised
        );
        node.promised = promised;
        (node.rotten, node.may_lack_its_end) = (false, false);
        node.delivered = replica.delivered_through().0;
        node.base = node.log.len();
        let digest = replica.queues().digest();
        let unseen = (self.ledger.last(), node.delivered);
        (node.replica, node.storage) = (Some(replica), Some(storage));
        (node.syncing, node.full, node.leaving, node.crash_in) = (false, false, None, None);
        node.hangs = false;
        node.genuine.clear();
        node.heard.fill(Said::default());
        node.resent = Resent::default();
        node.late_wakes = 0;
        if unseen.0 < unseen.1 {
            // It delivered, and had that written down, in the turn in which it crashed.
            let logs: Vec<_> = self.nodes.iter().map(|node| &node.log).collect();
            self.ledger.delivered(index, &logs, unseen, digest);
        }
        if recovered.cut > 0 {
            self.probes.hit("torn_tail_cut");
        }
        self.story_line(format_args!("r{index}        starts"));
        self.wake(index, self.now + 1);
    }

    /// A replica's process ends, whatever it was about to do; with the power what was not synced goes, in part.
    pub(super) fn crash(&mut self, index: usize, power: bool) {
        if self.nodes[index].replica.is_none() {
            return;
        }
        self.note(&[8, index as u64, u64::from(power)]);
        let node = &mut self.nodes[index];
        if node.syncing {
            self.probes.hit("crash_while_syncing");
        }
        if let Some(replica) = &node.replica {
            let counted = Counters::each(replica.counters());
            counted.for_each(|(name, count)| self.probes.add(name, count));
        }
        if power && node.disk.crash(&mut self.random) {
            self.probes.hit("writes_lost_in_crash");
        }
        // What was promised and not durable may be forgotten, and nobody was told.
        node.promised = node.log.promised().1;
        (node.replica, node.storage) = (None, None);
        node.unwritten.clear();
        node.replacement = None;
        node.inbox.clear();
        (node.wake_at, node.paused_until) = (u64::MAX, 0);
        self.story_line(format_args!("r{index}        crashes"));
        for call in std::mem::take(&mut self.nodes[index].open) {
            self.end_call(call, Outcome::Unknown);
        }
    }

    /// A replica has stopped in order: it wrote down all, and ends. One that is not let go ends as well.
    pub(super) fn end_if_left(&mut self, index: usize) {
        let node = &self.nodes[index];
        let (Some(replica), Some(since)) = (&node.replica, node.leaving) else {
            return;
        };
        if replica.has_left(node.local(self.now))
            && !node.syncing
            && node.unwritten.is_empty()
            && node.replacement.is_none()
        {
            self.probes.hit("left_in_order");
            self.crash(index, false);
            let back = self.now + self.random.below(500 * MILLISECOND);
            self.schedule(back, Happening::Restart { node: index });
        } else if self.now > since + LEAVE_TIME {
            assert!(self.story.is_none(), "r{index} does not leave");
            self.probes.hit("left_though_needed");
            self.crash(index, false);
            self.schedule(self.now + RETRY, Happening::Restart { node: index });
        }
    }

    /// Gives storage what waits to be written, unless it syncs; the sync ends later.
    pub(super) fn sync(&mut self, index: usize) {
        if self.nodes[index].hangs || self.nodes[index].syncing || !self.append(index) {
            return;
        }
        let node = &mut self.nodes[index];
        node.syncing = true;
        let (life, through) = (node.incarnation.0, node.log.len());
        let (least, most) = self.options.sync[index];
        let at = self.now + self.random.between(least, most);
        self.schedule(at, Happening::Synced { node: index, life, through });
    }

    /// The same, with a disk that takes no time.
    pub(super) fn sync_at_once(&mut self, index: usize) -> Option<Event> {
        if self.nodes[index].hangs || self.nodes[index].syncing || !self.append(index) {
            return None;
        }
        let through = self.nodes[index].log.len();
        self.make_durable(index, through)
    }

    /// Writes all that waits; gives whether there was anything, and room for it.
    fn append(&mut self, index: usize) -> bool {
        let node = &mut self.nodes[index];
        let Some(storage) = &mut node.storage else {
            return false;
        };
        if node.unwritten.is_empty() && node.replacement.is_none() {
            return false;
        }
        let replaced = match &node.replacement {
            None => Ok(Append::Written),
            Some(replacement) => {
                // Where there are replacements the log goes on in this segment, or the next.
                let (segment, past) = (storage.segment(), node.replaced);
                node.snapshots.entry(segment).or_insert(past);
                node.snapshots.insert(segment + 1, past);
                storage.replace(replacement).inspect(|done| {
                    if *done == Append::Written {
                        node.replacement = None;
                        node.snapshot = storage.segment();
                        // What was wanted of the log before is not made any more.
                        node.snapshot_busy = false;
                        if node.snapshot > segment {
                            // Nothing of what was there before is there any more.
                            (node.rotten, node.may_lack_its_end) = (false, false);
                            node.disk.aim_well();
                        }
                        node.snapshots.insert(node.snapshot, past);
                    }
                })
            }
        };
        let done = match replaced {
            Ok(Append::Written) if !node.unwritten.is_empty() => storage.append(&node.unwritten),
            other => other,
        };
        match done {
            Ok(Append::Written) => {
                node.unwritten.clear();
                true
            }
            Ok(Append::Full) => {
                node.syncing = true;
                if !node.full {
                    node.full = true;
                    node.inbox.push(Event::StorageFull(true));
                    self.probes.hit("storage_full");
                    self.wake_soon(index);
                }
                let life = self.nodes[index].incarnation.0;
                self.schedule(self.now + RETRY, Happening::Retry { node: index, life });
                false
            }
            Err(_) => {
                self.disk_failed(index);
                false
            }
        }
    }

    /// What was written is made durable, and the replica is to be told.
    pub(super) fn make_durable(&mut self, index: usize, through: usize) -> Option<Event> {
        let node = &mut self.nodes[index];
        let storage = node.storage.as_mut()?;
        if storage.sync().is_err() {
            self.disk_failed(index);
            return None;
        }
        node.log.synced(through);
        if node.disk.has_misdirected() {
            self.end_after_misdirected(index);
        }
        self.watch_snapshots(index);
        let node = &mut self.nodes[index];
        if std::mem::take(&mut node.full) {
            node.inbox.push(Event::StorageFull(false));
        }
        Some(Event::Synced { writes: (through - node.base) as u64 })
    }

    /// A disk that fails ends the process; it comes back with another one's manners.
    pub(super) fn disk_failed(&mut self, index: usize) {
        self.probes.hit("disk_failed");
        self.crash(index, true);
        let back = self.now + self.random.below(500 * MILLISECOND);
        self.schedule(back, Happening::Restart { node: index });
    }

    /// A replica has what others delivered put in the place of its log.
    pub(super) fn replaced(&mut self, index: usize, replacement: Arc<Replacement>) {
        let delivered = replacement.delivered.0;
        assert!(delivered <= self.ledger.last(), "r{index} copies what nobody delivered");
        let entries = self.ledger.entries()[..delivered as usize].into();
        let node = &mut self.nodes[index];
        node.log.replace(Arc::clone(&replacement), entries);
        node.unwritten.clear();
        node.replaced = node.log.len();
        node.replacement = Some(replacement);
        self.probes.hit("log_replaced");
    }

    /// A replica has all that its log holds put in the log's place.
    pub(super) fn rewritten(&mut self, index: usize, replacement: Arc<Replacement>) {
        let node = &mut self.nodes[index];
        node.log.rewrite(Arc::clone(&replacement));
        node.unwritten.clear();
        node.replaced = node.log.len();
        node.replacement = Some(replacement);
        self.probes.hit("log_rewritten");
    }

    /// A replica has a record written.
    pub(super) fn written(&mut self, index: usize, record: Record) {
        if let Record::Drop { after } = &record {
            self.probes.hit("entries_dropped_by_record");
            let (after, until) = (after.0, self.nodes[index].log.last());
            self.nodes[index].log.write(record.clone());
            let logs: Vec<_> = self.nodes.iter().map(|node| &node.log).collect();
            self.ledger.check_held(&logs, (after, until));
        } else {
            self.nodes[index].log.write(record.clone());
        }
        self.nodes[index].unwritten.push(record);
    }
}
