//! The log as the disk's thread uses it.

use super::disk_thread::{NotWritten, Store};
use crate::entry::Record;
use crate::storage::{Append, Error, Folder, Recovered, SEGMENT_LENGTH, Storage};

/// A replica's log in its folder.
pub(super) struct Log {
    storage: Storage<Folder>,
    recovered: Recovered,
}

impl Log {
    /// Opens it and hands out every record.
    ///
    /// # Errors
    /// When it is damaged, another's, or cannot be read; or when the last life ran ahead of the disk and did not end in
    /// order.
    pub(super) fn open(
        disk: Folder,
        owner: u64,
        mut each: impl FnMut(Record),
    ) -> Result<Self, Error> {
        let (storage, recovered) = Storage::open(disk, owner, SEGMENT_LENGTH, &mut each)?;
        Ok(Self { storage, recovered })
    }

    /// What was found.
    pub(super) fn recovered(&self) -> Recovered {
        self.recovered
    }
}

impl Store for Log {
    fn append(&mut self, records: &[Record]) -> Result<(), NotWritten> {
        match self.storage.append(records) {
            Ok(Append::Written) => Ok(()),
            Ok(Append::Full) => Err(NotWritten::Full),
            Err(error) => Err(NotWritten::Failed(error.to_string())),
        }
    }

    fn sync(&mut self) -> Result<(), String> {
        self.storage.sync().map_err(|error| error.to_string())
    }

    fn mark_async(&mut self, runs_ahead: bool) -> Result<(), String> {
        self.storage.mark_ahead(runs_ahead).map_err(|error| error.to_string())
    }
}
