//! The gRPC edge of a replica.

mod admin;
mod admission;
#[cfg(test)]
mod any_request;
mod backup;
mod connections;
mod deadline;
mod errors;
mod health;
mod request;
mod service;
#[cfg(test)]
mod tests;
mod transport_errors;

use std::time::Duration;

use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic_reflection::server::Builder as Reflection;
use tower::util::{MapRequestLayer, MapResponseLayer};

use crate::proto;
use crate::proto::ft_queue_admin_server::FtQueueAdminServer;
use crate::proto::ft_queue_server::FtQueueServer;
use crate::runtime::{Backups, Durability, Handle};

/// The largest request, in bytes. The largest that makes sense has less than 200.
const MAX_REQUEST: usize = 4 << 10;
/// Calls in progress at a time on all connections. One that was begun and not finished takes some 12 KiB.
const MAX_CALLS: usize = 16_384;
/// Streams of answers that are open at a time on all connections: health and reflection. One for each connection, as a
/// client that checks health by itself has it.
const MAX_OPEN_STREAMS: usize = 4_096;
/// Calls at a time on one connection; a load generator may have many clients on one.
const MAX_STREAMS: u32 = 1_024;
/// The bytes that a caller may have under way: on one call, and on all of a connection. All its calls fit.
const WINDOWS: (u32, u32) = (16 << 10, 128 << 10);
/// The headers of a request, in bytes.
const MAX_HEADERS: u32 = 16 << 10;
/// Streams that the server reset for a caller's errors before it closes the connection (RUSTSEC-2024-0003), and
/// streams that the caller reset before the server came to them (CVE-2023-44487). tonic would set no limit.
const MAX_RESETS: (usize, usize) = (1_024, 20);
/// After so much silence a caller is asked whether it is there, and has so long to say so.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// What a call may take in all; it bounds only requests that do not arrive, for the others are answered sooner.
const MAX_CALL: Duration = deadline::LONGEST.saturating_add(Duration::from_secs(5));

/// Serves the replica's callers until `stop` ends, and then until their connections are closed. Those that have no
/// call under way are closed at once; nobody is cut off: the caller of this function bounds the wait.
///
/// # Errors
/// When the server cannot be built or fails as a whole.
pub(crate) async fn serve(
    listener: TcpListener,
    replica: Handle,
    backups: Backups,
    durability: Durability,
    stop: impl Future<Output = ()>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (reporter, health) = health::service().await;
    let following = tokio::spawn(health::follow(reporter, replica.readiness()));
    let admin = FtQueueAdminServer::new(admin::Admin::new(replica.clone(), backups, durability));
    let queue = FtQueueServer::new(service::Service::new(replica));
    let served = Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .http2_max_header_list_size(MAX_HEADERS)
        .http2_max_local_error_reset_streams(Some(MAX_RESETS.0))
        .http2_max_pending_accept_reset_streams(Some(MAX_RESETS.1))
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .timeout(MAX_CALL)
        .layer(admission::Admission::new(MAX_CALLS, MAX_OPEN_STREAMS))
        .layer(MapRequestLayer::new(deadline::stamp))
        .layer(MapResponseLayer::new(transport_errors::explain))
        .add_service(queue.max_decoding_message_size(MAX_REQUEST))
        .add_service(admin.max_decoding_message_size(MAX_REQUEST))
        .add_service(health.max_decoding_message_size(MAX_REQUEST))
        .add_service(reflection().build_v1()?.max_decoding_message_size(MAX_REQUEST))
        .add_service(reflection().build_v1alpha()?.max_decoding_message_size(MAX_REQUEST))
        .serve_with_incoming_shutdown(connections::accept(listener), stop)
        .await;
    following.abort();
    Ok(served?)
}

/// Reflection over all that is served, and over the details that errors carry, so that tools show them in clear.
fn reflection() -> Reflection<'static> {
    Reflection::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
        .include_reflection_service(false)
}
