//! Calls a cluster from outside: any replica, again and again until one answers, and each request once.
//!
//! [`Client`] is what users have. Below it: [`retry`] makes one call out of tries, [`names`] says under which name,
//! [`replica`] keeps a connection to each endpoint, and [`Connection`] makes one try, which is all that `bench` wants.

mod backoff;
mod connection;
mod endpoint;
mod error;
mod failure;
mod names;
mod options;
mod random;
mod replica;
mod retry;
#[cfg(test)]
pub(crate) mod test_replica;

use std::fmt;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use self::failure::changes_state;
use self::names::{Ended, Names};
use self::replica::Replica;
use self::retry::{Attempt, Bounds, Tried};
use crate::queue::{Action, Answer, QueueId, RequestName};

pub(crate) use connection::{Connection, connect};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use error::CallError;
pub use failure::Outcome;
pub(crate) use failure::{Failure, FailureCause, code_name};
pub use options::ClientOptions;

/// What a replica answered to an operation that it executed and that could be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answered<T = Answer> {
    /// The answer.
    pub answer: T,
    /// The operation's position in the order of all operations, from 1.
    pub sequence: u64,
    /// Whether the answer is that of an earlier execution under the same request name: an earlier try was executed,
    /// and its answer lost.
    pub duplicate: bool,
}

/// How a call ended, and where.
#[derive(Debug)]
pub(crate) struct Called {
    /// The replica that answered, or the failure's.
    pub endpoint: Endpoint,
    /// The request's name, where it had one.
    pub request: Option<RequestName>,
    /// The answer.
    pub result: Result<Answered, Failure>,
}

impl Called {
    /// The answer as its operation has it.
    fn typed<T>(self, read: impl FnOnce(Answer) -> Option<T>) -> Result<Answered<T>, CallError> {
        let Self { endpoint, request, result } = self;
        let typed = result.and_then(|Answered { answer, sequence, duplicate }| {
            let answer = read(answer)
                .ok_or_else(|| Failure::bad_answer("the answer is that of another operation"))?;
            Ok(Answered { answer, sequence, duplicate })
        });
        typed.map_err(|failure| CallError::new(failure, endpoint, request))
    }
}

/// A caller of a cluster, which has each of its requests executed once.
///
/// A call tries one endpoint after the other, with pauses between the rounds (exponential backoff with full jitter),
/// until one answers or the timeout is over. Each try has its share of the time, so a replica that hangs does not use
/// it up. What changes state carries a request name, and the replicas execute a name once: so a try whose answer was
/// lost is made again at no risk. [`CallError::outcome`] says what is known when the time was up.
///
/// Clones share the connections and the name, and may call at the same time; a call that is dropped may still be
/// executed. At most 32 requests that change state are under way, and until the first one was answered, no other; the
/// rest wait, within their timeouts. Where the replicas have forgotten the client, which a long pause can bring about,
/// it goes on under a new name, unless the name was the caller's.
///
/// A request of unknown outcome can be made again by its name: the replicas keep a client's last 32 answers, and the
/// client goes on under a new name before it would make them forget this one. A name of the caller's stays: there
/// requests that are 32 above wait instead, for as long as a call may take, and while the request is made again.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use ftqueue::{Client, ClientOptions, Endpoint, Outcome};
///
/// let endpoints = ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"];
/// let endpoints = endpoints.iter().map(|endpoint| endpoint.parse()).collect::<Result<Vec<Endpoint>, _>>()?;
/// let client = Client::new(endpoints, ClientOptions::default());
///
/// let queue = client.create(7).await?.answer;
/// match client.push(queue, 42).await {
///     Ok(pushed) => println!("pushed as operation {}", pushed.sequence),
///     // It may have been executed: by the same name it can be tried again later, and is not doubled.
///     Err(error) if error.outcome() == Outcome::Unknown => {
///         let request = error.request().expect("a push has a name").clone();
///         client.named(request).push(queue, 42).await?;
///     }
///     Err(error) => return Err(error.into()),
/// }
/// assert_eq!(client.pop(queue).await?.answer, Some(42));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    replicas: Vec<Replica>,
    /// The replica that answered last, which is tried first: an index.
    first: AtomicUsize,
    timeout: Duration,
    names: Names,
}

impl Client {
    /// A caller of the replicas at `endpoints`, none of which is connected to yet. Any one of a cluster's will do; with
    /// all of them calls go on while a majority of the replicas is up.
    ///
    /// # Panics
    /// When there is no endpoint, or the operating system gives no random bytes for a name.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>, options: ClientOptions) -> Self {
        let replicas: Vec<_> = endpoints.into_iter().map(Replica::new).collect();
        assert!(!replicas.is_empty(), "a client needs an endpoint");
        let ClientOptions { timeout, name } = options;
        let given = |(client, next)| Names::given(client, next, timeout);
        let names = name.map_or_else(Names::random, given);
        let inner = Inner { replicas, first: AtomicUsize::new(0), timeout, names };
        Self { inner: Arc::new(inner) }
    }

    /// The queue of a label, any integer; made if there is none.
    ///
    /// # Errors
    /// A [`CallError`], as of each call.
    pub async fn create(&self, label: i64) -> Result<Answered<QueueId>, CallError> {
        self.call(Action::Create { label }).await.typed(queue)
    }

    /// Destroys a queue and what is in it. Its id is never used again; its label is free.
    ///
    /// # Errors
    /// A [`CallError`]; its reason is `QUEUE_NOT_FOUND` where no queue has the id.
    pub async fn destroy(&self, queue: QueueId) -> Result<Answered<()>, CallError> {
        self.call(Action::Destroy { queue }).await.typed(destroyed)
    }

    /// The queue of a label, if there is one.
    ///
    /// # Errors
    /// A [`CallError`], as of each call.
    pub async fn id(&self, label: i64) -> Result<Answered<Option<QueueId>>, CallError> {
        self.call(Action::Id { label }).await.typed(|answer| match answer {
            Answer::Label(queue) => Some(queue),
            _ => None,
        })
    }

    /// Appends an item, any integer, at the tail of a queue.
    ///
    /// # Errors
    /// A [`CallError`]; its reason is `QUEUE_NOT_FOUND` where no queue has the id.
    pub async fn push(&self, queue: QueueId, item: i64) -> Result<Answered<()>, CallError> {
        self.call(Action::Push { queue, item }).await.typed(pushed)
    }

    /// Removes the item at the head of a queue; none where it is empty.
    ///
    /// # Errors
    /// A [`CallError`]; its reason is `QUEUE_NOT_FOUND` where no queue has the id.
    pub async fn pop(&self, queue: QueueId) -> Result<Answered<Option<i64>>, CallError> {
        self.call(Action::Pop { queue }).await.typed(item)
    }

    /// The item at the head of a queue, which stays there; none where the queue is empty.
    ///
    /// # Errors
    /// A [`CallError`]; its reason is `QUEUE_NOT_FOUND` where no queue has the id.
    pub async fn top(&self, queue: QueueId) -> Result<Answered<Option<i64>>, CallError> {
        self.call(Action::Top { queue }).await.typed(item)
    }

    /// The number of items in a queue.
    ///
    /// # Errors
    /// A [`CallError`]; its reason is `QUEUE_NOT_FOUND` where no queue has the id.
    pub async fn size(&self, queue: QueueId) -> Result<Answered<u64>, CallError> {
        self.call(Action::Size { queue }).await.typed(|answer| match answer {
            Answer::Size(size) => Some(size),
            _ => None,
        })
    }

    /// Calls under a name of the caller's choice: to try a request again whose outcome is unknown, by the name of its
    /// [`CallError::request`], or for callers that number their requests themselves.
    ///
    /// The operation must be that of the first try: another is refused, with the reason `REQUEST_REUSED`.
    pub fn named(&self, request: RequestName) -> Named<'_> {
        Named { client: self, request }
    }

    /// The name under which the next request goes out.
    pub fn name(&self) -> Box<str> {
        self.inner.names.client()
    }

    /// The endpoint that the next call tries first.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.inner.endpoint(self.inner.first())
    }

    /// Has an operation executed, under the next name if it changes state.
    pub(crate) async fn call(&self, action: Action) -> Called {
        self.call_until(action, None, pending()).await
    }

    /// The same under this name, where there is one: tries of it may have been made before. Ends when `stop` does, and
    /// then tells the name and what is known of the outcome.
    pub(crate) async fn call_until(
        &self,
        action: Action,
        name: Option<RequestName>,
        stop: impl Future<Output = ()>,
    ) -> Called {
        let deadline = Instant::now() + self.inner.timeout;
        if name.is_none() && changes_state(action) {
            return self.call_by_next_name(action, deadline, stop).await;
        }
        let Inner { names, timeout, .. } = &*self.inner;
        if let Some(name) = &name {
            names.again(name, *timeout);
        }
        let tried = self.inner.tries(action, name.as_ref(), deadline, name.is_some(), stop).await;
        if let Some(name) = &name {
            names.end_again(name, ended(&tried.result));
        }
        self.inner.called(tried, name)
    }

    async fn call_by_next_name(
        &self,
        action: Action,
        deadline: Instant,
        stop: impl Future<Output = ()>,
    ) -> Called {
        let mut stop = pin!(stop);
        let not_sent = |failure| {
            let endpoint = self.endpoint().clone();
            Called { endpoint, request: None, result: Err(failure) }
        };
        loop {
            let ticket = tokio::select! {
                biased;
                () = &mut stop => return not_sent(Failure::interrupted(false)),
                ticket = timeout_at(deadline, self.inner.names.take()) => ticket,
            };
            let Ok(ticket) = ticket else {
                return not_sent(Failure::not_sent());
            };
            let name = Some(ticket.request());
            let tried = self.inner.tries(action, name, deadline, false, stop.as_mut()).await;
            let request = ticket.request().clone();
            let ended = ended(&tried.result);
            ticket.end(ended);
            // What no try can have executed is not executed, though the replicas could not know: another name will do.
            // Number 1 they would have to take.
            let renewed = *self.name() != *request.client;
            let safe = !tried.maybe_executed && request.number > 1;
            if ended == Ended::Forgotten && renewed && safe {
                continue;
            }
            return self.inner.called(tried, Some(request));
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints: Vec<_> = self.inner.replicas.iter().map(Replica::endpoint).collect();
        f.debug_struct("Client").field("name", &self.name()).field("endpoints", &endpoints).finish()
    }
}

impl Inner {
    /// All tries of a call.
    async fn tries(
        &self,
        action: Action,
        request: Option<&RequestName>,
        deadline: Instant,
        maybe_executed: bool,
        stop: impl Future<Output = ()>,
    ) -> Tried {
        let (endpoints, first) = (self.replicas.len(), self.first());
        let bounds = Bounds { endpoints, first, deadline, maybe_executed };
        let calls = Calls { replicas: &self.replicas, action, request };
        let tried = retry::call(&calls, bounds, stop).await;
        if tried.result.is_ok() {
            self.first.store(tried.endpoint, Ordering::Relaxed);
        }
        tried
    }

    fn called(&self, tried: Tried, request: Option<RequestName>) -> Called {
        let Tried { endpoint, result, .. } = tried;
        Called { endpoint: self.endpoint(endpoint).clone(), request, result }
    }

    fn first(&self) -> usize {
        self.first.load(Ordering::Relaxed)
    }

    fn endpoint(&self, index: usize) -> &Endpoint {
        self.replicas[index].endpoint()
    }
}

/// One call at any of the replicas.
struct Calls<'a> {
    replicas: &'a [Replica],
    action: Action,
    request: Option<&'a RequestName>,
}

impl Attempt for Calls<'_> {
    async fn attempt(&self, endpoint: usize, patience: Duration) -> Result<Answered, Failure> {
        self.replicas[endpoint].call(self.action, self.request, patience).await
    }
}

/// Calls of a [`Client`] under a name of the caller's choice: see [`Client::named`].
///
/// Tries may have been made before under that name, so an outcome is [`Outcome::NotExecuted`] only where no try can
/// ever have been, as of a queue id that no queue can have.
#[derive(Debug)]
#[must_use]
pub struct Named<'a> {
    client: &'a Client,
    request: RequestName,
}

impl Named<'_> {
    /// As [`Client::create`].
    ///
    /// # Errors
    /// As [`Client::create`], and `REQUEST_REUSED` or `REQUEST_FORGOTTEN`.
    pub async fn create(self, label: i64) -> Result<Answered<QueueId>, CallError> {
        self.call(Action::Create { label }).await.typed(queue)
    }

    /// As [`Client::destroy`].
    ///
    /// # Errors
    /// As [`Client::destroy`], and `REQUEST_REUSED` or `REQUEST_FORGOTTEN`.
    pub async fn destroy(self, queue: QueueId) -> Result<Answered<()>, CallError> {
        self.call(Action::Destroy { queue }).await.typed(destroyed)
    }

    /// As [`Client::push`].
    ///
    /// # Errors
    /// As [`Client::push`], and `REQUEST_REUSED` or `REQUEST_FORGOTTEN`.
    pub async fn push(self, queue: QueueId, item: i64) -> Result<Answered<()>, CallError> {
        self.call(Action::Push { queue, item }).await.typed(pushed)
    }

    /// As [`Client::pop`].
    ///
    /// # Errors
    /// As [`Client::pop`], and `REQUEST_REUSED` or `REQUEST_FORGOTTEN`.
    pub async fn pop(self, queue: QueueId) -> Result<Answered<Option<i64>>, CallError> {
        self.call(Action::Pop { queue }).await.typed(item)
    }

    async fn call(self, action: Action) -> Called {
        self.client.call_until(action, Some(self.request), pending()).await
    }
}

fn queue(answer: Answer) -> Option<QueueId> {
    match answer {
        Answer::Queue(queue) => Some(queue),
        _ => None,
    }
}

fn destroyed(answer: Answer) -> Option<()> {
    (answer == Answer::Destroyed).then_some(())
}

fn pushed(answer: Answer) -> Option<()> {
    (answer == Answer::Pushed).then_some(())
}

fn item(answer: Answer) -> Option<Option<i64>> {
    match answer {
        Answer::Item(item) => Some(item),
        _ => None,
    }
}

fn ended(result: &Result<Answered, Failure>) -> Ended {
    match result {
        Ok(_) => Ended::Executed,
        Err(failure) if failure.is_forgotten() => Ended::Forgotten,
        Err(failure) => match failure.outcome {
            Outcome::Executed { .. } => Ended::Executed,
            Outcome::NotExecuted => Ended::NotExecuted,
            Outcome::Unknown => Ended::Unknown,
        },
    }
}

#[cfg(test)]
mod tests;
