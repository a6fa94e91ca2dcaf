//! Tools without the protos can ask for them.

use std::collections::BTreeSet;

use tokio_stream::StreamExt as _;

use crate::cluster::Cluster;

/// What grpcurl needs to call a replica and to show its errors in clear.
const SYMBOLS: [&str; 9] = [
    "ftqueue.v1.FTQueue",
    "ftqueue.v1.FTQueue.QPush",
    "ftqueue.v1.QPopResponse",
    "google.rpc.Status",
    "google.rpc.ErrorInfo",
    "google.rpc.BadRequest",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];
const FILES: [&str; 2] = ["google/protobuf/any.proto", "google/protobuf/duration.proto"];
const SERVICES: [&str; 5] = [
    "ftqueue.v1.FTQueue",
    "ftqueue.v1.FTQueueAdmin",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// Both versions have the same messages in different packages.
macro_rules! reflection {
    ($name:ident, $version:ident) => {
        #[tokio::test]
        async fn $name() {
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, ServerReflectionResponse,
            };

            let cluster = Cluster::start(1).await;
            let mut client = ServerReflectionClient::new(cluster.replicas[0].channel().await);
            let mut ask = async |message: MessageRequest| -> MessageResponse {
                let request =
                    ServerReflectionRequest { host: String::new(), message_request: Some(message) };
                let requests = tokio_stream::iter([request]);
                let mut answers =
                    client.server_reflection_info(requests).await.unwrap().into_inner();
                let answer: ServerReflectionResponse = answers.next().await.unwrap().unwrap();
                answer.message_response.unwrap()
            };

            let MessageResponse::ListServicesResponse(list) =
                ask(MessageRequest::ListServices(String::new())).await
            else {
                panic!("no list");
            };
            let listed: BTreeSet<_> =
                list.service.into_iter().map(|service| service.name).collect();
            assert_eq!(listed, SERVICES.map(str::to_owned).into());

            for symbol in SYMBOLS {
                let answer = ask(MessageRequest::FileContainingSymbol(symbol.to_owned())).await;
                let found = matches!(answer, MessageResponse::FileDescriptorResponse(_));
                assert!(found, "{symbol}: {answer:?}");
            }
            for file in FILES {
                let answer = ask(MessageRequest::FileByFilename(file.to_owned())).await;
                let found = matches!(answer, MessageResponse::FileDescriptorResponse(_));
                assert!(found, "{file}: {answer:?}");
            }
        }
    };
}

reflection!(version_1, v1);
reflection!(version_1_alpha, v1alpha);
