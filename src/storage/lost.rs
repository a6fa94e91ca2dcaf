//! A disk that cannot be trusted: what is on it is set aside, and a new log says that it was lost. Its replica asks the
//! others then what it held.
//!
//! What is set aside is the last resort should the others have lost theirs, too; once the replica has recovered it goes.

use std::io;

use super::directory::Error;
use super::disk::Disk;
use super::log::{AHEAD, Append, Storage};
use super::segment::segment_of;
use super::snapshot::is_snapshots;
use crate::entry::Record;

/// The file that says that what else there is is not to be trusted, until a new log says so.
pub const DISTRUSTED: &str = "not-to-be-trusted";
/// What the names of files begin with that were set aside.
const SET_ASIDE: &str = "lost-";

/// Whether a file is a part of what a replica's storage holds.
pub(super) fn is_of_log(name: &str) -> bool {
    segment_of(name).is_some() || is_snapshots(name) || name == AHEAD
}

impl<D: Disk> Storage<D> {
    /// Begins a log that says that what the disk held was lost. What is on it is set aside, unless something was before:
    /// that is more than what was learnt of others since.
    ///
    /// # Errors
    /// [`Error::Failed`]. Whatever a crash leaves, the disk is not trusted the next time.
    pub fn begin_lost(mut disk: D, owner: u64, segment_length: u64) -> Result<Self, Error> {
        let path = disk.path("");
        let failed = |source| Error::Failed { doing: "setting aside what is in", path, source };
        set_aside(&mut disk).map_err(failed)?;
        let mut storage = Self::begin(disk, owner, segment_length)?;
        if storage.append(&[Record::Lost])? == Append::Full {
            let (path, source) = (storage.disk().path(""), io::ErrorKind::StorageFull.into());
            return Err(Error::Failed { doing: "writing to", path, source });
        }
        storage.sync()?;
        let disk = storage.disk_mut();
        let trusted = disk.remove(DISTRUSTED).and_then(|()| disk.sync_names());
        let path = disk.path(DISTRUSTED);
        trusted.map_err(|source| Error::Failed { doing: "removing", path, source })?;
        Ok(storage)
    }
}

/// Notes durably that what is there is not to be trusted.
///
/// # Errors
/// As the disk says.
pub(crate) fn distrust(disk: &mut impl Disk) -> io::Result<()> {
    if !disk.list()?.iter().any(|name| name == DISTRUSTED) {
        disk.create(DISTRUSTED)?;
    }
    disk.sync_names()
}

fn set_aside(disk: &mut impl Disk) -> io::Result<()> {
    let names = disk.list()?;
    let marked = names.iter().any(|name| name == DISTRUSTED);
    // Before any of the log's files goes: what is left might look like a log.
    distrust(disk)?;
    // Where the marker was there already, a crash came between; what was set aside then is of the same files.
    let earlier = !marked && names.iter().any(|name| name.starts_with(SET_ASIDE));
    for name in names.iter().filter(|name| is_of_log(name)) {
        let kept = format!("{SET_ASIDE}{name}");
        if earlier || names.contains(&kept) {
            disk.remove(name)?;
        } else {
            disk.rename(name, &kept)?;
        }
    }
    disk.sync_names()
}

/// The name that a file had before it was set aside, if it was.
pub(super) fn name_before(name: &str) -> Option<&str> {
    name.strip_prefix(SET_ASIDE)
}

/// Removes what was set aside. Its replica has recovered.
///
/// # Errors
/// As the disk says.
pub(crate) fn remove_set_aside(disk: &mut impl Disk) -> io::Result<()> {
    for name in disk.list()?.iter().filter(|name| name.starts_with(SET_ASIDE)) {
        disk.remove(name)?;
    }
    // What comes back would be kept at the next loss, in the place of what there is then.
    disk.sync_names()
}
