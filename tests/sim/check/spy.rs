//! What replicas say to each other, judged by the rules: whose turn a number is, what may be acked.

use std::collections::BTreeMap;

use bytes::Bytes;
use ftqueue::testing::{
    Chunk, ClusterKey, Datagram, Incarnation, MessageName, Opener, ReplicaId, View, ViewNumber,
    open,
};

use super::log::DiskLog;
use crate::options::Options;

/// Reads every datagram that is sent, once.
pub(crate) struct Spy {
    key: ClusterKey,
    openers: Vec<Opener>,
    numbered: BTreeMap<(ViewNumber, u64), MessageName>,
    by_name: BTreeMap<(ViewNumber, MessageName), u64>,
    /// The last message of each origin's life that has a number, and the last that was sent.
    last_numbered: BTreeMap<(ReplicaId, Incarnation), u64>,
    last_sent: BTreeMap<(ReplicaId, Incarnation), u64>,
    /// The latest view in which a number was given out, and the last one.
    highest: (ViewNumber, u64),
    bounds: Bounds,
}

/// How far things may go in a run.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// How far a number may be past the delivered one of who gives it out.
    pub(crate) undelivered: u64,
    /// How far a number may be past the one that all members hold durably.
    pub(crate) unstable: u64,
    /// How many of a replica's messages may have no number.
    pub(crate) unnumbered: u64,
    /// How much may be resent on request in a millisecond.
    pub(crate) resends_per_ms: u64,
    /// How many calls may wait to be multicast.
    pub(crate) waiting: usize,
    /// How far a replica may be behind and be taken into a view: what it fetches in a few round trips.
    pub(crate) join: u64,
}

impl Bounds {
    pub(crate) fn of(options: &Options) -> Self {
        if options.small_windows {
            Self {
                undelivered: 4,
                unstable: 8,
                unnumbered: 2,
                // Entries are fetched at this rate by round trip, and within the time that all are to be level again.
                resends_per_ms: 4,
                waiting: 24,
                join: 64,
            }
        } else {
            Self {
                undelivered: 1_024,
                unstable: 8_192,
                unnumbered: 8,
                resends_per_ms: 64,
                waiting: 16_384,
                join: 1_024,
            }
        }
    }
}

/// What is known of a sender from outside the datagram.
pub(crate) struct Sender<'a> {
    pub(crate) node: usize,
    pub(crate) view: Option<&'a View>,
    /// How far its log goes, how far that is durable, and what it has delivered.
    pub(crate) ordered: u64,
    pub(crate) durable: u64,
    pub(crate) delivered: u64,
    /// How far every member's log is durable, as far as that is not before the view.
    pub(crate) stable: u64,
    /// The highest promise that it wrote, and the highest that is durable.
    pub(crate) promised: (ViewNumber, ViewNumber),
    /// What it has written.
    pub(crate) log: &'a DiskLog,
}

impl Spy {
    pub(crate) fn new(key: &ClusterKey, replicas: usize, bounds: Bounds) -> Self {
        Self {
            key: key.clone(),
            openers: (0..replicas).map(|sender| opener(key, sender, replicas)).collect(),
            numbered: BTreeMap::new(),
            by_name: BTreeMap::new(),
            last_numbered: BTreeMap::new(),
            last_sent: BTreeMap::new(),
            highest: (ViewNumber::NONE, 0),
            bounds,
        }
    }

    /// A replica's next life is not after those before.
    pub(crate) fn forget_life(&mut self, sender: usize) {
        self.openers[sender] = opener(&self.key, sender, self.openers.len());
    }

    /// The last number that was given out.
    pub(crate) fn highest_number(&self) -> u64 {
        self.highest.1
    }

    /// Reads a datagram that is sent.
    pub(crate) fn read(&mut self, sender: &Sender<'_>, bytes: &Bytes) -> Datagram {
        let opener = &mut self.openers[sender.node];
        let datagram = open(opener, bytes).expect("replicas send what can be read");
        let (node, view, (_, promised)) = (sender.node, datagram.header.view, sender.promised);
        assert!(view <= promised, "r{node} is in {view} before its promise is durable");
        for chunk in &datagram.chunks {
            match chunk {
                Chunk::Sequence { first, names } => {
                    let view = sender.view.expect("only members number");
                    for (seq, name) in (first.0..).zip(names) {
                        self.check_turn(sender, view, seq, *name);
                    }
                }
                Chunk::Data { name, .. } if usize::from(name.origin.0) == sender.node => {
                    self.check_unnumbered(*name);
                }
                Chunk::Ack { through, .. } => {
                    let (node, durable) = (sender.node, sender.durable);
                    assert!(through.0 <= durable, "r{node} acks {through}, durable is #{durable}");
                    let view = sender.view.expect("only members ack").number;
                    let (promised, _) = sender.promised;
                    assert!(view >= promised, "r{node} acks in {view}, and promised {promised}");
                }
                Chunk::Prepare { number } | Chunk::Promise { number, .. } => {
                    let (node, (_, durable)) = (sender.node, sender.promised);
                    assert!(*number <= durable, "r{node} says {number} before that is durable");
                }
                Chunk::Recovery { fences, .. } => {
                    for fence in fences {
                        let (node, fenced) = (sender.node, sender.log.is_fenced(*fence));
                        assert!(fenced, "r{node} says {fence:?} before that is durable");
                    }
                }
                _ => {}
            }
        }
        datagram
    }

    /// A message is in a log, so it has a number, said or not: who gave it out may have crashed before.
    pub(crate) fn appended(&mut self, name: MessageName) {
        let numbered = self.last_numbered.entry((name.origin, name.incarnation)).or_default();
        *numbered = (*numbered).max(name.local.0);
    }

    /// A replica sends its messages in order, each as soon as few enough before it have no number.
    fn check_unnumbered(&mut self, name: MessageName) {
        let origin = (name.origin, name.incarnation);
        let last = self.last_sent.entry(origin).or_default();
        if name.local.0 <= *last {
            return;
        }
        // One before it may never have left: its view ended in the same turn. Others ask for it.
        *last = name.local.0;
        let numbered = self.last_numbered.get(&origin).copied().unwrap_or(0);
        assert!(
            *last <= numbered + self.bounds.unnumbered,
            "{name} is sent while those after {numbered} have no number"
        );
    }

    /// The first to say a number is the member whose turn it is; nobody says another thing later.
    fn check_turn(&mut self, sender: &Sender<'_>, view: &View, seq: u64, name: MessageName) {
        let (node, delivered) = (sender.node, sender.delivered);
        match self.numbered.get(&(view.number, seq)) {
            Some(known) => assert_eq!(*known, name, "#{seq} is given out twice"),
            None => {
                let turn = view.members[(seq % view.members.len() as u64) as usize].id;
                assert_eq!(usize::from(turn.0), node, "#{seq} is given out by r{node}");
                assert!(
                    seq <= sender.ordered,
                    "#{seq} is given out by r{node}, which lacks it or what is below"
                );
                assert!(
                    seq <= self.bounds.undelivered + delivered,
                    "#{seq} is given out by r{node}, which has delivered #{delivered}"
                );
                assert!(
                    seq <= self.bounds.unstable + sender.stable,
                    "#{seq} is given out by r{node}, all members hold #{}",
                    sender.stable
                );
                let numbered =
                    self.last_numbered.entry((name.origin, name.incarnation)).or_default();
                *numbered = (*numbered).max(name.local.0);
                let known = self.by_name.insert((view.number, name), seq);
                assert_eq!(known, None, "{name} is given #{seq} after another");
                self.numbered.insert((view.number, seq), name);
                if view.number > self.highest.0 {
                    self.highest = (view.number, seq);
                }
                self.highest.1 = self.highest.1.max(seq);
            }
        }
    }
}

/// An opener drops its own replica's datagrams: each sender is spied on by another.
fn opener(key: &ClusterKey, sender: usize, replicas: usize) -> Opener {
    let own = if sender == 0 { 1 } else { 0 };
    Opener::new(key, ReplicaId(own), replicas.max(2))
}
