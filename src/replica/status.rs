//! What a replica is: outside of any view, changing to one, installing one, or a member of one.

use std::time::Duration;

use super::catch_up::Learner;
use super::fetch::Fetch;
use super::proposal::Proposal;
use super::view::View;
use crate::config::Config;
use crate::types::{Boundary, Incarnation, ReplicaId, ViewNumber};

/// What a replica is.
#[derive(Debug)]
pub(super) enum Status {
    /// In no view: it multicasts, numbers and acks nothing, and learns what others deliver.
    Outside(Learner),
    /// It promised a view and waits for it; of earlier views it numbers, appends, acks and delivers nothing.
    Changing(Change),
    /// It was told the view and fetches what it lacks of the chosen log.
    Installing(Install),
    /// A member of a view.
    Member(Told),
}

/// A view that was promised.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) number: ViewNumber,
    /// The life of the replica that proposes it, where that is another: the next one knows nothing of the proposal.
    pub(super) proposer_life: Option<Incarnation>,
    /// The write that makes the promise durable.
    pub(super) write: u64,
    /// How long that took, once it is.
    pub(super) durable_after: Option<Duration>,
    /// The proposal, where it is this replica's own.
    pub(super) proposal: Option<Proposal>,
}

impl Change {
    /// Whether the promise is durable.
    pub(super) fn is_durable(&self) -> bool {
        self.durable_after.is_some()
    }

    /// How long it may take before it has come to nothing. Others' promises are synced, too, each perhaps after a sync that
    /// was under way, and those for an own proposal only once that is durable; most likely their disks are no slower than
    /// this one. While this one hangs there is no other promise that it could give.
    pub(super) fn patience(&self, config: &Config) -> Duration {
        let syncs = if self.proposal.is_some() { 3 } else { 2 };
        match self.durable_after {
            Some(taken) => config.view_timeout + taken.min(config.ack_timeout) * syncs,
            None => config.ack_timeout,
        }
    }
}

/// A view as NEWVIEW told it: passed on unchanged.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) view: View,
    /// Whose log was chosen, and its boundaries.
    pub(super) source: ReplicaId,
    pub(super) boundaries: Vec<Boundary>,
}

/// A view that is being installed.
#[derive(Debug)]
pub(super) struct Install {
    pub(super) told: Told,
    pub(super) fetch: Fetch,
    /// Whether the own log cannot be compared with the chosen one: what the source holds takes its place.
    pub(super) unlike: bool,
    /// Who is ready to be a member, by bit; none where that is not waited for.
    pub(super) ready: Option<u16>,
}

impl Status {
    /// The view that this replica is a member of.
    pub(super) fn view(&self) -> Option<&View> {
        match self {
            Self::Member(told) => Some(&told.view),
            _ => None,
        }
    }

    /// Its number; `NONE` for no member.
    pub(super) fn view_number(&self) -> ViewNumber {
        self.view().map_or(ViewNumber::NONE, |view| view.number)
    }

    /// The view that was installed or is being installed, as it was told.
    pub(super) fn told(&self) -> Option<&Told> {
        match self {
            Self::Member(told) | Self::Installing(Install { told, .. }) => Some(told),
            _ => None,
        }
    }

    /// In a word or two, for people.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Outside(learner) if learner.is_behind() => "catching up",
            Self::Outside(_) => "outside",
            Self::Changing(_) => "changing view",
            Self::Installing(_) => "installing",
            Self::Member(_) => "member",
        }
    }
}
