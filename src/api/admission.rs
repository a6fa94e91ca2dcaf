//! So many calls in progress and no more, on all connections together: a call that was begun and not finished costs
//! memory, and a caller may begin as many on each connection as it has streams.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service};

use super::errors::Failure;
use crate::runtime::Refusal;

/// Admits calls as long as there are places.
#[derive(Clone)]
pub(super) struct Admission {
    places: Arc<Semaphore>,
    limit: usize,
}

impl Admission {
    /// With so many places.
    pub(super) fn new(limit: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(limit)), limit }
    }
}

impl<S> Layer<S> for Admission {
    type Service = Admitted<S>;

    fn layer(&self, service: S) -> Admitted<S> {
        Admitted { admission: self.clone(), service }
    }
}

/// A service that admission guards.
#[derive(Clone)]
pub(super) struct Admitted<S> {
    admission: Admission,
    service: S,
}

impl<S> Service<Request<Body>> for Admitted<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Ok(place) = Arc::clone(&self.admission.places).try_acquire_owned() else {
            let refusal = Refusal::Overloaded { limit: self.admission.limit };
            return Box::pin(async { Ok(Status::from(Failure::Refused(refusal)).into_http()) });
        };
        let answer = self.service.call(request);
        Box::pin(async move {
            let answer = answer.await;
            drop(place);
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio::sync::Notify;
    use tonic::Code;
    use tower::service_fn;

    use super::*;

    #[tokio::test]
    async fn one_too_many_is_refused_until_there_is_room() {
        let go_on = Arc::new(Notify::new());
        let waiting = Arc::clone(&go_on);
        let mut service = Admission::new(1).layer(service_fn(move |_| {
            let waiting = Arc::clone(&waiting);
            async move {
                waiting.notified().await;
                Ok::<_, Infallible>(Response::new(Body::default()))
            }
        }));
        let first = service.call(Request::new(Body::default()));
        let second = service.call(Request::new(Body::default())).await.unwrap();
        let status = Status::from_header_map(second.headers()).unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted);

        go_on.notify_one();
        assert!(Status::from_header_map(first.await.unwrap().headers()).is_none());
        go_on.notify_one();
        let third = service.call(Request::new(Body::default())).await.unwrap();
        assert!(Status::from_header_map(third.headers()).is_none());
    }
}
