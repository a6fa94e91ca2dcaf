//! What operators and tools need: how the replica is, and backups.

use tonic::{Request, Response, Status};

use super::backup::{self, BackupStream};
use super::errors::Failure;
use super::service::patience;
use crate::proto;
use crate::proto::ft_queue_admin_server::FtQueueAdmin;
use crate::proto::{BackupRequest, StatusRequest, StatusResponse};
use crate::runtime::{Backups, Durability, Handle, PeerReport, Readiness, Report, View};
use crate::types::{ReplicaId, ViewNumber};

/// The service beside the calls.
pub(super) struct Admin {
    replica: Handle,
    backups: Backups,
    durability: Durability,
}

impl Admin {
    /// Of the replica behind the handle.
    pub(super) fn new(replica: Handle, backups: Backups, durability: Durability) -> Self {
        Self { replica, backups, durability }
    }
}

#[tonic::async_trait]
impl FtQueueAdmin for Admin {
    async fn status(
        &self,
        _request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let report = self.replica.report().await.map_err(Failure::Refused)?;
        Ok(Response::new(response(&report, self.durability)))
    }

    type BackupStream = BackupStream;

    async fn backup(
        &self,
        request: Request<BackupRequest>,
    ) -> Result<Response<BackupStream>, Status> {
        let pieces = backup::begin(&self.replica, &self.backups, patience(&request)).await?;
        Ok(Response::new(backup::stream(pieces)))
    }
}

fn response(report: &Report, durability: Durability) -> StatusResponse {
    let (serving, why_not) = match &report.readiness {
        Readiness::Ready => (true, String::new()),
        Readiness::NotReady(why) => (false, why.clone()),
    };
    StatusResponse {
        replica: report.id.0.into(),
        incarnation: report.incarnation.0,
        status: report.status.to_owned(),
        status_ms: milliseconds(report.status_for),
        view: report.view.as_ref().map(view),
        promised: number(report.promised),
        serving,
        why_not,
        serving_ms: milliseconds(report.readiness_for),
        delivered: report.marks.delivered.0,
        committed: report.marks.committed.0,
        durable: report.marks.durable.0,
        ordered: report.marks.ordered.0,
        sequence: report.sequence,
        open_calls: report.open_calls as u64,
        durability: durability.to_string(),
        peers: report.peers.iter().map(peer).collect(),
    }
}

fn view(view: &View) -> proto::View {
    let members = view.members.iter();
    let member = |member: &crate::types::Member| proto::Member {
        replica: member.id.0.into(),
        incarnation: member.incarnation.0,
    };
    proto::View {
        number: number(view.number),
        members: members.map(member).collect(),
        start: view.start.0,
    }
}

fn peer(peer: &PeerReport) -> proto::Peer {
    proto::Peer {
        replica: peer.id.0.into(),
        incarnation: peer.incarnation.map_or(0, |incarnation| incarnation.0),
        unheard_ms: peer.unheard_for.map(milliseconds),
        hears: peer.hears.iter().map(|ReplicaId(id)| u32::from(*id)).collect(),
        suspected: peer.suspected.clone().unwrap_or_default(),
        delivered: peer.delivered.0,
        round_trip_us: u64::try_from(peer.round_trip.as_micros()).unwrap_or(u64::MAX),
    }
}

fn number(view: ViewNumber) -> String {
    if view == ViewNumber::NONE {
        String::new()
    } else {
        format!("{}.{}", view.round, view.proposer.0)
    }
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
