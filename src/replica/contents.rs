//! The bytes of a snapshot, wherever what it holds is: in a snapshot that was read or folded, or in a running replica.

use std::io;

use super::boundaries::Boundaries;
use super::last_names::LastNames;
use super::lives::Lives;
use super::snapshot::{ENTRY, HEAD, STATE, VIEWS};
use crate::codec::Writer;
use crate::entry::{DiskState, Entry, Replacement, encode_disks, encode_entry, encode_view_number};
use crate::queue::Queues;
use crate::types::{Boundary, DiskId, Seq, ViewNumber};

/// What a snapshot holds; the fields are those of [`super::Snapshot`].
pub(super) struct Contents<'a> {
    pub(super) promised: ViewNumber,
    pub(super) delivered_through: Seq,
    pub(super) delivered_names: &'a LastNames,
    pub(super) lives: &'a Lives,
    pub(super) disk: DiskState,
    pub(super) first_disks: &'a [DiskId],
    pub(super) boundaries: &'a Boundaries,
    pub(super) undelivered: Vec<&'a Entry>,
    pub(super) queues: &'a Queues,
}

impl Contents<'_> {
    /// All of it, to be put in the place of a log.
    pub(super) fn to_replacement(&self) -> Replacement {
        let mut parts = Vec::new();
        let mut each = |part: &[u8]| {
            parts.push(part.to_vec());
            Ok(())
        };
        self.encode(&mut each).expect("nothing fails here");
        Replacement {
            promised: self.promised,
            delivered: self.delivered_through,
            last: Seq(self.delivered_through.0 + self.undelivered.len() as u64),
            disk: self.disk,
            boundaries: self.boundaries.last(usize::MAX),
            parts,
        }
    }

    /// Gives all of it to `each`, in the parts that `snapshot` tells of.
    ///
    /// # Errors
    /// Those of `each`.
    pub(super) fn encode(&self, each: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut part = vec![HEAD];
        let mut writer = Writer::new(&mut part);
        encode_view_number(self.promised, &mut writer);
        writer.varint(self.delivered_through.0);
        self.delivered_names.encode(&mut writer);
        self.lives.encode(&mut writer);
        self.disk.encode(&mut writer);
        encode_disks(self.first_disks, &mut writer);
        each(&part)?;
        part = vec![VIEWS];
        let mut writer = Writer::new(&mut part);
        let boundaries = self.boundaries.last(usize::MAX);
        writer.count(boundaries.len());
        for Boundary { view, first } in boundaries {
            encode_view_number(view, &mut writer);
            writer.varint(first.0);
        }
        each(&part)?;
        for entry in &self.undelivered {
            part = vec![ENTRY];
            encode_entry(entry, &mut part);
            each(&part)?;
        }
        self.queues.encode(&mut |state| {
            part.clear();
            part.push(STATE);
            part.extend_from_slice(state);
            each(&part)
        })
    }
}
