//! What the own disk is good for. One that is new, or that may lack what its replica said it had, takes no part: its
//! replica neither promises, numbers, acks nor proposes.

use super::Replica;
use super::event::Effect;
use super::format::NewDisks;
use super::recover::Recovering;
use super::status::Status;
use crate::entry::{DiskState, Record};
use crate::types::{DiskId, Incarnation, Instant, Seq, ViewNumber};

/// The own disk.
#[derive(Debug, Default)]
pub(super) struct OwnDisk {
    pub(super) state: DiskState,
    /// The write that makes the state durable; 0 where this life began with it.
    pub(super) since: u64,
    /// The id of a new disk, once it has one.
    pub(super) id: Option<DiskId>,
    /// The disks of all replicas when the cluster was first started; none where that is not known.
    pub(super) first_disks: Vec<DiskId>,
    /// Which new disks the others said that there are, last.
    pub(super) others_new: NewDisks,
    /// What others say while it is lost.
    pub(super) recovering: Recovering,
    /// What it held when this life began.
    pub(super) began: Option<Began>,
    /// Whether what others know of earlier lives counts no more: enough of them answered for it, or an operator did.
    pub(super) settled: bool,
    /// Whose word of what it must hold came in this life, by bit.
    pub(super) told_by: u16,
    /// A life of this replica that is not before this one, but is known to others.
    pub(super) outlived_by: Option<Incarnation>,
}

/// What the disk held when a life began, as far as others can know of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Began {
    pub(super) at: Instant,
    pub(super) promised: ViewNumber,
    /// The last entry's view and number.
    pub(super) end: (ViewNumber, Seq),
}

impl OwnDisk {
    /// What a snapshot says of it.
    pub(super) fn begin_with(&mut self, state: DiskState, first_disks: Vec<DiskId>) {
        self.state = state;
        self.first_disks = first_disks;
    }

    /// Takes in a record that it held when this life began.
    pub(super) fn replay(&mut self, record: &Record) {
        self.state = self.state.after(record);
        match record {
            Record::New(id) => self.id = Some(*id),
            Record::Formatted(disks) => self.first_disks.clone_from(disks),
            _ => {}
        }
    }
}

impl Replica {
    /// How many replicas the cluster was first started with; none where storage does not tell.
    pub fn first_replicas(&self) -> Option<usize> {
        let count = self.own_disk.first_disks.len();
        (count > 0).then_some(count)
    }

    /// Whether this replica may promise, number, ack and propose: its disk is sound, surely.
    pub(super) fn takes_part(&self) -> bool {
        let sound = matches!(self.own_disk.state, DiskState::Sound | DiskState::Accepted);
        sound && self.own_disk_is_durable()
    }

    /// Whether what the disk is good for is on it.
    pub(super) fn own_disk_is_durable(&self) -> bool {
        self.writes.durable() >= self.own_disk.since
    }

    /// The disk is something else from now on.
    pub(super) fn set_disk(&mut self, record: Record, effects: &mut Vec<Effect>) {
        self.own_disk.replay(&record);
        self.write(record, effects);
        self.own_disk.since = self.writes.last();
        self.view_attention = true;
    }

    /// The disk may lack what this replica once said it has.
    pub(super) fn lose_disk(&mut self, now: Instant, why: &str, effects: &mut Vec<Effect>) {
        if self.own_disk.state == DiskState::Lost {
            return;
        }
        tracing::warn!(replica = %self.me.id, why, "the disk is lost: what was on it is asked of the others");
        self.counters.disks_lost += 1;
        self.set_disk(Record::Lost, effects);
        if !matches!(self.status, Status::Outside(_)) {
            self.enter_outside(now, "the disk is lost");
        }
    }

    /// Brings a disk that is new or lost on its way.
    pub(super) fn watch_own_disk(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.own_disk.began.is_none() {
            let end = (self.log.last_view(), self.log.ordered_through());
            self.own_disk.began = Some(Began { at: now, promised: self.promised, end });
        }
        match self.own_disk.state {
            DiskState::Sound | DiskState::Accepted => {}
            DiskState::Empty | DiskState::New => self.watch_new_disk(effects),
            DiskState::Lost => self.watch_recovery(now, effects),
        }
    }

    /// Whether nothing was ever on the disk, as far as is known: then not even what others delivered belongs there.
    pub(super) fn has_new_disk(&self) -> bool {
        matches!(self.own_disk.state, DiskState::Empty | DiskState::New)
    }

    /// Why calls cannot be answered for the disk's sake, for people.
    pub(super) fn why_no_part(&self) -> Option<String> {
        match self.own_disk.state {
            _ if self.takes_part() => None,
            DiskState::Sound | DiskState::Accepted => {
                Some("what its disk is good for is not durable yet".to_owned())
            }
            DiskState::Empty | DiskState::New => Some(self.describe_new_disk()),
            DiskState::Lost => Some(self.describe_recovery()),
        }
    }
}
