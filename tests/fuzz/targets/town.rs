//! Real replicas, one of which also lies. They share a clock and a network that keeps the order; every datagram of the
//! liar is sealed anew on its way, so that lies pass for its own. After each step every replica is judged.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use ftqueue::testing::{
    CallId, Config, CopyPlace, Dropped, Effect, Event, Incarnation, Instant, MAX_NUMBER, Opener,
    Operation, Readiness, Replica, ReplicaId, Sealer, Seq, Snapshot, ViewNumber, open, pieces_of,
    read_copy,
};

use super::plausible::Plausible;
use super::{Reached, key};

/// The most datagrams that a replica sends at a time, whatever it was told: 64 resends of a millisecond's budget, its
/// own window of messages to each other replica, and what it repeats.
const MOST_SENT: usize = 160;
/// How long a call waits.
const PATIENCE: Duration = Duration::from_millis(400);
/// How many datagrams are kept to be replayed or changed.
const KEPT: usize = 32;

/// One replica and what is known of it from outside.
struct Node {
    replica: Replica,
    inbox: Vec<Event>,
    /// Opens exactly what the replica opens.
    spy: Opener,
    promised: ViewNumber,
    /// How far it has delivered, and the digest of what.
    delivered: (u64, u64),
    late_wakes: u32,
    calls: BTreeSet<CallId>,
    writes: u64,
}

/// All of them.
pub(super) struct Town {
    now: Instant,
    nodes: Vec<Node>,
    /// Datagrams under way.
    network: VecDeque<(usize, Bytes)>,
    /// What was sent last, by anybody.
    pub(super) sent: VecDeque<Bytes>,
    sealer: Sealer,
    last_call: u64,
    pub(super) reached: Reached,
}

impl Town {
    /// Of so many replicas that have just started, the last of which lies.
    pub(super) fn new(replicas: usize) -> Self {
        let start = |id: u8| {
            let config = Config::new(ReplicaId(id), replicas).expect("an odd number");
            let replica = Replica::new(config, life(id), &key(), id.into(), Instant(0));
            Node {
                replica,
                inbox: Vec::new(),
                spy: Opener::new(&key(), ReplicaId(id), replicas),
                promised: ViewNumber::NONE,
                delivered: (0, 0),
                late_wakes: 0,
                calls: BTreeSet::new(),
                writes: 0,
            }
        };
        let nodes: Vec<_> = (0_u8..).take(replicas).map(start).collect();
        let liar = ReplicaId(u8::try_from(replicas - 1).expect("few"));
        Self {
            now: Instant(0),
            nodes,
            network: VecDeque::new(),
            sent: VecDeque::new(),
            sealer: Sealer::new(&key(), liar, life(liar.0)),
            last_call: 0,
            reached: Reached::new(),
        }
    }

    /// Lets the replicas make their first view.
    pub(super) fn form(&mut self) {
        for _ in 0..100 {
            if self.nodes.iter().all(|node| *node.replica.readiness() == Readiness::Ready) {
                return;
            }
            self.pass(Duration::from_millis(10));
        }
        panic!("no view forms");
    }

    /// How many replicas there are.
    pub(super) fn size(&self) -> usize {
        self.nodes.len()
    }

    /// The one that lies.
    pub(super) fn liar(&self) -> ReplicaId {
        self.sealer.sender()
    }

    /// Its incarnation.
    pub(super) fn life(&self) -> Incarnation {
        self.sealer.incarnation()
    }

    /// What matters to a replica.
    pub(super) fn plausible(&self, node: usize) -> Plausible {
        let replica = &self.nodes[node].replica;
        let (ordered, delivered) = (replica.ordered_through().0, replica.delivered_through().0);
        let locals = self.nodes.iter().map(|node| node.replica.counters().messages_sent);
        let view = replica.view().map_or_else(|| replica.promised(), |view| view.number);
        Plausible {
            lives: (0_u8..).take(self.size()).map(life).collect(),
            view,
            liar: self.liar(),
            marks: [0, ordered, ordered, delivered].into_iter().chain(locals).collect(),
        }
    }

    /// A caller asks a replica.
    pub(super) fn call(&mut self, node: usize, operation: Operation) {
        self.last_call += 1;
        let call = CallId(self.last_call);
        self.nodes[node].calls.insert(call);
        let deadline = self.now + PATIENCE;
        self.nodes[node].inbox.push(Event::Call { call, operation, deadline });
        self.turn(node);
    }

    /// Seals a lie.
    pub(super) fn seal(&mut self, body: &[u8]) -> Bytes {
        self.sealer.seal(body)
    }

    /// The sealer of lies.
    pub(super) fn sealer(&mut self) -> &mut Sealer {
        &mut self.sealer
    }

    /// The inside of an authentic datagram of any replica but the first.
    pub(super) fn inside(&self, datagram: &[u8]) -> Option<Bytes> {
        let mut opener = Opener::new(&key(), ReplicaId(0), self.size());
        opener.open(datagram).ok().map(|opened| opened.body)
    }

    /// From now on the liar's lies are of its next life.
    pub(super) fn start_anew(&mut self) {
        let next = Incarnation(self.sealer.incarnation().0 + 1);
        self.sealer = Sealer::new(&key(), self.liar(), next);
    }

    /// The first of the datagrams under way are lost.
    pub(super) fn lose(&mut self, count: usize) {
        self.network.drain(..count.min(self.network.len()));
    }

    /// A datagram comes to a replica.
    pub(super) fn deliver(&mut self, node: usize, bytes: Bytes) {
        let Node { spy, inbox, .. } = &mut self.nodes[node];
        if let Err(Dropped::MalformedBody(_)) = open(spy, &bytes) {
            self.reached.insert("malformed_body");
        }
        inbox.push(Event::Datagram(bytes));
        self.turn(node);
    }

    /// Time passes; what is under way arrives, and what follows from it.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        (0..self.size()).for_each(|node| self.turn(node));
        // Answers to answers end by themselves, or the replicas chatter. Five replicas that are told many lies at once ask
        // each other for what is not there, three times before they wait longer: 2,283 datagrams were seen.
        for _ in 0..5_000 {
            let Some((to, bytes)) = self.network.pop_front() else { return };
            self.now = self.now + Duration::from_micros(5);
            self.deliver(to, bytes);
        }
        panic!("the replicas do not come to rest");
    }

    /// A replica gets to its events, as the runtime has it.
    fn turn(&mut self, index: usize) {
        let (now, node) = (self.now, &mut self.nodes[index]);
        let mut effects = Vec::new();
        for event in std::mem::take(&mut node.inbox) {
            node.replica.handle(now, event, &mut effects);
        }
        if node.replica.next_timeout() <= now {
            node.replica.handle(now, Event::Timeout, &mut effects);
        }
        node.replica.settle(now, &mut effects);
        let mut sent = Vec::new();
        while let Some(synced) = carry_out(node, &mut effects, &mut sent, &mut self.reached) {
            node.replica.handle(now, synced, &mut effects);
            node.replica.settle(now, &mut effects);
        }
        node.replica.send(now, &mut effects);
        let synced = carry_out(node, &mut effects, &mut sent, &mut self.reached);
        assert!(synced.is_none(), "sending appends nothing");
        assert!(sent.len() <= MOST_SENT, "r{index} sends {} datagrams at a time", sent.len());
        judge(index, node, now);
        for (to, bytes) in sent {
            self.post(index, to, bytes);
        }
    }

    fn post(&mut self, from: usize, to: ReplicaId, bytes: Bytes) {
        let bytes = if from == self.liar().index() {
            let body = self.inside(&bytes).expect("its own datagram");
            self.sealer.seal(&body)
        } else {
            bytes
        };
        if self.sent.len() == KEPT {
            self.sent.pop_front();
        }
        self.sent.push_back(bytes.clone());
        self.network.push_back((to.index(), bytes));
    }

    /// What was reached in all.
    pub(super) fn finish(mut self) -> Reached {
        for node in &self.nodes {
            let counted = node.replica.counters().each().filter(|(_, count)| *count > 0);
            self.reached.extend(counted.map(|(name, _)| name));
        }
        self.reached
    }
}

/// Carries out a replica's effects; gives what became durable.
fn carry_out(
    node: &mut Node,
    effects: &mut Vec<Effect>,
    sent: &mut Vec<(ReplicaId, Bytes)>,
    reached: &mut Reached,
) -> Option<Event> {
    let mut synced = None;
    for effect in effects.drain(..) {
        match effect {
            Effect::Send { to, datagram } => sent.push((to, datagram)),
            Effect::Write(_) | Effect::Replace(_) | Effect::Rewrite(_) => {
                node.writes += 1;
                synced = Some(Event::Synced { writes: node.writes });
            }
            Effect::Lend { to, at, length, .. } => {
                reached.insert("pieces lent");
                let at = CopyPlace { offset: at.offset.min(MAX_NUMBER - 7), ..at };
                let pieces =
                    pieces_of(at, (at.offset + 7, 1), Bytes::from_static(b"a piece"), length);
                node.inbox.push(Event::Lent { to, pieces });
            }
            Effect::ReadCopy(copied) => {
                // A liar's files are never a log: a checksum covers all of it.
                let mut state = Snapshot::default();
                let read = read_copy(copied.snapshot, copied.files.clone(), &mut state);
                assert!(read.is_err() || state.delivered_through() == Seq(0), "lies are read");
                reached.insert("copies read");
                node.inbox.push(Event::CopyUnreadable);
            }
            Effect::Answer { call, result } => {
                assert!(node.calls.remove(&call), "a call is answered once");
                reached.insert(if result.is_ok() { "calls answered" } else { "calls refused" });
            }
        }
    }
    synced
}

/// What may not be, whatever a member says.
fn judge(index: usize, node: &mut Node, now: Instant) {
    let replica = &node.replica;
    let (through, digest) = (replica.delivered_through().0, replica.queues().digest());
    let (before, digest_before) = node.delivered;
    assert!(before <= through, "r{index} takes back what it delivered");
    assert!(before < through || before == 0 || digest == digest_before, "r{index} changes queues");
    node.delivered = (through, digest);

    // That a majority holds what is delivered is not among these: a member that lies can make a view of its own, and
    // tell a replica outside of it that anything was delivered.
    assert!(replica.promised() >= node.promised, "r{index} takes a promise back");
    node.promised = replica.promised();

    let late = replica.next_timeout() <= now;
    node.late_wakes = if late { node.late_wakes + 1 } else { 0 };
    assert!(node.late_wakes < 3, "r{index} wants to be woken in the past");
}

/// The first incarnation of a replica.
fn life(id: u8) -> Incarnation {
    Incarnation(100 + u64::from(id))
}
