//! `ftqueue echo-server`: the service's messages answered at once, from memory: what gRPC alone costs.

use std::future::pending;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::exit::Exit;
use super::stdin;
use crate::proto::ft_queue_server::{FtQueue, FtQueueServer};
use crate::proto::{
    QCreateRequest, QCreateResponse, QDestroyRequest, QDestroyResponse, QIdRequest, QIdResponse,
    QPopRequest, QPopResponse, QPushRequest, QPushResponse, QSizeRequest, QSizeResponse,
    QTopRequest, QTopResponse,
};

/// The arguments of `echo-server`.
#[derive(Args, Debug)]
pub(crate) struct EchoServerArguments {
    /// Where to serve; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// End when standard input ends
    #[arg(long)]
    pub stop_with_stdin: bool,
}

/// Serves until SIGTERM, or until standard input ends. The first line of its output is its address.
///
/// # Errors
/// When it cannot listen or tell its address.
pub(crate) async fn run(arguments: EchoServerArguments) -> io::Result<Exit> {
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(arguments.listen).await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<FtQueueServer<Echo>>().await;
    let serving = Server::builder()
        .tcp_nodelay(true)
        .add_service(FtQueueServer::new(Echo::default()))
        .add_service(health)
        .serve_with_incoming(TcpListenerStream::new(listener));
    let stop_with_stdin = async {
        if arguments.stop_with_stdin {
            drop(stdin::ended().await);
        } else {
            pending().await
        }
    };
    tokio::select! {
        result = serving => result.map(|()| Exit::Ok).map_err(io::Error::other),
        () = stop_with_stdin => Ok(Exit::Ok),
        _ = terminate.recv() => Ok(Exit::Ok),
    }
}

#[derive(Default)]
struct Echo {
    sequence: AtomicU64,
}

impl Echo {
    fn next(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[tonic::async_trait]
impl FtQueue for Echo {
    async fn q_create(
        &self,
        _: Request<QCreateRequest>,
    ) -> Result<Response<QCreateResponse>, Status> {
        let sequence = self.next();
        Ok(Response::new(QCreateResponse { queue_id: 1, sequence, duplicate: false }))
    }

    async fn q_destroy(
        &self,
        _: Request<QDestroyRequest>,
    ) -> Result<Response<QDestroyResponse>, Status> {
        Ok(Response::new(QDestroyResponse { sequence: self.next(), duplicate: false }))
    }

    async fn q_id(&self, _: Request<QIdRequest>) -> Result<Response<QIdResponse>, Status> {
        Ok(Response::new(QIdResponse { queue_id: 1, sequence: self.next() }))
    }

    async fn q_push(&self, _: Request<QPushRequest>) -> Result<Response<QPushResponse>, Status> {
        Ok(Response::new(QPushResponse { sequence: self.next(), duplicate: false }))
    }

    async fn q_pop(&self, _: Request<QPopRequest>) -> Result<Response<QPopResponse>, Status> {
        let (item, sequence) = (Some(1), self.next());
        Ok(Response::new(QPopResponse { item, empty: false, sequence, duplicate: false }))
    }

    async fn q_top(&self, _: Request<QTopRequest>) -> Result<Response<QTopResponse>, Status> {
        let (item, sequence) = (Some(1), self.next());
        Ok(Response::new(QTopResponse { item, empty: false, sequence }))
    }

    async fn q_size(&self, _: Request<QSizeRequest>) -> Result<Response<QSizeResponse>, Status> {
        Ok(Response::new(QSizeResponse { size: Some(1), sequence: self.next() }))
    }
}
