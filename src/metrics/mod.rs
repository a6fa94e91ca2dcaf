//! What a replica counts and measures, for Prometheus and whatever reads its format.

mod families;
mod server;

pub(crate) use server::serve;
