//! Reading a log: every segment, every batch, every record, in order; and what is to be thought of what cannot be read.
//!
//! A crash takes what was not synced, in any subset of sectors: a sector that is lost is missing at the file's end or
//! reads as zero, since segments only ever grow. So a batch that cannot be read is a **torn tail**, and is cut, if
//! nothing says that it was ever synced, and it lacks at least a sector. Everything else is **damage**: a later batch
//! says that this place was durable; or all sectors are there and hold something else than what was written.

use std::io;
use std::path::{Path, PathBuf};

use super::directory::Error;
use super::disk::Disk;
use super::rules::Rules;
use super::segment::{
    BATCH_HEADER_LEN, BATCH_MAGIC, BatchHeader, Check, Position, SEGMENT_HEADER_LEN, SegmentHeader,
    check, name_of, segment_of,
};
use super::snapshot::{self, SnapshotFile};
use crate::codec::Reader;
use crate::entry::{Replay, decode_record};

/// The unit in which a disk keeps or loses what was written.
const SECTOR: u64 = 512;

/// What was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Scan {
    /// The snapshot that the segments go on from.
    pub(crate) snapshot: Option<SnapshotFile>,
    /// The segments, in order: number and length in bytes, as far as it can be read.
    pub(crate) segments: Vec<(u64, u64)>,
    /// How many batches and records there are.
    pub(crate) batches: u64,
    /// See `batches`.
    pub(crate) records: u64,
    /// How many bytes there are past the end of what can be read: a torn tail.
    pub(crate) torn: u64,
    /// The check of the last batch.
    pub(super) chain: Check,
    /// How far the log is known to be durable.
    pub(super) synced: Position,
    /// The last segment has no header that can be read: it was being made.
    pub(super) unborn: Option<u64>,
    /// What the records come to.
    pub(crate) rules: Rules,
}

impl Scan {
    /// Whether there is no log at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.unborn.is_none()
    }

    /// The first segment that there is, or would be.
    pub(super) fn first(&self) -> u64 {
        self.snapshot.map_or(1, |snapshot| snapshot.segment)
    }
}

/// Reads the newest snapshot and all of the log after it; hands parts and records to `each`, in order.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Foreign`], [`Error::Failed`].
pub(crate) fn scan(
    disk: &impl Disk,
    owner: Option<u64>,
    each: &mut dyn Replay,
) -> Result<Scan, Error> {
    let names = disk.list().map_err(failed(disk.path("")))?;
    let mut scan = begin(disk, owner, &names, each)?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_of(name)).collect();
    numbers.retain(|number| *number >= scan.first());
    numbers.sort_unstable();
    if numbers.is_empty() && scan.snapshot.is_some() {
        let path = disk.path(&name_of(scan.first()));
        return Err(damaged(&path, "it is missing, though there is a snapshot".to_owned()));
    }
    for (number, expected) in numbers.iter().zip(scan.first()..) {
        let path = disk.path(&name_of(*number));
        if *number != expected {
            return Err(damaged(&path, format!("the segment before it is missing: {expected}")));
        }
        let bytes = disk.read(&name_of(*number)).map_err(failed(disk.path(&name_of(*number))))?;
        let last = numbers.last() == Some(number);
        scan_segment(&mut scan, *number, last, owner, &bytes, &path, each)?;
    }
    Ok(scan)
}

/// Reads the newest snapshot and the segments after it that are before segment `below`, which goes on from them.
///
/// # Errors
/// As [`scan`].
pub(super) fn scan_before(
    disk: &impl Disk,
    owner: u64,
    below: u64,
    each: &mut dyn Replay,
) -> Result<Scan, Error> {
    let names = disk.list().map_err(failed(disk.path("")))?;
    let mut scan = begin(disk, Some(owner), &names, each)?;
    for number in scan.first()..below {
        let name = name_of(number);
        let bytes = disk.read(&name).map_err(failed(disk.path(&name)))?;
        scan_segment(&mut scan, number, false, Some(owner), &bytes, &disk.path(&name), each)?;
    }
    let name = name_of(below);
    let header = disk.read_at(&name, 0, SEGMENT_HEADER_LEN).map_err(failed(disk.path(&name)))?;
    let header = SegmentHeader::decode(&header).map_err(|bad| bad.of(&disk.path(&name)))?;
    if header.segment != below || header.chain != scan.chain {
        let detail = "it does not continue the segment before it".to_owned();
        return Err(damaged(&disk.path(&name), detail));
    }
    Ok(scan)
}

/// Reads the newest snapshot, if there is one.
fn begin(
    disk: &impl Disk,
    owner: Option<u64>,
    names: &[String],
    each: &mut dyn Replay,
) -> Result<Scan, Error> {
    let mut scan = Scan {
        snapshot: None,
        segments: Vec::new(),
        batches: 0,
        records: 0,
        torn: 0,
        chain: [0; 16],
        synced: Position { segment: 0, offset: 0 },
        unborn: None,
        rules: Rules::default(),
    };
    if let Some(segment) = snapshot::newest(names) {
        let (file, header, rules) = snapshot::read(disk, owner, segment, each)?;
        (scan.snapshot, scan.chain, scan.rules) = (Some(file), header.chain, rules);
    }
    Ok(scan)
}

fn failed(path: PathBuf) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::of_reading(path, source)
}

fn scan_segment(
    scan: &mut Scan,
    number: u64,
    last: bool,
    owner: Option<u64>,
    bytes: &[u8],
    path: &Path,
    each: &mut dyn Replay,
) -> Result<(), Error> {
    // The segment after a snapshot was there before it.
    let may_be_unborn = last && scan.snapshot.is_none_or(|snapshot| snapshot.segment < number);
    let header = match SegmentHeader::decode(bytes) {
        Ok(header) => header,
        // It was being made, and nothing was ever written to it: a batch comes only once the header is durable.
        Err(_)
            if may_be_unborn
                && bytes.len() <= SEGMENT_HEADER_LEN
                && lacks_a_sector(bytes, 0, SEGMENT_HEADER_LEN as u64) =>
        {
            scan.unborn = Some(number);
            scan.torn = bytes.len() as u64;
            return Ok(());
        }
        Err(bad) => return Err(bad.of(path)),
    };
    if header.segment != number || header.chain != scan.chain {
        return Err(damaged(path, "it does not continue the segment before it".to_owned()));
    }
    if owner.is_some_and(|owner| owner != header.owner) {
        let detail = "it is of the log of another replica or cluster".to_owned();
        return Err(Error::Foreign { path: path.to_owned(), detail });
    }
    // A segment is begun when all before it is durable.
    scan.synced = Position { segment: number, offset: 0 };
    let mut offset = SEGMENT_HEADER_LEN as u64;
    scan.segments.push((number, offset));
    while offset < bytes.len() as u64 {
        let at = Position { segment: number, offset };
        let rest = slice(bytes, offset, bytes.len() as u64);
        match read_batch(at, scan.chain, rest) {
            Ok((header, records)) => {
                if header.synced > at {
                    return Err(damaged(path, format!("at byte {offset}: synced past itself")));
                }
                decode_batch(scan, records, each)
                    .map_err(|detail| damaged(path, format!("at byte {offset}: {detail}")))?;
                scan.chain = header.check;
                scan.synced = scan.synced.max(header.synced);
                scan.batches += 1;
                offset += (BATCH_HEADER_LEN + records.len()) as u64;
                if let Some(segment) = scan.segments.last_mut() {
                    segment.1 = offset;
                }
            }
            Err(bad) => {
                let torn = last && bad.lacks_a_sector && !durable_later(at, bytes);
                if !torn {
                    return Err(damaged(path, format!("at byte {offset}: {}", bad.detail)));
                }
                scan.torn = bytes.len() as u64 - offset;
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Why a batch cannot be read.
struct Bad {
    detail: &'static str,
    /// Whether at least one of its sectors is missing or zero.
    lacks_a_sector: bool,
}

/// The batch at `at`, from the bytes that begin there.
fn read_batch(at: Position, chain: Check, rest: &[u8]) -> Result<(BatchHeader, &[u8]), Bad> {
    let header = BatchHeader::decode(at, rest).map_err(|malformed| Bad {
        detail: malformed.0,
        // The records' length is unknown: some of its sectors are among the header's.
        lacks_a_sector: lacks_a_sector(rest, at.offset, BATCH_HEADER_LEN as u64),
    })?;
    if header.chain != chain {
        let detail = "it does not continue the batch before it";
        return Err(Bad { detail, lacks_a_sector: false });
    }
    let length = BATCH_HEADER_LEN as u64 + u64::from(header.length);
    let records = slice(rest, BATCH_HEADER_LEN as u64, length);
    if records.len() as u64 != u64::from(header.length) || check(&[records]) != header.records {
        let detail = "a batch's checksum does not match";
        return Err(Bad { detail, lacks_a_sector: lacks_a_sector(rest, at.offset, length) });
    }
    Ok((header, records))
}

fn decode_batch(
    scan: &mut Scan,
    records: &[u8],
    each: &mut dyn Replay,
) -> Result<(), &'static str> {
    let mut reader = Reader::new(records);
    while !reader.is_empty() {
        let record = decode_record(&mut reader).map_err(|malformed| malformed.0)?;
        scan.rules.take(&record)?;
        scan.records += 1;
        each.record(record);
    }
    Ok(())
}

/// Whether one of the sectors of `length` bytes that begin at `offset` of a file is missing or zero in `rest`, which has
/// the file's bytes from there on.
fn lacks_a_sector(rest: &[u8], offset: u64, length: u64) -> bool {
    let end = offset + length;
    if (rest.len() as u64) < length {
        return true;
    }
    let mut from = offset;
    while from < end {
        let to = (from / SECTOR + 1) * SECTOR;
        let sector = slice(rest, from - offset, (to - offset).min(rest.len() as u64));
        if sector.iter().all(|byte| *byte == 0) {
            return true;
        }
        from = to;
    }
    false
}

/// Whether a batch further on says that the log was durable past `at`.
fn durable_later(at: Position, bytes: &[u8]) -> bool {
    (at.offset + 1..bytes.len() as u64).any(|offset| {
        let rest = slice(bytes, offset, bytes.len() as u64);
        rest.starts_with(&BATCH_MAGIC)
            && BatchHeader::decode(Position { offset, ..at }, rest)
                .is_ok_and(|header| header.synced > at)
    })
}

fn slice(bytes: &[u8], from: u64, to: u64) -> &[u8] {
    let length = bytes.len();
    let place = |offset: u64| usize::try_from(offset).unwrap_or(length).min(length);
    bytes.get(place(from)..place(to).max(place(from))).unwrap_or_default()
}

pub(super) fn damaged(path: &Path, detail: String) -> Error {
    Error::Damaged { path: path.to_owned(), detail }
}
