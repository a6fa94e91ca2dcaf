//! A cluster behind a relay.

use crate::cluster::Cluster;
use crate::relay::{Faults, Relay};

/// The relay's seed: what it does to the k-th datagram of a direction is always the same.
const SEED: u64 = 4_711;

/// A cluster behind a relay, all of whose replicas serve.
pub(crate) async fn start(size: usize, faults: Faults) -> (Cluster, Relay) {
    for _ in 0..5 {
        let mut cluster = Cluster::start_some(size, &[]);
        let relay = Relay::start(&cluster.ring_addresses(), faults, SEED).unwrap();
        for (id, replica) in cluster.replicas.iter_mut().enumerate() {
            replica.members = relay.members(id, replica.ring());
            replica.start();
        }
        if cluster.all_serve().await {
            return (cluster, relay);
        }
    }
    panic!("ports were taken again and again");
}
