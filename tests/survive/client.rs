//! The client goes on through replicas that are killed: every push is answered, and nothing is lost or doubled.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ftqueue::{Client, ClientOptions, Endpoint, QueueId};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::cluster::{Cluster, LIMIT};

/// Pushers, which push at the same time; each one's items rise.
const PUSHERS: i64 = 4;
/// Items of each pusher are below the next pusher's.
const SPREAD: i64 = 1_000_000;

#[tokio::test]
async fn pushes_go_on_through_kills() {
    let mut cluster = Cluster::start(3).await;
    let endpoints: Vec<_> =
        cluster.replicas.iter().map(|replica| Endpoint::from(replica.grpc)).collect();
    let client = Client::new(endpoints, ClientOptions::default().timeout(LIMIT));
    let queue = client.create(1).await.unwrap().answer;

    let pushed = Arc::new(AtomicU64::new(0));
    let pushers: Vec<_> = (0..PUSHERS)
        .map(|pusher| tokio::spawn(push_on(client.clone(), queue, pusher * SPREAD, pushed.clone())))
        .collect();
    for id in cluster.all() {
        more(&pushed).await;
        cluster.replicas[id].kill().await;
        more(&pushed).await;
        cluster.replicas[id].start();
        cluster.replicas[id].until(ServingStatus::Serving).await;
    }
    more(&pushed).await;
    for pusher in &pushers {
        pusher.abort();
    }
    for pusher in pushers {
        // Only the end that was asked for is none to complain of.
        assert!(pusher.await.is_err_and(|ended| ended.is_cancelled()));
    }

    let popped = pop_all(&client, queue).await;
    let mut seen = BTreeSet::new();
    let once: Vec<_> = popped.iter().copied().filter(|&item| seen.insert(item)).collect();
    let answered = pushed.load(Ordering::Relaxed);
    assert!(once.len() as u64 >= answered, "{answered} answered, {} came", once.len());
    for pusher in 0..PUSHERS {
        let first = pusher * SPREAD;
        let items: Vec<_> =
            once.iter().copied().filter(|item| (first..first + SPREAD).contains(item)).collect();
        let last = first + i64::try_from(items.len()).unwrap();
        assert_eq!(items, (first..last).collect::<Vec<_>>(), "pusher {pusher}");
    }
    assert_eq!(popped, once, "some came twice");
}

/// Pushes one item after the other; counts those that were answered.
async fn push_on(client: Client, queue: QueueId, first: i64, pushed: Arc<AtomicU64>) {
    for item in first.. {
        client.push(queue, item).await.unwrap();
        pushed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until some more pushes were answered.
async fn more(pushed: &AtomicU64) {
    let enough = pushed.load(Ordering::Relaxed) + 100;
    let answered = async {
        while pushed.load(Ordering::Relaxed) < enough {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, answered).await.expect("pushes are answered");
}

async fn pop_all(client: &Client, queue: QueueId) -> Vec<i64> {
    let mut items = Vec::new();
    while let Some(item) = client.pop(queue).await.unwrap().answer {
        items.push(item);
    }
    items
}
