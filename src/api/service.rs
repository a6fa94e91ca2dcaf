//! Requests become operations, answers become responses. Nothing is decided here.

use std::time::Duration;

use tonic::{Request, Response, Status};

use super::deadline::{self, Arrived};
use super::errors::Failure;
use super::request::Check;
use crate::proto::ft_queue_server::FtQueue;
use crate::proto::{
    QCreateRequest, QCreateResponse, QDestroyRequest, QDestroyResponse, QIdRequest, QIdResponse,
    QPopRequest, QPopResponse, QPushRequest, QPushResponse, QSizeRequest, QSizeResponse,
    QTopRequest, QTopResponse,
};
use crate::queue::{Action, Answer, Executed, Operation, RequestName};
use crate::runtime::{Handle, Refusal};

/// What `QId` answers where no queue has the label.
const NO_QUEUE: i64 = -1;

/// The gRPC service of one replica.
pub(super) struct Service {
    replica: Handle,
}

/// What came of an operation that could be done.
struct Done {
    answer: Answer,
    sequence: u64,
    duplicate: bool,
}

impl Service {
    /// A service that has its operations executed by `replica`.
    pub(super) fn new(replica: Handle) -> Self {
        Self { replica }
    }

    async fn execute(
        &self,
        patience: Duration,
        check: Check,
        action: Action,
        request: Option<RequestName>,
    ) -> Result<Done, Status> {
        check.finish().map_err(Failure::Invalid)?;
        if patience.is_zero() {
            return Err(Failure::Refused(no_time()).into());
        }
        let operation = Operation::new(action, request);
        let executed = self.replica.submit(operation, patience).await.map_err(Failure::Refused)?;
        let Executed { sequence, duplicate, result } = executed;
        match result {
            Ok(answer) => Ok(Done { answer, sequence, duplicate }),
            Err(rejection) => Err(Failure::Rejected { rejection, sequence, duplicate }.into()),
        }
    }
}

#[tonic::async_trait]
impl FtQueue for Service {
    async fn q_create(
        &self,
        request: Request<QCreateRequest>,
    ) -> Result<Response<QCreateResponse>, Status> {
        let patience = patience(&request);
        let QCreateRequest { label, request } = request.into_inner();
        let mut check = Check::default();
        let name = check.name(request);
        let action = Action::Create { label };
        match self.execute(patience, check, action, name).await? {
            Done { answer: Answer::Queue(queue_id), sequence, duplicate } => {
                Ok(Response::new(QCreateResponse { queue_id, sequence, duplicate }))
            }
            done => unanswerable(action, done.answer),
        }
    }

    async fn q_destroy(
        &self,
        request: Request<QDestroyRequest>,
    ) -> Result<Response<QDestroyResponse>, Status> {
        let patience = patience(&request);
        let QDestroyRequest { queue_id, request } = request.into_inner();
        let mut check = Check::default();
        let action = Action::Destroy { queue: check.queue(queue_id) };
        let name = check.name(request);
        match self.execute(patience, check, action, name).await? {
            Done { answer: Answer::Destroyed, sequence, duplicate } => {
                Ok(Response::new(QDestroyResponse { sequence, duplicate }))
            }
            done => unanswerable(action, done.answer),
        }
    }

    async fn q_id(&self, request: Request<QIdRequest>) -> Result<Response<QIdResponse>, Status> {
        let patience = patience(&request);
        let QIdRequest { label } = request.into_inner();
        let action = Action::Id { label };
        match self.execute(patience, Check::default(), action, None).await? {
            Done { answer: Answer::Label(queue), sequence, .. } => {
                let queue_id = queue.unwrap_or(NO_QUEUE);
                Ok(Response::new(QIdResponse { queue_id, sequence }))
            }
            done => unanswerable(action, done.answer),
        }
    }

    async fn q_push(
        &self,
        request: Request<QPushRequest>,
    ) -> Result<Response<QPushResponse>, Status> {
        let patience = patience(&request);
        let QPushRequest { queue_id, item, request } = request.into_inner();
        let mut check = Check::default();
        let action = Action::Push { queue: check.queue(queue_id), item };
        let name = check.name(request);
        match self.execute(patience, check, action, name).await? {
            Done { answer: Answer::Pushed, sequence, duplicate } => {
                Ok(Response::new(QPushResponse { sequence, duplicate }))
            }
            done => unanswerable(action, done.answer),
        }
    }

    async fn q_pop(&self, request: Request<QPopRequest>) -> Result<Response<QPopResponse>, Status> {
        let patience = patience(&request);
        let QPopRequest { queue_id, request } = request.into_inner();
        let mut check = Check::default();
        let action = Action::Pop { queue: check.queue(queue_id) };
        let name = check.name(request);
        match self.execute(patience, check, action, name).await? {
            Done { answer: Answer::Item(item), sequence, duplicate } => {
                let empty = item.is_none();
                Ok(Response::new(QPopResponse { item, empty, sequence, duplicate }))
            }
            done => unanswerable(action, done.answer),
        }
    }

    async fn q_top(&self, request: Request<QTopRequest>) -> Result<Response<QTopResponse>, Status> {
        let patience = patience(&request);
        let QTopRequest { queue_id } = request.into_inner();
        let mut check = Check::default();
        let action = Action::Top { queue: check.queue(queue_id) };
        match self.execute(patience, check, action, None).await? {
            Done { answer: Answer::Item(item), sequence, .. } => {
                let empty = item.is_none();
                Ok(Response::new(QTopResponse { item, empty, sequence }))
            }
            done => unanswerable(action, done.answer),
        }
    }

    async fn q_size(
        &self,
        request: Request<QSizeRequest>,
    ) -> Result<Response<QSizeResponse>, Status> {
        let patience = patience(&request);
        let QSizeRequest { queue_id } = request.into_inner();
        let mut check = Check::default();
        let action = Action::Size { queue: check.queue(queue_id) };
        match self.execute(patience, check, action, None).await? {
            Done { answer: Answer::Size(size), sequence, .. } => {
                Ok(Response::new(QSizeResponse { size: Some(size), sequence }))
            }
            done => unanswerable(action, done.answer),
        }
    }
}

/// How long a call may wait for its answer yet.
pub(super) fn patience<T>(request: &Request<T>) -> Duration {
    let header = request.metadata().get(deadline::HEADER);
    let since = request.extensions().get::<Arrived>().map_or(Duration::ZERO, |at| at.elapsed());
    deadline::patience(header.and_then(|value| value.to_str().ok())).saturating_sub(since)
}

/// What a call is refused with that may not wait at all.
pub(super) fn no_time() -> Refusal {
    Refusal::DeadlineExceeded {
        sent: false,
        waited: Duration::ZERO,
        waiting_for: "nothing, since the call came with no time left".to_owned(),
    }
}

/// The state machine answers each action with its own kind of answer.
fn unanswerable(action: Action, answer: Answer) -> ! {
    panic!("{action:?} was answered {answer:?}")
}
