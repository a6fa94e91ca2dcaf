//! N replicas, a network and clients under one seed: events in the order of simulated time, one after the other.

mod agenda;
mod clients;
mod copies;
mod life;
mod lost;
mod node;
mod report;
mod snapshots;
mod telling;
mod turn;

use std::collections::BTreeMap;

use bytes::Bytes;
use ftqueue::testing::{
    Action, Datagram, Event, PlantedBug, ReplicaId, Snapshot, View, ViewNumber,
};

use self::agenda::Agenda;
use self::life::RETRY;
use self::node::{Node, cluster_key};
pub(crate) use self::report::Report;
use crate::check::{Bounds, Ledger, Said, Spy, check_answers};
use crate::network::Network;
use crate::options::{Broken, CALLS_FROM, Cut, Fault, MILLISECOND, ORDINARY_SYNC, Options, SECOND};
use crate::probes::Probes;
use crate::random::Random;
use crate::story::{Story, Told};
use crate::workload::{Again, Outcome, Workload};

/// The faults end at this time at the latest: whatever breaks has broken, and lasted, by then. What comes after would be
/// more of the same, and half of all the steps of runs with few clients.
const FAULTS_UNTIL: u64 = 7 * SECOND;
/// Once the faults are gone, everything is answered, and all replicas are level, within this time.
const RECOVERY: u64 = 20 * SECOND;
/// Later where a sync takes long, by so many of those that take longest: several are waited for one after the other in each
/// change of view.
const SYNCS_TO_RECOVER: u64 = 20;
/// And later where a member's disk is to be found to hang, which takes so long.
const FOUND_TO_HANG: u64 = 20 * SECOND;
/// Once all is answered and level, nothing but heartbeats is sent from this time on.
const QUIET_AFTER: u64 = SECOND;

enum Happening {
    Arrive {
        node: usize,
        bytes: Bytes,
        /// By whom it was sent just so, and what that says; none for what was changed on its way.
        genuine: Option<(usize, Said)>,
    },
    Synced {
        node: usize,
        life: u64,
        through: usize,
    },
    /// The thread that makes snapshots gets to one.
    Snapshot {
        node: usize,
        life: u64,
        below: u64,
    },
    /// Something was read from a disk.
    Read {
        node: usize,
        life: u64,
        event: Event,
    },
    /// What was copied of another replica was read.
    TakeOver {
        node: usize,
        life: u64,
        state: Box<Snapshot>,
    },
    /// Storage tries again what there was no room for.
    Retry {
        node: usize,
        life: u64,
    },
    /// A datagram to a replica that is down came back.
    Refused {
        node: usize,
        by: usize,
    },
    Fault {
        node: usize,
        fault: Fault,
    },
    Invoke {
        caller: usize,
    },
    /// A client asks by the name of a call again.
    Again {
        call: usize,
        again: Again,
    },
    /// A story's call.
    Told {
        node: usize,
        call: usize,
    },
    /// Something else that a story says.
    Script {
        told: Told,
    },
    Restart {
        node: usize,
    },
    Heal,
}

/// A run.
pub(crate) struct World {
    options: Options,
    random: Random,
    now: u64,
    happenings: Agenda,
    nodes: Vec<Node>,
    network: Network,
    workload: Workload,
    ledger: Ledger,
    spy: Spy,
    /// The last datagram of each replica, and what it says.
    last_read: Vec<(Bytes, Option<Datagram>)>,
    story: Option<Story>,
    planted: Option<PlantedBug>,
    views: BTreeMap<ViewNumber, View>,
    /// Whether nothing happens that may change the view.
    calm: bool,
    /// How many views there were when all replicas were in one for the first time.
    views_at_first: Option<usize>,
    /// When everything was answered and level for the first time after the faults.
    level_at: Option<u64>,
    healed_at: Option<u64>,
    /// Whether all disks are needed from then on: for the first start, or where one of them was lost.
    all_are_needed: bool,
    /// A disk lost what no other replica can know that it held: nothing that follows can be judged.
    hopeless: bool,
    trace: u64,
    probes: Probes,
    /// The last number, where the SEQUENCE that told a replica of it was lost.
    tail_lost: Vec<Option<u64>>,
}

impl World {
    pub(crate) fn new(options: Options, planted: Option<PlantedBug>) -> Self {
        let mut random = Random::new(options.seed);
        let key = cluster_key();
        let nodes = (0..options.replicas)
            .map(|index| Node::new(index, &options, planted, &mut random))
            .collect();
        let mut world = Self {
            network: Network::new(&options, random.fork()),
            workload: Workload::new(&options, random.fork()),
            ledger: Ledger::new(),
            spy: Spy::new(&key, options.replicas, Bounds::of(&options)),
            last_read: vec![(Bytes::new(), None); options.replicas],
            story: None,
            planted,
            views: BTreeMap::new(),
            calm: options.is_calm(),
            views_at_first: None,
            level_at: None,
            random,
            now: 0,
            happenings: Agenda::default(),
            nodes,
            healed_at: None,
            all_are_needed: false,
            hopeless: false,
            trace: 0,
            probes: Probes::of_worlds(),
            tail_lost: vec![None; options.replicas],
            options,
        };
        for node in 0..world.options.replicas {
            let at = world.random.below(100 * MILLISECOND);
            world.schedule(at, Happening::Restart { node });
        }
        for caller in 0..world.options.clients * world.options.pipeline {
            world.schedule(CALLS_FROM, Happening::Invoke { caller });
        }
        for (at, node, fault) in world.options.faults.clone() {
            world.schedule(at, Happening::Fault { node, fault });
        }
        world.schedule(FAULTS_UNTIL, Happening::Heal);
        world
    }

    /// Runs until everything is answered and level; panics when a check fails.
    pub(crate) fn run(mut self) -> Report {
        loop {
            self.step();
            if self.hopeless {
                return self.report();
            }
            if self.workload.left == 0 && self.healed_at.is_none() {
                self.heal();
            }
            if let Some(level_at) = self.level_at {
                if self.now > level_at + 2 * self.quiet_after() {
                    break;
                }
            } else if let Some(healed_at) = self.healed_at {
                if self.workload.waiting == 0 && self.is_level() {
                    self.level_at = Some(self.now);
                }
                assert!(
                    self.now < healed_at + self.recovery(),
                    "{} calls wait {} ms after the faults have gone; {}",
                    self.workload.waiting,
                    (self.now - healed_at) / MILLISECOND,
                    self.describe()
                );
            }
        }
        if let Some(views) = self.views_at_first.filter(|_| self.calm) {
            assert_eq!(self.views.len(), views, "the view changes though nothing calls for it");
        }
        let seen = check_answers(&self.workload.calls, self.ledger.entries(), self.options.limits);
        seen.into_iter().for_each(|(name, count)| self.probes.add(name, count));
        self.report()
    }

    /// How long all may take to be level once the faults have gone.
    fn recovery(&self) -> u64 {
        let hung = self.options.broken.iter().any(|(_, broken)| matches!(broken, Broken::Hung));
        let found_out = if hung { FOUND_TO_HANG } else { 0 };
        RECOVERY + found_out + SYNCS_TO_RECOVER * self.slow_sync()
    }

    /// How long after that nothing more is said.
    fn quiet_after(&self) -> u64 {
        QUIET_AFTER + 2 * self.slow_sync()
    }

    /// How long a sync takes on the slowest disk that is needed, where that is long.
    fn slow_sync(&self) -> u64 {
        let needed = (0..self.options.replicas)
            .filter(|node| self.all_are_needed || self.whole().contains(node))
            .map(|node| self.options.sync[node].1);
        needed.max().filter(|takes| *takes > ORDINARY_SYNC).unwrap_or(0)
    }

    /// The next thing happens: what arrives or befalls, else a replica that is due gets to its events.
    fn step(&mut self) {
        let due = self.nodes.iter().enumerate().map(|(index, node)| (node.wake_at, index)).min();
        let (wake_at, index) = due.expect("there are replicas");
        match self.happenings.next_at() {
            Some(at) if at <= wake_at => {
                let happening = self.happenings.pop();
                self.now = at;
                self.take(happening);
            }
            _ => {
                assert_ne!(wake_at, u64::MAX, "something always happens");
                self.now = wake_at;
                self.run_node(index);
            }
        }
    }

    /// When the next thing happens.
    fn next_at(&self) -> u64 {
        let due = self.nodes.iter().map(|node| node.wake_at).min().unwrap_or(u64::MAX);
        self.happenings.next_at().map_or(due, |at| at.min(due))
    }

    fn take(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive { node, bytes, genuine } => {
                self.note(&[1, node as u64, bytes.len() as u64]);
                if let Some((from, said)) = genuine {
                    self.nodes[node].heard[from].add(said);
                    let seal = *bytes.last_chunk().expect("a datagram has a seal");
                    self.nodes[node].genuine.insert(seal);
                }
                if self.nodes[node].replica.is_some() {
                    self.nodes[node].inbox.push(Event::Datagram(bytes));
                    self.wake_soon(node);
                }
            }
            Happening::Synced { node, life, .. }
                if self.nodes[node].hangs && self.nodes[node].incarnation.0 == life =>
            {
                // As long as it hangs.
                self.schedule(self.now + RETRY, happening);
            }
            Happening::Synced { node, life, through } => {
                if self.nodes[node].replica.is_some() && self.nodes[node].incarnation.0 == life {
                    self.note(&[2, node as u64, through as u64]);
                    self.nodes[node].syncing = false;
                    if let Some(synced) = self.make_durable(node, through) {
                        self.nodes[node].inbox.push(synced);
                        self.sync(node);
                    }
                    self.wake_soon(node);
                }
            }
            Happening::Snapshot { node, life, .. }
                if self.nodes[node].hangs && self.nodes[node].incarnation.0 == life =>
            {
                self.schedule(self.now + RETRY, happening);
            }
            Happening::Snapshot { node, life, below } => self.make_snapshot(node, life, below),
            Happening::Read { node, life, event } => {
                if self.nodes[node].replica.is_some() && self.nodes[node].incarnation.0 == life {
                    self.nodes[node].inbox.push(event);
                    self.wake_soon(node);
                }
            }
            Happening::TakeOver { node, life, state } => self.take_over(node, life, *state),
            Happening::Retry { node, life } => {
                if self.nodes[node].replica.is_some() && self.nodes[node].incarnation.0 == life {
                    self.nodes[node].syncing = false;
                    self.sync(node);
                }
            }
            Happening::Refused { node, by } => {
                self.note(&[9, node as u64, by as u64]);
                let by = ReplicaId(u8::try_from(by).expect("few replicas"));
                self.nodes[node].inbox.push(Event::Refused(by));
                self.wake_soon(node);
            }
            Happening::Fault { node, fault } => self.fault(node, fault),
            Happening::Invoke { caller } => self.invoke(caller),
            Happening::Again { call, again } => self.ask_again(call, again),
            // A story has its own end.
            Happening::Heal if self.story.is_some() => {}
            Happening::Heal => self.heal(),
            Happening::Restart { node } => self.start(node),
            Happening::Told { node, call } => self.told(node, call),
            Happening::Script { told } => self.scripted(told),
        }
    }

    /// Something breaks.
    fn fault(&mut self, node: usize, fault: Fault) {
        if self.healed_at.is_some() {
            return;
        }
        match fault {
            Fault::Crash { power, down_for, after } => {
                if after > 0 && self.nodes[node].replica.is_some() {
                    self.nodes[node].crash_in = Some(after);
                } else {
                    self.crash(node, power);
                }
                self.schedule(self.now + down_for, Happening::Restart { node });
            }
            Fault::Leave => {
                if self.nodes[node].replica.is_some() {
                    self.nodes[node].leaving = Some(self.now);
                    self.nodes[node].inbox.push(Event::Leave);
                    self.wake_soon(node);
                }
            }
            Fault::Pause { duration } => {
                self.probes.hit("replica_paused");
                self.nodes[node].paused_until = self.now + duration;
            }
            Fault::Jump { by } => self.nodes[node].jump(by),
            Fault::Full { room } => {
                self.nodes[node].disk.limit(Some(room));
            }
            Fault::Room => self.nodes[node].disk.limit(None),
            Fault::DiskHangs => {
                if self.nodes[node].replica.is_some() {
                    self.probes.hit("disk_hangs");
                    self.nodes[node].hangs = true;
                }
            }
            Fault::DiskSlows { least, most } => {
                self.probes.hit("disk_slows");
                self.options.sync[node] = (least, most);
            }
            Fault::DiskFails => self.nodes[node].disk.fail_after(0),
            Fault::LoseDisk { how, down_for } => self.lose_disk(node, how, down_for),
            Fault::CopyDisk => self.nodes[node].copy_disk(),
        }
    }

    /// The faults end, but for those that stay for good with a minority.
    fn heal(&mut self) {
        if self.healed_at.is_some() {
            return;
        }
        self.healed_at = Some(self.now);
        self.network.heal();
        self.workload.left = 0;
        self.options.pause = (0, 0);
        let sound = |node: &Node| node.log.is_sound() && !node.rotten && !node.may_lack_its_end;
        self.all_are_needed = !self.nodes.iter().all(sound);
        if self.nodes.iter().any(|node| !node.log.is_sound() && !node.log.is_lost()) {
            // For the first start all are needed.
            self.options.broken.retain(|(_, broken)| matches!(broken, Broken::Slow));
        }
        for node in 0..self.options.replicas {
            self.nodes[node].paused_until = 0;
            self.nodes[node].crash_in = None;
            self.nodes[node].disk.limit(None);
            self.start(node);
            let for_good =
                |(broken, how): &(usize, Broken)| *broken == node && matches!(how, Broken::Hung);
            if !self.options.broken.iter().any(for_good)
                && std::mem::take(&mut self.nodes[node].hangs)
            {
                self.sync(node);
            }
        }
        for (node, broken) in self.options.broken.clone() {
            self.break_for_good(node, broken);
        }
        // The ring must not only end what it has, but go on, at every replica that is whole.
        for node in self.whole() {
            self.wake_soon(node);
            let call = self.workload.tell(node, Action::Create { label: -1 });
            self.schedule(self.now + SECOND / 2, Happening::Told { node, call });
        }
    }

    fn break_for_good(&mut self, node: usize, broken: Broken) {
        self.probes.hit("broken_for_good");
        for call in std::mem::take(&mut self.nodes[node].open) {
            self.end_call(call, Outcome::Unknown);
        }
        let others = (0..self.options.replicas).filter(|other| *other != node);
        for other in others {
            let mut cut = |from, to| {
                self.network.cut(Cut { from, to, since: 0, until: u64::MAX });
            };
            match broken {
                Broken::Isolated => {
                    cut(node, other);
                    cut(other, node);
                }
                Broken::Mute => cut(node, other),
                Broken::Deaf => cut(other, node),
                Broken::Partly if other % 2 == 0 => cut(node, other),
                Broken::Partly | Broken::Down | Broken::Paused | Broken::Hung | Broken::Slow => {}
            }
        }
        match broken {
            Broken::Down => {
                self.crash(node, true);
                self.nodes[node].gone = true;
            }
            Broken::Paused => self.nodes[node].paused_until = u64::MAX / 2,
            Broken::Hung => {
                self.probes.hit("disk_hangs_for_good");
                self.nodes[node].hangs = true;
                // Its process would start anew, and read the disk.
                self.nodes[node].leaving = None;
            }
            _ => {}
        }
    }

    /// The replicas that are not broken for good.
    fn whole(&self) -> Vec<usize> {
        let broken = |node: &usize| self.options.broken.iter().any(|(broken, _)| broken == node);
        (0..self.options.replicas).filter(|node| !broken(node)).collect()
    }

    /// Whether all replicas that are whole have delivered everything, and are members.
    fn is_level(&self) -> bool {
        self.whole().into_iter().all(|node| {
            let node = &self.nodes[node];
            node.delivered == self.ledger.last()
                && node.replica.as_ref().is_some_and(|replica| replica.view().is_some())
        })
    }

    fn wake_soon(&mut self, index: usize) {
        let (least, most) = self.options.wake[index];
        let at = self.now + self.random.between(least, most);
        self.wake(index, at);
    }

    fn wake(&mut self, index: usize, at: u64) {
        let wake_at = &mut self.nodes[index].wake_at;
        *wake_at = at.min(*wake_at);
    }

    fn schedule(&mut self, at: u64, happening: Happening) {
        self.happenings.push(at, happening);
    }
}
