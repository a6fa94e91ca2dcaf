//! What a run leaves: its trace's hash, the paths that it took, the work it did.

use ftqueue::testing::Counters;

use super::World;
use super::node::Node;
use crate::options::CALLS_FROM;
use crate::probes::Probes;
use crate::workload::{Call, Outcome};

/// A finished run.
pub(crate) struct Report {
    /// A hash of everything that happened: the same seed gives the same.
    pub(crate) trace: u64,
    pub(crate) probes: Probes,
    pub(crate) executed: usize,
    /// How long the load took, from the first call, in simulated nanoseconds.
    pub(crate) loaded_for: u64,
    /// How long the run took, in simulated nanoseconds.
    pub(crate) simulated: u64,
}

impl World {
    /// Takes what happened into the trace (FNV-1a).
    pub(super) fn note(&mut self, what: &[u64]) {
        for word in [self.now].iter().chain(what) {
            self.trace = (self.trace ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(super) fn describe(&self) -> String {
        let describe = |node: &Node| {
            let replica = &node.replica;
            format!("{} {:?} {:?}", replica.watermarks(), replica.readiness(), replica.counters())
        };
        self.nodes.iter().map(describe).collect::<Vec<_>>().join("; ")
    }

    pub(super) fn report(self) -> Report {
        let mut probes = self.probes;
        let counted = self.nodes.iter().flat_map(|node| Counters::each(node.replica.counters()));
        for (name, count) in counted.chain(self.network.probes.each()) {
            probes.add(name, count);
        }
        let executed = |call: &&Call| matches!(call.outcome, Outcome::Executed(_));
        let executed = self.workload.calls.iter().filter(executed).count();
        let loaded_for = self.healed_at.unwrap_or(self.now).saturating_sub(CALLS_FROM);
        Report { trace: self.trace, probes, executed, loaded_for, simulated: self.now }
    }
}
