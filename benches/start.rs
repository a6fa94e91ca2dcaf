//! How long a start takes with a large log: `cargo bench --bench start -- [MEGABYTES [OPERATIONS]]`.
//!
//! Three replicas are started, stopped, given a log of so many megabytes (messages of so many pushes and pops, which is
//! what a loaded cluster writes) and started again: what is told is the time until all serve, which is reading, checking
//! and replaying the log and forming a view.

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/cluster/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "shared with other benchmarks")]
#[path = "support/long_log.rs"]
mod long_log;

use std::time::{Duration, Instant};

use ftqueue::testing::proto::QCreateRequest;

use crate::cluster::Cluster;
use crate::long_log::{LongLog, pushes_and_pops, stop};

const SIZE: usize = 3;
async fn measure(megabytes: u64, operations: u64) {
    let mut cluster = Cluster::start(SIZE).await;
    let label = QCreateRequest { label: 1, request: None };
    let queue = cluster.client(0).await.q_create(label).await.unwrap().into_inner().queue_id;
    stop(&mut cluster).await;
    let payload: bytes::Bytes = pushes_and_pops(queue, operations).into();
    let lengths: Vec<_> = (0..SIZE)
        .map(|id| {
            let mut log = LongLog::open(&cluster, id);
            log.append_until(megabytes << 20, &payload);
            log.entries
        })
        .collect();
    // One alone, then all at a time: on few cores they are in each other's way.
    for replicas in [1, SIZE] {
        let since = Instant::now();
        cluster.replicas.iter_mut().take(replicas).for_each(cluster::Replica::start);
        for replica in cluster.replicas.iter().take(replicas) {
            while replica.health("").await.is_none() {
                assert!(since.elapsed() < cluster::LIMIT * 10, "it does not start");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let replayed = since.elapsed().as_secs_f64();
        if replicas == SIZE {
            assert!(cluster.all_serve().await);
        }
        let served = since.elapsed().as_secs_f64();
        let executed = lengths[0] * operations;
        println!(
            "{replicas} of {SIZE} started with {megabytes} MB, {} entries of {operations} operations: read after {replayed:.1} s \
             ({:.2} million operations/s each), all serve after {served:.1} s",
            lengths[0],
            executed as f64 / replayed / 1e6,
        );
        for replica in cluster.replicas.iter_mut().take(replicas) {
            replica.kill().await;
        }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut number =
        |default| arguments.next().map_or(default, |number| number.parse().expect("a number"));
    let (megabytes, operations) = (number(1_024), number(10));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(measure(megabytes, operations));
}
