//! A replica without a cluster, for tests of everything that calls one: queues in memory, in one order, and the ways
//! in which a replica can fail a caller.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::Endpoint;
use crate::proto::ft_queue_server::{FtQueue, FtQueueServer};
use crate::proto::*;

/// The queues that test replicas share, as those of a cluster do.
#[derive(Clone, Default)]
pub(crate) struct Queues(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    sequence: u64,
    next_id: i64,
    labels: BTreeMap<i64, i64>,
    items: BTreeMap<i64, VecDeque<i64>>,
}

impl Queues {
    /// All items of all queues, in order of queue and place.
    pub(crate) fn items(&self) -> Vec<i64> {
        self.state().items.values().flatten().copied().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Executes something on one queue.
    fn on_queue<T>(
        &self,
        queue: i64,
        operation: impl FnOnce(&mut VecDeque<i64>) -> T,
    ) -> Result<(T, u64), Status> {
        let mut state = self.state();
        state.sequence += 1;
        let sequence = state.sequence;
        match state.items.get_mut(&queue) {
            Some(items) => Ok((operation(items), sequence)),
            None => Err(not_found(queue, sequence)),
        }
    }
}

/// How a test replica treats calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Behaviour {
    /// Executes and answers.
    Serve,
    /// Answers `UNAVAILABLE` with this outcome; executes where the outcome is unknown.
    Unavailable { outcome: &'static str },
    /// Executes and never answers.
    Hang,
}

/// A test replica on loopback. It ends, with its connections, when it is dropped.
pub(crate) struct TestReplica {
    pub endpoint: Endpoint,
    _alive: oneshot::Sender<()>,
}

impl TestReplica {
    /// Starts a test replica on a free port.
    ///
    /// It has a runtime of its own, which takes its connections with it when it ends.
    pub(crate) async fn start(queues: &Queues, behaviour: Behaviour) -> Self {
        let service = Service { queues: queues.clone(), behaviour };
        let (alive, dropped) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap().to_string()).unwrap();
                tokio::select! {
                    _ = dropped => {}
                    result = serve(service, listener) => result.unwrap(),
                }
            });
        });
        Self { endpoint: told.await.unwrap().parse().unwrap(), _alive: alive }
    }
}

async fn serve(service: Service, listener: TcpListener) -> Result<(), tonic::transport::Error> {
    let (health_reporter, health) = tonic_health::server::health_reporter();
    if service.behaviour == Behaviour::Serve {
        health_reporter.set_serving::<FtQueueServer<Service>>().await;
    } else {
        health_reporter.set_not_serving::<FtQueueServer<Service>>().await;
        health_reporter.set_service_status("", ServingStatus::NotServing).await;
    }
    Server::builder()
        .add_service(FtQueueServer::new(service))
        .add_service(health)
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
}

/// A port of loopback that is taken and where nobody listens: connections are refused while it is held.
pub(crate) struct Nobody {
    pub endpoint: Endpoint,
    _socket: TcpSocket,
}

impl Nobody {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self {
            endpoint: socket.local_addr().unwrap().to_string().parse().unwrap(),
            _socket: socket,
        }
    }
}

fn not_found(queue: i64, sequence: u64) -> Status {
    let metadata = [("queue_id", queue.to_string()), ("sequence", sequence.to_string())];
    refusal(Code::NotFound, "QUEUE_NOT_FOUND", format!("no queue has id {queue}"), metadata)
}

fn refusal<const N: usize>(
    code: Code,
    reason: &str,
    message: String,
    metadata: [(&str, String); N],
) -> Status {
    let metadata: HashMap<_, _> =
        metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let details = ErrorDetails::with_error_info(reason, "ftqueue.v1", metadata);
    Status::with_error_details(code, message, details)
}

struct Service {
    queues: Queues,
    behaviour: Behaviour,
}

impl Service {
    /// Answers with what `execute` gives, as the behaviour has it.
    async fn answer<T>(
        &self,
        execute: impl Future<Output = Result<T, Status>>,
    ) -> Result<Response<T>, Status> {
        match self.behaviour {
            Behaviour::Serve => execute.await.map(Response::new),
            Behaviour::Unavailable { outcome } => {
                if outcome == "unknown" {
                    execute.await?;
                }
                let metadata = [("outcome", outcome.to_owned())];
                Err(refusal(Code::Unavailable, "NO_VIEW", "in no view".to_owned(), metadata))
            }
            Behaviour::Hang => {
                execute.await?;
                std::future::pending().await
            }
        }
    }
}

#[tonic::async_trait]
impl FtQueue for Service {
    async fn q_create(
        &self,
        request: Request<QCreateRequest>,
    ) -> Result<Response<QCreateResponse>, Status> {
        self.answer(async {
            let mut state = self.queues.state();
            state.sequence += 1;
            let label = request.into_inner().label;
            let queue_id = match state.labels.get(&label) {
                Some(&queue_id) => queue_id,
                None => {
                    state.next_id += 1;
                    let queue_id = state.next_id;
                    state.labels.insert(label, queue_id);
                    state.items.insert(queue_id, VecDeque::new());
                    queue_id
                }
            };
            Ok(QCreateResponse { queue_id, sequence: state.sequence, duplicate: false })
        })
        .await
    }

    async fn q_destroy(
        &self,
        request: Request<QDestroyRequest>,
    ) -> Result<Response<QDestroyResponse>, Status> {
        self.answer(async {
            let queue = request.into_inner().queue_id;
            let (_, sequence) = self.queues.on_queue(queue, |_| ())?;
            let mut state = self.queues.state();
            state.items.remove(&queue);
            state.labels.retain(|_, labelled| *labelled != queue);
            Ok(QDestroyResponse { sequence, duplicate: false })
        })
        .await
    }

    async fn q_id(&self, request: Request<QIdRequest>) -> Result<Response<QIdResponse>, Status> {
        self.answer(async {
            let mut state = self.queues.state();
            state.sequence += 1;
            let queue_id = *state.labels.get(&request.into_inner().label).unwrap_or(&-1);
            Ok(QIdResponse { queue_id, sequence: state.sequence })
        })
        .await
    }

    async fn q_push(
        &self,
        request: Request<QPushRequest>,
    ) -> Result<Response<QPushResponse>, Status> {
        self.answer(async {
            let QPushRequest { queue_id, item, .. } = request.into_inner();
            let (_, sequence) = self.queues.on_queue(queue_id, |items| items.push_back(item))?;
            Ok(QPushResponse { sequence, duplicate: false })
        })
        .await
    }

    async fn q_pop(&self, request: Request<QPopRequest>) -> Result<Response<QPopResponse>, Status> {
        self.answer(async {
            let queue = request.into_inner().queue_id;
            let (item, sequence) = self.queues.on_queue(queue, VecDeque::pop_front)?;
            Ok(QPopResponse { item, empty: item.is_none(), sequence, duplicate: false })
        })
        .await
    }

    async fn q_top(&self, request: Request<QTopRequest>) -> Result<Response<QTopResponse>, Status> {
        self.answer(async {
            let queue = request.into_inner().queue_id;
            let (item, sequence) = self.queues.on_queue(queue, |items| items.front().copied())?;
            Ok(QTopResponse { item, empty: item.is_none(), sequence })
        })
        .await
    }

    async fn q_size(
        &self,
        request: Request<QSizeRequest>,
    ) -> Result<Response<QSizeResponse>, Status> {
        self.answer(async {
            let queue = request.into_inner().queue_id;
            let (size, sequence) = self.queues.on_queue(queue, |items| items.len() as u64)?;
            Ok(QSizeResponse { size: Some(size), sequence })
        })
        .await
    }
}
