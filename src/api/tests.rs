//! The edge with a made-up replica behind it: what the real one rarely does, done at will.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use super::service::Service;
use crate::proto::ft_queue_admin_client::FtQueueAdminClient;
use crate::proto::ft_queue_client::FtQueueClient;
use crate::proto::ft_queue_server::FtQueue as _;
use crate::proto::{
    BackupRequest, QCreateRequest, QDestroyRequest, QPopRequest, QPushRequest, QSizeRequest,
    RequestName,
};
use crate::queue::{Answer, Executed, Limits, Queues};
use crate::runtime::{Backups, Durability, Handle, Readiness, Refusal, Submission};
use crate::types::ReplicaId;

/// Far beyond what anything here takes.
const LONG: Duration = Duration::from_secs(30);
/// How many calls may wait for the made-up replica.
const ROOM: usize = 2;

struct Edge {
    address: SocketAddr,
    submissions: mpsc::Receiver<Submission>,
    readiness: watch::Sender<Readiness>,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
    /// Empty, as of a replica that has executed nothing.
    _data: TempDir,
}

impl Edge {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (submit, submissions) = mpsc::channel(ROOM);
        let not_ready = Readiness::NotReady("starting".to_owned());
        let (readiness, watched) = watch::channel(not_ready);
        let (stop, mut stopping) = watch::channel(false);
        let handle = Handle::new(submit, mpsc::channel(1).0, watched);
        let data = tempfile::tempdir().unwrap();
        let backups = Backups::impatient(data.path(), "edge".to_owned(), ReplicaId(0));
        let served = tokio::spawn(async move {
            let stop = async move { drop(stopping.wait_for(|stop| *stop).await) };
            super::serve(listener, handle, backups, Durability::Fsync, stop).await.unwrap();
        });
        Self { address, submissions, readiness, stop, served, _data: data }
    }

    async fn channel(&self) -> Channel {
        let endpoint = format!("http://{}", self.address);
        Channel::from_shared(endpoint).unwrap().connect().await.unwrap()
    }

    async fn client(&self) -> FtQueueClient<Channel> {
        FtQueueClient::new(self.channel().await)
    }
}

fn size(timeout: Option<Duration>) -> Request<QSizeRequest> {
    let mut request = Request::new(QSizeRequest { queue_id: 1 });
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    request
}

/// The reason and the outcome that a status carries.
fn reason_and_outcome(status: &Status) -> (String, String) {
    let info =
        status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    (info.reason, info.metadata["outcome"].clone())
}

/// Answers every call at its deadline, as the real replica does: nobody else is there to answer with.
async fn refuse_at_the_deadline(mut submissions: mpsc::Receiver<Submission>) {
    while let Some(Submission { patience, answer, .. }) = submissions.recv().await {
        tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            let refusal = Refusal::DeadlineExceeded {
                sent: true,
                waited: patience,
                waiting_for: "a majority".to_owned(),
            };
            answer.send(Err(refusal)).ok();
        });
    }
}

#[tokio::test]
async fn a_deadline_is_answered_before_the_caller_gives_up() {
    let edge = Edge::start().await;
    let mut client = edge.client().await;
    tokio::spawn(refuse_at_the_deadline(edge.submissions));
    // Tokio's timer, which stands for the replica's here, is late by up to a millisecond or two.
    for milliseconds in [300, 800] {
        let limit = Duration::from_millis(milliseconds);
        let started = Instant::now();
        let status = client.q_size(size(Some(limit))).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        let expected = ("DEADLINE_EXCEEDED".to_owned(), "unknown".to_owned());
        assert_eq!(reason_and_outcome(&status), expected);
        assert!(started.elapsed() >= limit / 2, "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_call_without_time_is_not_executed() {
    let (submit, mut submissions) = mpsc::channel(ROOM);
    let (_readiness, watched) = watch::channel(Readiness::Ready);
    let service = Service::new(Handle::new(submit, mpsc::channel(1).0, watched));
    let status = service.q_size(size(Some(Duration::ZERO))).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let expected = ("DEADLINE_EXCEEDED".to_owned(), "not_executed".to_owned());
    assert_eq!(reason_and_outcome(&status), expected);
    assert!(submissions.try_recv().is_err(), "it was handed to the replica");
}

#[tokio::test]
async fn a_full_replica_refuses_and_says_so() {
    let edge = Edge::start().await;
    let client = edge.client().await;
    let mut waiting = Vec::new();
    for _ in 0..=ROOM {
        let mut client = client.clone();
        waiting.push(tokio::spawn(async move { client.q_size(size(None)).await }));
    }
    // One of them finds no room; the others wait on, for nobody takes them.
    let refused = async {
        loop {
            if let Some(at) = waiting.iter().position(|call| call.is_finished()) {
                return waiting.swap_remove(at).await.unwrap().unwrap_err();
            }
            tokio::task::yield_now().await;
        }
    };
    let status = timeout(LONG, refused).await.unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let expected = ("OVERLOADED".to_owned(), "not_executed".to_owned());
    assert_eq!(reason_and_outcome(&status), expected);
    let limit = &status.get_details_error_info().unwrap().metadata["limit"];
    assert_eq!(limit, &ROOM.to_string());
}

/// Answers every call as a cluster does that has executed nothing else.
async fn execute(mut submissions: mpsc::Receiver<Submission>) {
    let mut queues = Queues::new(Limits::DEFAULT);
    while let Some(Submission { operation, answer, .. }) = submissions.recv().await {
        answer.send(Ok(queues.apply(&operation))).ok();
    }
}

#[tokio::test]
async fn a_name_gets_its_first_answer_again_or_a_reason() {
    let edge = Edge::start().await;
    let mut client = edge.client().await;
    tokio::spawn(execute(edge.submissions));
    let name = |number| Some(RequestName { client: "a".to_owned(), number });

    let create = QCreateRequest { label: 1, request: name(1) };
    for duplicate in [false, true] {
        let answer = client.q_create(create.clone()).await.unwrap().into_inner();
        assert_eq!((answer.queue_id, answer.sequence, answer.duplicate), (1, 1, duplicate));
    }
    let push = QPushRequest { queue_id: 1, item: 7, request: name(2) };
    for duplicate in [false, true] {
        let answer = client.q_push(push.clone()).await.unwrap().into_inner();
        assert_eq!((answer.sequence, answer.duplicate), (3, duplicate));
    }
    let pop = QPopRequest { queue_id: 1, request: name(3) };
    for duplicate in [false, true] {
        let answer = client.q_pop(pop.clone()).await.unwrap().into_inner();
        assert_eq!((answer.item, answer.empty), (Some(7), false));
        assert_eq!((answer.sequence, answer.duplicate), (5, duplicate));
    }
    let destroy = QDestroyRequest { queue_id: 1, request: name(4) };
    for duplicate in [false, true] {
        let answer = client.q_destroy(destroy.clone()).await.unwrap().into_inner();
        assert_eq!((answer.sequence, answer.duplicate), (7, duplicate));
    }
    let gone = QPopRequest { queue_id: 1, request: name(5) };
    for duplicate in [None, Some("true")] {
        let status = client.q_pop(gone.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.metadata["sequence"], "9");
        assert_eq!(info.metadata.get("duplicate").map(String::as_str), duplicate);
    }

    let other = QPopRequest { queue_id: 2, request: name(5) };
    let status = client.q_pop(other).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.metadata["sequence"].as_str()),
        ("REQUEST_REUSED", "11")
    );

    let stranger = Some(RequestName { client: "b".to_owned(), number: 2 });
    let status = client.q_pop(QPopRequest { queue_id: 1, request: stranger }).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let expected = ("REQUEST_FORGOTTEN".to_owned(), "unknown".to_owned());
    assert_eq!(reason_and_outcome(&status), expected);
}

#[tokio::test]
async fn a_stopping_replica_says_whether_the_call_was_taken() {
    let mut edge = Edge::start().await;
    let mut client = edge.client().await;

    let mut other = client.clone();
    let taken = tokio::spawn(async move { other.q_size(size(None)).await });
    drop(timeout(LONG, edge.submissions.recv()).await.unwrap());
    let status = taken.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let expected = ("SHUTTING_DOWN".to_owned(), "unknown".to_owned());
    assert_eq!(reason_and_outcome(&status), expected);

    edge.submissions.close();
    let status = client.q_size(size(None)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let expected = ("SHUTTING_DOWN".to_owned(), "not_executed".to_owned());
    assert_eq!(reason_and_outcome(&status), expected);
}

/// Answers the read that a backup begins with, at this place. That of the empty log is 0, which no cluster answers.
fn answer_read(submission: Submission, sequence: u64) {
    let result = Ok(Answer::Label(None));
    submission.answer.send(Ok(Executed { sequence, duplicate: false, result })).unwrap();
}

#[tokio::test]
async fn a_replica_makes_one_backup_at_a_time() {
    let mut edge = Edge::start().await;
    let client = FtQueueAdminClient::new(edge.channel().await);
    let mut first = client.clone();
    let first = tokio::spawn(async move { first.backup(BackupRequest {}).await });
    let read = timeout(LONG, edge.submissions.recv()).await.unwrap().unwrap();

    let status = client.clone().backup(BackupRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let expected = ("BACKUP_UNDER_WAY".to_owned(), "not_executed".to_owned());
    assert_eq!(reason_and_outcome(&status), expected);

    answer_read(read, 0);
    let mut pieces = timeout(LONG, first).await.unwrap().unwrap().unwrap().into_inner();
    let mut bytes = 0;
    while let Some(piece) = timeout(LONG, pieces.message()).await.unwrap().unwrap() {
        bytes += piece.piece.len();
    }
    assert!(bytes > 0, "even of nothing there is a backup");
    another_can_be_made(&mut edge, client).await;
}

/// Waits until the place of an earlier backup is free, and has a read asked for.
async fn another_can_be_made(edge: &mut Edge, mut client: FtQueueAdminClient<Channel>) {
    let asking = async {
        while let Err(status) = client.backup(BackupRequest {}).await {
            assert_eq!(reason_and_outcome(&status).0, "BACKUP_UNDER_WAY");
        }
    };
    let reading = async { edge.submissions.recv().await.map(|read| answer_read(read, 0)) };
    timeout(LONG, async { tokio::join!(asking, reading) }).await.unwrap();
}

#[tokio::test]
async fn whoever_hangs_up_makes_room_for_another_backup() {
    let mut edge = Edge::start().await;
    let client = FtQueueAdminClient::new(edge.channel().await);
    let mut first = client.clone();
    let first = tokio::spawn(async move { first.backup(BackupRequest {}).await });
    let read = timeout(LONG, edge.submissions.recv()).await.unwrap().unwrap();
    first.abort();
    another_can_be_made(&mut edge, client).await;
    drop(read);
}

#[tokio::test]
async fn a_backup_that_would_lack_the_read_is_none() {
    let mut edge = Edge::start().await;
    let mut client = FtQueueAdminClient::new(edge.channel().await);
    let asked = tokio::spawn(async move { client.backup(BackupRequest {}).await });
    answer_read(timeout(LONG, edge.submissions.recv()).await.unwrap().unwrap(), 5);
    let mut pieces = timeout(LONG, asked).await.unwrap().unwrap().unwrap().into_inner();
    let status = timeout(LONG, pieces.message()).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(reason_and_outcome(&status).0, "BACKUP_FAILED");
    assert!(status.message().contains("only that 0 of 5 were delivered"), "{status}");
}

#[tokio::test]
async fn a_replica_that_refuses_the_read_makes_no_backup() {
    let mut edge = Edge::start().await;
    let mut client = FtQueueAdminClient::new(edge.channel().await);
    let asked = tokio::spawn(async move { client.backup(BackupRequest {}).await });
    let read = timeout(LONG, edge.submissions.recv()).await.unwrap().unwrap();
    read.answer.send(Err(Refusal::StorageFull)).unwrap();
    let status = timeout(LONG, asked).await.unwrap().unwrap().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason_and_outcome(&status).0, "STORAGE_FULL");
}

#[tokio::test]
async fn health_follows_the_replica_to_its_end() {
    let edge = Edge::start().await;
    for service in ["", "ftqueue.v1.FTQueue"] {
        let mut client = HealthClient::new(edge.channel().await);
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = client.check(request.clone()).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::NotServing, "'{service}'");

        let mut watch = client.watch(request).await.unwrap().into_inner();
        for (readiness, expected) in [
            (None, ServingStatus::NotServing),
            (Some(Readiness::Ready), ServingStatus::Serving),
            (Some(Readiness::NotReady("alone".to_owned())), ServingStatus::NotServing),
        ] {
            if let Some(readiness) = readiness {
                edge.readiness.send_replace(readiness);
            }
            let next = timeout(LONG, watch.next()).await.unwrap().unwrap().unwrap();
            assert_eq!(next.status(), expected, "'{service}'");
        }
    }

    // One who watches does not hold up the end.
    let mut client = HealthClient::new(edge.channel().await);
    let request = HealthCheckRequest { service: String::new() };
    let mut watch = client.watch(request).await.unwrap().into_inner();
    edge.stop.send_replace(true);
    drop(edge.readiness);
    let ended = async { while watch.next().await.is_some() {} };
    timeout(LONG, ended).await.unwrap();
    timeout(LONG, edge.served).await.unwrap().unwrap();
}
