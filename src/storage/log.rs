//! The write-ahead log: all that a replica knows after a restart.

use std::collections::VecDeque;
use std::io;

use super::directory::Error;
use super::disk::Disk;
use super::foreign::refuse_other_formats;
use super::lost::DISTRUSTED;
use super::rules::Rules;
use super::scan::{Scan, scan};
use super::segment::{
    BATCH_HEADER_LEN, Check, Position, SEGMENT_HEADER_LEN, SegmentHeader, encode_batch, name_of,
};
use super::snapshot::{self, Made, SnapshotFile, leaves_superseded, remove_superseded};
use crate::entry::{DiskState, Record, Replacement, Replay, encode_record};

/// A segment that is longer than this is followed by another, in bytes.
pub const SEGMENT_LENGTH: u64 = 64 << 20;
/// So many whole segments may follow a snapshot, in lengths of a segment; more where the snapshot itself is longer.
const SEGMENTS_PER_SNAPSHOT: u64 = 4;
/// The most bytes of one batch's records.
const MAX_BATCH: usize = 16 << 20;

/// The file that says that acks run ahead of the disk: what a crash leaves then is not what was acked.
pub(super) const AHEAD: &str = "acks-ahead-of-disk";

/// A replica's log on a disk. After an error other than [`Append::Full`] it is of no use any more.
#[derive(Debug)]
pub struct Storage<D> {
    disk: D,
    owner: u64,
    segment_length: u64,
    /// Where the next batch goes.
    end: Position,
    /// Everything before is durable.
    synced: Position,
    chain: Check,
    broken: bool,
    /// The newest snapshot.
    snapshot: Option<SnapshotFile>,
    /// The whole segments that follow it: number and length in bytes.
    whole: VecDeque<(u64, u64)>,
}

/// What recovery found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// The snapshot that there was: the first segment that it does not cover.
    pub snapshot: Option<u64>,
    /// How many records there were after it.
    pub records: u64,
    /// How many bytes of a torn tail were cut.
    pub cut: u64,
    /// What the disk is good for.
    pub disk: DiskState,
}

/// What came of an append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Append {
    /// The records are written, and will be durable with the next sync.
    Written,
    /// There is no room. Nothing was written; the same records may be tried again.
    Full,
}

impl<D: Disk> Storage<D> {
    /// Opens the log of `owner` (a hash of cluster and replica), making it where there is none, and hands the newest
    /// snapshot and every record after it to `each`, in order. A torn tail is cut. All that was handed out is durable when
    /// this returns.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Foreign`], [`Error::Failed`].
    pub fn open(
        mut disk: D,
        owner: u64,
        segment_length: u64,
        each: &mut dyn Replay,
    ) -> Result<(Self, Recovered), Error> {
        refuse_other_formats(&disk)?;
        refuse_what_is_not_trusted(&disk)?;
        let scan = scan(&disk, Some(owner), each)?;
        let snapshot = scan.snapshot.map(|snapshot| snapshot.segment);
        let recovered =
            Recovered { snapshot, records: scan.records, cut: scan.torn, disk: scan.rules.disk };
        let (end, chain) = tidy(&mut disk, &scan)?;
        let mut whole = VecDeque::from(scan.segments);
        whole.pop_back();
        let mut storage = Self {
            disk,
            owner,
            segment_length,
            end,
            synced: end,
            chain,
            broken: false,
            snapshot: scan.snapshot,
            whole,
        };
        if storage.end.segment == 0 {
            storage.begin_segment()?;
        }
        Ok((storage, recovered))
    }

    /// Begins a log in a folder that has none.
    pub(super) fn begin(disk: D, owner: u64, segment_length: u64) -> Result<Self, Error> {
        let nowhere = Position { segment: 0, offset: 0 };
        let mut storage = Self {
            disk,
            owner,
            segment_length,
            end: nowhere,
            synced: nowhere,
            chain: Check::default(),
            broken: false,
            snapshot: None,
            whole: VecDeque::new(),
        };
        storage.begin_segment()?;
        Ok(storage)
    }

    /// Writes records, all or none, as a batch of their own.
    ///
    /// # Errors
    /// [`Error::Failed`]: the disk does not write.
    ///
    /// # Panics
    /// After an error.
    pub fn append(&mut self, records: &[Record]) -> Result<Append, Error> {
        assert!(!self.broken, "a disk that failed is not used again");
        let mut bytes = Vec::new();
        let (mut encoded, mut chain) = (Vec::new(), self.chain);
        let mut records = records;
        while let Some((record, rest)) = records.split_first() {
            encode_record(record, &mut encoded);
            records = rest;
            if encoded.len() >= MAX_BATCH || rest.is_empty() {
                let offset = self.end.offset + bytes.len() as u64;
                let at = Position { offset, ..self.end };
                chain = encode_batch(at, self.synced, chain, &encoded, &mut bytes);
                encoded.clear();
            }
        }
        let name = name_of(self.end.segment);
        match self.disk.write(&name, self.end.offset, &bytes) {
            Ok(()) => {
                self.end.offset += bytes.len() as u64;
                self.chain = chain;
                Ok(Append::Written)
            }
            Err(error) if is_full(&error) => {
                // Some of it may be there, on the disk even: no crash may leave a mixture of it and of what follows.
                let cut = self.disk.truncate(&name, self.end.offset);
                cut.and_then(|()| self.disk.sync(&name))
                    .map_err(|source| self.fail("cutting back", &name, source))?;
                Ok(Append::Full)
            }
            Err(source) => Err(self.fail("writing", &name, source)),
        }
    }

    /// Makes all that was written durable.
    ///
    /// # Errors
    /// [`Error::Failed`]. A sync that failed is never tried again: what the kernel could not write it may have
    /// forgotten.
    ///
    /// # Panics
    /// After an error.
    pub fn sync(&mut self) -> Result<(), Error> {
        assert!(!self.broken, "a disk that failed is not used again");
        if self.synced == self.end {
            return Ok(());
        }
        let name = name_of(self.end.segment);
        self.disk.sync(&name).map_err(|source| self.fail("syncing", &name, source))?;
        self.synced = self.end;
        if self.end.offset >= self.segment_length {
            self.begin_segment()?;
        }
        Ok(())
    }

    /// Makes the next segment, durably. Everything before is durable. Where there is no room the present one goes on.
    fn begin_segment(&mut self) -> Result<(), Error> {
        assert_eq!(self.synced, self.end, "a segment begins when all before it is durable");
        let segment = self.end.segment + 1;
        let name = name_of(segment);
        let header = SegmentHeader { segment, owner: self.owner, chain: self.chain }.encode();
        let made = self.disk.create(&name).and_then(|()| self.disk.write(&name, 0, &header));
        match made {
            Ok(()) => {}
            Err(error) if is_full(&error) && self.end.segment > 0 => {
                let removed = self.disk.remove(&name);
                let gone = |error: io::Error| match error.kind() {
                    io::ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                };
                // Durably: a last segment that comes back makes damage of a torn tail before it.
                return removed
                    .or_else(gone)
                    .and_then(|()| self.disk.sync_names())
                    .map_err(|source| self.fail("removing", &name, source));
            }
            Err(source) => return Err(self.fail("making", &name, source)),
        }
        self.disk.sync(&name).map_err(|source| self.fail("syncing", &name, source))?;
        self.disk
            .sync_names()
            .map_err(|source| self.fail("syncing the folder of", &name, source))?;
        if self.end.segment > 0 {
            self.whole.push_back((self.end.segment, self.end.offset));
        }
        self.end = Position { segment, offset: SEGMENT_HEADER_LEN as u64 };
        self.synced = self.end;
        Ok(())
    }

    /// The segment that is appended to; those before it are whole.
    pub fn segment(&self) -> u64 {
        self.end.segment
    }

    /// The segment before which a snapshot is to be made now, by [`super::make_snapshot`]; none where there is little to
    /// gain.
    pub fn snapshot_due(&self) -> Option<u64> {
        let whole: u64 = self.whole.iter().map(|(_, length)| length).sum();
        let least = SEGMENTS_PER_SNAPSHOT * self.segment_length;
        let least = least.max(self.snapshot.map_or(0, |snapshot| snapshot.bytes));
        (whole >= least).then_some(self.end.segment)
    }

    /// Puts what others delivered in the place of the whole log, durably, all or nothing.
    ///
    /// # Errors
    /// [`Error::Failed`]. [`Append::Full`] where there is no room: the log is as it was.
    ///
    /// # Panics
    /// After an error.
    pub fn replace(&mut self, replacement: &Replacement) -> Result<Append, Error> {
        assert!(!self.broken, "a disk that failed is not used again");
        self.sync()?;
        let before = self.end.segment;
        if self.end.offset > SEGMENT_HEADER_LEN as u64
            || self.snapshot.is_some_and(|snapshot| snapshot.segment == before)
        {
            // Here the log goes on.
            self.begin_segment()?;
            if self.end.segment == before {
                return Ok(Append::Full);
            }
        }
        let segment = self.end.segment;
        let header = SegmentHeader { segment, owner: self.owner, chain: self.chain };
        let mut encode = |each: &mut dyn FnMut(&[u8]) -> io::Result<()>| {
            replacement.parts.iter().try_for_each(|part| each(part))
        };
        let made = snapshot::put(&mut self.disk, &header, &Rules::of(replacement), &mut encode);
        match made {
            Ok(Made::Snapshot { segment, bytes }) => {
                self.snapshot_made(segment, bytes);
                Ok(Append::Written)
            }
            Ok(Made::Full) => Ok(Append::Full),
            Err(error) => {
                self.broken = true;
                Err(error)
            }
        }
    }

    /// A snapshot of `bytes` was made before `segment`.
    pub fn snapshot_made(&mut self, segment: u64, bytes: u64) {
        self.snapshot = Some(SnapshotFile { segment, bytes });
        self.whole.retain(|(number, _)| *number >= segment);
    }

    /// Notes durably whether acks run ahead of the disk from now on.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn mark_ahead(&mut self, ahead: bool) -> Result<(), Error> {
        let marked = if ahead { self.disk.create(AHEAD) } else { self.disk.remove(AHEAD) };
        let noted = marked.and_then(|()| self.disk.sync_names());
        noted.map_err(|source| self.fail("marking by", AHEAD, source))
    }

    /// The disk.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    pub(crate) fn disk_mut(&mut self) -> &mut D {
        &mut self.disk
    }

    fn fail(&mut self, doing: &'static str, name: &str, source: io::Error) -> Error {
        self.broken = true;
        Error::Failed { doing, path: self.disk.path(name), source }
    }
}

/// Whether acks run ahead of the disk, or did when the last life ended.
///
/// # Errors
/// When the folder cannot be listed.
pub(crate) fn runs_ahead(disk: &impl Disk) -> io::Result<bool> {
    Ok(disk.list()?.iter().any(|name| name == AHEAD))
}

/// Fails where a file says that what the others hold may not be all.
fn refuse_what_is_not_trusted(disk: &impl Disk) -> Result<(), Error> {
    let path = disk.path("");
    let names = disk.list().map_err(|source| Error::Failed { doing: "listing", path, source })?;
    let has = |marker: &str| names.iter().any(|name| name == marker);
    let refuse = |marker: &str, detail: &str| {
        Err(Error::Damaged { path: disk.path(marker), detail: detail.to_owned() })
    };
    if has(AHEAD) {
        return refuse(
            AHEAD,
            "the replica ran with --durability async and did not end in order, so the disk may lack what it acked",
        );
    }
    if has(DISTRUSTED) {
        return refuse(DISTRUSTED, "what is there was found not to be trusted");
    }
    Ok(())
}

/// Cuts what was torn, and makes durable what was read: what is in the page cache may never have reached the disk, and a
/// sync that failed in an earlier life may have left pages that look clean. So the tail, as far as nothing says that it
/// is durable, is written once more. Gives the end and the last check.
fn tidy(disk: &mut impl Disk, scan: &Scan) -> Result<(Position, Check), Error> {
    if let Some(unborn) = scan.unborn {
        let name = name_of(unborn);
        let path = disk.path(&name);
        let removed = disk.remove(&name).and_then(|()| disk.sync_names());
        removed.map_err(|source| Error::Failed { doing: "removing", path, source })?;
    }
    let path = disk.path("");
    let failed = |source| Error::Failed { doing: "tidying", path: path.clone(), source };
    if leaves_superseded(&disk.list().map_err(failed)?, scan.first()) {
        // The snapshot's name may be no more durable than theirs.
        disk.sync_names().map_err(failed)?;
        remove_superseded(disk, scan.first())?;
    }
    let Some((segment, length)) = scan.segments.last().copied() else {
        return Ok((Position { segment: 0, offset: 0 }, scan.chain));
    };
    let name = name_of(segment);
    let path = disk.path(&name);
    let mut tail = || -> io::Result<()> {
        if scan.unborn.is_none() && scan.torn > 0 {
            disk.truncate(&name, length)?;
        }
        let from = if scan.synced.segment == segment { scan.synced.offset } else { 0 };
        let bytes = disk.read(&name)?;
        let place = usize::try_from(from).unwrap_or(usize::MAX);
        disk.write(&name, from, bytes.get(place..).unwrap_or_default())?;
        disk.sync(&name)?;
        disk.sync_names()
    };
    tail().map_err(|source| Error::Failed { doing: "writing the end of", path, source })?;
    Ok((Position { segment, offset: length }, scan.chain))
}

/// Whether a write failed for want of room, which may come back.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

const _: () = assert!(BATCH_HEADER_LEN + MAX_BATCH < u32::MAX as usize);
