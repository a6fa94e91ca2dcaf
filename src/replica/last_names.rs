//! Each origin's last message in a log: what decides which one is next, and that none is there twice.

use crate::types::{Incarnation, LocalSeq, MAX_REPLICAS, MessageName, ReplicaId};

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
}
