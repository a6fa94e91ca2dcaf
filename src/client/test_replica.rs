//! A replica without a cluster, for tests of everything that calls one: queues in memory, in one order, and the ways
//! in which a replica can fail a caller.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
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
use crate::queue::{Action, Answer};

/// The queues that test replicas share, as those of a cluster do.
#[derive(Clone, Default)]
pub(crate) struct Queues(Arc<Mutex<State>>);

/// What came of an executed operation: its answer, or that there is no such queue.
type Executed = (u64, Result<Answer, i64>);

#[derive(Default)]
struct State {
    sequence: u64,
    next_id: i64,
    labels: BTreeMap<i64, i64>,
    items: BTreeMap<i64, VecDeque<i64>>,
    /// What was executed under each name.
    named: BTreeMap<(String, u64), (Action, Executed)>,
    /// The names that came, in order, whatever became of them.
    came: Vec<RequestName>,
}

impl Queues {
    /// All items of all queues, in order of queue and place.
    pub(crate) fn items(&self) -> Vec<i64> {
        self.state().items.values().flatten().copied().collect()
    }

    /// The clients and numbers of the requests that came, at any replica, in order.
    pub(crate) fn came(&self) -> Vec<(String, u64)> {
        self.state().came.iter().map(|name| (name.client.clone(), name.number)).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    /// Executes, under one name once.
    fn execute(&mut self, action: Action, name: Option<RequestName>) -> Result<Done, Status> {
        let name = name.map(|name| (name.client, name.number));
        if let Some((first, executed)) = name.as_ref().and_then(|name| self.named.get(name)) {
            let metadata = [("outcome", "not_executed".to_owned())];
            return if *first == action {
                done(*executed, true)
            } else {
                let message = "the name is another operation's".to_owned();
                Err(refusal(Code::InvalidArgument, "REQUEST_REUSED", message, metadata))
            };
        }
        self.sequence += 1;
        let executed = (self.sequence, self.apply(action));
        if let Some(name) = name {
            self.named.insert(name, (action, executed));
        }
        done(executed, false)
    }

    fn apply(&mut self, action: Action) -> Result<Answer, i64> {
        let label = |queue: Option<&i64>| Answer::Label(queue.copied());
        Ok(match action {
            Action::Create { label } => {
                let (labels, next_id) = (&mut self.labels, &mut self.next_id);
                let queue = *labels.entry(label).or_insert_with(|| {
                    *next_id += 1;
                    *next_id
                });
                self.items.entry(queue).or_default();
                Answer::Queue(queue)
            }
            Action::Destroy { queue } => {
                self.items.remove(&queue).ok_or(queue)?;
                self.labels.retain(|_, labelled| *labelled != queue);
                Answer::Destroyed
            }
            Action::Id { label: of } => label(self.labels.get(&of)),
            Action::Push { queue, item } => {
                self.queue(queue)?.push_back(item);
                Answer::Pushed
            }
            Action::Pop { queue } => Answer::Item(self.queue(queue)?.pop_front()),
            Action::Top { queue } => Answer::Item(self.queue(queue)?.front().copied()),
            Action::Size { queue } => Answer::Size(self.queue(queue)?.len() as u64),
        })
    }

    fn queue(&mut self, queue: i64) -> Result<&mut VecDeque<i64>, i64> {
        self.items.get_mut(&queue).ok_or(queue)
    }
}

/// An answer to be sent.
struct Done {
    answer: Answer,
    sequence: u64,
    duplicate: bool,
}

fn done((sequence, result): Executed, duplicate: bool) -> Result<Done, Status> {
    let answer = result.map_err(|queue| not_found(queue, sequence))?;
    Ok(Done { answer, sequence, duplicate })
}

/// How a test replica treats calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Behaviour {
    /// Executes and answers.
    Serve,
    /// Answers `UNAVAILABLE` with this outcome; executes where the outcome is unknown.
    Unavailable { outcome: &'static str },
    /// Refuses with this code and reason, and executes nothing.
    Refuse { code: Code, reason: &'static str },
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
    pub(crate) async fn start(queues: &Queues, behaviour: Behaviour) -> Self {
        Self::start_with(queues, behaviour, 0, behaviour).await
    }

    /// Starts one that treats the first `times` calls in one way, and those after them in another.
    ///
    /// It has a runtime of its own, which takes its connections with it when it ends.
    pub(crate) async fn start_with(
        queues: &Queues,
        first: Behaviour,
        times: usize,
        then: Behaviour,
    ) -> Self {
        let times = AtomicUsize::new(times);
        let service = Service { queues: queues.clone(), first, times, then };
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
    if service.then == Behaviour::Serve {
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
    /// How calls are treated first …
    first: Behaviour,
    /// … so many more of them …
    times: AtomicUsize,
    /// … and how those after them.
    then: Behaviour,
}

impl Service {
    /// Executes and answers, as the behaviour has it.
    async fn answer<T>(
        &self,
        action: Action,
        name: Option<RequestName>,
        response: impl FnOnce(Done) -> T,
    ) -> Result<Response<T>, Status> {
        self.queues.state().came.extend(name.clone());
        let execute = || self.queues.state().execute(action, name);
        let one_less = |left: usize| left.checked_sub(1);
        let left = self.times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        match if left.is_ok() { self.first } else { self.then } {
            Behaviour::Serve => execute().map(|done| Response::new(response(done))),
            Behaviour::Unavailable { outcome } => {
                if outcome == "unknown" {
                    execute()?;
                }
                let metadata = [("outcome", outcome.to_owned())];
                Err(refusal(Code::Unavailable, "NO_VIEW", "in no view".to_owned(), metadata))
            }
            Behaviour::Refuse { code, reason } => {
                let metadata = [("outcome", "not_executed".to_owned())];
                Err(refusal(code, reason, "refused".to_owned(), metadata))
            }
            Behaviour::Hang => {
                execute()?;
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
        let QCreateRequest { label, request } = request.into_inner();
        self.answer(Action::Create { label }, request, |Done { answer, sequence, duplicate }| {
            let Answer::Queue(queue_id) = answer else { unreachable!("{answer:?}") };
            QCreateResponse { queue_id, sequence, duplicate }
        })
        .await
    }

    async fn q_destroy(
        &self,
        request: Request<QDestroyRequest>,
    ) -> Result<Response<QDestroyResponse>, Status> {
        let QDestroyRequest { queue_id: queue, request } = request.into_inner();
        let response = |Done { sequence, duplicate, .. }| QDestroyResponse { sequence, duplicate };
        self.answer(Action::Destroy { queue }, request, response).await
    }

    async fn q_id(&self, request: Request<QIdRequest>) -> Result<Response<QIdResponse>, Status> {
        let QIdRequest { label } = request.into_inner();
        self.answer(Action::Id { label }, None, |Done { answer, sequence, .. }| {
            let Answer::Label(queue) = answer else { unreachable!("{answer:?}") };
            QIdResponse { queue_id: queue.unwrap_or(-1), sequence }
        })
        .await
    }

    async fn q_push(
        &self,
        request: Request<QPushRequest>,
    ) -> Result<Response<QPushResponse>, Status> {
        let QPushRequest { queue_id: queue, item, request } = request.into_inner();
        let response = |Done { sequence, duplicate, .. }| QPushResponse { sequence, duplicate };
        self.answer(Action::Push { queue, item }, request, response).await
    }

    async fn q_pop(&self, request: Request<QPopRequest>) -> Result<Response<QPopResponse>, Status> {
        let QPopRequest { queue_id: queue, request } = request.into_inner();
        self.answer(Action::Pop { queue }, request, |Done { answer, sequence, duplicate }| {
            let Answer::Item(item) = answer else { unreachable!("{answer:?}") };
            QPopResponse { item, empty: item.is_none(), sequence, duplicate }
        })
        .await
    }

    async fn q_top(&self, request: Request<QTopRequest>) -> Result<Response<QTopResponse>, Status> {
        let QTopRequest { queue_id: queue } = request.into_inner();
        self.answer(Action::Top { queue }, None, |Done { answer, sequence, .. }| {
            let Answer::Item(item) = answer else { unreachable!("{answer:?}") };
            QTopResponse { item, empty: item.is_none(), sequence }
        })
        .await
    }

    async fn q_size(
        &self,
        request: Request<QSizeRequest>,
    ) -> Result<Response<QSizeResponse>, Status> {
        let QSizeRequest { queue_id: queue } = request.into_inner();
        self.answer(Action::Size { queue }, None, |Done { answer, sequence, .. }| {
            let Answer::Size(size) = answer else { unreachable!("{answer:?}") };
            QSizeResponse { size: Some(size), sequence }
        })
        .await
    }
}
