//! The log as the disk's thread uses it.

use tracing::error;

use super::disk_thread::{NotWritten, Store};
use super::snapshots::SnapshotThread;
use crate::entry::{Record, Replacement};
use crate::storage::{Append, Error, Folder, Made, Storage, remove_set_aside};

/// A replica's log in its folder.
pub(super) struct Log {
    storage: Storage<Folder>,
    snapshots: SnapshotThread,
    /// Before which segment the last snapshot was wanted.
    wanted: u64,
    /// Whether a snapshot met what cannot be read, and nobody was told yet.
    unreadable: bool,
    /// Whether the disk is recovered once what was written is durable.
    recovers: bool,
}

impl Log {
    pub(super) fn new(storage: Storage<Folder>, snapshots: SnapshotThread) -> Self {
        Self { storage, snapshots, wanted: 0, unreadable: false, recovers: false }
    }

    /// Lets a snapshot be made where it is time.
    fn watch_snapshots(&mut self) -> Result<(), String> {
        match self.snapshots.made()? {
            Some(Ok(Made::Snapshot { segment, bytes })) => {
                self.storage.snapshot_made(segment, bytes);
            }
            Some(Ok(Made::Full)) | None => {}
            Some(Err(damage @ Error::Damaged { .. })) => {
                error!(%damage, "no snapshot can be made of what is on the disk");
                self.unreadable = true;
                return Ok(());
            }
            Some(Err(failure)) => return Err(failure.to_string()),
        }
        // What came to nothing is tried again when there is more to gain.
        if !self.snapshots.is_busy()
            && let Some(below) = self.storage.snapshot_due()
            && below > self.wanted
        {
            self.wanted = below;
            self.snapshots.want(below);
        }
        Ok(())
    }
}

impl Store for Log {
    fn append(&mut self, records: &[Record]) -> Result<(), NotWritten> {
        self.recovers |= records.contains(&Record::Recovered);
        match self.storage.append(records) {
            Ok(Append::Written) => Ok(()),
            Ok(Append::Full) => Err(NotWritten::Full),
            Err(error) => Err(NotWritten::Failed(error.to_string())),
        }
    }

    fn sync(&mut self) -> Result<(), String> {
        self.storage.sync().map_err(|error| error.to_string())?;
        if std::mem::take(&mut self.recovers) {
            // It is of no use any more, and the next loss would keep it instead of what there is then.
            remove_set_aside(self.storage.disk_mut()).map_err(|error| error.to_string())?;
        }
        self.watch_snapshots()
    }

    fn cannot_be_read_back(&mut self) -> bool {
        std::mem::take(&mut self.unreadable)
    }

    fn replace(&mut self, replacement: &Replacement) -> Result<(), NotWritten> {
        // It would miss what is removed here.
        match self.snapshots.wait() {
            Some(Ok(Made::Snapshot { segment, bytes })) => {
                self.storage.snapshot_made(segment, bytes);
            }
            Some(Ok(Made::Full) | Err(Error::Damaged { .. })) | None => {}
            Some(Err(failure)) => return Err(NotWritten::Failed(failure.to_string())),
        }
        match self.storage.replace(replacement) {
            Ok(Append::Written) => Ok(()),
            Ok(Append::Full) => Err(NotWritten::Full),
            Err(error) => Err(NotWritten::Failed(error.to_string())),
        }
    }

    fn mark_async(&mut self, runs_ahead: bool) -> Result<(), String> {
        self.storage.mark_ahead(runs_ahead).map_err(|error| error.to_string())
    }
}
