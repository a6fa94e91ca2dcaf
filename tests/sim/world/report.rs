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
    /// Whether it ended where a disk lost what nobody else can know.
    pub(crate) hopeless: bool,
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
            let Some(replica) = &node.replica else {
                return "down".to_owned();
            };
            let report = replica.report(node.local(self.now));
            format!("{} {report:?} {:?}", replica.watermarks(), replica.counters())
        };
        let waiting = self.workload.calls.iter().enumerate();
        let waiting = waiting.filter(|(_, call)| call.returned == u64::MAX && call.invoked > 0);
        let waiting: Vec<_> = waiting.map(|(index, call)| (index, call.node)).take(8).collect();
        let nodes = self.nodes.iter().map(describe).collect::<Vec<_>>().join("\n");
        format!("calls and whom they ask: {waiting:?}; broken: {:?}\n{nodes}", self.options.broken)
    }

    pub(super) fn report(self) -> Report {
        let mut probes = self.probes;
        let replicas = self.nodes.iter().filter_map(|node| node.replica.as_ref());
        let counted = replicas.flat_map(|replica| Counters::each(replica.counters()));
        for (name, count) in counted.chain(self.network.probes.each()) {
            probes.add(name, count);
        }
        let executed = |call: &&Call| matches!(call.outcome, Outcome::Executed(_));
        let executed = self.workload.calls.iter().filter(executed).count();
        let loaded_for = self.healed_at.unwrap_or(self.now).saturating_sub(CALLS_FROM);
        let (trace, hopeless, simulated) = (self.trace, self.hopeless, self.now);
        Report { trace, probes, hopeless, executed, loaded_for, simulated }
    }
}
