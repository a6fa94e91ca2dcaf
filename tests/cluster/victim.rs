//! A replica under attack: its memory, and a caller that means no harm.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use ftqueue::testing::proto::QIdRequest;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Request;

use crate::cluster::Cluster;

/// How much a replica's memory may grow under thousands of hostile requests, once it is warm.
pub(crate) const GROWTH: u64 = 32 << 20;
/// How long the well-meaning caller waits for each answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The resident memory of a process, in bytes.
pub(crate) fn resident(cluster: &Cluster, id: usize) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", cluster.replicas[id].process_id()));
    let status = status.unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

/// Asserts that the memory has not grown beyond the bound since it was `before`.
pub(crate) fn assert_flat(cluster: &Cluster, before: u64) {
    let now = resident(cluster, 0);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!("memory: {:.1} MiB before, {:.1} MiB after", mib(before), mib(now));
    assert!(now < before + GROWTH, "memory grew from {before} to {now} bytes");
}

/// A caller that calls all the while, on a connection of its own.
pub(crate) struct Bystander {
    stop: watch::Sender<bool>,
    calling: JoinHandle<u32>,
}

impl Bystander {
    /// Begins to call replica `id`; it has been answered once when this returns.
    pub(crate) async fn start(cluster: &Cluster, id: usize) -> Self {
        let mut client = cluster.client(id).await;
        client.q_id(QIdRequest { label: 1 }).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let calling = tokio::spawn(async move {
            let mut answered = 0;
            while !*stopped.borrow() {
                let mut request = Request::new(QIdRequest { label: 1 });
                request.set_timeout(PATIENCE);
                client.q_id(request).await.expect("other callers are answered all the while");
                answered += 1;
            }
            answered
        });
        Self { stop, calling }
    }

    /// Ends it; panics where a call was not answered.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        let answered = self.calling.await.unwrap();
        println!("the bystander was answered {answered} times");
        assert!(answered > 0, "the bystander was never answered");
    }
}

/// Whether a new caller is answered.
pub(crate) async fn answers_a_newcomer(cluster: &Cluster) {
    let mut client = cluster.client(0).await;
    client.q_id(QIdRequest { label: 1 }).await.unwrap();
}

/// The address of the replica that is attacked.
pub(crate) fn target(cluster: &Cluster) -> SocketAddr {
    cluster.replicas[0].grpc
}
