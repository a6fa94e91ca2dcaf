//! How long a start takes with a large log: `cargo bench --bench start -- [MEGABYTES [OPERATIONS]]`.
//!
//! Three replicas are started, stopped, given a log of so many megabytes (messages of so many pushes and pops, which is
//! what a loaded cluster writes) and started again: what is told is the time until all serve, which is reading, checking
//! and replaying the log and forming a view.

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/cluster/cluster.rs"]
mod cluster;

use std::time::{Duration, Instant};

use ftqueue::testing::proto::QCreateRequest;
use ftqueue::testing::{
    Action, Append, Body, Entry, Folder, LocalSeq, MessageName, Operation, Record, ReplicaId,
    SEGMENT_LENGTH, Seq, Storage,
};
use ring::digest::{SHA256, digest};
use rustix::process::Signal;

use crate::cluster::Cluster;

const SIZE: usize = 3;
/// How many entries are written at a time.
const BATCH: u64 = 1_000;

/// Stops all replicas in order.
async fn stop(cluster: &mut Cluster) {
    for id in 0..SIZE {
        cluster.replicas[id].signal(Signal::TERM);
    }
    for id in 0..SIZE {
        assert_eq!(cluster.replicas[id].exit_code().await, Some(0));
    }
}

/// Whose log it is, as its files say.
fn owner(id: usize) -> u64 {
    let digest = digest(&SHA256, format!("{id}\nftqueue").as_bytes());
    digest.as_ref().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// A message's operations: as many pushes as pops.
fn payload(queue: i64, operations: u64) -> Vec<u8> {
    let mut payload = Vec::new();
    for number in 0..operations {
        let action = if number % 2 == 0 {
            Action::Push { queue, item: number as i64 * 1_000 }
        } else {
            Action::Pop { queue }
        };
        Operation { request: None, action }.encode(&mut payload);
    }
    payload
}

/// Writes entries of the last view's first member until the log is `bytes` long; gives how many.
fn lengthen(cluster: &Cluster, id: usize, (queue, operations): (i64, u64), bytes: u64) -> u64 {
    let (mut view, mut last) = (None, Seq(0));
    let folder = Folder::new(&cluster.replicas[id].data);
    let opened = Storage::open(folder, owner(id), SEGMENT_LENGTH, &mut |record| match record {
        Record::Append(entry) => {
            last = entry.seq;
            if let Body::View(members) = &entry.body {
                view = Some((entry.view, members[0]));
            }
        }
        Record::Drop { after } => last = after,
        _ => {}
    });
    let (mut storage, _) = opened.unwrap();
    let (view, member) = view.expect("a view was formed");
    let payload: bytes::Bytes = payload(queue, operations).into();
    let (mut written, mut entries) = (0, 0);
    while written < bytes {
        let mut records = Vec::new();
        for _ in 0..BATCH {
            last = last.next();
            entries += 1;
            // A life of its own: nothing of the last one's is numbered twice.
            let incarnation = ftqueue::testing::Incarnation(member.incarnation.0 + 1);
            let (origin, local) = (ReplicaId(0), LocalSeq(entries));
            let name = MessageName { origin, incarnation, local };
            let body = Body::Message { name, payload: payload.clone() };
            records.push(Record::Append(Entry { seq: last, view, body }));
            written += payload.len() as u64 + 20;
        }
        records.push(Record::Delivered(last));
        assert_eq!(storage.append(&records).unwrap(), Append::Written);
        storage.sync().unwrap();
    }
    entries
}

async fn measure(megabytes: u64, operations: u64) {
    let mut cluster = Cluster::start(SIZE).await;
    let label = QCreateRequest { label: 1, request: None };
    let queue = cluster.client(0).await.q_create(label).await.unwrap().into_inner().queue_id;
    stop(&mut cluster).await;
    let lengths: Vec<_> =
        (0..SIZE).map(|id| lengthen(&cluster, id, (queue, operations), megabytes << 20)).collect();
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
