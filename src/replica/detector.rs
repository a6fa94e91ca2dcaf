//! Who is heard: incarnations, silence and round trips, by the datagrams that arrive; and who hears whom, by what the
//! others say.

use std::time::Duration;

use super::Replica;
use super::ids::{bit, replica_id};
use super::round_trip::RoundTrip;
use crate::types::{Incarnation, Instant, ReplicaId, Seq, ViewNumber};
use crate::wire::{Chunk, Header, Heard};

/// How many refused datagrams make evidence: a single one may be of a moment before the other was there.
const REFUSALS: u32 = 2;

/// Who was not heard for this long does not answer.
const RECENT: Duration = Duration::from_secs(1);

/// No datagram is under way for longer.
const LONGEST_WAY: Duration = Duration::from_secs(60);

/// What a heartbeat says.
pub(super) struct Heartbeat<'a> {
    pub(super) sent_at: u32,
    pub(super) delivered: Seq,
    pub(super) leaving: bool,
    /// The highest view that its sender had promised.
    pub(super) promised: ViewNumber,
    pub(super) heard: &'a [Heard],
}

impl Replica {
    /// Tells every other replica that this one is there, whom it hears, and how long ago each heartbeat came.
    pub(super) fn send_heartbeats(&mut self, now: Instant) {
        let heartbeat = self.heartbeat(now);
        self.outbox.for_all(heartbeat);
        self.counters.heartbeats_sent += 1;
        self.tell_new_disks();
        self.tell_known();
    }

    /// What this replica says of itself now.
    pub(super) fn heartbeat(&self, now: Instant) -> Chunk {
        // What is delivered and not durable here would be learnt anew by the next life.
        let delivered = self.delivered_through.min(self.log.durable_through());
        let able = self.takes_part() && !self.storage_full && !self.disk_hangs();
        let leaving = self.leaving || !able;
        let heard = self.detector.heard(now, self.config.silence);
        Chunk::Heartbeat { sent_at: microseconds(now), delivered, leaving, heard }
    }

    /// Another replica is there.
    pub(super) fn on_heartbeat(
        &mut self,
        now: Instant,
        from: ReplicaId,
        heartbeat: &Heartbeat<'_>,
    ) {
        if self.detector.on_heartbeat(now, (self.me.id, self.me.incarnation), from, heartbeat) {
            self.view_attention = true;
        }
    }

    /// The replicas that this one is connected to, itself included, in id order: each hears the other.
    pub(super) fn connected(&self, now: Instant) -> Vec<ReplicaId> {
        let set = self.detector.connected_set(now, self.config.silence);
        (0..self.config.replicas).map(replica_id).filter(|id| set & bit(*id) != 0).collect()
    }
}

/// What is known of one other replica.
#[derive(Debug)]
struct Peer {
    /// Its incarnation, once it was heard.
    incarnation: Option<Incarnation>,
    /// The view it was in when last heard, and the highest that it had promised.
    view: ViewNumber,
    promised: ViewNumber,
    /// When it was first heard to have promised that, if it said before that it had promised less.
    promised_more: Option<Instant>,
    /// When it was last heard in another view than now, or first heard.
    view_changed: Instant,
    last_heard: Instant,
    /// How many datagrams to it came back refused since it was heard.
    refusals: u32,
    /// The replicas that it says it hears, by bit; this one among them only if it hears this life.
    hears: u16,
    /// How far it says it has delivered.
    delivered: Seq,
    /// Whether it says that it wants a view without it: the highest view that it had promised when it did.
    leaving: Option<ViewNumber>,
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
    highest_view: ViewNumber,
    /// Round trips are not measured before this time: what arrives has waited here.
    measures_from: Instant,
}

impl Detector {
    /// Of `replicas` replicas, none of them heard yet.
    pub(super) fn new(me: ReplicaId, replicas: usize, now: Instant) -> Self {
        let unheard = || Peer {
            incarnation: None,
            view: ViewNumber::NONE,
            promised: ViewNumber::NONE,
            promised_more: None,
            view_changed: now,
            last_heard: now,
            refusals: 0,
            hears: 0,
            delivered: Seq(0),
            leaving: None,
            last_heartbeat: None,
            round_trip: RoundTrip::default(),
        };
        let peers = (0..replicas).map(|_| unheard()).collect();
        let round_trip = RoundTrip::default().bound();
        let highest_view = ViewNumber::NONE;
        Self { me, peers, round_trip, highest_view, measures_from: now }
    }

    /// A datagram of the replica in the header came. Its incarnation is at least the one known: the opener of
    /// datagrams drops older ones. Says whether it was started anew, or is in another view than before.
    pub(super) fn on_datagram(&mut self, now: Instant, header: &Header) -> bool {
        self.highest_view = self.highest_view.max(header.promised).max(header.view);
        let peer = &mut self.peers[header.sender.index()];
        let anew = peer.incarnation != Some(header.incarnation);
        if anew {
            peer.incarnation = Some(header.incarnation);
            (peer.hears, peer.delivered, peer.leaving) = (0, Seq(0), None);
            peer.last_heartbeat = None;
        }
        // One that was overtaken says what was: promises only rise.
        let moved = peer.view != header.view && (anew || peer.promised <= header.promised);
        if anew || moved {
            peer.view_changed = now;
            peer.view = header.view;
        }
        if anew {
            (peer.promised, peer.promised_more) = (header.promised, None);
        } else if peer.promised < header.promised {
            (peer.promised, peer.promised_more) = (header.promised, Some(now));
        }
        (peer.last_heard, peer.refusals) = (now, 0);
        anew || moved
    }

    /// Takes in what a heartbeat says; gives whether that may call for another view.
    fn on_heartbeat(
        &mut self,
        now: Instant,
        (me, life): (ReplicaId, Incarnation),
        from: ReplicaId,
        heartbeat: &Heartbeat<'_>,
    ) -> bool {
        let overtook = |(last, at): (u32, Instant)| {
            // After long silence the sender's clock may have wrapped.
            now.since(at) < LONGEST_WAY && heartbeat.sent_at.wrapping_sub(last) > u32::MAX / 2
        };
        if self.peers[from.index()].last_heartbeat.is_some_and(overtook) {
            return false;
        }
        let mut hears = 0;
        for heard in heartbeat.heard {
            let known = self.peers[heard.replica.index()].incarnation;
            let present = if heard.replica == me { Some(life) } else { known };
            if present.is_none_or(|present| present == heard.incarnation) {
                hears |= bit(heard.replica);
            }
        }
        let of_me =
            heartbeat.heard.iter().find(|heard| (heard.replica, heard.incarnation) == (me, life));
        let peer = &mut self.peers[from.index()];
        let leaving = heartbeat.leaving.then_some(heartbeat.promised);
        let news = peer.hears != hears || peer.leaving != leaving;
        peer.hears = hears;
        peer.delivered = heartbeat.delivered;
        peer.leaving = leaving;
        peer.last_heartbeat = Some((heartbeat.sent_at, now));
        if let Some(heard) = of_me
            && self.measures_from <= now
        {
            let total = microseconds(now).wrapping_sub(heard.echo);
            // A wrapped or implausible echo gives no sample.
            if let Some(measured) = total.checked_sub(heard.held_for)
                && measured < 1 << 30
            {
                peer.round_trip.sample(Duration::from_micros(measured.into()));
            }
        }
        // Of those that answer: the others' is of another time.
        let answers = self
            .others()
            .filter(|(_, peer)| peer.hears & bit(me) != 0 && now.since(peer.last_heard) < RECENT);
        let bounds = answers.map(|(_, peer)| peer.round_trip.bound());
        self.round_trip = bounds.max().unwrap_or_else(|| RoundTrip::default().bound());
        news
    }

    /// This replica stood still: what arrives next has waited for it, and says nothing of the network.
    pub(super) fn stood_still(&mut self, measures_from: Instant) {
        self.measures_from = measures_from;
    }

    /// A datagram to a replica came back refused. Gives whether it now counts as evidence.
    pub(super) fn on_refused(&mut self, replica: ReplicaId) -> bool {
        let refusals = &mut self.peers[replica.index()].refusals;
        *refusals = refusals.saturating_add(1);
        *refusals == REFUSALS
    }

    /// The time after which an answer is overdue, of the slowest replica that answers at all.
    pub(super) fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// The round trip to that replica.
    pub(super) fn round_trip_to(&self, replica: ReplicaId) -> RoundTrip {
        self.peers[replica.index()].round_trip
    }

    /// The highest view number that anybody was heard to know.
    pub(super) fn highest_view(&self) -> ViewNumber {
        self.highest_view
    }

    fn heard(&self, now: Instant, silence: Duration) -> Vec<Heard> {
        self.others()
            .filter(|(_, peer)| peer.is_heard(now, silence))
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

    /// How long ago another replica was last heard, or this one started; none for this one.
    pub(super) fn unheard_for(&self, replica: ReplicaId, now: Instant) -> Option<Duration> {
        (replica != self.me).then(|| now.since(self.peers[replica.index()].last_heard))
    }

    /// The other replicas that were never heard, or not for longer than `silence`.
    pub(super) fn silent(&self, now: Instant, silence: Duration) -> Vec<ReplicaId> {
        let silent = |peer: &Peer| !peer.is_heard(now, silence);
        self.others().filter(|(_, peer)| silent(peer)).map(|(replica, _)| replica).collect()
    }

    /// The incarnation of another replica, if it was ever heard.
    pub(super) fn incarnation_of(&self, replica: ReplicaId) -> Option<Incarnation> {
        self.peers[replica.index()].incarnation
    }

    /// The view that another replica said it is in.
    pub(super) fn view_of(&self, replica: ReplicaId) -> ViewNumber {
        self.peers[replica.index()].view
    }

    /// The highest view that another replica said it promised.
    pub(super) fn promised_by(&self, replica: ReplicaId) -> ViewNumber {
        self.peers[replica.index()].promised
    }

    /// Since when another replica says that it promised that, if it said before that it had promised less.
    pub(super) fn promised_since(&self, replica: ReplicaId) -> Option<Instant> {
        self.peers[replica.index()].promised_more
    }

    /// Since when another replica is where it is.
    pub(super) fn absent_since(&self, replica: ReplicaId) -> Instant {
        self.peers[replica.index()].view_changed
    }

    /// How far another replica said it has delivered.
    pub(super) fn delivered_by(&self, replica: ReplicaId) -> Seq {
        self.peers[replica.index()].delivered
    }

    /// How far any member of a view said it has delivered.
    pub(super) fn delivered_by_members(&self) -> Seq {
        let members = self.others().filter(|(_, peer)| peer.view != ViewNumber::NONE);
        members.map(|(_, peer)| peer.delivered).max().unwrap_or_default()
    }

    /// Whether another replica said that it wants a view without it: it is about to stop, or its disk is of no use.
    pub(super) fn is_leaving(&self, replica: ReplicaId) -> bool {
        self.peers[replica.index()].leaving.is_some()
    }

    /// Whether it said so once it had promised that view.
    pub(super) fn is_leaving_since(&self, replica: ReplicaId, view: ViewNumber) -> bool {
        self.peers[replica.index()].leaving.is_some_and(|promised| promised >= view)
    }

    /// Whether datagrams to another replica come back refused.
    pub(super) fn is_refused(&self, replica: ReplicaId) -> bool {
        self.peers[replica.index()].refusals >= REFUSALS
    }

    /// Whether another replica said that it hears this replica, in this life of both.
    pub(super) fn hears_me(&self, replica: ReplicaId) -> bool {
        self.peers[replica.index()].hears & bit(self.me) != 0
    }

    /// The replicas that another one says it hears.
    pub(super) fn hears(&self, replica: ReplicaId) -> Vec<ReplicaId> {
        let hears = self.peers[replica.index()].hears;
        (0..self.peers.len()).map(replica_id).filter(|id| hears & bit(*id) != 0).collect()
    }

    /// Who is heard and in a view of its own.
    pub(super) fn members_heard(&self, now: Instant, silence: Duration) -> Vec<ReplicaId> {
        let member = |peer: &Peer| peer.is_heard(now, silence) && peer.view != ViewNumber::NONE;
        self.others().filter(|(_, peer)| member(peer)).map(|(id, _)| id).collect()
    }

    /// Whether a member of a view that may work is heard: it promised no other one, hears `quorum` replicas, itself
    /// among them, and this one.
    pub(super) fn hears_member(&self, now: Instant, silence: Duration, quorum: usize) -> bool {
        self.others().any(|(id, peer)| {
            peer.is_heard(now, silence)
                && peer.view != ViewNumber::NONE
                && peer.promised == peer.view
                && peer.hears & bit(self.me) != 0
                && (peer.hears | bit(id)).count_ones() as usize >= quorum
        })
    }

    /// Whether one that is heard is in no view, and said since `since` that it promised another one: that is being agreed on.
    pub(super) fn hears_change(&self, now: Instant, silence: Duration, since: Instant) -> bool {
        self.others().any(|(_, peer)| {
            peer.is_heard(now, silence)
                && peer.view == ViewNumber::NONE
                && peer.promised_more.is_some_and(|at| at >= since)
        })
    }

    /// The replicas that this one is connected to, by bit, itself included: each hears the other.
    fn connected_set(&self, now: Instant, silence: Duration) -> u16 {
        let connected = |peer: &Peer| peer.is_heard(now, silence) && peer.hears & bit(self.me) != 0;
        let others = self.others().filter(|(_, peer)| connected(peer));
        others.fold(bit(self.me), |set, (id, _)| set | bit(id))
    }

    /// The largest set of replicas that are all connected to each other, as far as is heard here, by bit, out of `among`;
    /// the one of lowest ids, where there are several. Empty, where none has `quorum` replicas.
    pub(super) fn best_set(
        &self,
        among: u16,
        now: Instant,
        silence: Duration,
        quorum: usize,
    ) -> u16 {
        let heard = |id: usize| id == self.me.index() || self.peers[id].is_heard(now, silence);
        let mut hears = [0_u16; 16];
        for id in (0..self.peers.len()).filter(|id| heard(*id)) {
            hears[id] = if id == self.me.index() {
                self.others()
                    .filter(|(_, peer)| peer.is_heard(now, silence))
                    .fold(0, |set, (id, _)| set | bit(id))
            } else {
                self.peers[id].hears
            };
        }
        let present = (0..self.peers.len()).filter(|id| heard(*id));
        let present = present.fold(0, |set, id| set | 1 << id) & among;
        let connected = |set: u16| {
            let mut left = set;
            while left != 0 {
                let id = left.trailing_zeros() as usize;
                left &= left - 1;
                if set & !hears[id] & !(1 << id) != 0 {
                    return false;
                }
            }
            true
        };
        let sets = 1..1_u16 << self.peers.len();
        sets.filter(|set| set & !present == 0)
            .filter(|set| set.count_ones() as usize >= quorum && connected(*set))
            // Of two sets the one with the lower ids has the greater reversed bits.
            .max_by_key(|set| (set.count_ones(), set.reverse_bits()))
            .unwrap_or(0)
    }
}

impl Peer {
    fn is_heard(&self, now: Instant, silence: Duration) -> bool {
        self.incarnation.is_some()
            && self.refusals < REFUSALS
            && now.since(self.last_heard) <= silence
    }
}

/// A point in time as heartbeats carry it.
fn microseconds(now: Instant) -> u32 {
    u32::try_from((now.0 / 1_000) & u64::from(u32::MAX)).expect("masked to 32 bits")
}
