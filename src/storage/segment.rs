//! The bytes of the log's files.
//!
//! ```text
//! segment  header, batches               named log-N, N = 1, 2, 3 …
//! header   magic 8 | segment 8 | owner 8 | chain 16 | check 16
//! batch    header, records
//! header   magic 4 | length 4 | synced segment 8 | synced offset 8 | chain 16 | records' check 16 | check 16
//! ```
//!
//! A check is the first 16 bytes of a SHA-256. A header's check covers the header, its segment and its offset, so that a
//! batch at another place than its own is found out; the records' check covers the records. `chain` is the check of the
//! batch before, so none can be missing. `synced` is how far the log was known to be durable before the batch was
//! written: what is bad below that was durable once, and is damage.

use std::path::Path;

use ring::digest::{Context, SHA256};

use super::directory::Error;
use super::scan::damaged;
use super::version::{FORMAT, format_of, magic, of_other_format};
use crate::codec::{Malformed, Reader, Writer};

/// The first 16 bytes of a SHA-256.
pub(super) type Check = [u8; 16];

/// A place in the log: a segment and an offset in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Position {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

pub(super) const SEGMENT_HEADER_LEN: usize = 8 + 8 + 8 + 16 + 16;
pub(super) const BATCH_HEADER_LEN: usize = 4 + 4 + 8 + 8 + 16 + 16 + 16;

pub(super) const SEGMENT_MAGIC: &[u8; 8] = &magic(*b"FTQLOG\0");
pub(super) const BATCH_MAGIC: [u8; 4] = *b"FTQb";

/// What a segment's header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SegmentHeader {
    pub(super) segment: u64,
    /// Whose log it is: a hash of cluster and replica.
    pub(super) owner: u64,
    /// The check of the last batch of the segment before.
    pub(super) chain: Check,
}

/// Why a segment's header cannot be used.
#[derive(Debug)]
pub(super) enum BadHeader {
    Malformed(Malformed),
    /// It is whole, and of another format.
    OfFormat(u8),
}

impl From<Malformed> for BadHeader {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl BadHeader {
    /// The error of a file that begins so.
    pub(super) fn of(self, path: &Path) -> Error {
        match self {
            Self::Malformed(malformed) => damaged(path, malformed.0.to_owned()),
            Self::OfFormat(other) => of_other_format(path, &other.to_string()),
        }
    }
}

/// What a batch's header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BatchHeader {
    /// The length of the records, in bytes.
    pub(super) length: u32,
    pub(super) synced: Position,
    pub(super) chain: Check,
    pub(super) records: Check,
    /// The header's own check: the next batch's chain.
    pub(super) check: Check,
}

/// A segment's file.
pub(super) fn name_of(segment: u64) -> String {
    format!("log-{segment:020}")
}

/// The segment of a file's name, if it is one's.
pub(super) fn segment_of(name: &str) -> Option<u64> {
    let number = name.strip_prefix("log-")?.parse().ok().filter(|number| *number > 0)?;
    (name_of(number) == name).then_some(number)
}

/// The check of these bytes together.
pub(super) fn check(parts: &[&[u8]]) -> Check {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let digest = context.finish();
    let mut check = [0; 16];
    check.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    check
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        self.encode_as(SEGMENT_MAGIC)
    }

    /// The same, at the beginning of another file about the segment.
    pub(super) fn encode_as(&self, magic: &[u8; 8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_LEN);
        let mut writer = Writer::new(&mut bytes);
        writer.bytes(magic);
        writer.u64(self.segment);
        writer.u64(self.owner);
        writer.bytes(&self.chain);
        let check = check(&[&bytes]);
        bytes.extend_from_slice(&check);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        Self::decode_as(SEGMENT_MAGIC, bytes)
    }

    /// The same, from the beginning of another file about the segment.
    pub(super) fn decode_as(magic: &[u8; 8], bytes: &[u8]) -> Result<Self, BadHeader> {
        let mut reader = Reader::new(bytes);
        let covered = Reader::new(bytes).take(SEGMENT_HEADER_LEN - 16)?;
        let format = format_of(magic, reader.take(8)?)
            .ok_or(Malformed("it does not begin as such a file does"))?;
        let (segment, owner) = (reader.u64()?, reader.u64()?);
        let header = Self { segment, owner, chain: read_check(&mut reader)? };
        if read_check(&mut reader)? != check(&[covered]) {
            return Err(Malformed("its header's checksum does not match").into());
        }
        if format == FORMAT { Ok(header) } else { Err(BadHeader::OfFormat(format)) }
    }
}

/// Appends a batch's bytes to `out`; gives its check.
pub(super) fn encode_batch(
    at: Position,
    synced: Position,
    chain: Check,
    records: &[u8],
    out: &mut Vec<u8>,
) -> Check {
    let begin = out.len();
    let mut writer = Writer::new(out);
    writer.bytes(&BATCH_MAGIC);
    writer.u32(u32::try_from(records.len()).unwrap_or(u32::MAX));
    writer.u64(synced.segment);
    writer.u64(synced.offset);
    writer.bytes(&chain);
    writer.bytes(&check(&[records]));
    let covered = out.get(begin..).unwrap_or_default();
    let check = check_of_header(at, covered);
    out.extend_from_slice(&check);
    out.extend_from_slice(records);
    check
}

fn check_of_header(at: Position, covered: &[u8]) -> Check {
    check(&[&at.segment.to_le_bytes(), &at.offset.to_le_bytes(), covered])
}

impl BatchHeader {
    /// Reads the header of a batch at `at`, from bytes that begin there.
    pub(super) fn decode(at: Position, bytes: &[u8]) -> Result<Self, Malformed> {
        let covered = Reader::new(bytes).take(BATCH_HEADER_LEN - 16)?;
        let mut reader = Reader::new(bytes);
        if reader.take(4)? != BATCH_MAGIC {
            return Err(Malformed("no batch begins there"));
        }
        let length = reader.u32()?;
        let synced = Position { segment: reader.u64()?, offset: reader.u64()? };
        let (chain, records) = (read_check(&mut reader)?, read_check(&mut reader)?);
        let check = read_check(&mut reader)?;
        if check != check_of_header(at, covered) {
            return Err(Malformed("a batch header's checksum does not match"));
        }
        Ok(Self { length, synced, chain, records, check })
    }
}

fn read_check(reader: &mut Reader<'_>) -> Result<Check, Malformed> {
    let mut check = [0; 16];
    check.iter_mut().zip(reader.take(16)?).for_each(|(to, from)| *to = *from);
    Ok(check)
}
