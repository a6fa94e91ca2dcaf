//! Whether calls can be answered here, and why not.

use super::Replica;
use super::event::{Readiness, Unavailable};
use super::status::Status;
use crate::types::Instant;

impl Replica {
    /// Why calls are refused on arrival, if they are.
    pub(super) fn cannot_answer(&self, now: Instant) -> Option<(Unavailable, String)> {
        if self.leaving {
            return Some((Unavailable::ShuttingDown, "the replica is stopping".to_owned()));
        }
        if let Some(refusal) = self.lacks_majority(now) {
            return Some(refusal);
        }
        match (&self.status, &self.readiness) {
            (Status::Outside(_), Readiness::NotReady(why)) => {
                Some((Unavailable::NoView, why.clone()))
            }
            _ => None,
        }
    }

    /// That no majority is reached, and who is, where it is so.
    pub(super) fn lacks_majority(&self, now: Instant) -> Option<(Unavailable, String)> {
        let reachable = self.connected(now);
        if reachable.len() >= self.quorum.size() {
            return None;
        }
        let detail = format!(
            "it reaches {} of {} replicas, and {} make a majority",
            reachable.len(),
            self.config.replicas,
            self.quorum.size()
        );
        Some((Unavailable::NoMajority { reachable }, detail))
    }

    /// Judges anew whether calls can be answered.
    pub(super) fn assess_readiness(&mut self, now: Instant) {
        let readiness = match &self.status {
            _ if self.leaving => Readiness::NotReady("leaving".to_owned()),
            _ if self.storage_full => Readiness::NotReady("storage is full".to_owned()),
            _ if self.disk_hangs() => {
                let seconds = self.config.ack_timeout.as_secs();
                Readiness::NotReady(format!(
                    "the disk has made nothing durable for over {seconds} s"
                ))
            }
            Status::Outside(_) if !self.takes_part() => {
                Readiness::NotReady(self.why_no_part().expect("it takes no part"))
            }
            status => match (self.lacks_majority(now), status) {
                (Some((_, detail)), _) => Readiness::NotReady(detail),
                (None, Status::Member(told)) if self.delivered_through >= told.view.start => {
                    Readiness::Ready
                }
                (None, Status::Member(_)) => {
                    Readiness::NotReady("the view's beginning is not delivered yet".to_owned())
                }
                (None, Status::Outside(learner)) => Readiness::NotReady(match &self.copying {
                    Some(copying) => copying.describe(),
                    None => learner.describe().to_owned(),
                }),
                (None, Status::Changing(change)) => {
                    Readiness::NotReady(format!("view {} is being agreed on", change.number))
                }
                (None, Status::Installing(install)) => {
                    let number = install.told.view.number;
                    Readiness::NotReady(format!("view {number} is being installed"))
                }
            },
        };
        // While the view changes calls wait; that is no reason to send callers away.
        let passing =
            matches!(self.status, Status::Changing(_) | Status::Installing(_) | Status::Member(_))
                && self.readiness == Readiness::Ready
                && !self.leaving
                && !self.storage_full
                && !self.disk_hangs()
                && self.lacks_majority(now).is_none()
                && now.since(self.status_since) < self.config.view_timeout;
        if self.readiness != readiness && !passing {
            self.readiness = readiness;
            self.readiness_since = now;
        }
    }
}
