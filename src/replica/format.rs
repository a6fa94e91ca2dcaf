//! The first start of a cluster (DESIGN section 3, First start). A new disk draws an id. Once all replicas say that
//! their disks are new, and which, each notes these disks and takes part. A replica with a new disk that comes later is told which
//! disks those were: if its own is not among them, what was on it is lost.
//!
//! Each says which disks it has heard of, and goes on only when all say the same: one that has gone on with other disks
//! never said so.

use super::Replica;
use super::event::Effect;
use super::ids::replica_id;
use crate::entry::{DiskState, Record};
use crate::planted::planted;
use crate::types::{DiskId, Instant, MAX_REPLICAS, ReplicaId, Seq, ViewNumber};
use crate::wire::Chunk;

/// The disks that each other replica with a new one last said it has heard of; its own among them.
#[derive(Debug, Default)]
pub(super) struct NewDisks([Vec<DiskId>; MAX_REPLICAS]);

impl NewDisks {
    /// The disk of another replica, if that is new; 0 where it is not known.
    fn of(&self, id: ReplicaId) -> DiskId {
        self.0[id.index()].get(id.index()).copied().unwrap_or(DiskId(0))
    }
}

impl Replica {
    /// Gives a new disk its id; goes on once all have the same word of all disks.
    pub(super) fn watch_new_disk(&mut self, effects: &mut Vec<Effect>) {
        if self.own_disk.id.is_none() {
            self.set_disk(Record::New(self.new_disk_id), effects);
            if planted!(self, TrustEmptyDisk) {
                self.set_disk(Record::Formatted(vec![self.new_disk_id]), effects);
            }
            return;
        }
        if !self.own_disk_is_durable() {
            return;
        }
        let disks = self.new_disks();
        let same =
            |id: ReplicaId| id == self.me.id || self.own_disk.others_new.0[id.index()] == disks;
        if disks.iter().all(|disk| *disk != DiskId(0)) && self.replicas().all(same) {
            tracing::info!(replica = %self.me.id, "all disks are new: the cluster is started for the first time");
            self.set_disk(Record::Formatted(disks), effects);
        }
    }

    /// The new disks that are known, by replica; 0 where none is.
    fn new_disks(&self) -> Vec<DiskId> {
        let own = self.own_disk.id.unwrap_or(DiskId(0));
        let of = |id| if id == self.me.id { own } else { self.own_disk.others_new.of(id) };
        self.replicas().map(of).collect()
    }

    /// Says which new disks there are, as long as the own one is.
    pub(super) fn tell_new_disks(&mut self) {
        if self.own_disk.state == DiskState::New
            && self.own_disk.id.is_some()
            && self.own_disk_is_durable()
        {
            let disks = self.new_disks();
            self.outbox.for_all(Chunk::NewDisks { disks });
        }
    }

    /// Another replica's disk is new.
    pub(super) fn on_new_disks(&mut self, now: Instant, from: ReplicaId, disks: Vec<DiskId>) {
        if disks.len() != self.config.replicas {
            return;
        }
        if self.own_disk.state == DiskState::New {
            let before = self.new_disks();
            self.own_disk.others_new.0[from.index()] = disks;
            if self.new_disks() != before {
                // What this replica has heard of is waited for.
                self.heartbeat_due = now;
            }
        } else if self.knows_of_start() {
            let disks = self.own_disk.first_disks.clone();
            self.outbox.for_one_once(from, Chunk::Formatted { disks });
        } else {
            // Nobody may ever have started the cluster: for people.
            self.own_disk.others_new.0[from.index()] = disks;
        }
    }

    /// Whether all others last said that their disks are new, and are in no view.
    pub(super) fn all_others_are_new(&self) -> bool {
        self.replicas().filter(|id| *id != self.me.id).all(|id| {
            self.own_disk.others_new.of(id) != DiskId(0)
                && self.detector.view_of(id) == ViewNumber::NONE
        })
    }

    /// Whether the cluster was surely started before: a disk that is lost need never have been part of one.
    fn knows_of_start(&self) -> bool {
        // And an operator may have accepted that there is nothing on it.
        let sound = self.own_disk.state == DiskState::Sound
            || self.own_disk.state == DiskState::Accepted && self.log.ordered_through() > Seq(0);
        (sound || !self.own_disk.first_disks.is_empty()) && self.own_disk_is_durable()
    }

    /// The cluster was started before, with these disks.
    pub(super) fn on_formatted(
        &mut self,
        now: Instant,
        disks: Vec<DiskId>,
        effects: &mut Vec<Effect>,
    ) {
        let (DiskState::New, Some(own)) = (self.own_disk.state, self.own_disk.id) else {
            return;
        };
        if !self.own_disk_is_durable() {
            return;
        }
        if disks.get(self.me.id.index()) == Some(&own) {
            self.set_disk(Record::Formatted(disks), effects);
        } else {
            self.lose_disk(now, "it is new, and the cluster was started with another", effects);
        }
    }

    /// For people.
    pub(super) fn describe_new_disk(&self) -> String {
        let unknown = |id: &ReplicaId| self.new_disks()[id.index()] == DiskId(0);
        let unknown: Vec<String> =
            self.replicas().filter(unknown).map(|id| id.to_string()).collect();
        match unknown.join(" ") {
            none if none.is_empty() => {
                "all disks are new: the first start is being agreed on".to_owned()
            }
            some => format!(
                "its disk is new: a first start needs all replicas, and {some} did not say that its disk is new, too"
            ),
        }
    }

    /// All replicas.
    pub(super) fn replicas(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        (0..self.config.replicas).map(replica_id)
    }
}
