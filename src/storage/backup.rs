//! A backup's file: the state as of one place in the order of all operations, apart from any replica's log.
//!
//! ```text
//! backup  magic 8 | parts | end
//! part    length 4 | check 16 | bytes
//! end     length 0 | check 16
//! ```
//!
//! A check is the first 16 bytes of a SHA-256, over the check before it (of the magic, for the first), the length and the
//! bytes: no part can be missing, changed or at another place. The end's check stands for the whole backup. The first
//! part is this module's own, what the backup is of; the others are the state's.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use super::directory::Error;
use super::scan::damaged;
use super::segment::{Check, check};
use super::version::{FORMAT, format_of, magic};
use crate::codec::{Malformed, Reader, Writer};
use crate::entry::MAX_PART;
use crate::types::{MAX_REPLICAS, ReplicaId};

const MAGIC: &[u8; 8] = &magic(*b"FTQBACK");
const PART_HEADER_LEN: usize = 4 + 16;
/// The longest name of a cluster, in bytes; those that a replica may be given are shorter.
const MAX_NAME: usize = 255;

/// What a backup is of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BackupHeader {
    /// The cluster's name.
    pub(crate) cluster: String,
    /// The replica that made it.
    pub(crate) replica: ReplicaId,
    /// When, by that replica's clock, in milliseconds since 1970; for people only.
    pub(crate) unix_milliseconds: u64,
    /// The last operation that it has; it has all before.
    pub(crate) sequence: u64,
    /// How many queues there are.
    pub(crate) queues: u64,
    /// How many items, in all queues together.
    pub(crate) items: u64,
}

impl BackupHeader {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.count(self.cluster.len());
        writer.bytes(self.cluster.as_bytes());
        writer.u8(self.replica.0);
        writer.varint(self.unix_milliseconds);
        writer.varint(self.sequence);
        writer.varint(self.queues);
        writer.varint(self.items);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let length = reader.count(MAX_NAME)?;
        let cluster = str::from_utf8(reader.take(length)?)
            .map_err(|_| Malformed("the cluster's name is not UTF-8"))?;
        let replica = ReplicaId(reader.u8()?);
        if cluster.contains(char::is_control) || replica.index() >= MAX_REPLICAS {
            return Err(Malformed("no replica has such a name"));
        }
        let header = Self {
            cluster: cluster.to_owned(),
            replica,
            unix_milliseconds: reader.varint()?,
            sequence: reader.varint()?,
            queues: reader.varint()?,
            items: reader.varint()?,
        };
        if reader.is_empty() { Ok(header) } else { Err(Malformed("bytes follow the header")) }
    }
}

/// Writes a backup part by part.
#[derive(Debug)]
pub(crate) struct BackupWriter<W> {
    out: W,
    check: Check,
}

impl<W: Write> BackupWriter<W> {
    /// Begins a backup.
    ///
    /// # Errors
    /// Those of `out`; likewise below.
    pub(crate) fn begin(mut out: W, header: &BackupHeader) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        let mut backup = Self { out, check: check(&[MAGIC]) };
        backup.part(&header.encode())?;
        Ok(backup)
    }

    /// Writes the next part of the state.
    ///
    /// # Panics
    /// When it has not 1 to [`MAX_PART`] bytes.
    pub(crate) fn part(&mut self, part: &[u8]) -> io::Result<()> {
        assert!((1..=MAX_PART).contains(&part.len()), "a part of {} bytes", part.len());
        self.raw_part(part)
    }

    /// Ends the backup; without that it is none.
    pub(crate) fn end(mut self) -> io::Result<()> {
        self.raw_part(&[])?;
        self.out.flush()
    }

    /// A part, or the end, which is empty.
    fn raw_part(&mut self, part: &[u8]) -> io::Result<()> {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.check = check(&[&self.check, &length, part]);
        self.out.write_all(&length)?;
        self.out.write_all(&self.check)?;
        self.out.write_all(part)
    }
}

/// Reads a backup part by part, in bounded memory.
#[derive(Debug)]
pub(crate) struct BackupReader<R> {
    from: R,
    /// For messages.
    path: PathBuf,
    check: Check,
    /// How many bytes were read.
    bytes: u64,
}

impl BackupReader<BufReader<File>> {
    /// Opens a backup's file.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Failed`]; likewise below.
    pub(crate) fn open(path: &Path) -> Result<(Self, BackupHeader), Error> {
        let failed = |source| Error::Failed { doing: "opening", path: path.to_owned(), source };
        Self::begin(BufReader::new(File::open(path).map_err(failed)?), path)
    }
}

impl<R: Read> BackupReader<R> {
    fn begin(from: R, path: &Path) -> Result<(Self, BackupHeader), Error> {
        let mut reader = Self { from, path: path.to_owned(), check: check(&[MAGIC]), bytes: 0 };
        let beginning = reader.take(MAGIC.len())?;
        match format_of(MAGIC, &beginning) {
            Some(FORMAT) => {}
            Some(other) => {
                // Nothing tells another format from damage to that byte.
                let why = format!(
                    "it begins as one of format {other} does; this version has format {FORMAT}"
                );
                return Err(reader.bad(&why));
            }
            None => return Err(reader.bad("it does not begin as a backup does")),
        }
        let part = reader.raw_part()?;
        let header = BackupHeader::decode(&part).map_err(|malformed| reader.bad(malformed.0))?;
        Ok((reader, header))
    }

    /// The next part of the state; none after the last, once it is certain that nothing is missing, changed or too much.
    pub(crate) fn part(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let part = self.raw_part()?;
        if !part.is_empty() {
            return Ok(Some(part));
        }
        let end = self.bytes;
        if self.fill(1)?.is_empty() {
            self.bytes = end;
            Ok(None)
        } else {
            Err(self.bad("bytes follow its end"))
        }
    }

    /// How many bytes were read.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// After the last part: what tells this backup from any other.
    pub(crate) fn check(&self) -> [u8; 16] {
        self.check
    }

    /// What is wrong with the backup.
    pub(crate) fn bad(&self, detail: &str) -> Error {
        damaged(&self.path, detail.to_owned())
    }

    fn raw_part(&mut self) -> Result<Vec<u8>, Error> {
        let head = self.take(PART_HEADER_LEN)?;
        let mut reader = Reader::new(&head);
        let length = reader.u32().map_err(|malformed| self.bad(malformed.0))?;
        let told = reader.take(16).map_err(|malformed| self.bad(malformed.0))?;
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        if bytes > MAX_PART {
            return Err(self.bad("a part is too long"));
        }
        let part = self.take(bytes)?;
        self.check = check(&[&self.check, &length.to_le_bytes(), &part]);
        if told != self.check {
            return Err(self.bad("a part's checksum does not match"));
        }
        Ok(part)
    }

    /// So many bytes.
    fn take(&mut self, length: usize) -> Result<Vec<u8>, Error> {
        let bytes = self.fill(length)?;
        if bytes.len() == length { Ok(bytes) } else { Err(self.bad("it ends early")) }
    }

    /// So many bytes, or fewer where it ends.
    fn fill(&mut self, length: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::with_capacity(length);
        let read = self.from.by_ref().take(length as u64).read_to_end(&mut bytes);
        let path = &self.path;
        read.map_err(|source| Error::of_reading(path.clone(), source))?;
        self.bytes += bytes.len() as u64;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> BackupHeader {
        BackupHeader {
            cluster: "queues".to_owned(),
            replica: ReplicaId(2),
            unix_milliseconds: 1 << 40,
            sequence: 300,
            queues: 2,
            items: 5,
        }
    }

    const PARTS: [&[u8]; 4] = [b"one", b"two", b"two", b"and the last one"];

    /// A backup as it is written, in pieces: the magic, the header, each part, the end.
    fn written() -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut backup = BackupWriter::begin(&mut bytes, &header()).unwrap();
        PARTS.iter().for_each(|part| backup.part(part).unwrap());
        backup.end().unwrap();
        let mut pieces = vec![bytes.drain(..MAGIC.len()).collect::<Vec<_>>()];
        while let Some(length) = bytes.first_chunk() {
            let length = PART_HEADER_LEN + u32::from_le_bytes(*length) as usize;
            pieces.push(bytes.drain(..length).collect());
        }
        assert_eq!(pieces.len(), 1 + 1 + PARTS.len() + 1);
        pieces
    }

    fn read(bytes: &[u8]) -> Result<(BackupHeader, Vec<Vec<u8>>, u64), Error> {
        let (mut backup, header) = BackupReader::begin(bytes, Path::new("backup"))?;
        let mut parts = Vec::new();
        while let Some(part) = backup.part()? {
            parts.push(part);
        }
        Ok((header, parts, backup.bytes()))
    }

    fn is_refused(bytes: &[u8], what: &str) {
        let error = read(bytes).expect_err(what);
        assert!(matches!(error, Error::Damaged { .. }), "{what}: {error}");
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = written().concat();
        let (told, parts, length) = read(&bytes).unwrap();
        assert_eq!((told, length), (header(), bytes.len() as u64));
        assert_eq!(parts, PARTS);
    }

    #[test]
    fn any_changed_missing_or_further_byte_is_found() {
        let good = written().concat();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                is_refused(&bad, &format!("bit {bit} of byte {at}"));
            }
            is_refused(&good[..at], &format!("cut at {at}"));
            let less = [&good[..at], &good[at + 1..]].concat();
            is_refused(&less, &format!("without byte {at}"));
            let more = [&good[..=at], &good[at..]].concat();
            is_refused(&more, &format!("byte {at} twice"));
        }
        is_refused(&[&good[..], &good[..]].concat(), "twice");
    }

    #[test]
    fn a_part_that_is_missing_doubled_or_elsewhere_is_found() {
        let pieces = written();
        for place in 0..pieces.len() {
            let mut less = pieces.clone();
            less.remove(place);
            is_refused(&less.concat(), &format!("without piece {place}"));
            let mut twice = pieces.clone();
            twice.insert(place, pieces[place].clone());
            is_refused(&twice.concat(), &format!("piece {place} twice"));
            for other in 0..place {
                let mut swapped = pieces.clone();
                swapped.swap(place, other);
                // Not even of parts that are the same is one the other: its check says where it is.
                is_refused(&swapped.concat(), &format!("pieces {other} and {place} swapped"));
            }
        }
    }

    #[test]
    fn a_header_is_one_of_a_replica() {
        for bad in [
            BackupHeader { cluster: "two\nlines".to_owned(), ..header() },
            BackupHeader { cluster: "x".repeat(MAX_NAME + 1), ..header() },
            BackupHeader { replica: ReplicaId(200), ..header() },
        ] {
            let mut bytes = Vec::new();
            BackupWriter::begin(&mut bytes, &bad).unwrap().end().unwrap();
            is_refused(&bytes, &format!("{bad:?}"));
        }
    }
}
