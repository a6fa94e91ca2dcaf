//! What a replica begins its life with: what its storage holds, or that what it held was lost.

use std::path::Path;

use tracing::{error, info, warn};

use crate::entry::{DiskState, Record};
use crate::replica::{Recovery, Replica};
use crate::storage::{Error, Folder, Storage, remove_set_aside};

/// Opens storage and lets a replica take in what it holds. Where that is not to be trusted, as `distrusted` or what is
/// read says, it is set aside, and the replica begins with a lost disk. `alone` is one that has nobody to ask.
///
/// # Errors
/// [`Error::Damaged`] of one that is alone, [`Error::Foreign`], [`Error::Failed`].
pub(super) fn begin(
    directory: &Path,
    (owner, segment_length): (u64, u64),
    distrusted: Option<Error>,
    alone: bool,
    new_replica: impl Fn() -> Replica,
) -> Result<(Replica, Storage<Folder>), Error> {
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
        }),
        Ok((storage, recovered)) => {
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
        Err(error) => Err(error),
    }
}
