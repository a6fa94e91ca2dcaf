//! A data directory that begins with a state instead of with nothing.

use std::fs;
use std::io;
use std::path::Path;

use super::directory::{DataDirectory, Error, UNFINISHED_RESTORE};
use super::disk::Disk as _;
use super::incarnation::Owner;
use super::log::{Append, SEGMENT_LENGTH, Storage};
use crate::entry::{Record, Replacement};

/// Makes a data directory of `owner` in an empty or missing folder: its log is `replacement`. What a crash or an error
/// leaves is no data directory: [`DataDirectory::open`] refuses it.
///
/// # Errors
/// [`Error::Unusable`] where the folder holds anything, [`Error::Locked`], [`Error::Failed`].
pub(crate) fn restore(
    path: &Path,
    owner: &Owner,
    unix_milliseconds: u64,
    replacement: &Replacement,
) -> Result<(), Error> {
    must_be_empty(path)?;
    let directory = DataDirectory::open(path)?;
    let mut folder = directory.folder();
    let failed = |doing, path| move |source| Error::Failed { doing, path, source };
    let mark = folder.path(UNFINISHED_RESTORE);
    let marked = folder.create(UNFINISHED_RESTORE).and_then(|()| folder.sync_names());
    marked.map_err(failed("making", mark.clone()))?;
    directory.begin_life(owner, directory.last_life(owner)?, unix_milliseconds)?;
    let ignored = &mut |_: Record| {};
    let (mut storage, _) =
        Storage::open(directory.folder(), owner.hash(), SEGMENT_LENGTH, ignored)?;
    match storage.replace(replacement)? {
        Append::Written => {}
        Append::Full => {
            let full = io::ErrorKind::StorageFull.into();
            return Err(failed("writing to", path.to_owned())(full));
        }
    }
    let unmarked = folder.remove(UNFINISHED_RESTORE).and_then(|()| folder.sync_names());
    unmarked.map_err(failed("removing", mark))
}

fn must_be_empty(path: &Path) -> Result<(), Error> {
    let unusable = |source| Error::Unusable { path: path.to_owned(), source };
    let first = match fs::read_dir(path) {
        Ok(mut entries) => entries.next(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unusable(error)),
    };
    match first.transpose().map_err(unusable)? {
        None => Ok(()),
        Some(entry) => {
            let why = format!("it is not empty: it holds {}", entry.file_name().display());
            Err(unusable(io::Error::new(io::ErrorKind::DirectoryNotEmpty, why)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Malformed;
    use crate::entry::{DiskState, Replay};
    use crate::types::{Boundary, ReplicaId, Seq, ViewNumber};

    fn owner() -> Owner {
        Owner { cluster: "new".to_owned(), replica: ReplicaId(1) }
    }

    fn replacement() -> Replacement {
        let view = ViewNumber { round: 7, proposer: ReplicaId(0) };
        Replacement {
            promised: view,
            delivered: Seq(1),
            last: Seq(1),
            disk: DiskState::Sound,
            boundaries: vec![Boundary { view, first: Seq(1) }],
            parts: vec![b"one".to_vec(), b"two".to_vec()],
        }
    }

    /// What a start reads.
    #[derive(Default)]
    struct Read {
        parts: Vec<Vec<u8>>,
        records: usize,
    }

    impl Replay for Read {
        fn part(&mut self, part: &[u8]) -> Result<(), Malformed> {
            self.parts.push(part.to_vec());
            Ok(())
        }

        fn parts_end(&mut self) -> Result<(), Malformed> {
            Ok(())
        }

        fn record(&mut self, _: Record) {
            self.records += 1;
        }
    }

    #[test]
    fn a_replica_begins_its_next_life_with_what_was_restored() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("deep/r1");
        restore(&path, &owner(), 70, &replacement()).unwrap();
        let directory = DataDirectory::open(&path).unwrap();
        assert_eq!(directory.last_life(&owner()).unwrap().0, 70);
        let mut read = Read::default();
        Storage::open(directory.folder(), owner().hash(), SEGMENT_LENGTH, &mut read).unwrap();
        assert_eq!((read.parts, read.records), (replacement().parts, 0));
    }

    #[test]
    fn a_folder_that_holds_anything_is_left_as_it_is() {
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join("mine"), "").unwrap();
        let error = restore(temporary.path(), &owner(), 70, &replacement()).unwrap_err();
        assert!(matches!(error, Error::Unusable { .. }), "{error}");
        assert!(error.to_string().ends_with("it is not empty: it holds mine"), "{error}");
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_restore_that_did_not_end_is_no_data_directory() {
        let temporary = tempfile::tempdir().unwrap();
        restore(temporary.path(), &owner(), 70, &replacement()).unwrap();
        fs::write(temporary.path().join(UNFINISHED_RESTORE), "").unwrap();
        let error = DataDirectory::open(temporary.path()).err().unwrap();
        assert!(matches!(error, Error::Unusable { .. }), "{error}");
        assert!(error.to_string().contains("a restore into it did not end"), "{error}");
    }
}
