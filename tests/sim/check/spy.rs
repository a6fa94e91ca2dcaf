//! What replicas say to each other, judged by the rules: whose turn a number is, what may be acked.

use std::collections::BTreeMap;

use bytes::Bytes;
use ftqueue::testing::{
    Chunk, ClusterKey, Datagram, MessageName, Opener, ReplicaId, View, ViewNumber, open,
};

/// Reads every datagram that is sent, once.
pub(crate) struct Spy {
    openers: Vec<Opener>,
    numbered: BTreeMap<(ViewNumber, u64), MessageName>,
    by_name: BTreeMap<(ViewNumber, MessageName), u64>,
    bounds: Bounds,
}

/// How far things may go.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// How far a number may be past the delivered one of who gives it out.
    pub(crate) undelivered: u64,
}

/// What is known of a sender from outside the datagram.
pub(crate) struct Sender<'a> {
    pub(crate) node: usize,
    pub(crate) view: Option<&'a View>,
    /// How far its log goes, how far that is durable, and what it has delivered.
    pub(crate) ordered: u64,
    pub(crate) durable: u64,
    pub(crate) delivered: u64,
}

impl Spy {
    pub(crate) fn new(key: &ClusterKey, replicas: usize, bounds: Bounds) -> Self {
        // An opener drops its own replica's datagrams: each sender is spied on by another.
        let opener = |sender: usize| {
            let own = if sender == 0 { 1 } else { 0 };
            Opener::new(key, ReplicaId(own), replicas.max(2))
        };
        Self {
            openers: (0..replicas).map(opener).collect(),
            numbered: BTreeMap::new(),
            by_name: BTreeMap::new(),
            bounds,
        }
    }

    /// Reads a datagram that is sent.
    pub(crate) fn read(&mut self, sender: &Sender<'_>, bytes: &Bytes) -> Datagram {
        let opener = &mut self.openers[sender.node];
        let datagram = open(opener, bytes).expect("replicas send what can be read");
        for chunk in &datagram.chunks {
            match chunk {
                Chunk::Sequence { first, names } => {
                    let view = sender.view.expect("only members number");
                    for (seq, name) in (first.0..).zip(names) {
                        self.check_turn(sender, view, seq, *name);
                    }
                }
                Chunk::Ack { through, .. } => {
                    let (node, durable) = (sender.node, sender.durable);
                    assert!(through.0 <= durable, "r{node} acks {through}, durable is #{durable}");
                }
                _ => {}
            }
        }
        datagram
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
                let known = self.by_name.insert((view.number, name), seq);
                assert_eq!(known, None, "{name} is given #{seq} after another");
                self.numbered.insert((view.number, seq), name);
            }
        }
    }
}
