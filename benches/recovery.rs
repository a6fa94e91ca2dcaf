//! What it takes to make snapshots and to recover with many queued items: `cargo bench --bench recovery -- [ITEMS [OPERATIONS]]`.
//!
//! Three replicas as processes of this machine, with default settings. They are stopped, given logs that leave so many
//! items queued and are just short of calling for a snapshot, and started again. Told is, with clients at each replica, a
//! call at a time:
//!
//! - how long a start of all takes, from the log and later from the snapshot;
//! - the memory that an item takes;
//! - how long the slowest call took while all made a snapshot;
//! - how long one takes to be a member again that so many operations passed by, and one whose disk is lost; and the
//!   99th percentile of the others' calls before and meanwhile.

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/cluster/cluster.rs"]
mod cluster;
#[path = "support/disk_watch.rs"]
mod disk_watch;
#[allow(dead_code, reason = "shared with other benchmarks")]
#[path = "support/load.rs"]
mod load;
#[allow(dead_code, reason = "shared with other benchmarks")]
#[path = "support/long_log.rs"]
mod long_log;

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ftqueue::testing::Action;
use ftqueue::testing::proto::QCreateRequest;

use crate::cluster::Cluster;
use crate::disk_watch::DiskWatch;
use crate::load::{Load, serves};
use crate::long_log::{LongLog, payload, pushes_and_pops, stop};

const SIZE: usize = 3;
/// How many clients each replica has; and how many while operations pass one by.
const CLIENTS: usize = 4;
const MANY_CLIENTS: usize = 128;
/// How many pushes an entry has.
const PUSHES: u64 = 100;
/// A snapshot is made once so many bytes of the log are whole; the log ends so much before.
const SNAPSHOT_AT: u64 = 256 << 20;
const SHORT: u64 = 1 << 20;
/// How long the load runs before something is done.
const STEADY: Duration = Duration::from_secs(10);

/// The resident memory of a replica's process in bytes.
fn memory(cluster: &Cluster, id: usize) -> u64 {
    let path = format!("/proc/{}/status", cluster.replicas[id].process_id());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it runs");
    let kilobytes = line.split_whitespace().nth(1).and_then(|count| count.parse::<u64>().ok());
    kilobytes.expect("a number") << 10
}

/// How many bytes the log's files have.
fn log_length(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    let segments = files.filter(|file| file.file_name().to_string_lossy().starts_with("log-"));
    segments.map(|file| file.metadata().unwrap().len()).sum()
}

/// Whether there is a snapshot.
fn has_snapshot(folder: &Path) -> bool {
    let mut files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    files.any(|name| {
        let name = name.to_string_lossy().into_owned();
        name.starts_with("snapshot-") && !name.ends_with(".new")
    })
}

/// A number anywhere among those of 64 bits: what is alike takes less room. (The constant is the golden ratio's, which
/// leaves none out.)
fn scattered(number: u64) -> i64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).cast_signed()
}

/// How long calls took between two points in time, and what the disk did meanwhile.
struct Watch {
    load: Load,
    disk: DiskWatch,
}

impl Watch {
    async fn start(cluster: &Cluster) -> Self {
        Self { load: Load::start(cluster, CLIENTS).await, disk: DiskWatch::start() }
    }

    fn told(&self, replicas: &[usize], from: Instant) -> String {
        let until = Instant::now();
        let took = self.load.took(replicas, from, until);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let Some(slowest) = took.last() else {
            return "no calls".to_owned();
        };
        format!(
            "{} calls, median {:.2} ms, p99 {:.2} ms, slowest {:.1} ms; slowest sync of another file {:.1} ms",
            took.len(),
            ms(took[took.len() / 2]),
            ms(took[took.len() * 99 / 100]),
            ms(*slowest),
            ms(self.disk.slowest(from, until))
        )
    }
}

/// Gives a stopped replica a log that leaves so many items in a queue.
fn fill(cluster: &Cluster, id: usize, queue: i64, items: u64) {
    let mut log = LongLog::open(cluster, id);
    let push = |number: u64| Action::Push { queue, item: scattered(number) };
    for batch in 0..items / PUSHES / 1_000 {
        log.append((0..1_000).map(|entry| {
            let first = (batch * 1_000 + entry) * PUSHES;
            Bytes::from(payload((first..first + PUSHES).map(push)))
        }));
    }
    let others = Bytes::from(pushes_and_pops(queue, 10));
    while log_length(&cluster.replicas[id].data) < SNAPSHOT_AT - SHORT {
        log.append((0..1_000).map(|_| others.clone()));
    }
}

/// Starts all; how long until all serve.
async fn start_all(cluster: &mut Cluster) -> Duration {
    let since = Instant::now();
    cluster.start_all();
    for id in 0..SIZE {
        serves(cluster, id).await;
    }
    since.elapsed()
}

/// Starts a replica, and tells how long it takes to be a member again and what that costs the others.
async fn comes_back(cluster: &mut Cluster, id: usize, what: &str) {
    let others: Vec<_> = (0..SIZE).filter(|other| *other != id).collect();
    let watch = Watch::start(cluster).await;
    let from = Instant::now();
    tokio::time::sleep(STEADY).await;
    println!("{what}: the others before: {}", watch.told(&others, from));
    let from = Instant::now();
    cluster.replicas[id].start();
    let took = serves(cluster, id).await;
    println!("{what}: the others meanwhile: {}", watch.told(&others, from));
    println!("{what}: a member again after {:.1} s", took.as_secs_f64());
    watch.load.end().await;
}

/// Tells what memory an item takes, by what the replicas have more than when they were empty.
fn tell_memory(cluster: &Cluster, empty: &[u64], items: u64) {
    for (id, empty) in empty.iter().enumerate() {
        let more = memory(cluster, id) - empty;
        println!(
            "r{id}: {} MB more than empty, {:.1} bytes an item",
            more >> 20,
            more as f64 / items as f64
        );
    }
}

async fn measure(items: u64, operations: usize) {
    let mut cluster = Cluster::start(SIZE).await;
    let empty: Vec<_> = (0..SIZE).map(|id| memory(&cluster, id)).collect();
    let label = QCreateRequest { label: 2, request: None };
    let queue = cluster.client(0).await.q_create(label).await.unwrap().into_inner().queue_id;
    stop(&mut cluster).await;
    (0..SIZE).for_each(|id| fill(&cluster, id, queue, items));

    let took = start_all(&mut cluster).await.as_secs_f64();
    println!("start of all from {} MB of log: {took:.1} s", SNAPSHOT_AT >> 20);
    tell_memory(&cluster, &empty, items);

    let watch = Watch::start(&cluster).await;
    let from = Instant::now();
    let all: Vec<_> = (0..SIZE).collect();
    while !all.iter().all(|id| has_snapshot(&cluster.replicas[*id].data)) {
        assert!(from.elapsed() < Duration::from_secs(600), "no snapshot is made");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let made = from.elapsed().as_secs_f64();
    println!("until all had a snapshot, {made:.1} s: {}", watch.told(&all, from));
    let from = Instant::now();
    tokio::time::sleep(STEADY).await;
    println!("after that: {}", watch.told(&all, from));
    watch.load.end().await;

    stop(&mut cluster).await;
    let took = start_all(&mut cluster).await.as_secs_f64();
    println!("start of all from a snapshot of {items} items: {took:.1} s");
    tell_memory(&cluster, &empty, items);

    let away = SIZE - 1;
    cluster.replicas[away].kill().await;
    let load = Load::start(&cluster, MANY_CLIENTS).await;
    while load.answers() < operations {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    load.end().await;
    comes_back(&mut cluster, away, &format!("{operations} operations behind")).await;

    cluster.replicas[away].kill().await;
    std::fs::remove_dir_all(&cluster.replicas[away].data).unwrap();
    comes_back(&mut cluster, away, &format!("disk of {items} items lost")).await;
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut number =
        |default| arguments.next().map_or(default, |number| number.parse().expect("a number"));
    let (items, operations) = (number(10_000_000), number(1_000_000));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(measure(items, usize::try_from(operations).expect("a number")));
}
