//! Who is heard: incarnations, silence and round trips, by the datagrams that arrive.

use std::time::Duration;

use super::Replica;
use super::round_trip::RoundTrip;
use crate::types::{Incarnation, Instant, ReplicaId, ViewNumber};
use crate::wire::{Chunk, Header, Heard};

impl Replica {
    /// Tells every other replica that this one is there, whom it hears, and how long ago each heartbeat came.
    pub(super) fn send_heartbeats(&mut self, now: Instant) {
        let heard = self.detector.heard(now);
        self.outbox.for_all(Chunk::Heartbeat { sent_at: microseconds(now), heard });
        self.counters.heartbeats_sent += 1;
    }

    /// Another replica is there.
    pub(super) fn on_heartbeat(
        &mut self,
        now: Instant,
        from: ReplicaId,
        sent_at: u32,
        heard: &[Heard],
    ) {
        let me = self.me;
        let of_me = heard
            .iter()
            .find(|heard| (heard.replica, heard.incarnation) == (me.id, me.incarnation));
        self.detector.on_heartbeat(now, from, sent_at, of_me);
    }
}

/// What is known of one other replica.
#[derive(Debug)]
struct Peer {
    /// Its incarnation, once it was heard.
    incarnation: Option<Incarnation>,
    /// The view it was in when last heard.
    view: ViewNumber,
    last_heard: Instant,
    /// Whether it has said that it hears this replica, in this life of both.
    hears_me: bool,
    /// The `sent_at` of its last heartbeat, and when that came.
    last_heartbeat: Option<(u32, Instant)>,
    round_trip: RoundTrip,
}

/// What is known of the other replicas.
#[derive(Debug)]
pub(super) struct Detector {
    me: ReplicaId,
    peers: Vec<Peer>,
    round_trip: Duration,
}

impl Detector {
    /// Of `replicas` replicas, none of them heard yet.
    pub(super) fn new(me: ReplicaId, replicas: usize, now: Instant) -> Self {
        let unheard = || Peer {
            incarnation: None,
            view: ViewNumber::NONE,
            last_heard: now,
            hears_me: false,
            last_heartbeat: None,
            round_trip: RoundTrip::default(),
        };
        let peers = (0..replicas).map(|_| unheard()).collect();
        Self { me, peers, round_trip: RoundTrip::default().bound() }
    }

    /// A datagram of the replica in the header came. Its incarnation is at least the one known: the opener of
    /// datagrams drops older ones.
    pub(super) fn on_datagram(&mut self, now: Instant, header: &Header) {
        let peer = &mut self.peers[header.sender.index()];
        if peer.incarnation != Some(header.incarnation) {
            peer.incarnation = Some(header.incarnation);
            peer.hears_me = false;
            peer.last_heartbeat = None;
        }
        peer.view = header.view;
        peer.last_heard = now;
    }

    fn on_heartbeat(&mut self, now: Instant, from: ReplicaId, sent_at: u32, of_me: Option<&Heard>) {
        let peer = &mut self.peers[from.index()];
        peer.last_heartbeat = Some((sent_at, now));
        peer.hears_me = of_me.is_some();
        if let Some(heard) = of_me {
            let total = microseconds(now).wrapping_sub(heard.echo);
            // A wrapped or implausible echo gives no sample.
            if let Some(measured) = total.checked_sub(heard.held_for)
                && measured < 1 << 30
            {
                peer.round_trip.sample(Duration::from_micros(measured.into()));
            }
            let others =
                self.peers.iter().enumerate().filter(|(index, _)| *index != self.me.index());
            self.round_trip =
                others.map(|(_, peer)| peer.round_trip.bound()).max().unwrap_or_default();
        }
    }

    /// The time after which an answer of the slowest other replica is overdue.
    pub(super) fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// The round trip to that replica.
    pub(super) fn round_trip_to(&self, replica: ReplicaId) -> RoundTrip {
        self.peers[replica.index()].round_trip
    }

    fn heard(&self, now: Instant) -> Vec<Heard> {
        let others = self.others();
        others
            .filter_map(|(replica, peer)| {
                let (echo, at) = peer.last_heartbeat?;
                let held_for = u32::try_from(now.since(at).as_micros()).unwrap_or(u32::MAX);
                Some(Heard { replica, incarnation: peer.incarnation?, echo, held_for })
            })
            .collect()
    }

    fn others(&self) -> impl Iterator<Item = (ReplicaId, &Peer)> {
        let peers = (0_u8..).map(ReplicaId).zip(&self.peers);
        peers.filter(|(replica, _)| *replica != self.me)
    }

    /// How long ago another replica was last heard; none for this one.
    pub(super) fn unheard_for(&self, replica: ReplicaId, now: Instant) -> Option<Duration> {
        (replica != self.me).then(|| now.since(self.peers[replica.index()].last_heard))
    }

    /// The other replicas that were never heard, or not for longer than `silence`.
    pub(super) fn silent(&self, now: Instant, silence: Duration) -> Vec<ReplicaId> {
        let silent =
            |peer: &Peer| peer.incarnation.is_none() || now.since(peer.last_heard) > silence;
        self.others().filter(|(_, peer)| silent(peer)).map(|(replica, _)| replica).collect()
    }

    /// The incarnation of another replica, if it was ever heard.
    pub(super) fn incarnation_of(&self, replica: ReplicaId) -> Option<Incarnation> {
        self.peers[replica.index()].incarnation
    }

    /// Whether every other replica was in this view when last heard.
    pub(super) fn all_others_are_in(&self, view: ViewNumber) -> bool {
        self.others().all(|(_, peer)| peer.view == view)
    }

    /// Whether every other replica has said that it hears this life of this replica.
    pub(super) fn all_others_hear_this_life(&self) -> bool {
        self.others().all(|(_, peer)| peer.hears_me)
    }
}

/// A point in time as heartbeats carry it.
fn microseconds(now: Instant) -> u32 {
    u32::try_from((now.0 / 1_000) & u64::from(u32::MAX)).expect("masked to 32 bits")
}
