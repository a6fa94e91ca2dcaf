//! What a replica's records may say after each other: what breaks it was not written by a replica.

use crate::codec::{Malformed, Reader, Writer};
use crate::entry::{DiskState, Record, Replacement, decode_view_number, encode_view_number};
use crate::types::{Boundary, Seq, ViewNumber};

/// What the records so far come to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Rules {
    /// The log's last number.
    pub(crate) last: Seq,
    /// Where the views of the log's entries begin, in order.
    views: Vec<Boundary>,
    /// The highest promise.
    pub(crate) promised: Option<ViewNumber>,
    /// The last number that was delivered.
    pub(crate) delivered: Seq,
    /// What the disk is good for.
    pub(crate) disk: DiskState,
}

impl Rules {
    /// Appends its bytes. Of the views those remain in which something may still be dropped, and the one before.
    pub(super) fn encode(&self, writer: &mut Writer<'_>) {
        writer.varint(self.last.0);
        writer.varint(self.delivered.0);
        encode_view_number(self.promised.unwrap_or(ViewNumber::NONE), writer);
        let past = self.views.partition_point(|view| view.first <= self.delivered);
        let views = self.views.get(past.saturating_sub(1)..).unwrap_or_default();
        writer.count(views.len());
        for Boundary { view, first } in views {
            encode_view_number(*view, writer);
            writer.varint(first.0);
        }
        self.disk.encode(writer);
    }

    /// Those of the log for which it stands.
    pub(super) fn of(replacement: &Replacement) -> Self {
        let Replacement { promised, delivered, last, disk, boundaries, .. } = replacement;
        let promised = Some(*promised).filter(|view| *view != ViewNumber::NONE);
        Self {
            last: *last,
            views: boundaries.clone(),
            promised,
            delivered: *delivered,
            disk: *disk,
        }
    }

    /// Reads its bytes; nothing may follow them.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (last, delivered) = (Seq(reader.varint()?), Seq(reader.varint()?));
        let promised = Some(decode_view_number(reader)?).filter(|view| *view != ViewNumber::NONE);
        let mut views = Vec::new();
        for _ in 0..reader.count(usize::MAX)? {
            let view = decode_view_number(reader)?;
            views.push(Boundary { view, first: Seq(reader.varint()?) });
        }
        // Those of before there were lost disks do not say.
        let disk = if reader.is_empty() { DiskState::Sound } else { DiskState::decode(reader)? };
        let rising = views.is_sorted_by(|one, next| one.view < next.view && one.first < next.first);
        if !rising || delivered > last || !reader.is_empty() {
            return Err(Malformed("its rules contradict themselves"));
        }
        Ok(Self { last, views, promised, delivered, disk })
    }

    /// The last entry's view.
    pub(crate) fn last_view(&self) -> Option<ViewNumber> {
        self.views.last().map(|last| last.view)
    }

    /// Takes the next record in.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub(super) fn take(&mut self, record: &Record) -> Result<(), &'static str> {
        match record {
            Record::Append(entry) => {
                if entry.seq.0 != self.last.0 + 1 {
                    return Err("an entry does not follow the one before it");
                }
                if self.promised.is_none_or(|promised| entry.view > promised) {
                    return Err("an entry is of a view that was not promised");
                }
                if self.last_view().is_some_and(|last| entry.view < last) {
                    return Err("an entry is of an earlier view than the one before it");
                }
                if self.last_view() != Some(entry.view) {
                    self.views.push(Boundary { view: entry.view, first: entry.seq });
                }
                self.last = entry.seq;
            }
            Record::Drop { after } => {
                if *after > self.last || *after < self.delivered {
                    return Err("entries are dropped that are not there, or were delivered");
                }
                self.last = *after;
                while self.views.pop_if(|last| last.first > *after).is_some() {}
            }
            Record::Promise(view) => {
                if self.promised.is_some_and(|promised| *view <= promised) {
                    return Err("a promise is taken back");
                }
                self.promised = Some(*view);
            }
            Record::Delivered(through) => {
                if *through > self.last || *through < self.delivered {
                    return Err("what was delivered is not there, or was delivered before");
                }
                self.delivered = *through;
            }
            Record::New(_) => {
                if *self != Self::default() {
                    return Err("a disk is new that was used before");
                }
            }
            Record::Formatted(_) => {
                if self.disk != DiskState::New {
                    return Err("a disk is formatted that was used before");
                }
            }
            Record::Recovered | Record::Accepted => {
                if self.disk != DiskState::Lost {
                    return Err("a disk recovers that was not lost");
                }
            }
            Record::Fence(_) | Record::Lost => {}
        }
        self.disk = self.disk.after(record);
        Ok(())
    }
}
