//! The gRPC health service: NOT_SERVING until the replica can answer, and whenever it cannot.

use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::proto::ft_queue_server::SERVICE_NAME;
use crate::runtime::Readiness;

/// The services that may be asked for: the server as a whole and the queue service. They are the same.
const SERVICES: [&str; 2] = ["", SERVICE_NAME];

/// The health service, and what tells it how the replica is. It says NOT_SERVING from the start: tonic-health by
/// itself would say SERVING for `""`.
pub(super) async fn service() -> (HealthReporter, HealthServer<HealthService>) {
    let reporter = HealthReporter::new();
    report(&reporter, ServingStatus::NotServing).await;
    let service = HealthService::from_health_reporter(reporter.clone());
    (reporter, HealthServer::new(service))
}

/// Follows the replica's readiness until the replica is gone. Then those who watch are let go, so that they do not
/// hold up the end of the server.
pub(super) async fn follow(
    mut reporter: HealthReporter,
    mut readiness: watch::Receiver<Readiness>,
) {
    loop {
        let status = match *readiness.borrow_and_update() {
            Readiness::Ready => ServingStatus::Serving,
            Readiness::NotReady(_) => ServingStatus::NotServing,
        };
        report(&reporter, status).await;
        if readiness.changed().await.is_err() {
            break;
        }
    }
    report(&reporter, ServingStatus::NotServing).await;
    for service in SERVICES {
        reporter.clear_service_status(service).await;
    }
}

async fn report(reporter: &HealthReporter, status: ServingStatus) {
    for service in SERVICES {
        reporter.set_service_status(service, status).await;
    }
}
