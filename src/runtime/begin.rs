//! What a replica begins its life with: what its storage holds, or that what it held was lost.

use std::path::Path;

use tracing::{error, info, warn};

use super::NotStarted;
use crate::entry::{DiskState, Record};
use crate::replica::{Recovery, Replica};
use crate::storage::{Error, Folder, Storage, remove_set_aside};

/// Opens storage and lets a replica take in what it holds. Where that is not to be trusted, as `distrusted` or what is
/// read says, it is set aside, and the replica begins with a lost disk.
/// `replicas` is how many there are. One that is alone has nobody to ask.
///
/// # Errors
/// [`NotStarted::Other`] where storage is of another number of replicas; [`Error::Damaged`] of one that is alone,
/// [`Error::Foreign`], [`Error::Failed`].
pub(super) fn begin(
    directory: &Path,
    (owner, segment_length): (u64, u64),
    distrusted: Option<Error>,
    replicas: usize,
    new_replica: impl Fn() -> Replica,
) -> Result<(Replica, Storage<Folder>), NotStarted> {
    let alone = replicas == 1;
    let mut replica = new_replica();
    let opened = match distrusted {
        Some(damage) => Err(damage),
        None => {
            let mut recovery = Recovery::new(&mut replica);
            Storage::open(Folder::new(directory), owner, segment_length, &mut recovery)
        }
    };
    match opened {
        Ok((_, recovered)) if alone && recovered.disk == DiskState::Lost => Err(Error::Damaged {
            path: directory.to_owned(),
            detail: "what was on the disk was lost".to_owned(),
        }
        .into()),
        Ok((storage, recovered)) => {
            check_count(directory, replica.first_replicas(), replicas)?;
            if recovered.disk == DiskState::Sound {
                let removed = remove_set_aside(&mut Folder::new(directory));
                removed.unwrap_or_else(|error| warn!(%error, "what was set aside stays"));
            }
            info!(
                records = recovered.records,
                cut_bytes = recovered.cut,
                delivered = %replica.delivered_through(),
                entries = %replica.ordered_through(),
                "storage recovered"
            );
            Ok((replica, storage))
        }
        Err(damage @ Error::Damaged { .. }) if !alone => {
            error!(%damage, "the disk cannot be trusted: what is on it is set aside, and asked of the other replicas");
            let mut replica = new_replica();
            replica.replay(Record::Lost);
            let storage = Storage::begin_lost(Folder::new(directory), owner, segment_length)?;
            Ok((replica, storage))
        }
        Err(error) => Err(error.into()),
    }
}

/// A majority of another number of replicas need not have what a majority of the first number answered.
fn check_count(directory: &Path, first: Option<usize>, replicas: usize) -> Result<(), NotStarted> {
    let Some(first) = first.filter(|first| *first != replicas) else {
        return Ok(());
    };
    Err(NotStarted::Other(format!(
        "the data directory {} is of a cluster of {first} replicas, and --cluster names {replicas}: start it with the \
         {first} that it was. Another number of replicas is a new cluster: start the old one, make a backup of it with \
         `ftqueue backup`, and the directories of the new one with `ftqueue restore`",
        directory.display()
    )))
}
