//! The targets: any bytes go in; a panic says that something came out that should not.

pub(crate) mod chunks;
pub(crate) mod datagram;
pub(crate) mod liar;
pub(crate) mod operations;
pub(crate) mod plausible;
pub(crate) mod seal;
mod town;

use std::collections::BTreeSet;

use ftqueue::testing::{ClusterId, ClusterKey, Incarnation, Opener, ReplicaId, Sealer};

/// The paths that an input took, by name.
pub(crate) type Reached = BTreeSet<&'static str>;

/// Replicas in targets without a live core.
const REPLICAS: usize = 5;
const SENDER: ReplicaId = ReplicaId(1);
const LIFE: Incarnation = Incarnation(7);

fn key() -> ClusterKey {
    ClusterKey::new(1, &[7; 32], ClusterId::from_name("fuzzed"))
}

/// One sender and one receiver.
fn pair() -> (Sealer, Opener) {
    let key = key();
    (Sealer::new(&key, SENDER, LIFE), Opener::new(&key, ReplicaId(0), REPLICAS))
}
