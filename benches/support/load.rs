//! Clients at each replica of a cluster, a call at a time, and when each was answered and how long that took.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ftqueue::testing::proto::ft_queue_client::FtQueueClient;
use ftqueue::testing::proto::{QCreateRequest, QPopRequest, QPushRequest};
use tonic::Request;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::cluster::Cluster;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a replica may take to come back: far more than it takes.
const RETURN: Duration = Duration::from_secs(600);

/// When each good answer came, and how long it took, by replica.
type Answers = Arc<Vec<Mutex<Vec<(Instant, Duration)>>>>;

/// Clients of all replicas, who push and pop in turn.
pub(crate) struct Load {
    answers: Answers,
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    /// Starts so many clients at each replica.
    pub(crate) async fn start(cluster: &Cluster, clients: usize) -> Self {
        let replicas = cluster.replicas.len();
        let answers: Answers = Arc::new((0..replicas).map(|_| Mutex::default()).collect());
        let stop = Arc::new(AtomicBool::new(false));
        let label = QCreateRequest { label: 1, request: None };
        let queue_id = cluster.client(0).await.q_create(label).await.unwrap().into_inner().queue_id;
        let numbers = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::new();
        for replica in (0..replicas).flat_map(|id| std::iter::repeat_n(id, clients)) {
            let endpoint = format!("http://{}", cluster.replicas[replica].grpc);
            let endpoint = tonic::transport::Endpoint::from_shared(endpoint).unwrap();
            let mut client = FtQueueClient::new(endpoint.connect_lazy());
            let (answers, stop) = (Arc::clone(&answers), Arc::clone(&stop));
            let numbers = Arc::clone(&numbers);
            tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let number = numbers.fetch_add(1, Ordering::Relaxed);
                    let since = Instant::now();
                    let answered = if number.is_multiple_of(2) {
                        let item = number as i64;
                        let mut push = Request::new(QPushRequest { queue_id, item, request: None });
                        push.set_timeout(PATIENCE);
                        client.q_push(push).await.is_ok()
                    } else {
                        let mut pop = Request::new(QPopRequest { queue_id, request: None });
                        pop.set_timeout(PATIENCE);
                        client.q_pop(pop).await.is_ok()
                    };
                    if answered {
                        answers[replica].lock().unwrap().push((Instant::now(), since.elapsed()));
                    } else {
                        // Nobody listens, or it says that it cannot: not at once again.
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                }
            }));
        }
        Self { answers, stop, clients: tasks }
    }

    /// How many answers there were.
    pub(crate) fn answers(&self) -> usize {
        self.answers.iter().map(|answers| answers.lock().unwrap().len()).sum()
    }

    /// The longest time without a good answer of a replica between two points in time.
    pub(crate) fn longest_gap(&self, replica: usize, from: Instant, until: Instant) -> Duration {
        let answers = self.answers[replica].lock().unwrap();
        let times = answers.iter().map(|(at, _)| *at);
        let before = times.clone().rev().find(|at| *at <= from).unwrap_or(from);
        let inside = times.filter(|at| (from..until).contains(at));
        let (longest, last) = inside.fold((Duration::ZERO, before), |(longest, last), at| {
            (longest.max(at.saturating_duration_since(last)), at.max(last))
        });
        longest.max(until.saturating_duration_since(last))
    }

    /// How long the answers of some replicas took that came between two points in time, the shortest first.
    pub(crate) fn took(&self, replicas: &[usize], from: Instant, until: Instant) -> Vec<Duration> {
        let mut took = Vec::new();
        for replica in replicas {
            let answers = self.answers[*replica].lock().unwrap();
            let inside = answers.iter().filter(|(at, _)| (from..until).contains(at));
            took.extend(inside.map(|(_, took)| *took));
        }
        took.sort_unstable();
        took
    }

    /// Ends all clients.
    pub(crate) async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
    }
}

/// Waits until a replica serves again; how long that took.
pub(crate) async fn serves(cluster: &Cluster, id: usize) -> Duration {
    let since = Instant::now();
    while cluster.replicas[id].health("").await != Some(ServingStatus::Serving) {
        assert!(since.elapsed() < RETURN, "r{id} does not come back");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    since.elapsed()
}
