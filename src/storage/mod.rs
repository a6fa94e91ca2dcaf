//! What survives a restart. So far that is whose directory this is and which of the replica's lives it has seen.

mod directory;
mod incarnation;

pub(crate) use directory::{DataDirectory, Error};
pub(crate) use incarnation::Owner;
