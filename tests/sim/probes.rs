//! Probes: how often a run took each path. Those that happen seldom must be taken by some seed of every CI run, or the
//! checks that stand on them mean nothing.

use std::collections::BTreeMap;

/// Counts by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probes(BTreeMap<&'static str, u64>);

/// What replicas that keep the rules never do to each other.
const NEVER: [&str; 5] = [
    "beyond_window",
    "conflicting_numberings",
    "foreign_names",
    "impossible_views",
    "unreadable_payloads",
];

/// What happens to a whole run now and then.
const OF_WORLDS: [&str; 32] = [
    "asked_again_elsewhere",
    "asked_again_while_under_way",
    "broken_for_good",
    "crash_between_effects",
    "crash_while_syncing",
    "datagram_refused",
    "disk_decayed",
    "disk_failed",
    "disk_hangs",
    "disk_hangs_for_good",
    "disk_made_up_for",
    "disk_put_back",
    "disk_rotten",
    "disk_rotten_and_found_out",
    "disk_wiped",
    "durable_write_lost",
    "entries_dropped_by_record",
    "left_in_order",
    "left_though_needed",
    "log_replaced",
    "log_rewritten",
    "outlived",
    "replica_paused",
    "snapshot_cut_short",
    "snapshot_made",
    "snapshot_of_damage",
    "snapshot_without_room",
    "storage_full",
    "tail_sequence_lost",
    "torn_tail_cut",
    "write_misdirected",
    "writes_lost_in_crash",
];

impl Probes {
    /// With the paths that only the world sees.
    pub(crate) fn of_worlds() -> Self {
        Self(OF_WORLDS.map(|name| (name, 0)).into())
    }

    /// One more.
    pub(crate) fn hit(&mut self, name: &'static str) {
        self.add(name, 1);
    }

    /// So many more; none makes the probe known all the same.
    pub(crate) fn add(&mut self, name: &'static str, count: u64) {
        *self.0.entry(name).or_default() += count;
    }

    /// How often.
    pub(crate) fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// All that are known.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(name, count)| (*name, *count))
    }

    /// Those that were to be reached and were not.
    pub(crate) fn missed(&self) -> Vec<&'static str> {
        self.each()
            .filter(|(name, count)| *count == 0 && !NEVER.contains(name))
            .map(|(name, _)| name)
            .collect()
    }

    /// Those that never are to be reached and were.
    pub(crate) fn forbidden(&self) -> Vec<&'static str> {
        NEVER.into_iter().filter(|name| self.of(name) > 0).collect()
    }
}
