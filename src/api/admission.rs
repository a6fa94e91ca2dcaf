//! So many calls in progress and no more, on all connections together: a call that was begun and not finished costs
//! memory, and a caller may begin as many on each connection as it has streams. Streams of answers, which last for as long
//! as their callers like, have places of their own: those who watch the health of a replica for hours take none of those
//! who call it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service};

use super::errors::Failure;
use crate::runtime::Refusal;

/// The calls that are answered by a stream that need not end. That of a backup ends, and there is one at a time.
const STREAMS: [&str; 3] = [
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Admits calls as long as there are places.
#[derive(Clone)]
pub(super) struct Admission {
    calls: Places,
    streams: Places,
}

#[derive(Clone)]
struct Places {
    free: Arc<Semaphore>,
    limit: usize,
}

impl Admission {
    /// With so many places for calls, and so many for streams.
    pub(super) fn new(calls: usize, streams: usize) -> Self {
        let places = |limit| Places { free: Arc::new(Semaphore::new(limit)), limit };
        Self { calls: places(calls), streams: places(streams) }
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
        let Admission { calls, streams } = &self.admission;
        let is_stream = STREAMS.contains(&request.uri().path());
        let Places { free, limit } = if is_stream { streams } else { calls };
        let Ok(place) = Arc::clone(free).try_acquire_owned() else {
            let failure = if is_stream {
                Failure::TooManyStreams { limit: *limit }
            } else {
                Failure::Refused(Refusal::Overloaded { limit: *limit })
            };
            return Box::pin(async { Ok(Status::from(failure).into_http()) });
        };
        let answer = self.service.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if !is_stream {
                return Ok(answer);
            }
            // It goes with the body.
            Ok(answer.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _held = &place;
                    frame
                }))
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use tokio::sync::Notify;
    use tonic::Code;
    use tower::service_fn;

    use super::*;

    fn request(path: &'static str) -> Request<Body> {
        Request::builder().uri(path).body(Body::default()).unwrap()
    }

    #[tokio::test]
    async fn a_stream_has_a_place_of_its_own_until_it_ends() {
        let mut service = Admission::new(1, 1).layer(service_fn(|_| async {
            let nothing_yet = tokio_stream::pending::<Result<Frame<Bytes>, Status>>();
            Ok::<_, Infallible>(Response::new(Body::new(StreamBody::new(nothing_yet))))
        }));
        let mut answered = async |path| {
            let answer = service.call(request(path)).await.unwrap();
            let refused = Status::from_header_map(answer.headers());
            refused.map_or(Ok(answer), |status| Err(status.code()))
        };
        for path in STREAMS {
            let stream = answered(path).await.unwrap();
            assert_eq!(answered(path).await.err(), Some(Code::ResourceExhausted));
            for _ in 0..2 {
                assert!(answered("/grpc.health.v1.Health/Check").await.is_ok());
            }
            drop(stream);
        }
    }

    #[tokio::test]
    async fn one_too_many_is_refused_until_there_is_room() {
        let go_on = Arc::new(Notify::new());
        let waiting = Arc::clone(&go_on);
        let mut service = Admission::new(1, 0).layer(service_fn(move |_| {
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
