//! A snapshot's file: what the records before a segment come to, so that the segments before it can go.
//!
//! ```text
//! snapshot  header, parts, end     named snapshot-N, N = the first segment that it does not cover
//! header    magic 8 | segment 8 | owner 8 | chain 16 | check 16
//! part      length 4 | check 16 | bytes
//! end       length 0 | check 16
//! ```
//!
//! `chain` is what segment N's header says of the batch before it. A check is the first 16 bytes of a SHA-256, over the
//! check before it, the length and the bytes: no part can be missing or changed. The first part is this module's own, the
//! rules for the records that follow; the others are the state's.
//!
//! It is written under another name, synced, and renamed; once that is durable the segments and the snapshot before it are
//! removed. So whatever a crash leaves, the newest snapshot that there is is whole, and so are the segments after it.

use std::io;

use super::directory::Error;
use super::disk::Disk;
use super::rules::Rules;
use super::scan::{damaged, scan_before};
use super::segment::{Check, SEGMENT_HEADER_LEN, SegmentHeader, check, segment_of};
use super::version::magic;
use crate::codec::{Malformed, Reader, Writer};
use crate::entry::{Fold, MAX_PART, Replay};

pub(super) const SNAPSHOT_MAGIC: &[u8; 8] = &magic(*b"FTQSNAP");
const PART_HEADER_LEN: usize = 4 + 16;
/// What a name has while its file is written.
const UNFINISHED: &str = ".new";
/// How much is written between two syncs, in bytes. A sync of the log waits for what else is on its way to the disk.
const SYNC_EVERY: u64 = 4 << 20;

/// A snapshot that was read or made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SnapshotFile {
    /// The first segment that it does not cover.
    pub(crate) segment: u64,
    /// Its length, in bytes.
    pub(crate) bytes: u64,
}

/// A snapshot's file's name.
pub(super) fn snapshot_name(segment: u64) -> String {
    format!("snapshot-{segment:020}")
}

/// The segment in a snapshot's file's name, if it is one's.
pub(super) fn snapshot_of(name: &str) -> Option<u64> {
    let number = name.strip_prefix("snapshot-")?.parse().ok().filter(|number| *number > 0)?;
    (snapshot_name(number) == name).then_some(number)
}

/// The newest snapshot among these files.
pub(super) fn newest(names: &[String]) -> Option<u64> {
    names.iter().filter_map(|name| snapshot_of(name)).max()
}

/// What came of making a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Made {
    /// It is there, and what it stands for is gone.
    Snapshot {
        /// The first segment that it does not cover.
        segment: u64,
        /// Its length, in bytes.
        bytes: u64,
    },
    /// There is no room for it.
    Full,
}

/// Makes a snapshot of all records before segment `below`, which must be there: from the snapshot before and the segments
/// since, which nobody writes to any more. `state` is empty. The log may be appended to meanwhile.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Foreign`], [`Error::Failed`].
pub fn make_snapshot(
    disk: &mut impl Disk,
    owner: u64,
    below: u64,
    state: &mut impl Fold,
) -> Result<Made, Error> {
    let scan = scan_before(disk, owner, below, state)?;
    assert!(scan.first() < below, "a snapshot covers more than the one before it");
    let header = SegmentHeader { segment: below, owner, chain: scan.chain };
    let mut encode = |each: &mut dyn FnMut(&[u8]) -> io::Result<()>| state.encode(each);
    put(disk, &header, &scan.rules, &mut encode)
}

/// Gives all parts of a state to what it is given.
type Encode<'a> = &'a mut dyn FnMut(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>;

/// Puts a snapshot in the place of all before its segment, which is there.
pub(super) fn put(
    disk: &mut impl Disk,
    header: &SegmentHeader,
    rules: &Rules,
    encode: Encode<'_>,
) -> Result<Made, Error> {
    let below = header.segment;
    let unfinished = format!("{}{UNFINISHED}", snapshot_name(below));
    let failed = |disk: &dyn Disk, doing, source| {
        Err(Error::Failed { doing, path: disk.path(&unfinished), source })
    };
    let bytes = match write(disk, &unfinished, header, rules, encode) {
        Ok(bytes) => bytes,
        Err(error) if super::log::is_full(&error) => {
            let removed = disk.remove(&unfinished);
            return match removed {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    failed(disk, "removing", source)
                }
                _ => Ok(Made::Full),
            };
        }
        Err(source) => return failed(disk, "writing", source),
    };
    let named = disk.rename(&unfinished, &snapshot_name(below));
    // Before anything that it stands for goes.
    if let Err(source) = named.and_then(|()| disk.sync_names()) {
        return failed(disk, "renaming", source);
    }
    remove_superseded(disk, below)?;
    Ok(Made::Snapshot { segment: below, bytes })
}

/// Removes what the snapshot before segment `first` stands for, and what is unfinished of others. The snapshot's name is
/// durable.
pub(super) fn remove_superseded(disk: &mut impl Disk, first: u64) -> Result<(), Error> {
    let failed = |disk: &dyn Disk, name: &str, source| {
        let path = disk.path(name);
        Err(Error::Failed { doing: "removing", path, source })
    };
    let names = match disk.list() {
        Ok(names) => names,
        Err(source) => return failed(disk, "", source),
    };
    let past = |name: &&String| {
        let number = segment_of(name).or_else(|| snapshot_of(name));
        number.is_some_and(|number| number < first) || is_unfinished(name)
    };
    for name in names.iter().filter(past) {
        if let Err(source) = disk.remove(name) {
            return failed(disk, name, source);
        }
    }
    Ok(())
}

/// Whether there is anything for [`remove_superseded`] to remove.
pub(super) fn leaves_superseded(names: &[String], first: u64) -> bool {
    names.iter().any(|name| {
        let number = segment_of(name).or_else(|| snapshot_of(name));
        number.is_some_and(|number| number < first) || is_unfinished(name)
    })
}

/// Whether a file is a snapshot's, finished or not.
pub(super) fn is_snapshots(name: &str) -> bool {
    snapshot_of(name).is_some() || is_unfinished(name)
}

fn is_unfinished(name: &str) -> bool {
    name.strip_suffix(UNFINISHED).is_some_and(|name| snapshot_of(name).is_some())
}

/// A file that is written part by part.
struct PartWriter<'a, D> {
    disk: &'a mut D,
    name: &'a str,
    length: u64,
    synced: u64,
    check: Check,
}

impl<D: Disk> PartWriter<'_, D> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.write(self.name, self.length, bytes)?;
        self.length += bytes.len() as u64;
        if self.length - self.synced >= SYNC_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    fn part(&mut self, part: &[u8]) -> io::Result<()> {
        assert!((1..=MAX_PART).contains(&part.len()), "a part of {} bytes", part.len());
        self.raw_part(part)
    }

    /// A part, or the end, which is empty.
    fn raw_part(&mut self, part: &[u8]) -> io::Result<()> {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.check = check(&[&self.check, &length, part]);
        let bytes = [&length[..], &self.check, part].concat();
        self.write(&bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.synced = self.length;
        self.disk.sync(self.name)
    }
}

/// Writes a whole snapshot durably; gives its length.
fn write(
    disk: &mut impl Disk,
    name: &str,
    header: &SegmentHeader,
    rules: &Rules,
    encode: Encode<'_>,
) -> io::Result<u64> {
    if disk.list()?.iter().any(|other| other == name) {
        // Of a try that found no room to end.
        disk.remove(name)?;
    }
    disk.create(name)?;
    let bytes = header.encode_as(SNAPSHOT_MAGIC);
    let mut file = PartWriter { disk, name, length: 0, synced: 0, check: check(&[&bytes]) };
    file.write(&bytes)?;
    let mut first = Vec::new();
    rules.encode(&mut Writer::new(&mut first));
    file.part(&first)?;
    encode(&mut |part| file.part(part))?;
    file.raw_part(&[])?;
    file.sync()?;
    Ok(file.length)
}

/// Reads the snapshot before segment `segment`: hands its parts to `state`; gives what is said of the segment.
pub(super) fn read(
    disk: &impl Disk,
    owner: Option<u64>,
    segment: u64,
    state: &mut dyn Replay,
) -> Result<(SnapshotFile, SegmentHeader, Rules), Error> {
    let name = snapshot_name(segment);
    let path = disk.path(&name);
    let bad = |malformed: Malformed| damaged(&path, malformed.0.to_owned());
    let bytes_at = |offset, length| {
        let failed = |source| Error::of_reading(path.clone(), source);
        disk.read_at(&name, offset, length).map_err(failed)
    };
    let bytes = bytes_at(0, SEGMENT_HEADER_LEN)?;
    let header = SegmentHeader::decode_as(SNAPSHOT_MAGIC, &bytes).map_err(|bad| bad.of(&path))?;
    if header.segment != segment {
        return Err(damaged(&path, "it is of another segment than its name says".to_owned()));
    }
    if owner.is_some_and(|owner| owner != header.owner) {
        let detail = "it is of the log of another replica or cluster".to_owned();
        return Err(Error::Foreign { path, detail });
    }
    let (mut offset, mut last) = (bytes.len() as u64, check(&[&bytes]));
    let mut rules = None;
    loop {
        let head = bytes_at(offset, PART_HEADER_LEN)?;
        let mut reader = Reader::new(&head);
        let length = reader.u32().map_err(bad)?;
        let told = reader.take(16).map_err(bad)?;
        let length_of_part = usize::try_from(length).unwrap_or(usize::MAX);
        if length_of_part > MAX_PART {
            return Err(bad(Malformed("a part is too long")));
        }
        offset += PART_HEADER_LEN as u64;
        let part = bytes_at(offset, length_of_part)?;
        last = check(&[&last, &length.to_le_bytes(), &part]);
        if part.len() != length_of_part || told != last {
            return Err(bad(Malformed("a part's checksum does not match")));
        }
        offset += part.len() as u64;
        match &rules {
            _ if part.is_empty() => break,
            None => rules = Some(Rules::decode(&mut Reader::new(&part)).map_err(bad)?),
            Some(_) => state.part(&part).map_err(bad)?,
        }
    }
    state.parts_end().map_err(bad)?;
    if !bytes_at(offset, 1)?.is_empty() {
        return Err(bad(Malformed("bytes follow its end")));
    }
    let rules = rules.ok_or_else(|| bad(Malformed("it has no rules")))?;
    Ok((SnapshotFile { segment, bytes: offset }, header, rules))
}
