//! A replica without its socket, disk and clock: the protocol of the ring.
//!
//! Events go in by [`Replica::handle`], as many as are there; [`Replica::settle`] does what follows from them; then
//! [`Replica::send`], once, packs all that is to be said into datagrams. Where something becomes durable at once,
//! its `Event::Synced` goes in before `send`, after another `settle`, and the ack shares a datagram with the rest. The
//! effects are to be carried out in their order. None of the three can fail: what comes from outside and makes no
//! sense is counted and dropped; a broken invariant panics. Time is an argument, jitter is seeded by one: the
//! same events at the same times give the same effects, to the byte.
//!
//! One operation, end to end:
//!
//! ```text
//! calls      Event::Call: the operation waits
//! multicast  waiting operations become a message                       -> DATA
//! order      the member whose turn it is gives the message its number  -> SEQUENCE
//! log        numbered and held: appended                               -> Effect::Append, Event::Synced
//! commit     durable: acked; a majority of N acked: committed          -> ACK
//! deliver    committed and next: applied to the queues                 -> Effect::Answer
//! ```
//!
//! Beside the path: `messages` holds what arrived, `repair` and `resend` make losses good, `handover` repeats what
//! nobody can ask for, `detector` hears the others, `formation` makes the first view.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod event;

// The path of an operation.
mod calls;
mod multicast;
mod order;

mod log;

mod commit;

mod deliver;

// Losses.
mod handover;
mod messages;
mod repair;
mod resend;

// Who takes part.
mod detector;
mod formation;
mod status;
mod view;

// Both edges.
mod intake;
mod outbox;

mod backoff;
mod counters;
mod round_trip;

pub use counters::Counters;
pub use event::{CallId, Effect, Entry, Event, Readiness, Refusal, Unavailable};
pub use view::View;

use self::backoff::Jitter;
use self::calls::Calls;
use self::commit::{Acks, Quorum};
use self::detector::Detector;
use self::handover::Handover;
use self::log::Log;
use self::messages::Messages;
use self::order::Order;
use self::outbox::Outbox;
use self::repair::Repair;
use self::resend::Resend;
use self::status::Status;
use crate::config::Config;
use crate::planted::planted;
use crate::queue::{Limits, Queues};
use crate::types::{Incarnation, Instant, LocalSeq, Member, ReplicaId, Seq};
use crate::wire::{ClusterKey, Opener, Sealer};

/// A replica without its socket, disk and clock.
pub struct Replica {
    config: Config,
    me: Member,
    quorum: Quorum,
    /// How many views this life has proposed.
    proposals: u64,
    sealer: Sealer,
    opener: Opener,
    jitter: Jitter,
    status: Status,
    readiness: Readiness,

    calls: Calls,
    /// The last own message; 0 before the first.
    last_local: LocalSeq,
    messages: Messages,
    order: Order,
    log: Log,
    acks: Acks,
    /// Invariant: at most what is committed, and at most what is ordered.
    delivered_through: Seq,
    queues: Queues,

    repair: Repair,
    resend: Resend,
    handover: Handover,
    detector: Detector,
    heartbeat_due: Instant,

    outbox: Outbox,
    counters: Counters,
}

impl Replica {
    /// A replica that has just started: in no view, hearing nobody. `seed` is for jitter only.
    pub fn new(
        config: Config,
        incarnation: Incarnation,
        key: &ClusterKey,
        seed: u64,
        now: Instant,
    ) -> Self {
        let (id, replicas) = (config.id, config.replicas);
        let quorum = Quorum::majority_of(replicas);
        let mut replica = Self {
            me: Member { id, incarnation },
            quorum,
            proposals: 0,
            sealer: Sealer::new(key, id, incarnation),
            opener: Opener::new(key, id, replicas),
            jitter: Jitter::new(seed),
            status: Status::Outside,
            readiness: Readiness::NotReady("starting".to_owned()),
            calls: Calls::default(),
            last_local: LocalSeq(0),
            messages: Messages::new(replicas, 0),
            order: Order::new(id, replicas),
            log: Log::default(),
            acks: Acks::new(quorum),
            delivered_through: Seq(0),
            queues: Queues::new(Limits::DEFAULT),
            repair: Repair::default(),
            resend: Resend::default(),
            handover: Handover::default(),
            detector: Detector::new(id, replicas, now),
            heartbeat_due: now,
            outbox: Outbox::new(replicas),
            counters: Counters::default(),
            config,
        };
        #[cfg(feature = "planted-bugs")]
        {
            replica.opener.accept_replays = planted!(replica, AcceptReplays);
        }
        replica.assess_readiness(now);
        replica
    }

    /// Takes one event in. What follows from it comes with the next [`Self::settle`].
    pub fn handle(&mut self, now: Instant, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Call { call, operation, deadline } => {
                self.on_call(now, call, operation, deadline, effects);
            }
            Event::Datagram(bytes) => self.on_datagram(now, &bytes, effects),
            Event::Synced { view, through } => self.on_synced(view, through),
            Event::Timeout => self.on_timeout(now, effects),
        }
    }

    /// Does what follows from the events so far, all but sending: numbers, appends, delivers.
    pub fn settle(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.propose_first_view(now);
        self.complete_view(now);
        while self.deliver(effects) | self.advance(now, effects) | self.pack_message() {}
        self.trim();
        self.assert_invariants();
    }

    /// Sends what has come together since the last time.
    pub fn send(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.watch_for_gaps(now);
        self.watch_handovers(now);
        self.acknowledge();
        self.empty_outbox(effects);
        self.assert_invariants();
    }

    fn on_timeout(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.heartbeat_due <= now {
            self.heartbeat_due = now + self.config.heartbeat_interval;
            self.assess_readiness(now);
            self.send_heartbeats(now);
        }
        self.ask_for_missing(now);
        self.repeat_handovers(now);
        self.refuse_overdue_calls(now, effects);
    }

    /// When [`Event::Timeout`] is due next.
    pub fn next_timeout(&self) -> Instant {
        let others = [self.repair.due(), self.handover.due(), self.calls.first_deadline()];
        others.into_iter().flatten().fold(self.heartbeat_due, Instant::min)
    }

    /// Whether calls can be answered; judged at each heartbeat.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The other replicas that were never heard or not for long: their addresses may have changed.
    pub fn silent_peers(&self, now: Instant) -> Vec<ReplicaId> {
        self.detector.silent(now, self.config.silence)
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The queues as of the last delivered entry.
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// The view that this replica is a member of.
    pub fn view(&self) -> Option<&View> {
        self.status.view()
    }

    /// Whether the view has lost a member and can never go on.
    pub fn view_is_broken(&self) -> bool {
        matches!(self.status, Status::Member { broken: Some(_), .. })
    }

    /// The last delivered sequence number.
    pub fn delivered_through(&self) -> Seq {
        self.delivered_through
    }

    /// The last sequence number through which the log has every entry.
    pub fn ordered_through(&self) -> Seq {
        self.log.ordered_through()
    }

    /// How far the log goes and what is known of acks, for people.
    pub fn watermarks(&self) -> String {
        format!(
            "highest {} ordered {} durable {} committed {} stable {} delivered {} trimmed {} unnumbered {}",
            self.order.highest_seq(),
            self.log.ordered_through(),
            self.log.durable_through(),
            self.acks.committed_through(),
            self.acks.stable_through(),
            self.delivered_through,
            self.log.trimmed_through(),
            self.unnumbered()
        )
    }

    /// What must hold after each step, cheap enough to be asserted in release builds too.
    fn assert_invariants(&self) {
        let (ordered, durable) = (self.log.ordered_through(), self.log.durable_through());
        assert!(self.delivered_through <= ordered, "only what is held is delivered");
        assert!(durable <= ordered, "only what is held is durable");
        assert!(self.acks.of(self.me.id) <= durable, "only what is durable is acked");
        assert!(
            self.log.trimmed_through() <= self.delivered_through,
            "only what is delivered is trimmed"
        );
        let past_log = self.last_local.next().0 - self.order.next_local(self.me.id).0;
        assert!(past_log <= self.message_window(), "the multicast window bounds");
        assert!(
            self.calls.waiting() <= self.config.max_waiting,
            "the wait for multicast is bounded"
        );
        assert!(self.calls.waiting() <= self.calls.open(), "what waits is not answered");
        let held = self.messages.held() as u64;
        let per_origin =
            self.config.unstable_window + self.config.unnumbered_window + self.known_window();
        assert!(held <= per_origin * self.config.replicas as u64, "the held messages are bounded");
        assert!(self.repair.wanted() <= 256, "what is asked for is bounded");
        assert!(
            planted!(self, DeliverAtMinority)
                || self.delivered_through <= self.acks.committed_through(),
            "only what is committed is delivered"
        );
    }
}
