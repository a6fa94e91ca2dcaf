//! A replica without its socket, disk and clock: the protocol of the ring and of its views.
//!
//! First [`Replica::replay`] takes in what storage holds. Then events go in by [`Replica::handle`], as many as are there;
//! [`Replica::settle`] does what follows from them; then [`Replica::send`], once, packs all that is to be said into
//! datagrams. Where something becomes durable at once, its `Event::Synced` goes in before `send`, after another
//! `settle`, and the ack shares a datagram with the rest. The effects are to be carried out in their order. None of
//! these can fail: what comes from outside and makes no sense is counted and dropped; a broken invariant panics. Time is
//! an argument, jitter is seeded by one: the same events at the same times give the same effects, to the byte.
//!
//! One operation, end to end:
//!
//! ```text
//! calls      Event::Call: the operation waits
//! multicast  waiting operations become a message                       -> DATA
//! order      the member whose turn it is gives the message its number  -> SEQUENCE
//! log        numbered and held: appended                               -> Effect::Write, Event::Synced
//! commit     durable: acked; a majority of N acked: committed          -> ACK
//! deliver    committed and next: applied to the queues                 -> Effect::Answer
//! ```
//!
//! One change of view:
//!
//! ```text
//! suspicion    a member is suspected
//! readmission  or a replica wants to join
//! wish         whose part it is to propose a view
//! proposal     one replica does                                          -> PREPARE
//! promise      the others promise, durably, and tell of their logs       -> PROMISE
//! choice       the greatest log of a majority is chosen                  -> NEWVIEW
//! install      what is not in it is dropped, what is lacking is fetched  -> FETCH, ENTRY
//! transitions  the view's own entry is appended: a member
//! ```
//!
//! Beside them: `messages` holds what arrived, `repair` and `resend` make losses good, `handover` repeats what nobody
//! can ask for, `detector` hears the others, `catch_up` teaches those outside.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod event;

// The path of an operation.
mod calls;
mod multicast;
mod order;

mod log;

mod commit;
mod durability;
mod rewrite;

mod deliver;

// Losses.
mod handover;
mod messages;
mod repair;
mod resend;
mod sync_time;

// Who takes part.
mod detector;
mod suspicion;

mod wish;

mod proposal;

mod promise;
mod promise_time;

mod choice;

mod install;

mod catch_up;
mod copying;
mod fetch;
mod givers;
mod lending;
mod readmission;

// What the own disk is good for.
mod format;
mod known;
mod own_disk;
mod recover;

mod readiness;
mod status;
mod transitions;
mod view;

// Both edges.
mod intake;
mod outbox;

mod backoff;
mod boundaries;
mod contents;
mod counters;
mod ids;
mod last_names;
mod lives;
mod report;
mod round_trip;
mod snapshot;

pub use copying::Copied;
pub use counters::Counters;
pub use event::{CallId, Effect, Event, Readiness, Refusal, Unavailable};
pub use lending::pieces_of;
pub use report::{Marks, PeerReport, Report};
pub use snapshot::{Recovery, Snapshot};
pub use view::View;

use self::backoff::Jitter;
use self::calls::Calls;
use self::catch_up::Learner;
use self::commit::{Acks, Quorum};
use self::copying::Copying;
use self::detector::Detector;
use self::durability::Writes;
use self::givers::Givers;
use self::handover::Handover;
use self::known::Heard;
use self::last_names::LastNames;
use self::log::Log;
use self::messages::Messages;
use self::order::Order;
use self::outbox::Outbox;
use self::own_disk::OwnDisk;
use self::promise_time::PromiseTime;
use self::readmission::Readmission;
use self::repair::Repair;
use self::resend::Resend;
use self::status::Status;
use self::suspicion::Stall;
use self::sync_time::SyncTime;
use self::wish::Wish;
use crate::config::Config;
use crate::entry::{DiskState, Record};
use crate::planted::planted;
use crate::queue::Queues;
use crate::types::{DiskId, Incarnation, Instant, LocalSeq, Member, ReplicaId, Seq, ViewNumber};
use crate::wire::{ClusterKey, Opener, Sealer};

/// A replica without its socket, disk and clock.
pub struct Replica {
    config: Config,
    me: Member,
    quorum: Quorum,
    sealer: Sealer,
    opener: Opener,
    jitter: Jitter,

    status: Status,
    status_since: Instant,
    /// Invariant: it never goes down, and it is at least the present view's number.
    promised: ViewNumber,
    readiness: Readiness,
    readiness_since: Instant,
    /// Whether it is to stop.
    leaving: bool,
    storage_full: bool,
    own_disk: OwnDisk,
    /// The id of the own disk, should it be new.
    new_disk_id: DiskId,
    /// The write after which all fences are durable.
    fences_since: u64,

    calls: Calls,
    /// The last own message; 0 before the first.
    last_local: LocalSeq,
    messages: Messages,
    /// Whose messages are held, by origin.
    message_lives: Vec<Option<Incarnation>>,
    /// The messages of entries through this one are past need.
    messages_trimmed_through: Seq,
    order: Order,
    log: Log,
    writes: Writes,
    acks: Acks,
    /// What others said that they hold, in whichever view.
    heard: Heard,
    /// Invariant: at most what is committed, and at most what is ordered.
    delivered_through: Seq,
    /// Each origin's last delivered message.
    delivered_names: LastNames,
    queues: Queues,

    repair: Repair,
    resend: Resend,
    handover: Handover,
    sync_time: SyncTime,

    detector: Detector,
    heartbeat_due: Instant,
    stall: Stall,
    wish: Wish,
    promise_time: PromiseTime,
    readmission: Vec<Readmission>,
    /// Something happened that may call for another view.
    view_attention: bool,

    /// What a member's storage holds, being copied.
    copying: Option<Copying>,
    givers: Givers,
    /// What a copy came to, until it can take the place of the own log.
    copied: Option<Snapshot>,

    outbox: Outbox,
    counters: Counters,
}

impl Replica {
    /// A replica that has just started: in no view, hearing nobody. `seed` is for jitter and the
    /// id of a new disk.
    pub fn new(
        config: Config,
        incarnation: Incarnation,
        key: &ClusterKey,
        seed: u64,
        now: Instant,
    ) -> Self {
        let (id, replicas) = (config.id, config.replicas);
        let quorum = Quorum::majority_of(replicas);
        let message_window = config.unnumbered_window + known_window(&config);
        let mut queues = Queues::new(config.limits);
        queues.plant(config.planted);
        let mut replica = Self {
            me: Member { id, incarnation },
            quorum,
            sealer: Sealer::new(key, id, incarnation),
            opener: Opener::new(key, id, replicas),
            jitter: Jitter::new(seed),
            status: Status::Outside(Learner::default()),
            status_since: now,
            promised: ViewNumber::NONE,
            readiness: Readiness::NotReady("starting".to_owned()),
            readiness_since: now,
            leaving: false,
            storage_full: false,
            own_disk: OwnDisk::default(),
            new_disk_id: DiskId(seed | 1),
            fences_since: 0,
            calls: Calls::default(),
            last_local: LocalSeq(0),
            messages: Messages::new(replicas, message_window),
            message_lives: vec![None; replicas],
            messages_trimmed_through: Seq(0),
            order: Order::new(id, Seq(0), &vec![LocalSeq(0); replicas]),
            log: Log::default(),
            writes: Writes::default(),
            acks: Acks::new(quorum, std::iter::empty(), Seq(0)),
            heard: Heard::default(),
            delivered_through: Seq(0),
            delivered_names: LastNames::default(),
            queues,
            repair: Repair::default(),
            resend: Resend::default(),
            handover: Handover::default(),
            sync_time: SyncTime::default(),
            detector: Detector::new(id, replicas, now),
            heartbeat_due: now,
            stall: Stall::default(),
            wish: Wish::default(),
            promise_time: PromiseTime::new(config.ack_timeout),
            readmission: vec![Readmission::default(); replicas],
            view_attention: true,
            copying: None,
            givers: Givers::default(),
            copied: None,
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

    /// Takes in a record that storage held, and holds durably, when this life began: all of them, in their order, after the
    /// snapshot and before any event.
    ///
    /// # Panics
    /// When the records contradict each other, which storage has checked.
    pub fn replay(&mut self, record: Record) {
        assert_eq!(self.writes.last(), 0, "a life begins with what storage holds");
        self.own_disk.replay(&record);
        match record {
            Record::Append(entry) => {
                let seq = entry.seq;
                self.log.append(entry);
                self.log.synced(seq);
            }
            Record::Drop { after } => {
                self.log.drop_after(after, (self.delivered_through, &self.delivered_names));
            }
            Record::Promise(view) => {
                assert!(view > self.promised, "promises rise");
                self.promised = view;
            }
            Record::Delivered(through) => {
                self.deliver_through(through, &mut Vec::new());
                self.writes.knows_delivered(through);
                self.trim();
            }
            Record::Fence(life) => drop(self.log.raise_fence(life)),
            Record::New(_)
            | Record::Formatted(_)
            | Record::Lost
            | Record::Recovered
            | Record::Accepted => {}
        }
    }

    /// Takes one event in. What follows from it comes with the next [`Self::settle`].
    pub fn handle(&mut self, now: Instant, event: Event, effects: &mut Vec<Effect>) {
        if now.since(self.heartbeat_due) > self.config.silence / 2 {
            self.detector.stood_still(now + self.config.heartbeat_interval * 4);
            self.sync_time.begin_anew();
            self.promise_time.begin_anew();
            self.writes.begin_anew();
            self.stall.begin_anew();
        }
        match event {
            Event::Call { call, operation, deadline } => {
                self.on_call(now, call, operation, deadline, effects);
            }
            Event::Datagram(bytes) => self.on_datagram(now, &bytes, effects),
            Event::Synced { writes } => self.on_synced(now, writes, effects),
            Event::StorageFull(full) => {
                self.storage_full = full;
                self.assess_readiness(now);
            }
            Event::LogUnreadable => self.rewrite_log(effects),
            Event::Lent { to, pieces } => self.on_lent(to, pieces),
            Event::CopyUnreadable => self.give_copy_up(),
            Event::Refused(replica) => self.view_attention |= self.detector.on_refused(replica),
            Event::Leave => self.on_leave(now),
            Event::Timeout => self.on_timeout(now, effects),
        }
    }

    /// Does what follows from the events so far, all but sending: numbers, appends, delivers.
    pub fn settle(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.watch_own_disk(now, effects);
        if self.view_attention {
            self.assess_readiness(now);
            self.consider_proposing(now, effects);
        }
        self.take_over_copied(now, effects);
        let before = self.writes.last();
        while self.deliver(effects) | self.advance(now, effects) | self.pack_message() {}
        if self.writes.last() > before {
            self.write_delivered(effects);
        }
        self.trim();
        self.assert_invariants();
    }

    /// Sends what has come together since the last time.
    pub fn send(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.watch_for_gaps(now);
        self.watch_handovers(now);
        self.watch_learner(now);
        self.inquire(now);
        self.ask_for_entries(now);
        self.ask_for_copy(now);
        self.ask_what_was_lost(now);
        self.acknowledge();
        self.empty_outbox(effects);
        self.assert_invariants();
    }

    fn on_timeout(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.heartbeat_due <= now {
            self.heartbeat_due = now + self.config.heartbeat_interval;
            self.writes.watch(now, self.config.ack_timeout);
            self.watch_stall(now);
            self.assess_readiness(now);
            self.refuse_unsent_calls(now, effects);
            self.consider_proposing(now, effects);
            self.write_delivered(effects);
            self.send_heartbeats(now);
            self.tell_ready();
        } else if self.wish.due().is_some_and(|due| due <= now) {
            self.consider_proposing(now, effects);
        }
        self.watch_proposal(now, effects);
        self.ask_for_missing(now);
        self.repeat_handovers(now);
        self.refuse_overdue_calls(now, effects);
    }

    /// When [`Event::Timeout`] is due next.
    pub fn next_timeout(&self) -> Instant {
        let proposal = match &self.status {
            Status::Changing(change) => change.proposal.as_ref().and_then(|own| own.due()),
            _ => None,
        };
        let others = [
            self.repair.due(),
            self.handover.due(),
            self.calls.first_deadline(),
            self.wish.due(),
            self.fetch_due(),
            self.copying.as_ref().and_then(Copying::due),
            self.own_disk.recovering.due(),
            proposal,
        ];
        others.into_iter().flatten().fold(self.heartbeat_due, Instant::min)
    }

    /// It is to stop: the others hear of it at once, and go on without it.
    fn on_leave(&mut self, now: Instant) {
        self.leaving = true;
        self.heartbeat_due = now;
        self.assess_readiness(now);
    }

    /// Whether it has left, after [`Event::Leave`]: no view needs it any more, or none can be formed without it.
    pub fn has_left(&self, now: Instant) -> bool {
        let others = self.connected(now).into_iter().filter(|id| *id != self.me.id);
        let staying = others.filter(|id| !self.detector.is_leaving(*id)).count();
        let alone = staying < self.quorum.size() && !planted!(self, LeaveInVain);
        self.leaving && (matches!(self.status, Status::Outside(_)) || alone)
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

    /// The highest view number that this replica promised.
    pub fn promised(&self) -> ViewNumber {
        self.promised
    }

    /// A life of this replica that is not before this one, but is known to others: its disk or its clock was put back, and
    /// nothing that it says is heard. It is to begin a life above that one.
    pub fn outlived_by(&self) -> Option<Incarnation> {
        self.own_disk.outlived_by
    }

    /// What the disk is good for, durably or not.
    pub fn disk_state(&self) -> DiskState {
        self.own_disk.state
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
        let Marks { delivered, committed, durable, ordered, highest, held_by_members, trimmed } =
            self.marks();
        format!(
            "highest {highest} ordered {ordered} durable {durable} committed {committed} held by members {held_by_members} \
             delivered {delivered} trimmed {trimmed} unnumbered {}",
            self.unnumbered()
        )
    }

    fn assert_invariants(&self) {
        let (ordered, durable) = (self.log.ordered_through(), self.log.durable_through());
        assert!(self.delivered_through <= ordered, "only what is held is delivered");
        assert!(durable <= ordered, "only what is held is durable");
        assert!(
            self.status.view().is_none() || self.acks.of(self.me.id) <= durable,
            "only what is durable is acked"
        );
        assert!(
            self.log.trimmed_through() <= self.delivered_through,
            "only what is delivered is trimmed"
        );
        assert!(self.status.view_number() <= self.promised, "a view was promised");
        let sent = self.calls.sent_messages() as u64;
        assert!(sent <= self.message_window(), "the multicast window bounds");
        assert!(
            self.calls.waiting() <= self.config.max_waiting,
            "the wait for multicast is bounded"
        );
        assert!(self.calls.waiting() <= self.calls.open(), "what waits is not answered");
        let held = self.messages.held() as u64;
        let per_origin =
            self.config.unstable_window + self.config.unnumbered_window + 2 * self.known_window();
        assert!(held <= per_origin * self.config.replicas as u64, "the held messages are bounded");
        assert!(self.repair.wanted() <= 256, "what is asked for is bounded");
        assert!(
            planted!(self, DeliverAtMinority)
                || self.status.view().is_none()
                || self.delivered_through <= self.acks.committed_through().max(self.acks.before()),
            "only what is committed is delivered"
        );
    }
}

/// How far past its log's end a replica takes numberings in. No member gives out more than that: it would have to run
/// past the delivered number of a majority.
fn known_window(config: &Config) -> u64 {
    config.undelivered_window + config.replicas as u64
}
