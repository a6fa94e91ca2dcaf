//! What a disk is good for, by the records on it.

use super::Record;
use crate::codec::{Malformed, Reader, Writer};

/// What a replica's disk is good for, by the records on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DiskState {
    /// Nothing is on it.
    #[default]
    Empty,
    /// It was empty, and whether it should have been is not known yet.
    New,
    /// It has all that its replica ever said that it has.
    Sound,
    /// It may lack some of it.
    Lost,
    /// It counts as sound on an operator's word, until its replica has promised a view: what others know that it held
    /// before does not count.
    Accepted,
}

impl DiskState {
    /// The state after a further record. A log that begins with another record than [`Record::New`] and [`Record::Lost`]
    /// is of before there were new disks.
    pub(crate) fn after(self, record: &Record) -> Self {
        match record {
            Record::New(_) => Self::New,
            Record::Lost => Self::Lost,
            Record::Formatted(_) | Record::Recovered => Self::Sound,
            Record::Accepted => Self::Accepted,
            Record::Promise(_) if self == Self::Accepted => Self::Sound,
            _ if self == Self::Empty => Self::Sound,
            _ => self,
        }
    }

    /// Its name, for people and tools.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::New => "new",
            Self::Sound => "sound",
            Self::Lost => "lost",
            Self::Accepted => "accepted",
        }
    }

    /// Appends its byte.
    pub(crate) fn encode(self, writer: &mut Writer<'_>) {
        writer.u8(match self {
            Self::Empty => 0,
            Self::Sound => 1,
            Self::Lost => 2,
            Self::Accepted => 3,
            Self::New => 4,
        });
    }

    /// Reads its byte.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.u8()? {
            0 => Ok(Self::Empty),
            1 => Ok(Self::Sound),
            2 => Ok(Self::Lost),
            3 => Ok(Self::Accepted),
            4 => Ok(Self::New),
            _ => Err(Malformed("a disk's state is unknown")),
        }
    }
}
