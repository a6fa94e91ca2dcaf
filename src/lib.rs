//! FTQueue: a replicated queue service. One operation flows through the modules like this:
//!
//! ```text
//! api       a gRPC call becomes an operation
//! runtime   the event loop hands it to the replica, carries out what comes back
//! replica   multicast -> order -> log -> commit -> deliver: the ring; no I/O, clock or randomness of its own
//! wire      datagrams: chunks, packed and sealed
//! queue     the replicated state machine: operation in, answer out
//! storage   what survives a restart
//! ```
//!
//! `cli` has the commands, `client` calls a cluster from outside, `history` checks what a cluster answered. Who may
//! import whom is the table in `tests/architecture.rs`.
//!
//! Programs that use the service have [`Client`]; the rest is the service itself.

pub mod cli;

// The modules stand in the order in which an operation passes them.
mod client;
mod history;
mod proto;

mod api;
mod metrics;
mod runtime;

mod replica;
mod wire;

mod queue;

mod storage;

mod codec;
mod config;
mod counters;
mod entry;
mod planted;
mod types;

#[cfg(test)]
mod test_tools;

pub use client::{
    Answered, CallError, Client, ClientOptions, Endpoint, InvalidEndpoint, Named, Outcome,
};
pub use queue::{QueueId, RequestName};

/// What the simulator and the other tests of this package reach; not an interface for anybody else.
#[doc(hidden)]
pub mod testing {
    pub use crate::codec::Malformed;
    pub use crate::config::Config;
    pub use crate::entry::{Body, DiskState, Entry, Fold, Record, Replacement, Replay};
    pub use crate::planted::PlantedBug;
    pub use crate::queue::*;
    pub use crate::replica::*;
    pub use crate::storage::{
        Append, DISTRUSTED, Disk, Error as StorageError, Folder, Made, Piece, Recovered,
        SEGMENT_LENGTH, Storage, make_snapshot, read_copy, read_piece,
    };
    pub use crate::types::*;
    pub use crate::wire::*;

    /// The checks of histories.
    pub mod history {
        pub use crate::history::*;
    }

    /// The generated messages and client.
    pub mod proto {
        pub use crate::proto::*;
    }
}
