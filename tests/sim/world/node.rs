//! One simulated replica: its core, its clock, and what waits for it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use ftqueue::testing::{
    ClusterId, ClusterKey, Config, Event, Incarnation, Instant, PlantedBug, Record, Replacement,
    Replica, ReplicaId, Storage, ViewNumber,
};

use crate::check::{Bounds, DiskLog, Said};
use crate::disk::SimDisk;
use crate::options::{MILLISECOND, Options, SECOND};
use crate::random::Random;

pub(super) struct Node {
    /// None while it is down.
    pub(super) replica: Option<Replica>,
    pub(super) incarnation: Incarnation,
    pub(super) inbox: Vec<Event>,
    pub(super) wake_at: u64,
    /// How often it woke and wanted to be woken at once again, running.
    pub(super) late_wakes: u32,
    pub(super) paused_until: u64,
    /// The local clock: where it started, and its rate in millionths off.
    clock_offset: u64,
    drift: i64,
    pub(super) disk: SimDisk,
    pub(super) storage: Option<Storage<SimDisk>>,
    /// What it has written, in all its lives.
    pub(super) log: DiskLog,
    /// By snapshot, named by the first segment that it does not cover: how many records it stands for; none for 0, which
    /// is no snapshot.
    pub(super) snapshots: BTreeMap<u64, usize>,
    /// The newest that is surely there, and the last that was wanted.
    pub(super) snapshot: u64,
    pub(super) snapshot_wanted: u64,
    pub(super) snapshot_busy: bool,
    /// A copy of its disk, to be put back.
    pub(super) copy: Option<Box<DiskCopy>>,
    /// Whether what is on its disk was changed behind its back.
    pub(super) rotten: bool,
    /// Whether a log that says that the disk was lost was begun, or may have been before a crash.
    pub(super) begun_lost: bool,
    /// Whether it may look sound without the last that was made durable.
    pub(super) may_lack_its_end: bool,
    /// How many records there were when this life began.
    pub(super) base: usize,
    /// What storage is to put in the place of its log, before what it has not been given.
    pub(super) replacement: Option<Arc<Replacement>>,
    /// How many records there were with it.
    pub(super) replaced: usize,
    /// What storage has not been given yet.
    pub(super) unwritten: Vec<Record>,
    /// Whether storage syncs, or waits for room.
    pub(super) syncing: bool,
    /// Its disk does nothing any more, and says nothing.
    pub(super) hangs: bool,
    pub(super) full: bool,
    /// It crashes after so many more effects.
    pub(super) crash_in: Option<u64>,
    /// Since when it leaves; it ends when it has left.
    pub(super) leaving: Option<u64>,
    /// It is not to come back.
    pub(super) gone: bool,
    /// How far this life has delivered, and what it was seen to have promised.
    pub(super) delivered: u64,
    pub(super) promised: ViewNumber,
    /// The calls that it has not answered.
    pub(super) open: BTreeSet<usize>,
    /// What it heard of each replica in this life.
    pub(super) heard: Vec<Said>,
    /// The datagrams that have arrived as they were sent, each once: their seals' last bytes.
    pub(super) genuine: HashSet<[u8; 8]>,
    pub(super) resent: Resent,
}

/// A copy of a disk, and what the world knows of it.
pub(super) struct DiskCopy {
    pub(super) disk: SimDisk,
    pub(super) log: DiskLog,
    pub(super) snapshots: BTreeMap<u64, usize>,
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
    /// A node with an empty disk, not started yet.
    pub(super) fn new(
        index: usize,
        options: &Options,
        planted: Option<PlantedBug>,
        random: &mut Random,
    ) -> Self {
        Self {
            replica: None,
            incarnation: Incarnation(random.between(1, 1 << 40)),
            inbox: Vec::new(),
            wake_at: u64::MAX,
            late_wakes: 0,
            paused_until: 0,
            clock_offset: random.below(1_000 * SECOND),
            drift: options.drift[index],
            disk: SimDisk::with(planted),
            storage: None,
            log: DiskLog::default(),
            snapshots: BTreeMap::from([(0, 0)]),
            snapshot: 0,
            snapshot_wanted: 0,
            snapshot_busy: false,
            copy: None,
            rotten: false,
            begun_lost: false,
            may_lack_its_end: false,
            base: 0,
            replacement: None,
            replaced: 0,
            unwritten: Vec::new(),
            syncing: false,
            hangs: false,
            full: false,
            crash_in: None,
            leaving: None,
            gone: false,
            delivered: 0,
            promised: ViewNumber::NONE,
            open: BTreeSet::new(),
            heard: vec![Said::default(); options.replicas],
            genuine: HashSet::new(),
            resent: Resent::default(),
        }
    }

    /// Its local clock jumps ahead.
    pub(super) fn jump(&mut self, by: u64) {
        self.clock_offset += by;
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
    config.limits = options.limits;
    config.max_datagram = options.max_datagram;
    let bounds = Bounds::of(options);
    config.undelivered_window = bounds.undelivered;
    config.unstable_window = bounds.unstable;
    config.unnumbered_window = bounds.unnumbered;
    config.resends_per_ms = u32::try_from(bounds.resends_per_ms).expect("few");
    config.max_waiting = bounds.waiting;
    config.join_bound = bounds.join;
    Replica::new(config, incarnation, &cluster_key(), seed, now)
}
