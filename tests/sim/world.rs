//! N replicas, a network and clients under one seed: events in the order of simulated time, one after the other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use bytes::Bytes;
use ftqueue::testing::{
    Action, CallId, Chunk, ClusterId, ClusterKey, Config, Counters, Datagram, Effect, Event,
    Incarnation, Instant, Operation, PlantedBug, Refusal, Replica, ReplicaId, RequestName, Seq,
    View, ViewNumber,
};

use crate::check::{Bounds, Ledger, Sender, Spy, check_answers};
use crate::network::Network;
use crate::options::{CALLS_FROM, MILLISECOND, Options, SECOND};
use crate::random::Random;
use crate::story::{Fate, Story};
use crate::workload::{Outcome, Workload};

/// The faults end at this time at the latest.
const FAULTS_UNTIL: u64 = 20 * SECOND;
/// Once the faults are gone, everything is answered, and all replicas are level, within this time.
const RECOVERY: u64 = 5 * SECOND;
/// Once all is answered and level, nothing but heartbeats is sent from this time on.
const QUIET_AFTER: u64 = SECOND;

/// The window past the delivered number in runs with small windows.
const SMALL_WINDOW: u64 = 4;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrive {
        node: usize,
        bytes: Bytes,
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

struct Node {
    replica: Replica,
    incarnation: Incarnation,
    inbox: Vec<Event>,
    wake_at: u64,
    /// How often it woke and wanted to be woken at once again, running.
    late_wakes: u32,
    paused_until: u64,
    /// The local clock: where it started, and its rate in millionths off.
    clock_offset: u64,
    drift: i64,
    syncing: bool,
    /// What has arrived, each once.
    arrived: BTreeSet<Bytes>,
}

fn cluster_key() -> ClusterKey {
    ClusterKey::new(1, &[7; 32], ClusterId::from_name("simulated"))
}

impl Node {
    fn start(
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
            arrived: BTreeSet::new(),
        }
    }

    fn local(&self, now: u64) -> Instant {
        let drifted = i128::from(now) * i128::from(1_000_000 + self.drift) / 1_000_000;
        Instant(self.clock_offset + u64::try_from(drifted).expect("time goes on"))
    }

    /// The first time at which the local clock shows `local`.
    fn global(&self, local: Instant) -> u64 {
        let elapsed = i128::from(local.0.saturating_sub(self.clock_offset));
        let rate = i128::from(1_000_000 + self.drift);
        u64::try_from((elapsed * 1_000_000 + rate - 1) / rate).expect("time goes on")
    }
}

fn new_replica(
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
    if options.small_windows {
        (config.undelivered_window, config.unstable_window) = (SMALL_WINDOW, 8);
        (config.unnumbered_window, config.max_waiting) = (2, 8);
        config.resends_per_ms = 2;
    }
    Replica::new(config, incarnation, &cluster_key(), seed, now)
}

/// A finished run.
pub(crate) struct Report {
    /// A hash of everything that happened: the same seed gives the same.
    pub(crate) trace: u64,
    pub(crate) probes: BTreeMap<&'static str, u64>,
    pub(crate) executed: usize,
    /// How long the load took, from the first call, in simulated nanoseconds.
    pub(crate) loaded_for: u64,
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
}

impl World {
    pub(crate) fn new(options: Options, planted: Option<PlantedBug>) -> Self {
        let mut random = Random::new(options.seed);
        let key = cluster_key();
        let undelivered = if options.small_windows { SMALL_WINDOW } else { 1_024 };
        let nodes = (0..options.replicas)
            .map(|index| Node::start(index, &options, planted, &mut random))
            .collect();
        let mut world = Self {
            network: Network::new(&options, random.fork()),
            workload: Workload::new(&options, random.fork()),
            ledger: Ledger::new(options.replicas),
            spy: Spy::new(&key, options.replicas, Bounds { undelivered }),
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
                if self.workload.waiting() == 0 && self.ledger.all_delivered() {
                    self.level_at = Some(self.now);
                }
                assert!(
                    self.now < healed_at + RECOVERY,
                    "{} calls wait {} ms after the faults have gone; {}",
                    self.workload.waiting(),
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
            Happening::Arrive { node, bytes } => {
                self.note(&[1, node as u64, bytes.len() as u64]);
                self.nodes[node].arrived.insert(bytes.clone());
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
        node.arrived.clear();
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

    fn invoke(&mut self, client: usize) {
        let Some(index) = self.workload.invoke(self.now, client) else {
            return;
        };
        self.ask(index);
    }

    /// A call goes to its replica.
    fn ask(&mut self, index: usize) {
        let call = &self.workload.calls[index];
        let (client, node) = (call.client, call.node);
        let (action, patience) = (call.action, call.patience);
        self.note(&[3, node as u64, index as u64]);
        let deadline = Instant(self.nodes[node].local(self.now).0 + patience);
        let number = index as u64 + 1;
        let name = || RequestName { client: format!("{client:064}").into(), number };
        let operation = Operation { action, request: self.options.names.then(name) };
        self.nodes[node].inbox.push(Event::Call {
            call: CallId(index as u64),
            operation,
            deadline,
        });
        self.wake_soon(node);
    }

    /// A replica gets to its events: takes all in, settles, and sends once, as the runtime does.
    fn run_node(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.wake_at = u64::MAX;
        if self.now < node.paused_until {
            let until = node.paused_until;
            return self.wake(index, until);
        }
        let local = node.local(self.now);
        let mut effects = Vec::new();
        for event in std::mem::take(&mut node.inbox) {
            node.replica.handle(local, event, &mut effects);
        }
        if node.replica.next_timeout() <= local {
            node.replica.handle(local, Event::Timeout, &mut effects);
        }
        node.replica.settle(local, &mut effects);
        self.carry_out_all(index, &mut effects);
        while self.options.sync[index] == (0, 0)
            && let Some(synced) = self.sync_at_once(index)
        {
            let replica = &mut self.nodes[index].replica;
            replica.handle(local, synced, &mut effects);
            replica.settle(local, &mut effects);
            self.carry_out_all(index, &mut effects);
        }
        self.nodes[index].replica.send(local, &mut effects);
        self.carry_out_all(index, &mut effects);
        self.sync(index);
        let replica = &self.nodes[index].replica;
        self.ledger.delivered(index, replica.delivered_through().0, || replica.queues().digest());
        self.check_counters(index);
        let (often, most) = self.options.pause;
        if self.random.below(1_000_000) < often {
            self.nodes[index].paused_until = self.now + self.random.below(most);
        }
        self.check_view(index);
        let next = self.nodes[index].replica.next_timeout();
        let node = &mut self.nodes[index];
        node.late_wakes = if next <= local { node.late_wakes + 1 } else { 0 };
        assert!(node.late_wakes < 3, "r{index} wants to be woken in the past");
        let at = self.nodes[index].global(next).max(self.now + 1);
        self.wake(index, at);
    }

    /// A view's number names one view.
    fn check_view(&mut self, index: usize) {
        if let Some(view) = self.nodes[index].replica.view() {
            let known = self.views.entry(view.number).or_insert_with(|| view.clone());
            assert_eq!(known, view, "two views have one number");
        }
    }

    /// What a replica's own counts must not say.
    fn check_counters(&self, index: usize) {
        let node = &self.nodes[index];
        let counters = node.replica.counters();
        assert_eq!(
            counters.conflicting_numberings, 0,
            "r{index} was told two things of one number"
        );
        assert_eq!(counters.foreign_names, 0, "r{index} was told of a message of nobody");
        assert_eq!(counters.unreadable_payloads, 0, "r{index} delivered what it cannot read");
        let (accepted, arrived) = (counters.datagrams_accepted, node.arrived.len() as u64);
        assert!(accepted <= arrived, "r{index} accepted a datagram twice");
    }

    fn carry_out(&mut self, index: usize, effect: Effect) {
        match effect {
            Effect::Send { to, datagram } => {
                // A multicast comes as one effect per receiver, one after the other: it is read once.
                if self.last_read[index].0 != datagram {
                    let durable = self.ledger.durable(index);
                    let replica = &self.nodes[index].replica;
                    let delivered = replica.delivered_through().0;
                    let (view, ordered) = (replica.view(), replica.ordered_through().0);
                    let sender = Sender { node: index, view, ordered, durable, delivered };
                    let read = self.spy.read(&sender, &datagram);
                    let quiet = self.level_at.is_some_and(|at| self.now > at + QUIET_AFTER);
                    let heartbeat = |chunk: &Chunk| matches!(chunk, Chunk::Heartbeat { .. });
                    let said = &read.chunks;
                    assert!(
                        !quiet || said.iter().all(heartbeat),
                        "r{index} goes on saying {said:?}; {}",
                        self.describe()
                    );
                    self.last_read[index] = (datagram.clone(), Some(read));
                }
                self.note(&[4, index as u64, to.index() as u64, datagram.len() as u64]);
                let fate = self.told_fate(index, to.index());
                for (at, bytes) in self.network.send(self.now, index, to.index(), &datagram) {
                    let at = match fate {
                        Some(Fate::Lost) => continue,
                        Some(Fate::Late(delay)) => at + delay,
                        Some(Fate::Twice) => {
                            let again =
                                Happening::Arrive { node: to.index(), bytes: bytes.clone() };
                            self.schedule(at + MILLISECOND, again);
                            at
                        }
                        None => at,
                    };
                    self.schedule(at, Happening::Arrive { node: to.index(), bytes });
                }
            }
            Effect::Append(entry) => {
                self.note(&[5, index as u64, entry.seq.0]);
                self.ledger.append(index, &entry);
                let name = entry.name;
                let entry = format!("{}={}.{}", entry.seq, name.origin, name.local.0);
                self.story_line(&format!("r{index}        appends {entry}"));
            }
            Effect::Answer { call, result } => self.answer(call, result),
        }
    }

    /// What the story says of the datagram that was read last, sent to `to`.
    fn told_fate(&mut self, from: usize, to: usize) -> Option<Fate> {
        let (story, read) = (self.story.as_mut()?, self.last_read[from].1.as_ref()?);
        let fate = story.fate(self.now, from, to, read);
        story.sent(self.now, from, to, read, fate);
        fate
    }

    /// Lets a story be told: its calls and pauses at their times.
    pub(crate) fn tell(
        &mut self,
        story: Story,
        calls: Vec<(u64, usize, Action)>,
        pauses: Vec<(u64, usize, u64)>,
    ) {
        self.story = Some(story);
        for (at, node, action) in calls {
            let call = self.workload.tell(node, action);
            self.schedule(at, Happening::Told { node, call });
        }
        for (at, node, duration) in pauses {
            self.schedule(at, Happening::Paused { node, duration });
        }
    }

    /// Runs to a point in time; gives the story as it was told.
    pub(crate) fn run_until(mut self, until: u64) -> Story {
        while let Some(Reverse((at, _, happening))) = self.happenings.pop()
            && at <= until
        {
            self.now = at;
            self.take(happening);
        }
        check_answers(&self.workload.calls, self.ledger.entries());
        self.story.expect("a story is told")
    }

    fn told(&mut self, node: usize, call: usize) {
        self.workload.calls[call].invoked = self.now;
        let action = self.workload.calls[call].action;
        self.story_line(&format!("r{node}        is asked {action:?}"));
        self.ask(call);
    }

    fn story_line(&mut self, what: &str) {
        if let Some(story) = &mut self.story {
            story.line(self.now, what);
        }
    }

    /// A call is answered; its client goes on.
    fn answer(&mut self, id: CallId, result: Result<ftqueue::testing::Executed, Refusal>) {
        let call = &mut self.workload.calls[id.0 as usize];
        if let Ok(executed) = &result {
            let executed_here = self.nodes[call.node].replica.queues().sequence();
            assert!(executed.sequence <= executed_here, "an answer comes before its execution");
        }
        assert_eq!(call.returned, u64::MAX, "a call is answered once");
        call.returned = self.now;
        call.outcome = match result {
            Ok(executed) => Outcome::Executed(executed),
            Err(Refusal::Overloaded { .. }) => Outcome::NotExecuted,
            Err(Refusal::DeadlineExceeded { sent, .. } | Refusal::Unavailable { sent, .. }) => {
                if sent {
                    Outcome::Unknown
                } else {
                    Outcome::NotExecuted
                }
            }
        };
        let told = format!("r{}        answers {}", call.node, call.outcome.told());
        let refused = !matches!(call.outcome, Outcome::Executed(_));
        let (client, node) = (call.client, call.node);
        self.note(&[6, node as u64, id.0]);
        self.story_line(&told);
        let pause = if refused { 20 * MILLISECOND } else { 0 };
        let think = pause + self.random.below(MILLISECOND / 2);
        self.schedule(self.now + think, Happening::Invoke { client });
    }

    fn carry_out_all(&mut self, index: usize, effects: &mut Vec<Effect>) {
        for effect in effects.drain(..) {
            self.carry_out(index, effect);
        }
    }

    /// What was appended is durable at once.
    fn sync_at_once(&mut self, index: usize) -> Option<Event> {
        let (appended, durable) = (self.ledger.appended(index), self.ledger.durable(index));
        if appended == durable {
            return None;
        }
        self.ledger.synced(index, appended);
        let view = self.nodes[index].replica.view()?.number;
        Some(Event::Synced { view, through: Seq(appended) })
    }

    /// Syncs what was appended since the last sync, all at once.
    fn sync(&mut self, index: usize) {
        let (appended, durable) = (self.ledger.appended(index), self.ledger.durable(index));
        if self.nodes[index].syncing || appended == durable {
            return;
        }
        let Some(view) = self.nodes[index].replica.view().map(|view| view.number) else {
            return;
        };
        self.nodes[index].syncing = true;
        let (least, most) = self.options.sync[index];
        let at = self.now + self.random.between(least, most);
        let (round, proposer) = (view.round, view.proposer.0);
        self.schedule(at, Happening::Synced { node: index, round, proposer, through: appended });
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

    /// Takes what happened into the trace (FNV-1a).
    fn note(&mut self, what: &[u64]) {
        for word in [self.now].iter().chain(what) {
            self.trace = (self.trace ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn describe(&self) -> String {
        let describe = |node: &Node| {
            let replica = &node.replica;
            format!("{} {:?} {:?}", replica.watermarks(), replica.readiness(), replica.counters())
        };
        self.nodes.iter().map(describe).collect::<Vec<_>>().join("; ")
    }

    fn report(self) -> Report {
        let mut probes = BTreeMap::new();
        for (name, count) in
            self.nodes.iter().flat_map(|node| Counters::each(node.replica.counters()))
        {
            *probes.entry(name).or_default() += count;
        }
        let executed = |call: &&crate::workload::Call| matches!(call.outcome, Outcome::Executed(_));
        let executed = self.workload.calls.iter().filter(executed).count();
        let loaded_for = self.healed_at.unwrap_or(self.now).saturating_sub(CALLS_FROM);
        Report { trace: self.trace, probes, executed, loaded_for }
    }
}
