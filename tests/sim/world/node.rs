//! One simulated replica: its core, its clock, and what waits for it.

use std::collections::HashSet;

use bytes::Bytes;
use ftqueue::testing::{
    ClusterId, ClusterKey, Config, Event, Incarnation, Instant, PlantedBug, Replica, ReplicaId,
};

use crate::check::Bounds;
use crate::options::{MILLISECOND, Options, SECOND};
use crate::random::Random;

pub(super) struct Node {
    pub(super) replica: Replica,
    pub(super) incarnation: Incarnation,
    pub(super) inbox: Vec<Event>,
    pub(super) wake_at: u64,
    /// How often it woke and wanted to be woken at once again, running.
    pub(super) late_wakes: u32,
    pub(super) paused_until: u64,
    /// The local clock: where it started, and its rate in millionths off.
    clock_offset: u64,
    drift: i64,
    pub(super) syncing: bool,
    /// The datagrams that have arrived as they were sent, each once.
    pub(super) genuine: HashSet<Bytes>,
    pub(super) resent: Resent,
}

/// What a replica has resent on request.
#[derive(Default)]
pub(super) struct Resent {
    millisecond: u64,
    before: u64,
    so_far: u64,
}

impl Resent {
    /// Takes in how much it is so far; gives how much of it was in this millisecond.
    pub(super) fn in_this_millisecond(&mut self, local: Instant, so_far: u64) -> u64 {
        let millisecond = local.0 / MILLISECOND;
        if millisecond != self.millisecond {
            (self.millisecond, self.before) = (millisecond, self.so_far);
        }
        self.so_far = so_far;
        so_far - self.before
    }
}

pub(super) fn cluster_key() -> ClusterKey {
    ClusterKey::new(1, &[7; 32], ClusterId::from_name("simulated"))
}

impl Node {
    pub(super) fn start(
        index: usize,
        options: &Options,
        planted: Option<PlantedBug>,
        random: &mut Random,
    ) -> Self {
        let clock_offset = random.below(1_000 * SECOND);
        let incarnation = Incarnation(random.between(1, 1 << 40));
        let replica =
            new_replica(index, options, planted, incarnation, random.next(), Instant(clock_offset));
        Self {
            replica,
            incarnation,
            inbox: Vec::new(),
            wake_at: u64::MAX,
            late_wakes: 0,
            paused_until: 0,
            clock_offset,
            drift: options.drift[index],
            syncing: false,
            genuine: HashSet::new(),
            resent: Resent::default(),
        }
    }

    pub(super) fn local(&self, now: u64) -> Instant {
        let drifted = i128::from(now) * i128::from(1_000_000 + self.drift) / 1_000_000;
        Instant(self.clock_offset + u64::try_from(drifted).expect("time goes on"))
    }

    /// The first time at which the local clock shows `local`.
    pub(super) fn global(&self, local: Instant) -> u64 {
        let elapsed = i128::from(local.0.saturating_sub(self.clock_offset));
        let rate = i128::from(1_000_000 + self.drift);
        u64::try_from((elapsed * 1_000_000 + rate - 1) / rate).expect("time goes on")
    }
}

pub(super) fn new_replica(
    index: usize,
    options: &Options,
    planted: Option<PlantedBug>,
    incarnation: Incarnation,
    seed: u64,
    now: Instant,
) -> Replica {
    let id = ReplicaId(u8::try_from(index).expect("few replicas"));
    let mut config = Config::new(id, options.replicas).expect("valid options");
    config.planted = planted;
    config.max_datagram = options.max_datagram;
    let bounds = Bounds::of(options);
    config.undelivered_window = bounds.undelivered;
    config.unstable_window = bounds.unstable;
    config.unnumbered_window = bounds.unnumbered;
    config.resends_per_ms = u32::try_from(bounds.resends_per_ms).expect("few");
    config.max_waiting = bounds.waiting;
    Replica::new(config, incarnation, &cluster_key(), seed, now)
}
