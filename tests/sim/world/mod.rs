//! N replicas, a network and clients under one seed: events in the order of simulated time, one after the other.

mod clients;
mod node;
mod report;
mod telling;
mod turn;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use bytes::Bytes;
use ftqueue::testing::{
    Action, Datagram, Event, Incarnation, PlantedBug, ReplicaId, Seq, View, ViewNumber,
};

use self::node::{Node, Resent, cluster_key, new_replica};
pub(crate) use self::report::Report;
use crate::check::{Bounds, Ledger, Spy, check_answers};
use crate::network::Network;
use crate::options::{CALLS_FROM, MILLISECOND, Options, SECOND};
use crate::probes::Probes;
use crate::random::Random;
use crate::story::Story;
use crate::workload::Workload;

/// The faults end at this time at the latest.
const FAULTS_UNTIL: u64 = 20 * SECOND;
/// Once the faults are gone, everything is answered, and all replicas are level, within this time.
const RECOVERY: u64 = 5 * SECOND;
/// Once all is answered and level, nothing but heartbeats is sent from this time on.
const QUIET_AFTER: u64 = SECOND;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrive {
        node: usize,
        bytes: Bytes,
        genuine: bool,
    },
    Wake {
        node: usize,
    },
    Synced {
        node: usize,
        round: u64,
        proposer: u8,
        through: u64,
    },
    Invoke {
        client: usize,
    },
    /// A story's call.
    Told {
        node: usize,
        call: usize,
    },
    /// A story's pause.
    Paused {
        node: usize,
        duration: u64,
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
    happenings: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    count: u64,
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
    /// When everything was answered and level for the first time after the faults.
    level_at: Option<u64>,
    healed_at: Option<u64>,
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
            .map(|index| Node::start(index, &options, planted, &mut random))
            .collect();
        let mut world = Self {
            network: Network::new(&options, random.fork()),
            workload: Workload::new(&options, random.fork()),
            ledger: Ledger::new(options.replicas),
            spy: Spy::new(&key, options.replicas, Bounds::of(&options)),
            last_read: vec![(Bytes::new(), None); options.replicas],
            story: None,
            planted,
            views: BTreeMap::new(),
            level_at: None,
            random,
            now: 0,
            happenings: BinaryHeap::new(),
            count: 0,
            nodes,
            healed_at: None,
            trace: 0,
            probes: Probes::of_worlds(),
            tail_lost: vec![None; options.replicas],
            options,
        };
        for node in 0..world.options.replicas {
            let at = world.random.below(100 * MILLISECOND);
            world.wake(node, at);
        }
        for client in 0..world.options.clients * world.options.pipeline {
            world.schedule(CALLS_FROM, Happening::Invoke { client });
        }
        for (at, node) in world.options.restarts.clone() {
            world.schedule(at, Happening::Restart { node });
        }
        world.schedule(FAULTS_UNTIL, Happening::Heal);
        world
    }

    /// Runs until everything is answered and level; panics when a check fails.
    pub(crate) fn run(mut self) -> Report {
        loop {
            let Some(Reverse((at, _, happening))) = self.happenings.pop() else {
                unreachable!("replicas always have a timer");
            };
            self.now = at;
            self.take(happening);
            if self.workload.left == 0 && self.healed_at.is_none() {
                self.heal();
            }
            if self.nodes.iter().any(|node| node.replica.view_is_broken()) {
                // A replica was started anew and somebody had spoken in the view before that was known: the ring
                // cannot go on, and what was answered must be right all the same.
                assert!(!self.options.restarts.is_empty(), "a view breaks without a restart");
                break;
            }
            if let Some(level_at) = self.level_at {
                if self.now > level_at + 2 * QUIET_AFTER {
                    break;
                }
            } else if let Some(healed_at) = self.healed_at {
                if self.workload.waiting == 0 && self.ledger.all_delivered() {
                    self.level_at = Some(self.now);
                }
                assert!(
                    self.now < healed_at + RECOVERY,
                    "{} calls wait {} ms after the faults have gone; {}",
                    self.workload.waiting,
                    (self.now - healed_at) / MILLISECOND,
                    self.describe()
                );
            }
        }
        check_answers(&self.workload.calls, self.ledger.entries());
        self.report()
    }

    fn take(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive { node, bytes, genuine } => {
                self.note(&[1, node as u64, bytes.len() as u64]);
                if genuine {
                    self.nodes[node].genuine.insert(bytes.clone());
                }
                self.nodes[node].inbox.push(Event::Datagram(bytes));
                self.wake_soon(node);
            }
            Happening::Synced { node, round, proposer, through } => {
                self.note(&[2, node as u64, through]);
                let view = ViewNumber { round, proposer: ReplicaId(proposer) };
                self.ledger.synced(node, through);
                self.nodes[node].syncing = false;
                self.nodes[node].inbox.push(Event::Synced { view, through: Seq(through) });
                self.wake_soon(node);
            }
            Happening::Invoke { client } => self.invoke(client),
            Happening::Heal => self.heal(),
            Happening::Restart { node } => self.restart(node),
            Happening::Told { node, call } => self.told(node, call),
            Happening::Paused { node, duration } => {
                self.story_line(&format!(
                    "r{node}        pauses for {} ms",
                    duration / MILLISECOND
                ));
                self.nodes[node].paused_until = self.now + duration;
            }
            Happening::Wake { node } if self.nodes[node].wake_at == self.now => self.run_node(node),
            Happening::Wake { .. } => {}
        }
    }

    /// A replica starts anew, with nothing but a later incarnation.
    fn restart(&mut self, index: usize) {
        self.note(&[7, index as u64]);
        let node = &mut self.nodes[index];
        node.incarnation = Incarnation(node.incarnation.0 + 1 + self.random.below(1_000));
        node.inbox.clear();
        let now = node.local(self.now);
        let seed = self.random.next();
        node.replica = new_replica(index, &self.options, self.planted, node.incarnation, seed, now);
        node.genuine.clear();
        node.resent = Resent::default();
        self.wake(index, self.now + MILLISECOND);
    }

    fn heal(&mut self) {
        if self.healed_at.is_none() {
            self.healed_at = Some(self.now);
            self.network.heal();
            self.workload.left = 0;
            self.options.pause = (0, 0);
            // The ring must not only end what it has, but go on.
            for node in 0..self.options.replicas {
                let call = self.workload.tell(node, Action::Create { label: -1 });
                self.schedule(self.now + SECOND / 2, Happening::Told { node, call });
            }
        }
    }

    fn wake_soon(&mut self, index: usize) {
        let (least, most) = self.options.wake[index];
        let at = self.now + self.random.between(least, most);
        self.wake(index, at);
    }

    fn wake(&mut self, index: usize, at: u64) {
        if at < self.nodes[index].wake_at {
            self.nodes[index].wake_at = at;
            self.schedule(at, Happening::Wake { node: index });
        }
    }

    fn schedule(&mut self, at: u64, happening: Happening) {
        self.count += 1;
        self.happenings.push(Reverse((at, self.count, happening)));
    }
}
