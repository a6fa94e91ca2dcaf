//! Requests of any bytes: each is answered, or refused with a reason.

use http_body_util::Full;
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tower::{Layer as _, Service as _};

use super::service::Service;
use super::{MAX_REQUEST, errors, transport_errors};
use crate::proto::ft_queue_server::FtQueueServer;
use crate::proto::{QPushRequest, RequestName};
use crate::queue::{Answer, Executed};
use crate::runtime::{Handle, Readiness, Submission};
use crate::test_tools::{Random, hex};

const METHODS: [&str; 7] = ["QCreate", "QDestroy", "QId", "QPush", "QPop", "QTop", "QSize"];

/// The request with the most fields; another method reads them by their numbers.
fn random_request(random: &mut Random) -> Vec<u8> {
    let integer = |random: &mut Random| random.of_any_length(64).cast_signed();
    let letters = random.index(70);
    let request = (random.below(2) == 0)
        .then(|| RequestName { client: "é".repeat(letters / 2), number: random.of_any_length(3) });
    QPushRequest { queue_id: integer(random), item: integer(random), request }.encode_to_vec()
}

/// Executes what arrives, and checks that it keeps the rules.
async fn execute(mut submissions: mpsc::Receiver<Submission>) {
    use crate::queue::Action;
    while let Some(Submission { operation, answer, .. }) = submissions.recv().await {
        let result = match operation.action {
            Action::Create { .. } => Answer::Queue(1),
            Action::Destroy { .. } => Answer::Destroyed,
            Action::Id { .. } => Answer::Label(None),
            Action::Push { .. } => Answer::Pushed,
            Action::Pop { .. } | Action::Top { .. } => Answer::Item(None),
            Action::Size { .. } => Answer::Size(0),
        };
        if let Action::Destroy { queue }
        | Action::Push { queue, .. }
        | Action::Pop { queue }
        | Action::Top { queue }
        | Action::Size { queue } = operation.action
        {
            assert!(queue > 0, "{operation:?}");
        }
        assert!(operation.request.as_ref().is_none_or(|name| name.is_valid()), "{operation:?}");
        let executed = Executed { sequence: 1, duplicate: false, result: Ok(result) };
        answer.send(Ok(executed)).ok();
    }
}

#[tokio::test]
async fn any_bytes_are_answered_or_refused_with_a_reason() {
    let (submit, submissions) = mpsc::channel(1);
    let (_readiness, watched) = watch::channel(Readiness::Ready);
    let executing = tokio::spawn(execute(submissions));
    let service =
        FtQueueServer::new(Service::new(Handle::new(submit, mpsc::channel(1).0, watched)));
    let explain = tower::util::MapResponseLayer::new(transport_errors::explain);
    let mut service = explain.layer(service.max_decoding_message_size(MAX_REQUEST));

    let mut random = Random::new(1);
    let (mut answered, mut refused) = (0, 0);
    for turn in 0..20_000 {
        let request = match turn % 3 {
            0 => {
                let length = random.index(60);
                random.bytes(length)
            }
            1 => random_request(&mut random),
            _ => {
                let request = random_request(&mut random);
                random.mutated(&request)
            }
        };
        let length = u32::try_from(request.len()).unwrap().to_be_bytes();
        let mut body = [&[0][..], &length, &request].concat();
        if turn % 7 == 0 {
            body = random.mutated(&body);
        }
        let what = format!("{} of {}", METHODS[turn % 7], hex(&body));
        let call = Request::post(format!("/ftqueue.v1.FTQueue/{}", METHODS[turn % 7]))
            .header("content-type", "application/grpc")
            .body(Body::new(Full::new(bytes::Bytes::from(body))))
            .unwrap();
        let response: Response<Body> = service.call(call).await.unwrap();
        // An answer says how it went in its trailers.
        match Status::from_header_map(response.headers()) {
            None => answered += 1,
            Some(status) => {
                refused += 1;
                assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
                let info = status.get_details_error_info().expect("a reason");
                assert_eq!(info.domain, errors::DOMAIN, "{what}");
                assert_eq!(info.metadata["outcome"], "not_executed", "{what}");
            }
        }
    }
    println!("{answered} answered, {refused} refused");
    assert!(answered > 2_000 && refused > 2_000, "{answered} answered, {refused} refused");
    drop(service);
    executing.await.unwrap();
}
