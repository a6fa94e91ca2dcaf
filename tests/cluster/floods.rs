//! Floods of datagrams at the ring's ports: each is counted and dropped, memory stays flat, callers are answered.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};

use ftqueue::testing::{ClusterId, ClusterKey, Incarnation, ReplicaId, Sealer};
use rustix::process::Signal;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::cluster::{Cluster, LIMIT};
use crate::victim::{Bystander, assert_flat, resident};

/// How many rounds; in each, some dozens of datagrams for each replica.
const ROUNDS: usize = 1_500;

/// What the replicas 0 and 1 send to where replica 2 would be.
fn overheard(ring: SocketAddr) -> Vec<Vec<u8>> {
    let socket = UdpSocket::bind(ring).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let mut buffer = [0; 2_000];
    let mut take = || {
        let length = socket.recv(&mut buffer).expect("replicas say that they are there");
        buffer[..length].to_vec()
    };
    (0..8).map(|_| take()).collect()
}

/// The counts in what a replica says when it ends.
fn counts(log: &str) -> BTreeMap<String, u64> {
    let line = log.lines().rfind(|line| line.contains("datagrams_dropped: ")).expect("the counts");
    let words: Vec<&str> =
        line.split([' ', ',', '{', '}']).filter(|word| !word.is_empty()).collect();
    let pairs = words
        .windows(2)
        .filter_map(|pair| Some((pair[0].strip_suffix(':')?.to_owned(), pair[1].parse().ok()?)));
    pairs.collect()
}

#[tokio::test]
async fn a_flood_of_datagrams_is_counted_and_dropped() {
    let mut cluster = Cluster::start_some(3, &[0, 1]);
    let overheard = overheard(cluster.replicas[2].ring());
    cluster.replicas[2].start();
    for replica in &cluster.replicas {
        replica.until(ServingStatus::Serving).await;
    }
    let bystander = Bystander::start(&cluster, 1).await;

    // Authentic ones that came before, cut, changed, as long as UDP carries, of strangers, and garbage.
    let stranger = ClusterKey::new(1, &[9; 32], ClusterId::from_name("ftqueue"));
    let mut sealer = Sealer::new(&stranger, ReplicaId(2), Incarnation(1 << 50));
    let mut flood = overheard.clone();
    for datagram in &overheard {
        flood.push(datagram[..datagram.len() / 2].to_vec());
        flood.push(datagram.iter().map(|byte| byte ^ 1).collect());
        let mut changed = datagram.clone();
        *changed.last_mut().unwrap() ^= 1;
        flood.push(changed);
        flood.push(sealer.seal(datagram).to_vec());
    }
    flood.extend([vec![0; 65_507], vec![0xff; 1_400], vec![1; 3], Vec::new()]);

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut before = 0;
    for round in 0..ROUNDS {
        if round == ROUNDS / 10 {
            before = resident(&cluster, 0);
        }
        for datagram in &flood {
            for ring in cluster.ring_addresses() {
                socket.send_to(datagram, ring).unwrap();
            }
        }
        tokio::task::yield_now().await;
    }
    assert_flat(&cluster, before);
    bystander.stop().await;

    let replica = &mut cluster.replicas[0];
    replica.signal(Signal::TERM);
    assert_eq!(replica.exit_code().await, Some(0));
    let counts = counts(&replica.log());
    println!("{counts:?}");
    // The kernel drops what comes too fast; what gets through is counted.
    for count in ["datagrams_dropped", "datagrams_replayed", "datagrams_oversized"] {
        assert!(counts[count] > 100, "{count}: {counts:?}");
    }
    for nothing in ["views_installed", "conflicting_numberings", "foreign_names"] {
        assert!(counts[nothing] <= 1, "{nothing}: {counts:?}");
    }
}
