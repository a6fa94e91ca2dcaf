//! The page that is scraped, over HTTP: one request a connection, few connections, and none for long.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::families::Scrape;
use crate::runtime::{Durability, Handle};

/// Where the page is.
const PATH: &str = "/metrics";
/// The format, as OpenMetrics 1.0.0 names it.
const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The most connections at a time; one too many is closed at once.
const MAX_CONNECTIONS: usize = 16;
/// How long a connection may take in all.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of a request.
const MAX_REQUEST: usize = 8 << 10;
/// How long to wait when the system has no more descriptors or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the page until the process ends.
pub(crate) async fn serve(listener: TcpListener, replica: Handle, durability: Durability) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "accepting a connection for metrics failed");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let replica = replica.clone();
        tokio::spawn(async move {
            if timeout(PATIENCE, talk(stream, replica, durability)).await.is_err() {
                debug!("a connection for metrics took too long");
            }
            drop(place);
        });
    }
}

async fn talk(stream: TcpStream, replica: Handle, durability: Durability) {
    let answer = |request: Request<hyper::body::Incoming>| {
        let replica = replica.clone();
        async move { Ok::<_, Infallible>(answer(&request, &replica, durability).await) }
    };
    let served = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_REQUEST)
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await;
    if let Err(error) = served {
        debug!(%error, "a connection for metrics failed");
    }
}

async fn answer<B>(
    request: &Request<B>,
    replica: &Handle,
    durability: Durability,
) -> Response<Full<Bytes>> {
    if request.uri().path() != PATH {
        return said(StatusCode::NOT_FOUND, format!("metrics are at {PATH}\n"));
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return said(StatusCode::METHOD_NOT_ALLOWED, "GET is what there is\n".to_owned());
    }
    let (report, counters) = match replica.report_and_counters().await {
        Ok(measured) => measured,
        Err(refusal) => return said(StatusCode::SERVICE_UNAVAILABLE, format!("{refusal:?}\n")),
    };
    match (Scrape { report, counters, durability }).page() {
        Ok(page) => {
            let mut response = said(StatusCode::OK, page);
            let format = hyper::header::HeaderValue::from_static(FORMAT);
            response.headers_mut().insert(CONTENT_TYPE, format);
            response
        }
        Err(error) => said(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn said(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}
