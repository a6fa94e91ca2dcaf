//! Which format FTQueue's files have, and those of other versions of it.

use std::path::Path;

use super::directory::Error;

/// The format of all that is in a data directory or a backup. It is raised whenever any byte there comes to mean something
/// else, be it of a file's frame, a record, an operation or a part of the state: whoever reads another format refuses it
/// and leaves it as it is. What a segment's header, a snapshot's and the incarnation's file look like as a whole, up to
/// their checks, stays, so that each version can tell.
pub(super) const FORMAT: u8 = 2;

/// What a file of this kind begins with.
pub(super) const fn magic(kind: [u8; 7]) -> [u8; 8] {
    let [a, b, c, d, e, f, g] = kind;
    [a, b, c, d, e, f, g, FORMAT]
}

/// The format of which a file with this beginning is, if it is of the same kind as one that begins with `magic`.
pub(super) fn format_of(magic: &[u8; 8], beginning: &[u8]) -> Option<u8> {
    let (format, kind) = beginning.get(..8)?.split_last()?;
    (magic.get(..7)? == kind).then_some(*format)
}

/// A file is whole, and of another format.
pub(super) fn of_other_format(path: &Path, other: &str) -> Error {
    let detail = format!(
        "it has format {other}, of another version of FTQueue; this one has format {FORMAT}"
    );
    Error::Foreign { path: path.to_owned(), detail }
}
