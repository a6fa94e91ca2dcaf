//! What survives a restart: whose directory it is, which of the replica's lives it has seen, and the log.
//!
//! ```text
//! directory    the folder, for one process at a time
//! incarnation  which life this is
//! disk         what is asked of a disk
//! version      which format all files here have      foreign      folders of another one
//! segment      the bytes of the log's files
//! scan         reading them; torn tails and damage       rules   what records may follow each other
//! log          appending to them
//! snapshot     what they come to, in their place
//! lost         a disk that cannot be trusted        accept_loss  what is left of it, on an operator's word
//! copy         what another replica's storage holds
//! backup       a state in a file of its own            restore  a directory that begins with one
//! ```
#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod accept_loss;
mod backup;
mod copy;
mod directory;
mod disk;
mod foreign;
mod incarnation;
mod log;
mod lost;
mod restore;
mod rules;
mod scan;
mod segment;
mod snapshot;
mod version;

pub(crate) use accept_loss::{Accepted, accept_loss};
pub(crate) use backup::{BackupHeader, BackupReader, BackupWriter};
pub use copy::{Piece, read_copy, read_piece};
pub(crate) use directory::DataDirectory;
pub use directory::Error;
pub use disk::Disk;
pub use disk::Folder;
pub(crate) use incarnation::Owner;
pub(crate) use log::runs_ahead;
pub use log::{Append, Recovered, SEGMENT_LENGTH, Storage};
pub use lost::DISTRUSTED;
pub(crate) use lost::{distrust, remove_set_aside};
pub(crate) use restore::restore;
pub(crate) use scan::{Scan, scan};
pub use snapshot::{Made, make_snapshot};
