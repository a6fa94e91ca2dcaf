//! What another replica's storage held: the newest snapshot and the segments after it, piece by piece, and what they come
//! to.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use super::directory::Error;
use super::disk::Disk;
use super::scan::scan;
use super::segment::{name_of, segment_of};
use super::snapshot::{newest, snapshot_name};
use crate::entry::Replay;

/// A piece of what storage holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Of which snapshot: the first segment that it does not cover; 1 where there is none.
    pub snapshot: u64,
    /// Of which segment; 0 for the snapshot's own file.
    pub segment: u64,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// How long the file is now, in bytes.
    pub length: u64,
    /// The last segment that there is now.
    pub last_segment: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Reads at most `most` bytes of a file at an offset. Where the snapshot that is asked for is not the newest one, the
/// beginning of that one.
///
/// # Errors
/// When there is no such file (any more), or it cannot be read.
pub fn read_piece(
    disk: &impl Disk,
    snapshot: u64,
    (segment, offset): (u64, u64),
    most: usize,
) -> io::Result<Piece> {
    let names = disk.list()?;
    let present = newest(&names).unwrap_or(1);
    let last_segment = names.iter().filter_map(|name| segment_of(name)).max().unwrap_or(0);
    let (segment, offset) = if snapshot == present { (segment, offset) } else { (0, 0) };
    let mut piece =
        Piece { snapshot: present, segment, offset, length: 0, last_segment, bytes: Vec::new() };
    let name = if segment == 0 { snapshot_name(present) } else { name_of(segment) };
    if segment > 0 || names.contains(&name) {
        piece.bytes = disk.read_at(&name, offset, most)?;
        piece.length = disk.length(&name)?;
    }
    Ok(piece)
}

/// Reads what was copied: a snapshot, where there is one, and the segments after it, each with its number. Hands all to
/// `state`, as a start does. A torn tail is nothing strange: it was being written.
///
/// # Errors
/// [`Error::Damaged`], where it is not what a replica writes.
pub fn read_copy(
    snapshot: u64,
    files: BTreeMap<u64, Vec<u8>>,
    state: &mut dyn Replay,
) -> Result<(), Error> {
    let name = |(number, bytes): (u64, Vec<u8>)| {
        let name = if number == 0 { snapshot_name(snapshot) } else { name_of(number) };
        (name, bytes)
    };
    // A file that was not there has no bytes.
    let files = files.into_iter().filter(|(number, bytes)| *number > 0 || !bytes.is_empty());
    scan(&Copied(files.map(name).collect()), None, state).map(drop)
}

/// Files in memory, to be read.
pub(super) struct Copied(pub(super) BTreeMap<String, Vec<u8>>);

impl Copied {
    fn file(&self, name: &str) -> io::Result<&Vec<u8>> {
        self.0.get(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for Copied {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.file(name).cloned()
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let bytes = self.file(name)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let to = from.saturating_add(length).min(bytes.len());
        Ok(bytes.get(from..to).unwrap_or_default().to_vec())
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        self.file(name).map(|bytes| bytes.len() as u64)
    }

    fn create(&mut self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write(&mut self, _: &str, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn truncate(&mut self, _: &str, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&mut self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&mut self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn rename(&mut self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("copied {name}"))
    }
}
