//! What a load is to be.

use std::time::Duration;

use super::mix::Mix;
use crate::client::Endpoint;

/// What a load is.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// Where the clients call, spread evenly.
    pub endpoints: Vec<Endpoint>,
    /// How many clients.
    pub clients: u32,
    /// How many queues, made for the run and destroyed after it.
    pub queues: u32,
    /// What they call.
    pub mix: Mix,
    /// How long they call before anything is measured.
    pub warmup: Duration,
    /// How long is measured.
    pub duration: Duration,
    /// How long each call may take.
    pub timeout: Duration,
    /// Whether the queues are popped empty before they are destroyed.
    pub drain: bool,
}

/// How many connections the clients of one endpoint share at most: enough that none is the bottleneck, and few enough
/// that answers travel together.
const MAX_CONNECTIONS: u32 = 4;

impl Load {
    /// How many connections there are to each endpoint.
    pub(super) fn connections_per_endpoint(&self) -> u32 {
        let endpoints = u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX);
        self.clients.div_ceil(endpoints).min(MAX_CONNECTIONS)
    }
}
