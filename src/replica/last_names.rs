//! Each origin's last message in a log: what decides which one is next, and that none is there twice.

use crate::codec::{Malformed, Reader, Writer};
use crate::entry::{decode_member, encode_member};
use crate::types::{Incarnation, LocalSeq, MAX_REPLICAS, Member, MessageName, ReplicaId};

/// By origin: its incarnation and local number.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct LastNames([Option<(Incarnation, LocalSeq)>; MAX_REPLICAS]);

impl LastNames {
    /// A message is the log's last one.
    pub(super) fn note(&mut self, name: MessageName) {
        self.0[name.origin.index()] = Some((name.incarnation, name.local));
    }

    /// The last message of an origin's incarnation; 0 where there is none.
    pub(super) fn of(&self, origin: ReplicaId, incarnation: Incarnation) -> LocalSeq {
        match self.0[origin.index()] {
            Some((last, local)) if last == incarnation => local,
            _ => LocalSeq(0),
        }
    }

    /// Appends its bytes: for each origin that has one, its id, incarnation and number.
    pub(super) fn encode(&self, writer: &mut Writer<'_>) {
        writer.count(self.0.iter().flatten().count());
        for (id, last) in (0..).map(ReplicaId).zip(&self.0) {
            if let Some((incarnation, local)) = last {
                encode_member(Member { id, incarnation: *incarnation }, writer);
                writer.varint(local.0);
            }
        }
    }

    /// Reads its bytes.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut names = Self::default();
        for _ in 0..reader.count(MAX_REPLICAS)? {
            let Member { id: origin, incarnation } = decode_member(reader)?;
            names.note(MessageName { origin, incarnation, local: LocalSeq(reader.varint()?) });
        }
        Ok(names)
    }
}
