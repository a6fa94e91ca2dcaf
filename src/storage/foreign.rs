//! Folders that another version of FTQueue wrote.

use super::directory::Error;
use super::disk::Disk;
use super::segment::{BadHeader, SEGMENT_HEADER_LEN, SEGMENT_MAGIC, SegmentHeader, segment_of};
use super::snapshot::{SNAPSHOT_MAGIC, snapshot_of};

/// Refuses a folder with a segment or snapshot whose header is whole and of another format, whatever else is damaged or
/// missing there: before anything in it is changed.
///
/// # Errors
/// [`Error::Foreign`], [`Error::Failed`].
pub(super) fn refuse_other_formats(disk: &impl Disk) -> Result<(), Error> {
    let path = disk.path("");
    let names = disk.list().map_err(|source| Error::Failed { doing: "listing", path, source })?;
    for name in names {
        let magic = match (segment_of(&name), snapshot_of(&name)) {
            (Some(_), _) => SEGMENT_MAGIC,
            (_, Some(_)) => SNAPSHOT_MAGIC,
            _ => continue,
        };
        // What cannot be read here is found and judged where it is used.
        let Ok(header) = disk.read_at(&name, 0, SEGMENT_HEADER_LEN) else {
            continue;
        };
        if let Err(bad @ BadHeader::OfFormat(_)) = SegmentHeader::decode_as(magic, &header) {
            return Err(bad.of(&disk.path(&name)));
        }
    }
    Ok(())
}
