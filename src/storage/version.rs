//! Which version of FTQueue's files this is.

/// The version of all that is in a data directory or a backup. It is raised whenever any byte there comes to mean something
/// else, be it of a file's frame, a record, an operation or a part of the state: whoever reads another version refuses it
/// and leaves it as it is.
pub(super) const FORMAT: u8 = 2;

/// What a file of this version begins with.
pub(super) const fn magic(kind: [u8; 7]) -> [u8; 8] {
    let [a, b, c, d, e, f, g] = kind;
    [a, b, c, d, e, f, g, FORMAT]
}
