//! What is known, durably, of the lives of all replicas: the view that named each last, and the life below which its
//! promises do not count any more.
//!
//! A view names who promised it. So whoever is named in a view that is in anybody's log, and has not promised that much
//! itself, has lost what was on its disk.

use crate::codec::{Malformed, Reader, Writer};
use crate::entry::{
    Body, Entry, decode_member, decode_view_number, encode_member, encode_view_number,
};
use crate::types::{Incarnation, MAX_REPLICAS, Member, ReplicaId, ViewNumber};
use crate::wire::MAX_NUMBER;

/// What is known of one replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Life {
    /// Promises of earlier lives do not count: the highest life that a view named, or that asked what was on its disk.
    pub(super) fence: Incarnation,
    /// The last view that named it, and in which life; `NONE` where none did.
    pub(super) view: ViewNumber,
    pub(super) named: Incarnation,
}

/// By replica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lives([Life; MAX_REPLICAS]);

impl Default for Lives {
    fn default() -> Self {
        let (none, view) = (Incarnation(0), ViewNumber::NONE);
        Self([Life { fence: none, view, named: none }; MAX_REPLICAS])
    }
}

impl Lives {
    /// What is known of a replica.
    pub(super) fn of(&self, id: ReplicaId) -> Life {
        self.0[id.index()]
    }

    /// Promises of a replica's earlier lives do not count any more. Says whether that is new.
    pub(super) fn raise_fence(&mut self, Member { id, incarnation }: Member) -> bool {
        let fence = &mut self.0[id.index()].fence;
        let new = incarnation > *fence;
        *fence = incarnation.max(*fence);
        new
    }

    /// Takes in whom an entry names, where it begins a view.
    pub(super) fn note(&mut self, entry: &Entry) {
        let Body::View(members) = &entry.body else {
            return;
        };
        for member in members {
            self.raise_fence(*member);
            let life = &mut self.0[member.id.index()];
            if entry.view > life.view {
                (life.view, life.named) = (entry.view, member.incarnation);
            }
        }
    }

    /// Takes in what another one knows.
    pub(super) fn merge(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            own.fence = own.fence.max(other.fence);
            if other.view > own.view {
                (own.view, own.named) = (other.view, other.named);
            }
        }
    }

    /// Whether there is a number in it that no replica of so many can say.
    pub(super) fn exceed(&self, replicas: usize) -> bool {
        self.each().any(|(id, life)| {
            let known = life.fence > Incarnation(0) || life.view != ViewNumber::NONE;
            known && id.index() >= replicas
                || life.fence.0 > MAX_NUMBER
                || life.named.0 > MAX_NUMBER
                || life.view.round > MAX_NUMBER
        })
    }

    /// The fences that there are, in id order.
    pub(super) fn fences(&self) -> Vec<Member> {
        let all = self.each().map(|(id, life)| Member { id, incarnation: life.fence });
        all.filter(|fence| fence.incarnation > Incarnation(0)).collect()
    }

    fn each(&self) -> impl Iterator<Item = (ReplicaId, Life)> {
        (0..).map(ReplicaId).zip(self.0)
    }

    /// Appends its bytes: for each replica of which something is known, its id, fence, view and
    /// its life in that.
    pub(super) fn encode(&self, writer: &mut Writer<'_>) {
        let known = || self.each().filter(|(_, life)| life.fence > Incarnation(0));
        writer.count(known().count());
        for (id, life) in known() {
            encode_member(Member { id, incarnation: life.fence }, writer);
            encode_view_number(life.view, writer);
            writer.varint(life.named.0);
        }
    }

    /// Reads its bytes.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut lives = Self::default();
        for _ in 0..reader.count(MAX_REPLICAS)? {
            let Member { id, incarnation } = decode_member(reader)?;
            let view = decode_view_number(reader)?;
            let named = Incarnation(reader.varint()?);
            lives.0[id.index()] = Life { fence: incarnation, view, named };
        }
        Ok(lives)
    }
}
