//! What a replica's records may say after each other: what breaks it was not written by a replica.

use crate::entry::Record;
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
}

impl Rules {
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
        }
        Ok(())
    }
}
