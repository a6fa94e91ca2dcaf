//! One connection to one replica: actions become requests, responses become answers.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint as Transport};
use tonic::{Request, Response, Status};

use super::failure::deepest;
use super::{Answered, Endpoint, Failure};
use crate::proto::ft_queue_client::FtQueueClient;
use crate::proto::{
    self, QCreateRequest, QDestroyRequest, QIdRequest, QPopRequest, QPushRequest, QSizeRequest,
    QTopRequest,
};
use crate::queue::{Action, Answer, QueueId, RequestName};

/// A connection to a replica. Clones share it; it comes back by itself when it was lost.
#[derive(Clone)]
pub(crate) struct Connection {
    service: FtQueueClient<Channel>,
}

impl Connection {
    /// Connects within `patience`.
    ///
    /// # Errors
    /// A failure whose cause is `NotConnected`.
    pub(crate) async fn open(endpoint: &Endpoint, patience: Duration) -> Result<Self, Failure> {
        let channel = connect(endpoint, patience).await?;
        Ok(Self { service: FtQueueClient::new(channel) })
    }

    /// A connection that is made, within `patience`, when it is first used.
    ///
    /// # Errors
    /// A failure whose cause is `NotConnected` when the endpoint cannot be an address.
    pub(crate) fn open_later(endpoint: &Endpoint, patience: Duration) -> Result<Self, Failure> {
        let channel = transport(endpoint)?.connect_timeout(patience).connect_lazy();
        Ok(Self { service: FtQueueClient::new(channel) })
    }

    /// Sends one call, once, and waits for its answer for at most `patience`, of which the replica is told. Under
    /// `request`, where there is one and the action changes state: reads have no name.
    ///
    /// # Errors
    /// A failure; its outcome says what is known of the operation.
    pub(crate) async fn call(
        &mut self,
        action: Action,
        request: Option<&RequestName>,
        patience: Duration,
    ) -> Result<Answered, Failure> {
        match tokio::time::timeout(patience, self.exchange(action, request, patience)).await {
            Ok(result) => result.and_then(sensible),
            Err(_) => Err(Failure::no_answer()),
        }
    }

    async fn exchange(
        &mut self,
        action: Action,
        request: Option<&RequestName>,
        patience: Duration,
    ) -> Result<Answered, Failure> {
        let service = &mut self.service;
        let request = request.map(|name| proto::RequestName {
            client: name.client.to_string(),
            number: name.number,
        });
        let (answer, sequence, duplicate) = match action {
            Action::Create { label } => {
                let request = QCreateRequest { label, request };
                let response = body(service.q_create(within(patience, request)).await)?;
                (Answer::Queue(response.queue_id), response.sequence, response.duplicate)
            }
            Action::Destroy { queue } => {
                let request = QDestroyRequest { queue_id: queue, request };
                let response = body(service.q_destroy(within(patience, request)).await)?;
                (Answer::Destroyed, response.sequence, response.duplicate)
            }
            Action::Id { label } => {
                let response = body(service.q_id(within(patience, QIdRequest { label })).await)?;
                (Answer::Label(labelled(response.queue_id)), response.sequence, false)
            }
            Action::Push { queue, item } => {
                let request = QPushRequest { queue_id: queue, item, request };
                let response = body(service.q_push(within(patience, request)).await)?;
                (Answer::Pushed, response.sequence, response.duplicate)
            }
            Action::Pop { queue } => {
                let request = QPopRequest { queue_id: queue, request };
                let response = body(service.q_pop(within(patience, request)).await)?;
                (item(response.item, response.empty)?, response.sequence, response.duplicate)
            }
            Action::Top { queue } => {
                let request = QTopRequest { queue_id: queue };
                let response = body(service.q_top(within(patience, request)).await)?;
                (item(response.item, response.empty)?, response.sequence, false)
            }
            Action::Size { queue } => {
                let request = QSizeRequest { queue_id: queue };
                let response = body(service.q_size(within(patience, request)).await)?;
                (size(response.size)?, response.sequence, false)
            }
        };
        Ok(Answered { answer, sequence, duplicate })
    }
}

/// Connects to whatever serves at an endpoint, within `patience`.
///
/// # Errors
/// A failure whose cause is `NotConnected`.
pub(crate) async fn connect(endpoint: &Endpoint, patience: Duration) -> Result<Channel, Failure> {
    let connecting = transport(endpoint)?.connect_timeout(patience);
    match tokio::time::timeout(patience, connecting.connect()).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(Failure::not_connected(deepest(&error))),
        Err(_) => Err(Failure::not_connected("no connection in time".to_owned())),
    }
}

/// How long a connection on which calls wait may be silent before its other end is asked for a sign, and how long that
/// sign may take. One whose other end vanished without a word would else hang for as long as TCP resends: minutes.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// How a replica is connected to: calls are small and wait for nothing, so no packet is held back.
fn transport(endpoint: &Endpoint) -> Result<Transport, Failure> {
    let transport = Transport::from_shared(endpoint.uri());
    transport
        .map(|to| {
            to.tcp_nodelay(true)
                .http2_keep_alive_interval(SIGN_OF_LIFE)
                .keep_alive_timeout(SIGN_OF_LIFE)
        })
        .map_err(|error| Failure::not_connected(error.to_string()))
}

fn within<T>(patience: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(patience);
    request
}

fn body<T>(response: Result<Response<T>, Status>) -> Result<T, Failure> {
    response.map(Response::into_inner).map_err(|status| Failure::from_status(&status))
}

fn labelled(queue_id: i64) -> Option<QueueId> {
    (queue_id != -1).then_some(queue_id)
}

fn item(item: Option<i64>, empty: bool) -> Result<Answer, Failure> {
    if item.is_none() == empty {
        Ok(Answer::Item(item))
    } else {
        Err(Failure::bad_answer("the answer has an item and `empty`, or neither"))
    }
}

fn size(size: Option<u64>) -> Result<Answer, Failure> {
    size.map(Answer::Size).ok_or_else(|| Failure::bad_answer("the answer has no size"))
}

/// Gives an answer back if it can be one.
fn sensible(answered: Answered) -> Result<Answered, Failure> {
    let queue_is_good = match answered.answer {
        Answer::Queue(queue) | Answer::Label(Some(queue)) => queue > 0,
        _ => true,
    };
    if answered.sequence == 0 || !queue_is_good {
        return Err(Failure::bad_answer(&format!("the answer makes no sense: {answered:?}")));
    }
    Ok(answered)
}
