//! Records given back: to whoever takes them in, and as what they come to.

use super::{DiskState, Entry, Record};
use crate::codec::Malformed;
use crate::types::{Boundary, Seq, ViewNumber};

/// Who takes in what storage holds: first a snapshot's parts, where there is one, then every record after it, in order.
pub trait Replay {
    /// The next part of the snapshot, as [`Fold::encode`] gave it.
    ///
    /// # Errors
    /// When it is no part, or does not follow the one before.
    fn part(&mut self, part: &[u8]) -> Result<(), Malformed>;

    /// The snapshot has no more parts.
    ///
    /// # Errors
    /// When it lacks some.
    fn parts_end(&mut self) -> Result<(), Malformed>;

    /// The next record.
    fn record(&mut self, record: Record);
}

/// Who only wants the records.
impl<F: FnMut(Record)> Replay for F {
    fn part(&mut self, _: &[u8]) -> Result<(), Malformed> {
        Ok(())
    }

    fn parts_end(&mut self) -> Result<(), Malformed> {
        Ok(())
    }

    fn record(&mut self, record: Record) {
        self(record);
    }
}

/// What the records of a log come to, to be put in the place of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replacement {
    /// The highest promise.
    pub promised: ViewNumber,
    /// The last delivered entry's number.
    pub delivered: Seq,
    /// The last entry's number; those that are not delivered are among the parts.
    pub last: Seq,
    /// What the disk is good for.
    pub disk: DiskState,
    /// Where the views of the entries begin, numbers and views rising: the last ones.
    pub boundaries: Vec<Boundary>,
    /// The snapshot's parts, as [`Fold::encode`] gives them.
    pub parts: Vec<Vec<u8>>,
}

/// What records come to, and can be written down in their place.
pub trait Fold: Replay {
    /// Gives all of it to `each`, in parts of 1 byte to 1 MiB.
    ///
    /// # Errors
    /// Those of `each`.
    fn encode(&self, each: &mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()>;
}

/// What is made of the records of a disk, as far as they can be read.
pub(crate) trait Salvage: Replay + Default {
    /// The last entry's view and number.
    fn end(&self) -> (ViewNumber, Seq);

    /// Promises what another one promised, if that is more, and keeps its fences.
    fn promise_as(&mut self, other: &Self);

    /// What takes the place of a log, and the entries that follow it and are not delivered, which it gives away.
    fn to_log(&mut self, disk: DiskState) -> (Replacement, Vec<Entry>);
}

/// The longest part of a snapshot, in bytes.
pub(crate) const MAX_PART: usize = 1 << 20;
