//! When a write counts as durable.

use std::fmt;

use clap::ValueEnum;

/// When a write counts as durable, so that it may be acked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Durability {
    /// Once the disk has it: an answered operation survives the loss of power everywhere
    Fsync,
    /// Once the operating system has it; the disk follows within 100 ms, and a loss of power can take it back
    Async,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fsync => "fsync",
            Self::Async => "async",
        })
    }
}
