//! What can be read of a disk that is not sound, made a sound one on an operator's word: where nobody is left who could say
//! what it held, or too few.

use std::collections::BTreeMap;
use std::io;

use super::copy::Copied;
use super::directory::{DataDirectory, Error};
use super::disk::Disk;
use super::log::{Append, SEGMENT_LENGTH, Storage};
use super::lost::{is_of_log, name_before, remove_set_aside};
use super::scan::scan;
use crate::codec::Malformed;
use crate::entry::{DiskState, Record, Replay, Salvage};
use crate::types::{Seq, ViewNumber};

/// What came of it.
#[derive(Debug)]
pub(crate) enum Accepted<S> {
    /// The disk is sound now.
    Sound {
        /// What it holds that was delivered.
        state: S,
        /// Its last entry's view and number.
        end: (ViewNumber, Seq),
    },
    /// The disk was not lost; it is as it was.
    NotLost(DiskState),
}

/// Makes what can be read of a directory's disk all that it is to hold: of what was set aside, or learnt of others since,
/// what reaches further.
///
/// # Errors
/// [`Error::Foreign`], [`Error::Failed`].
pub(crate) fn accept_loss<S: Salvage>(
    directory: &DataDirectory,
    owner: u64,
) -> Result<Accepted<S>, Error> {
    let open = || Storage::open(directory.folder(), owner, SEGMENT_LENGTH, &mut |_: Record| {});
    let damaged = match open() {
        Ok((_, recovered)) if recovered.disk == DiskState::Lost => false,
        Ok((_, recovered)) => return Ok(Accepted::NotLost(recovered.disk)),
        Err(Error::Damaged { .. }) => true,
        Err(error) => return Err(error),
    };
    // Before anything of it is touched.
    let set_aside = salvage::<S>(&files(directory, name_before)?, owner)?;
    let learnt = salvage::<S>(&files(directory, |name| is_of_log(name).then_some(name))?, owner)?;
    if damaged {
        drop(Storage::begin_lost(directory.folder(), owner, SEGMENT_LENGTH)?);
    }
    let further = set_aside.end() > learnt.end();
    let (mut best, other) = if further { (set_aside, learnt) } else { (learnt, set_aside) };
    best.promise_as(&other);
    let (mut storage, _) = open()?;
    let end = best.end();
    let (replacement, entries) = best.to_log(DiskState::Lost);
    let mut records: Vec<Record> = entries.into_iter().map(Record::Append).collect();
    records.push(Record::Accepted);
    if storage.replace(&replacement)? == Append::Full || storage.append(&records)? == Append::Full {
        let (path, source) = (directory.path().to_owned(), io::ErrorKind::StorageFull.into());
        return Err(Error::Failed { doing: "writing to", path, source });
    }
    storage.sync()?;
    // All of it that can be read is there now.
    let removed = remove_set_aside(&mut directory.folder());
    removed.map_err(|source| Error::Failed {
        doing: "removing what was set aside in",
        path: directory.path().to_owned(),
        source,
    })?;
    Ok(Accepted::Sound { state: best, end })
}

/// What can be read of some files, by the names that they have in a log.
fn files(
    directory: &DataDirectory,
    name_in_log: impl Fn(&str) -> Option<&str>,
) -> Result<Copied, Error> {
    let folder = directory.folder();
    let failed = |path| move |source| Error::Failed { doing: "reading", path, source };
    let mut files = BTreeMap::new();
    for name in folder.list().map_err(failed(folder.path("")))? {
        if let Some(in_log) = name_in_log(&name) {
            let bytes = folder.read_what_can_be(&name).map_err(failed(folder.path(&name)))?;
            files.insert(in_log.to_owned(), bytes);
        }
    }
    Ok(Copied(files))
}

/// What can be read from the beginning on. A snapshot that cannot be read to its end says nothing.
fn salvage<S: Salvage>(disk: &impl Disk, owner: u64) -> Result<S, Error> {
    let mut whole = Whole { state: S::default(), in_snapshot: false };
    match scan(disk, Some(owner), &mut whole) {
        Ok(_) | Err(Error::Damaged { .. }) if whole.in_snapshot => Ok(S::default()),
        Ok(_) | Err(Error::Damaged { .. }) => Ok(whole.state),
        Err(error) => Err(error),
    }
}

/// Notes whether a snapshot was read to its end.
struct Whole<S> {
    state: S,
    in_snapshot: bool,
}

impl<S: Replay> Replay for Whole<S> {
    fn part(&mut self, part: &[u8]) -> Result<(), Malformed> {
        self.in_snapshot = true;
        self.state.part(part)
    }

    fn parts_end(&mut self) -> Result<(), Malformed> {
        self.state.parts_end()?;
        self.in_snapshot = false;
        Ok(())
    }

    fn record(&mut self, record: Record) {
        self.state.record(record);
    }
}
