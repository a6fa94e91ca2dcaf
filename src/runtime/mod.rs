//! The tokio shell around a replica: socket, clock, event loop.
//!
//! All of a replica runs on one thread: the event loop, the ring's socket and the callers' connections are tasks of
//! one current-thread runtime. So no operation is ever handed from one thread to another: waking another core costs
//! more than all the work on an operation.

mod address;
mod clock;
mod counters;
mod event_loop;
mod handle;
mod peers;
mod socket;
mod timer;

use std::io;

use tokio::sync::{mpsc, watch};
use tracing::info;

pub(crate) use address::Address;
use clock::Clock;
use counters::Counters;
pub(crate) use event_loop::{DRAIN_TIME, EventLoop};
pub(crate) use handle::Handle;
#[cfg(test)]
pub(crate) use handle::Submission;
use peers::Peers;
use socket::RingSocket;
use timer::Timer;

// What the API says to callers.
pub(crate) use crate::replica::{Readiness, Refusal, Unavailable};

use crate::config::Config;
use crate::replica::Replica;
use crate::types::Incarnation;
use crate::wire::ClusterKey;

/// What a replica needs to start.
pub(crate) struct Start {
    /// The protocol's settings.
    pub config: Config,
    /// This life, durable already.
    pub incarnation: Incarnation,
    /// What seals the datagrams.
    pub key: ClusterKey,
    /// Where the ring of each replica listens, by id.
    pub addresses: Vec<Address>,
    /// Where the own ring listens, if not at its address in the list.
    pub listen: Option<Address>,
    /// Seeds the replica's choices, such as the jitter of its timers.
    pub seed: u64,
}

/// Binds the ring's socket and makes the event loop, which the caller runs until `stop` turns true.
///
/// # Errors
/// When the socket cannot be bound, with the address.
pub(crate) async fn start(
    start: Start,
    stop: watch::Receiver<bool>,
) -> Result<(Handle, EventLoop), String> {
    let Start { config, incarnation, key, addresses, listen, seed } = start;
    let own = config.id;
    let listed = addresses.get(own.index()).ok_or("the replica is not in the list")?;
    let socket =
        RingSocket::bind(listed, listen.as_ref(), config.max_datagram).await.map_err(|error| {
            let at = listen.as_ref().unwrap_or(listed);
            format!("the ring cannot listen on UDP {at}: {error}")
        })?;
    let timer = Timer::new().map_err(|error: io::Error| format!("no timer: {error}"))?;
    info!(replica = %own, %incarnation, ring = %socket.local(), "replica starting");

    let clock = Clock::start();
    let (submit, submissions) = mpsc::channel(config.max_waiting);
    let replica = Replica::new(config, incarnation, &key, seed, clock.now());
    let (readiness, watched) = watch::channel(Readiness::NotReady("starting".to_owned()));
    let event_loop = EventLoop {
        peers: Peers::new(own, &addresses, socket.family(), clock.now()),
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
        drained_by: None,
    };
    Ok((Handle::new(submit, watched), event_loop))
}
