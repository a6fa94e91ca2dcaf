//! Every knob of the protocol: its default, its bound and how it was chosen. Validated once, when it is made.

use std::time::Duration;

use crate::planted::PlantedBug;
use crate::queue::Limits;
use crate::types::{MAX_REPLICAS, ReplicaId};

/// A cluster's and a replica's settings, as the protocol core needs them.
#[derive(Clone, Debug)]
pub struct Config {
    /// This replica.
    pub id: ReplicaId,
    /// N, the number of configured replicas: odd, 1 to [`MAX_REPLICAS`].
    pub replicas: usize,
    /// The largest datagram, in bytes. 1,400 fits an Ethernet frame with room for tunnels' headers.
    pub max_datagram: usize,
    /// How many of its own messages a replica lets be unnumbered. A small window makes batches grow with load
    /// instead of queues of small messages.
    pub unnumbered_window: u64,
    /// How far numbers may run ahead of the delivered one, in messages.
    pub undelivered_window: u64,
    /// How far numbers may run ahead of the one that all members hold durably, in messages: what is kept for
    /// repair. 8,192 messages of 1,400 bytes are 11 MB.
    pub unstable_window: u64,
    /// How many operations may wait to be multicast.
    pub max_waiting: usize,
    /// How often a replica tells every other that it is there.
    pub heartbeat_interval: Duration,
    /// A replica that was not heard for this long is silent, and so suspected. Many heartbeats, since a loaded machine
    /// may let a process wait for tens of milliseconds.
    pub silence: Duration,
    /// How long a proposer waits for the replica before it in rank to propose: a few times what a proposal takes.
    pub proposal_delay: Duration,
    /// How long a proposer waits for promises beyond a majority's, besides the time that disks take to sync them; doubled
    /// each time for who came too late before.
    pub promise_grace: Duration,
    /// How long a change of view, an install or a member's absence from a view may last before it is given up.
    pub view_timeout: Duration,
    /// How long a member may hold up its turn or its acks, with all others waiting for it.
    pub slot_timeout: Duration,
    /// How long a member may keep an entry from a majority by not acking it: longer than a sync takes on a disk that still
    /// works.
    pub ack_timeout: Duration,
    /// How many entries a replica may be behind and be taken into a view: it fetches them while the others wait.
    pub join_bound: u64,
    /// How much memory past entries may take, roughly, in bytes: what replicas that were away can fetch.
    pub log_memory: usize,
    /// The longest wait between two tries at the same repair; the shortest is a round trip, before which the last try
    /// cannot have worked.
    pub longest_repair_wait: Duration,
    /// How many messages and numberings may be resent on request in each millisecond.
    pub resends_per_ms: u32,
    /// How much the state machine may hold: [`Limits::DEFAULT`] in every cluster; tests have smaller ones.
    pub limits: Limits,
    /// A bug to see caught; of no effect without the feature `planted-bugs`.
    pub planted: Option<PlantedBug>,
}

impl Config {
    /// The defaults for one replica of a cluster.
    ///
    /// # Errors
    /// Says what is wrong when `replicas` is even, too large or zero, or `id` is not below it.
    pub fn new(id: ReplicaId, replicas: usize) -> Result<Self, String> {
        if replicas == 0 || replicas > MAX_REPLICAS {
            return Err(format!("a cluster has 1 to {MAX_REPLICAS} replicas, not {replicas}"));
        }
        if replicas.is_multiple_of(2) {
            return Err(format!(
                "a cluster has an odd number of replicas, not {replicas}: one more than an odd number \
                 survives no more failures"
            ));
        }
        if id.index() >= replicas {
            return Err(format!("replica ids are 0 to {}, not {}", replicas - 1, id.0));
        }
        Ok(Self {
            id,
            replicas,
            max_datagram: 1_400,
            unnumbered_window: 8,
            undelivered_window: 1_024,
            unstable_window: 8_192,
            max_waiting: 16_384,
            heartbeat_interval: Duration::from_millis(25),
            silence: Duration::from_millis(300),
            proposal_delay: Duration::from_millis(50),
            promise_grace: Duration::from_millis(100),
            view_timeout: Duration::from_millis(1_000),
            slot_timeout: Duration::from_millis(1_000),
            ack_timeout: Duration::from_secs(15),
            join_bound: 1_024,
            log_memory: 128 << 20,
            longest_repair_wait: Duration::from_millis(50),
            resends_per_ms: 64,
            limits: Limits::DEFAULT,
            planted: None,
        })
    }
}
