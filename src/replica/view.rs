//! A view: the replicas that take part, and whose turn a sequence number is.

use std::fmt;

use crate::types::{Incarnation, LocalSeq, Member, MessageName, ReplicaId, Seq, ViewNumber};

/// A view: its number, its members in id order, and the sequence number at which it starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// Its number.
    pub number: ViewNumber,
    /// Its members, in id order, at least one.
    pub members: Vec<Member>,
    /// The first sequence number that is given out in it.
    pub start: Seq,
}

impl View {
    /// The member that gives out `seq`: `members[seq mod m]`, and no other (DESIGN section 2, rule 2).
    pub fn sequencer_of(&self, seq: Seq) -> ReplicaId {
        let count = self.members.len() as u64;
        let index = usize::try_from(seq.0 % count).expect("below the number of members");
        self.members[index].id
    }

    /// The incarnation in which a replica takes part, if it does.
    pub fn incarnation_of(&self, id: ReplicaId) -> Option<Incarnation> {
        self.members.iter().find(|member| member.id == id).map(|member| member.incarnation)
    }

    /// Whether a replica takes part in this very incarnation.
    pub fn contains(&self, id: ReplicaId, incarnation: Incarnation) -> bool {
        self.incarnation_of(id) == Some(incarnation)
    }

    /// The members, by bit.
    pub(super) fn set(&self) -> u16 {
        self.members.iter().fold(0, |set, member| set | 1 << member.id.0)
    }

    /// The name of a member's message.
    ///
    /// # Panics
    /// If `origin` is no member.
    pub(super) fn name(&self, origin: ReplicaId, local: LocalSeq) -> MessageName {
        let incarnation = self.incarnation_of(origin).expect("the origin is a member");
        MessageName { origin, incarnation, local }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of", self.number)?;
        self.members.iter().try_for_each(|member| write!(f, " {}", member.id))?;
        write!(f, " from {}", self.start)
    }
}
