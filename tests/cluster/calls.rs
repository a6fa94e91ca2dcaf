//! Every call and every error of a call, on every replica.

use std::collections::BTreeSet;

use ftqueue::testing::proto::ft_queue_client::FtQueueClient;
use ftqueue::testing::proto::{
    QCreateRequest, QDestroyRequest, QIdRequest, QPopRequest, QPushRequest, QSizeRequest,
    QTopRequest, RequestName,
};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::SIZES;
use crate::cluster::Cluster;

type Client = FtQueueClient<Channel>;

/// Clients that are called in turn, so that each call goes to another replica than the last.
struct Turns {
    clients: Vec<Client>,
    next: usize,
    /// The sequence of the last call. Nobody else calls, so each is one more than the last.
    sequence: u64,
}

impl Turns {
    async fn on(cluster: &Cluster) -> Self {
        let clients = cluster.clients().await;
        Self { clients, next: 0, sequence: 0 }
    }

    fn client(&mut self) -> &mut Client {
        self.next += 1;
        let count = self.clients.len();
        &mut self.clients[self.next % count]
    }

    #[track_caller]
    fn follows(&mut self, sequence: u64) {
        assert_eq!(sequence, self.sequence + 1, "the sequence counts every operation");
        self.sequence = sequence;
    }

    async fn create(&mut self, label: i64) -> i64 {
        let request = QCreateRequest { label, request: None };
        let answer = self.client().q_create(request).await.unwrap().into_inner();
        self.follows(answer.sequence);
        assert!(answer.queue_id > 0 && !answer.duplicate);
        answer.queue_id
    }

    async fn id(&mut self, label: i64) -> i64 {
        let answer = self.client().q_id(QIdRequest { label }).await.unwrap().into_inner();
        self.follows(answer.sequence);
        answer.queue_id
    }

    async fn push(&mut self, queue_id: i64, item: i64) {
        let request = QPushRequest { queue_id, item, request: None };
        let answer = self.client().q_push(request).await.unwrap().into_inner();
        self.follows(answer.sequence);
        assert!(!answer.duplicate);
    }

    async fn pop(&mut self, queue_id: i64) -> Option<i64> {
        let request = QPopRequest { queue_id, request: None };
        let answer = self.client().q_pop(request).await.unwrap().into_inner();
        self.follows(answer.sequence);
        assert_eq!(answer.empty, answer.item.is_none());
        assert!(!answer.duplicate);
        answer.item
    }

    async fn top(&mut self, queue_id: i64) -> Option<i64> {
        let answer = self.client().q_top(QTopRequest { queue_id }).await.unwrap().into_inner();
        self.follows(answer.sequence);
        assert_eq!(answer.empty, answer.item.is_none());
        answer.item
    }

    async fn size(&mut self, queue_id: i64) -> u64 {
        let answer = self.client().q_size(QSizeRequest { queue_id }).await.unwrap().into_inner();
        self.follows(answer.sequence);
        answer.size.expect("the size is always told")
    }

    async fn destroy(&mut self, queue_id: i64) {
        let request = QDestroyRequest { queue_id, request: None };
        let answer = self.client().q_destroy(request).await.unwrap().into_inner();
        self.follows(answer.sequence);
        assert!(!answer.duplicate);
    }
}

#[tokio::test]
async fn every_call_on_every_replica() {
    for size in SIZES {
        let cluster = Cluster::start(size).await;
        let mut turns = Turns::on(&cluster).await;
        // As often as there are replicas, each time beginning with another one.
        for round in 0..size {
            turns.next = round;
            let label = i64::try_from(round).unwrap();
            assert_eq!(turns.id(label).await, -1);
            let queue = turns.create(label).await;
            assert_eq!(turns.create(label).await, queue);
            assert_eq!(turns.id(label).await, queue);

            assert_eq!(turns.size(queue).await, 0);
            assert_eq!(turns.top(queue).await, None);
            assert_eq!(turns.pop(queue).await, None);
            for item in [i64::MIN, 0, i64::MAX] {
                turns.push(queue, item).await;
            }
            assert_eq!(turns.size(queue).await, 3);
            assert_eq!(turns.top(queue).await, Some(i64::MIN));
            assert_eq!(turns.pop(queue).await, Some(i64::MIN));
            assert_eq!(turns.pop(queue).await, Some(0));
            assert_eq!(turns.top(queue).await, Some(i64::MAX));
            assert_eq!(turns.pop(queue).await, Some(i64::MAX));
            assert_eq!(turns.pop(queue).await, None);

            turns.push(queue, 7).await;
            turns.destroy(queue).await;
            assert_eq!(turns.id(label).await, -1);
            let again = turns.create(label).await;
            assert!(again > queue, "an id is never used again");
            assert_eq!(turns.size(again).await, 0);
        }
    }
}

#[tokio::test]
async fn labels_may_be_any_integer() {
    for size in SIZES {
        let cluster = Cluster::start(size).await;
        let mut turns = Turns::on(&cluster).await;
        let mut queues = BTreeSet::new();
        for label in [i64::MIN, -1, 0, 1, i64::MAX] {
            let queue = turns.create(label).await;
            assert_eq!(turns.id(label).await, queue);
            assert!(queues.insert(queue), "two labels share a queue");
        }
    }
}

#[track_caller]
fn not_found(status: &Status, queue: i64, sequence: u64) {
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), format!("there is no queue {queue}"));
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.domain.as_str(), info.reason.as_str()), ("ftqueue.v1", "QUEUE_NOT_FOUND"));
    assert_eq!(info.metadata["queue_id"], queue.to_string());
    assert_eq!(info.metadata["sequence"], sequence.to_string());
}

#[track_caller]
fn invalid(status: &Status, reason: &str, fields: &[&str]) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.domain.as_str(), info.reason.as_str()), ("ftqueue.v1", reason));
    assert_eq!(info.metadata["outcome"], "not_executed");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    let named: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(named, fields);
}

#[tokio::test]
async fn an_unknown_queue_is_not_found_by_any_replica() {
    for size in SIZES {
        let cluster = Cluster::start(size).await;
        let mut sequence = 0;
        for mut client in cluster.clients().await {
            let queue_id = i64::MAX;
            let mut errors = vec![
                client.q_destroy(QDestroyRequest { queue_id, request: None }).await.unwrap_err(),
                client.q_push(QPushRequest { queue_id, item: 1, request: None }).await.unwrap_err(),
            ];
            errors.push(client.q_pop(QPopRequest { queue_id, request: None }).await.unwrap_err());
            errors.push(client.q_top(QTopRequest { queue_id }).await.unwrap_err());
            errors.push(client.q_size(QSizeRequest { queue_id }).await.unwrap_err());
            for error in &errors {
                // What the state machine refuses has its place in the order all the same.
                sequence += 1;
                not_found(error, queue_id, sequence);
            }
        }
    }
}

#[tokio::test]
async fn what_breaks_the_rules_is_invalid_at_every_replica() {
    for size in SIZES {
        let cluster = Cluster::start(size).await;
        for mut client in cluster.clients().await {
            for queue_id in [0, -1, i64::MIN] {
                let errors = [
                    client
                        .q_destroy(QDestroyRequest { queue_id, request: None })
                        .await
                        .unwrap_err(),
                    client
                        .q_push(QPushRequest { queue_id, item: 1, request: None })
                        .await
                        .unwrap_err(),
                    client.q_pop(QPopRequest { queue_id, request: None }).await.unwrap_err(),
                    client.q_top(QTopRequest { queue_id }).await.unwrap_err(),
                    client.q_size(QSizeRequest { queue_id }).await.unwrap_err(),
                ];
                for error in &errors {
                    invalid(error, "QUEUE_ID_NOT_POSITIVE", &["queue_id"]);
                }
            }
            let name =
                |client: &str, number| Some(RequestName { client: client.to_owned(), number });
            let long = "x".repeat(65);
            for (request, fields) in [
                (name("", 1), &["request.client"][..]),
                (name(&long, 1), &["request.client"]),
                (name("a", 0), &["request.number"]),
                (name("", 0), &["request.client", "request.number"]),
            ] {
                let reason = "REQUEST_NAME_INVALID";
                let create = QCreateRequest { label: 1, request: request.clone() };
                invalid(&client.q_create(create).await.unwrap_err(), reason, fields);
                let destroy = QDestroyRequest { queue_id: 1, request: request.clone() };
                invalid(&client.q_destroy(destroy).await.unwrap_err(), reason, fields);
                let push = QPushRequest { queue_id: 1, item: 1, request: request.clone() };
                invalid(&client.q_push(push).await.unwrap_err(), reason, fields);
                let pop = QPopRequest { queue_id: 1, request };
                invalid(&client.q_pop(pop).await.unwrap_err(), reason, fields);
            }
        }
        // None of them was executed.
        let mut turns = Turns::on(&cluster).await;
        turns.id(1).await;
    }
}

#[tokio::test]
async fn a_named_request_is_executed() {
    for size in SIZES {
        let cluster = Cluster::start(size).await;
        for (mut client, number) in cluster.clients().await.into_iter().zip(1..) {
            let longest = "x".repeat(64);
            let request = Some(RequestName { client: longest, number });
            let create = QCreateRequest { label: 1, request };
            let answer = client.q_create(create).await.unwrap().into_inner();
            assert!(!answer.duplicate);
        }
    }
}

#[tokio::test]
async fn an_oversized_request_gets_a_clear_error() {
    for size in SIZES {
        let cluster = Cluster::start(size).await;
        for mut client in cluster.clients().await {
            for bytes in [5_000, 3 << 20] {
                let request = Some(RequestName { client: "x".repeat(bytes), number: 1 });
                let create = QCreateRequest { label: 1, request };
                let status = client.q_create(create).await.unwrap_err();
                assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
                let info = status.get_details_error_info().unwrap();
                assert_eq!(info.reason, "REQUEST_TOO_LARGE");
                assert_eq!(info.metadata["limit"], "4096");
            }
        }
        let mut turns = Turns::on(&cluster).await;
        turns.id(1).await;
    }
}

#[tokio::test]
async fn callers_at_the_same_time_each_have_their_place() {
    const CALLERS: usize = 32;
    const CALLS: usize = 25;
    for size in SIZES {
        let cluster = Cluster::start(size).await;
        let clients = cluster.clients().await;
        let queue_id = Turns::on(&cluster).await.create(1).await;
        let mut callers = Vec::new();
        for caller in 0..CALLERS {
            let mut client = clients[caller % size].clone();
            callers.push(tokio::spawn(async move {
                let mut sequences = Vec::new();
                for call in 0..CALLS {
                    let item = i64::try_from(caller * CALLS + call).unwrap();
                    let request = QPushRequest { queue_id, item, request: None };
                    sequences.push(client.q_push(request).await.unwrap().into_inner().sequence);
                }
                assert!(sequences.is_sorted(), "a caller's own calls stay in order");
                sequences
            }));
        }
        let mut sequences = BTreeSet::new();
        for caller in callers {
            sequences.extend(caller.await.unwrap());
        }
        let expected: BTreeSet<_> = (2..).take(CALLERS * CALLS).collect();
        assert_eq!(sequences, expected, "every place is taken once");

        // Each caller's items come out in the order in which they went in.
        let mut turns = Turns::on(&cluster).await;
        turns.sequence = sequences.last().copied().unwrap();
        let mut last = vec![-1; CALLERS];
        for _ in 0..CALLERS * CALLS {
            let item = turns.pop(queue_id).await.expect("as many as were pushed");
            let caller = usize::try_from(item).unwrap() / CALLS;
            assert!(item > last[caller]);
            last[caller] = item;
        }
        assert_eq!(turns.pop(queue_id).await, None);
    }
}
