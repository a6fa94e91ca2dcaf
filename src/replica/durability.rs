//! What was given to storage and what of it is durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Replica;
use super::event::Effect;
use super::status::Status;
use crate::entry::{Record, Replacement};
use crate::planted::planted;
use crate::types::{Instant, Seq};

/// The writes of this life, counted from 1.
#[derive(Debug, Default)]
pub(super) struct Writes {
    last: u64,
    durable: u64,
    /// The writes that append entries and are not durable yet, with the entries' numbers.
    appends: VecDeque<(u64, Seq)>,
    /// The last delivered number that was written.
    delivered: Seq,
    /// Since when something waits to become durable and nothing has.
    waiting: Option<Instant>,
    /// Whether that was for longer than a disk may take.
    overdue: bool,
}

impl Writes {
    /// The last write.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The last write that is durable, and so are all before it.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// Whether all that was written is durable.
    pub(super) fn all_durable(&self) -> bool {
        self.durable == self.last
    }

    /// Sees whether anything waits to become durable, and for longer than `patience`.
    pub(super) fn watch(&mut self, now: Instant, patience: Duration) {
        if self.all_durable() {
            self.waiting = None;
        } else {
            let since = *self.waiting.get_or_insert(now);
            self.overdue |= now.since(since) > patience;
        }
    }

    /// What waits now is not measured: nobody watched all the while.
    pub(super) fn begin_anew(&mut self) {
        self.waiting = None;
    }

    /// So many writes are durable.
    fn synced(&mut self, writes: u64) {
        if writes > self.durable {
            self.durable = writes;
            (self.waiting, self.overdue) = (None, false);
        }
    }

    /// Entries past `after` are dropped: their writes make nothing durable any more.
    pub(super) fn forget_after(&mut self, after: Seq) {
        self.appends.retain(|(_, seq)| *seq <= after);
    }

    /// Takes in that storage knows already that so much was delivered.
    pub(super) fn knows_delivered(&mut self, through: Seq) {
        self.delivered = through;
    }
}

impl Replica {
    /// Has a record written.
    pub(super) fn write(&mut self, record: Record, effects: &mut Vec<Effect>) {
        self.writes.last += 1;
        match &record {
            Record::Append(entry) => {
                assert!(entry.view <= self.promised, "an entry's view was promised");
                self.writes.appends.push_back((self.writes.last, entry.seq));
            }
            Record::Delivered(through) => self.writes.delivered = *through,
            _ => {}
        }
        effects.push(Effect::Write(record));
    }

    /// Has all that was delivered put in the place of the log. What was written before and is not durable is of no use any
    /// more.
    pub(super) fn write_replacement(
        &mut self,
        replacement: Arc<Replacement>,
        effects: &mut Vec<Effect>,
    ) {
        self.writes.last += 1;
        self.writes.appends.clear();
        self.writes.appends.push_back((self.writes.last, replacement.delivered));
        self.writes.delivered = replacement.delivered;
        self.log.nothing_durable();
        effects.push(Effect::Replace(replacement));
    }

    /// All that was written is written anew by the next write.
    pub(super) fn note_rewritten(&mut self) {
        self.writes.last += 1;
        self.writes.delivered = self.delivered_through;
    }

    /// The first `writes` records are durable: only now may what stands on them be said.
    pub(super) fn on_synced(&mut self, now: Instant, writes: u64, effects: &mut Vec<Effect>) {
        assert!(writes <= self.writes.last, "only what was written can be synced");
        let was_durable = self.own_disk_is_durable();
        let hung = self.disk_hangs();
        self.writes.synced(writes);
        if !was_durable && self.own_disk_is_durable() || hung {
            // The others wait for it.
            self.heartbeat_due = now;
        }
        while let Some((write, seq)) = self.writes.appends.front().copied()
            && write <= self.writes.durable
        {
            self.writes.appends.pop_front();
            self.log.synced(seq);
        }
        self.note_own_ack();
        self.promise_time.synced(now, writes);
        if let Status::Changing(change) = &self.status
            && !change.is_durable()
            && change.write <= self.writes.durable
        {
            self.promise_is_durable(now, effects);
        }
    }

    /// Whether the disk has made nothing durable for so long that it may never again: this replica can promise nothing, and
    /// wants a view without it until it does.
    pub(super) fn disk_hangs(&self) -> bool {
        self.writes.overdue && !planted!(self, NoAckTimeout)
    }

    /// Writes down how far was delivered, with what else is written or, when all is quiet, by itself: a restart then
    /// knows it without asking.
    pub(super) fn write_delivered(&mut self, effects: &mut Vec<Effect>) {
        if self.writes.delivered < self.delivered_through {
            self.write(Record::Delivered(self.delivered_through), effects);
        }
    }
}
