//! The one order that all replicas must agree on, as it comes to be.

use std::collections::BTreeMap;

use ftqueue::testing::{Entry, MessageName, ReplicaId};

/// The order so far: the first replica that appends an entry extends it, all others must agree.
pub(crate) struct Ledger {
    entries: Vec<Entry>,
    /// Each origin's last message in the order.
    last_local: BTreeMap<ReplicaId, MessageName>,
    /// How far each replica's log goes, and how far it is durable.
    appended: Vec<u64>,
    durable: Vec<u64>,
    delivered: Vec<u64>,
    /// The queues' digest by delivered number.
    digests: BTreeMap<u64, u64>,
}

impl Ledger {
    pub(crate) fn new(replicas: usize) -> Self {
        Self {
            entries: Vec::new(),
            last_local: BTreeMap::new(),
            appended: vec![0; replicas],
            durable: vec![0; replicas],
            delivered: vec![0; replicas],
            digests: BTreeMap::new(),
        }
    }

    /// The order.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// A replica appends an entry: without a gap, and the same as every other; a new one is its origin's next.
    pub(crate) fn append(&mut self, node: usize, entry: &Entry) {
        let place = self.appended[node];
        assert_eq!(entry.seq.0, place + 1, "r{node} appends with a gap");
        self.appended[node] += 1;
        match self.entries.get(place as usize) {
            Some(known) => assert_eq!(known, entry, "r{node} disagrees on {}", entry.seq),
            None => {
                let name = entry.name;
                let last = self.last_local.insert(name.origin, name);
                let next = match last {
                    Some(last) if last.incarnation == name.incarnation => last.local.0 + 1,
                    _ => 1,
                };
                assert_eq!(name.local.0, next, "{name} is numbered out of its origin's order");
                self.entries.push(entry.clone());
            }
        }
    }

    /// A replica's log is durable through `through`.
    pub(crate) fn synced(&mut self, node: usize, through: u64) {
        assert!(through <= self.appended[node]);
        self.durable[node] = self.durable[node].max(through);
    }

    /// What a replica may ack.
    pub(crate) fn durable(&self, node: usize) -> u64 {
        self.durable[node]
    }

    /// What every replica holds durably.
    pub(crate) fn stable(&self) -> u64 {
        self.durable.iter().copied().min().unwrap_or(0)
    }

    /// What a replica has appended.
    pub(crate) fn appended(&self, node: usize) -> u64 {
        self.appended[node]
    }

    /// A replica has delivered through `through`: a majority of all holds that durably, and the state is everybody's.
    pub(crate) fn delivered(&mut self, node: usize, through: u64, digest: impl FnOnce() -> u64) {
        let before = self.delivered[node];
        assert!(before <= through, "r{node} takes back what it delivered");
        if before == through {
            return;
        }
        self.delivered[node] = through;
        let holders = self.durable.iter().filter(|durable| **durable >= through).count();
        assert!(holders > self.durable.len() / 2, "r{node} delivers #{through}, held by {holders}");
        let digest = digest();
        let known = *self.digests.entry(through).or_insert(digest);
        assert_eq!(known, digest, "r{node} has another state at #{through}");
    }

    /// At the end all replicas have delivered everything.
    pub(crate) fn all_delivered(&self) -> bool {
        self.delivered.iter().all(|delivered| *delivered == self.entries.len() as u64)
    }
}
