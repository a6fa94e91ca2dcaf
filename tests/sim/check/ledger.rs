//! The one order that all replicas must agree on, as it comes to be: what any replica has ever delivered.

use std::collections::BTreeMap;

use ftqueue::testing::{Entry, Incarnation, ReplicaId};

use super::log::DiskLog;

/// The delivered entries: the first replica that delivers a number says which entry it is, all others must agree, in
/// any of their lives.
pub(crate) struct Ledger {
    entries: Vec<Entry>,
    /// The last message of each origin's life in the order.
    last_local: BTreeMap<(ReplicaId, Incarnation), u64>,
    /// The queues' digest by delivered number.
    digests: BTreeMap<u64, u64>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), last_local: BTreeMap::new(), digests: BTreeMap::new() }
    }

    /// The order.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many numbers were delivered by anybody.
    pub(crate) fn last(&self) -> u64 {
        self.entries.len() as u64
    }

    /// A replica has delivered what is past `before` up to `through`, by its log: a majority of all disks holds it
    /// durably, and the state is everybody's.
    pub(crate) fn delivered(
        &mut self,
        node: usize,
        logs: &[&DiskLog],
        (before, through): (u64, u64),
        digest: u64,
    ) {
        for number in before + 1..=through {
            let entry = logs[node].get(number).expect("what is delivered is in the log");
            if number > self.last() {
                assert!(
                    held_by_majority(logs, entry),
                    "r{node} delivers #{number}, which no majority holds"
                );
                self.extend(entry.clone());
            } else {
                let known = &self.entries[number as usize - 1];
                assert_eq!(known, entry, "r{node} delivers another #{number}");
            }
        }
        let known = *self.digests.entry(through).or_insert(digest);
        assert_eq!(known, digest, "r{node} has another state at #{through}");
    }

    /// A snapshot has this state at that number.
    pub(crate) fn check_state(&self, node: usize, number: u64, digest: u64) {
        if let Some(known) = self.digests.get(&number) {
            assert_eq!(*known, digest, "a snapshot of r{node} has another state at #{number}");
        }
    }

    /// A replica takes part again whose disk was lost: all that was delivered is still held by a majority, now that what the
    /// disk held does not count any more.
    pub(crate) fn check_all_held(&self, logs: &[&DiskLog]) {
        self.check_held(logs, (0, u64::MAX));
    }

    /// A log lost or dropped its entries past `after`: what was delivered stays on a majority's disks.
    pub(crate) fn check_held(&self, logs: &[&DiskLog], (after, until): (u64, u64)) {
        for entry in &self.entries[self.last().min(after) as usize..self.last().min(until) as usize]
        {
            assert!(held_by_majority(logs, entry), "{} is delivered, and dropped", entry.seq);
        }
    }

    fn extend(&mut self, entry: Entry) {
        assert_eq!(entry.seq.0, self.last() + 1, "every number is seen");
        if let Some(name) = entry.name() {
            let last = self.last_local.entry((name.origin, name.incarnation)).or_default();
            assert_eq!(name.local.0, *last + 1, "{name} is delivered twice, or out of order");
            *last += 1;
        }
        self.entries.push(entry);
    }
}

fn held_by_majority(logs: &[&DiskLog], entry: &Entry) -> bool {
    let holders = logs.iter().filter(|log| log.holds(entry)).count();
    holders > logs.len() / 2
}
