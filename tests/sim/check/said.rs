//! What replicas were heard to say that they hold durably. Who lost that can be told so by those who heard; by nobody else.

use ftqueue::testing::{Chunk, Datagram, ViewNumber};

/// What one replica said.
#[derive(Clone, Copy, Default)]
pub(crate) struct Said {
    /// The highest view that it was in, and how far it acked in that.
    acked: Option<(ViewNumber, u64)>,
    /// The highest view that it promised or proposed, in its last life that did.
    promised: Option<(u64, ViewNumber)>,
}

impl Said {
    /// What a datagram says.
    pub(crate) fn in_datagram(datagram: &Datagram) -> Self {
        let (view, life) = (datagram.header.view, datagram.header.incarnation.0);
        let mut said = Self::default();
        if view != ViewNumber::NONE {
            said.acked = Some((view, 0));
        }
        for chunk in &datagram.chunks {
            match chunk {
                Chunk::Ack { through, .. } => said.acked = said.acked.max(Some((view, through.0))),
                Chunk::Prepare { number } | Chunk::Promise { number, .. } => {
                    said.promised = said.promised.max(Some((life, *number)));
                }
                _ => {}
            }
        }
        said
    }

    /// It says that, too.
    pub(crate) fn add(&mut self, other: Self) {
        self.acked = self.acked.max(other.acked);
        self.promised = self.promised.max(other.promised);
    }

    /// Whether one that has promised no more, and whose log ends with this view and number, lacks what it said.
    pub(crate) fn is_more_than(&self, promised: ViewNumber, end: (ViewNumber, u64)) -> bool {
        let lacks_promise = self.promised.is_some_and(|(_, said)| promised < said);
        let lacks_acked = self.acked.is_some_and(|(view, through)| {
            promised < view || promised == view && through > 0 && end < (view, through)
        });
        lacks_promise || lacks_acked
    }
}
