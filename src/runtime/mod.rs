//! The tokio shell around a replica: socket, clock, event loop.
//!
//! All of a replica runs on one thread: the event loop, the ring's socket and the callers' connections are tasks of
//! one current-thread runtime. So no operation is ever handed from one thread to another: waking another core costs
//! more than all the work on an operation.

mod address;
mod backups;
mod begin;
mod clock;
mod copies;
mod counters;
mod disk_thread;
mod durability;
mod event_loop;
mod handle;
mod links;
mod log_store;
mod peers;
mod snapshots;
mod socket;
mod timer;

use std::io;
use std::path::PathBuf;

use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

pub(crate) use address::Address;
pub(crate) use backups::{Backups, Pieces};
use clock::Clock;
use copies::CopyThread;
pub(crate) use counters::Counters;
use disk_thread::DiskThread;
pub(crate) use durability::Durability;
pub(crate) use event_loop::{DRAIN_TIME, EventLoop, Failure};
pub(crate) use handle::Handle;
#[cfg(test)]
pub(crate) use handle::Submission;
use links::Links;
use peers::Peers;
use snapshots::SnapshotThread;
use socket::RingSocket;
use timer::Timer;

// What the API says to callers.
pub(crate) use crate::replica::{PeerReport, Readiness, Refusal, Report, Unavailable, View};

use crate::config::Config;
use crate::replica::Replica;
use crate::storage::{self, Folder};
use crate::types::Incarnation;
use crate::wire::ClusterKey;
use log_store::Log;

/// What a replica needs to start.
pub(crate) struct Start {
    /// The protocol's settings.
    pub config: Config,
    /// This life, durable already.
    pub incarnation: Incarnation,
    /// Where the replica's log is: for the threads that write it, make snapshots of it, and lend it.
    pub directory: PathBuf,
    /// Why what is there is not to be trusted, if so.
    pub distrusted: Option<storage::Error>,
    /// A hash of whose log it is.
    pub owner: u64,
    /// How long a segment of the log is, in bytes, before another one follows.
    pub segment_length: u64,
    /// When a write counts as durable.
    pub durability: Durability,
    /// What seals the datagrams.
    pub key: ClusterKey,
    /// Where the ring of each replica listens, by id.
    pub addresses: Vec<Address>,
    /// Where the own ring listens, if not at its address in the list.
    pub listen: Option<Address>,
    /// Seeds the replica's choices, such as the jitter of its timers.
    pub seed: u64,
}

/// How many may ask at a time how the replica is.
const QUERIES: usize = 16;

/// Why a replica cannot start.
pub(crate) enum NotStarted {
    /// Something else than storage, for people.
    Other(String),
    /// Its storage.
    Storage(storage::Error),
}

impl From<String> for NotStarted {
    fn from(why: String) -> Self {
        Self::Other(why)
    }
}

impl From<storage::Error> for NotStarted {
    fn from(error: storage::Error) -> Self {
        Self::Storage(error)
    }
}

/// Binds the ring's socket and makes the event loop, which the caller runs until `stop` turns true.
///
/// # Errors
/// When storage cannot be used, or the socket not be bound.
pub(crate) async fn start(
    start: Start,
    stop: watch::Receiver<bool>,
) -> Result<(Handle, EventLoop), NotStarted> {
    let Start {
        config,
        incarnation,
        directory,
        distrusted,
        owner,
        segment_length,
        durability,
        key,
        addresses,
        listen,
        seed,
    } = start;
    let own = config.id;
    let listed =
        addresses.get(own.index()).ok_or_else(|| "the replica is not in the list".to_owned())?;
    let socket =
        RingSocket::bind(listed, listen.as_ref(), config.max_datagram).await.map_err(|error| {
            let at = listen.as_ref().unwrap_or(listed);
            format!("the ring cannot listen on UDP {at}: {error}")
        })?;
    let timer = Timer::new().map_err(|error: io::Error| format!("no timer: {error}"))?;
    info!(replica = %own, %incarnation, ring = %socket.local(), "replica starting");

    let clock = Clock::start();
    let (submit, submissions) = mpsc::channel(config.max_waiting);
    let (ask, queries) = mpsc::channel(QUERIES);
    let folder = || Folder::new(&directory);
    let copies =
        CopyThread::start(folder()).map_err(|error| format!("no thread for copies: {error}"))?;
    let snapshots = SnapshotThread::start(folder(), owner)
        .map_err(|error| format!("no thread for snapshots: {error}"))?;
    let replicas = config.replicas;
    let new_replica = || Replica::new(config.clone(), incarnation, &key, seed, clock.now());
    let (replica, storage) =
        begin::begin(&directory, (owner, segment_length), distrusted, replicas, new_replica)?;
    if durability == Durability::Async {
        warn!("--durability async: a loss of power can take back what was answered");
    }
    let disk = DiskThread::start(Log::new(storage, snapshots), durability)
        .map_err(|error| format!("no thread for the disk: {error}"))?;
    let (readiness, watched) = watch::channel(Readiness::NotReady("starting".to_owned()));
    let event_loop = EventLoop {
        peers: Peers::new(own, &addresses, socket.family(), clock.now()),
        links: Links::new(socket.local().ip()),
        disk,
        copies,
        durable: 0,
        full: false,
        unreadable: 0,
        records: Vec::new(),
        queries,
        replica,
        clock,
        timer,
        socket,
        submissions,
        readiness,
        stop,
        was_ready: false,
        calls: event_loop::Calls::default(),
        effects: Vec::new(),
        counters: Counters::default(),
        stopped_by: None,
        leaving: false,
    };
    Ok((Handle::new(submit, ask, watched), event_loop))
}
