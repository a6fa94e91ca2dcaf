//! The tokio shell around a replica: socket, clock, event loop.

mod handle;

pub(crate) use handle::{Handle, Submission};
