//! Who holds what durably: acks, and the quorum rule as a value.

use super::Replica;
use crate::planted::planted;
use crate::types::{MAX_REPLICAS, ReplicaId, Seq};
use crate::wire::Chunk;

impl Replica {
    /// Takes in what is durable here as this replica's own ack, in a view whose beginning is durable.
    pub(super) fn note_own_ack(&mut self) {
        let durable = self.log.durable_through();
        if self.status.view().is_some_and(|view| durable >= view.start) {
            self.acks.note(self.me.id, durable);
        }
    }

    /// A member's log is durable through `through`.
    pub(super) fn on_ack(&mut self, from: ReplicaId, through: Seq, reply: bool) {
        self.acks.note(from, through);
        // A member that orders nothing yet can know from an ack that there is something to order.
        self.order.note_highest(through, self.known_window());
        self.acks.owed[from.index()] |= reply;
    }

    /// Wants a member's ack; it is asked for with what is sent next.
    pub(super) fn ask_for_ack(&mut self, of: ReplicaId) {
        self.acks.asked[of.index()] = true;
    }

    /// Tells all members how far the log is durable, if they were not told; and single ones, if they asked or are
    /// asked: once each, however often that was.
    pub(super) fn acknowledge(&mut self) {
        let Some(view) = self.status.view() else {
            return;
        };
        // Before the view's beginning is durable there is nothing to ack in it.
        let mut through = self.acks.of(self.me.id);
        if planted!(self, AckBeforeSync) {
            through = self.log.ordered_through();
        }
        if planted!(self, AckBeforeStart) {
            through = self.log.durable_through().max(view.start);
        }
        if planted!(self, AckUnheld) {
            through = self.order.highest_seq();
        }
        if self.acks.announced_through < through {
            self.acks.announced_through = through;
            self.outbox.for_all(Chunk::Ack { through, reply: false });
            self.acks.owed.fill(false);
        }
        for index in 0..self.config.replicas {
            let reply = std::mem::take(&mut self.acks.asked[index]);
            if std::mem::take(&mut self.acks.owed[index]) | reply {
                let to = ReplicaId(u8::try_from(index).expect("ids are small"));
                self.outbox.for_one(to, Chunk::Ack { through, reply });
            }
        }
    }
}

/// The rule by which a number is committed: a majority of the N configured replicas, not of the view's members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Quorum {
    replicas: usize,
}

impl Quorum {
    /// The majority of `replicas`.
    pub(super) fn majority_of(replicas: usize) -> Self {
        Self { replicas }
    }

    /// How many replicas it takes.
    pub(super) fn size(self) -> usize {
        self.replicas / 2 + 1
    }
}

/// What every configured replica has acked in this view.
#[derive(Debug)]
pub(super) struct Acks {
    quorum: Quorum,
    through: Vec<Seq>,
    /// Who is a member.
    members: Vec<bool>,
    /// The last number before the view: all members hold it, or are about to.
    before: Seq,
    /// The highest ack that was sent to all.
    announced_through: Seq,
    /// Who asked for this replica's ack, and whose ack this replica asks for.
    owed: Vec<bool>,
    asked: Vec<bool>,
}

impl Acks {
    /// None yet, in a view of `members` that starts after `before`.
    pub(super) fn new(
        quorum: Quorum,
        members: impl Iterator<Item = ReplicaId>,
        before: Seq,
    ) -> Self {
        let none = vec![false; quorum.replicas];
        let mut is_member = none.clone();
        members.for_each(|id| is_member[id.index()] = true);
        Self {
            quorum,
            through: vec![Seq(0); quorum.replicas],
            members: is_member,
            before,
            announced_through: Seq(0),
            owed: none.clone(),
            asked: none,
        }
    }

    /// Takes over what others acked in an earlier view, which is a bug to plant.
    #[cfg(feature = "planted-bugs")]
    pub(super) fn keep_earlier(&mut self, earlier: &Self, me: ReplicaId) {
        self.through.clone_from(&earlier.through);
        self.through[me.index()] = Seq(0);
    }

    fn note(&mut self, replica: ReplicaId, through: Seq) {
        let acked = &mut self.through[replica.index()];
        *acked = through.max(*acked);
    }

    /// What one replica has acked.
    pub(super) fn of(&self, replica: ReplicaId) -> Seq {
        self.through[replica.index()]
    }

    /// The last number before the view.
    pub(super) fn before(&self) -> Seq {
        self.before
    }

    /// The highest number that a quorum holds durably.
    pub(super) fn committed_through(&self) -> Seq {
        self.held_by(self.quorum.size())
    }

    /// The highest number that so many replicas have acked, 1 of them or more.
    pub(super) fn held_by(&self, replicas: usize) -> Seq {
        let mut sorted = [Seq(0); MAX_REPLICAS];
        let sorted = &mut sorted[..self.through.len()];
        sorted.copy_from_slice(&self.through);
        sorted.sort_unstable_by(|one, other| other.cmp(one));
        sorted[replicas - 1]
    }

    /// The highest number that all N have acked.
    pub(super) fn stable_through(&self) -> Seq {
        self.through.iter().copied().min().expect("at least one replica")
    }

    /// The highest number that all members have acked, or will have once they are in the view.
    pub(super) fn held_by_members(&self) -> Seq {
        let members = self.through.iter().zip(&self.members).filter(|(_, member)| **member);
        members.map(|(through, _)| *through).min().unwrap_or_default().max(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_of_the_configured_commits_and_all_make_stable() {
        let mut acks = Acks::new(Quorum::majority_of(5), (0..4).map(ReplicaId), Seq(1));
        for (replica, through) in [(0, 9), (1, 7), (2, 5), (3, 2), (2, 4)] {
            acks.note(ReplicaId(replica), Seq(through));
        }
        assert_eq!(acks.committed_through(), Seq(5));
        assert_eq!(acks.stable_through(), Seq(0));
        assert_eq!(acks.held_by_members(), Seq(2));
        assert_eq!(acks.of(ReplicaId(2)), Seq(5));
    }
}
