//! The task that owns the replica: waits for something to happen, hands over all that happened in one bounded batch,
//! lets the replica send once, and carries out what it asks for.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info, trace, warn};

use super::clock::Clock;
use super::copies::{CopyThread, Done, Job};
use super::counters::Counters;
use super::disk_thread::DiskThread;
use super::handle::{Query, Submission};
use super::links::{Links, NotSent};
use super::peers::Peers;
use super::socket::{Received, RingSocket};
use super::timer::Timer;
use crate::entry::Record;
use crate::queue::Executed;
use crate::replica::{CallId, Effect, Event, Readiness, Refusal, Replica};
use crate::types::{Incarnation, Instant, ReplicaId};

/// How many datagrams are taken in one turn at most. Enough for one turn to answer many, few enough that callers'
/// connections, which share the thread, get their turn within a fraction of a millisecond.
const DATAGRAMS_PER_TURN: usize = 64;
/// How many calls are taken in one turn at most.
const CALLS_PER_TURN: usize = 1_024;
/// How long the stop may take: calls go on at first, then the others go on without this replica.
pub(crate) const DRAIN_TIME: Duration = Duration::from_secs(4);
/// How much of that is for leaving.
const LEAVE_TIME: Duration = Duration::from_secs(2);

/// Where a call's answer goes.
type Answered = oneshot::Sender<Result<Executed, Refusal>>;

/// All that the task owns.
pub(crate) struct EventLoop {
    pub(super) replica: Replica,
    pub(super) clock: Clock,
    pub(super) timer: Timer,
    pub(super) socket: RingSocket,
    pub(super) links: Links,
    pub(super) peers: Peers,
    pub(super) disk: DiskThread,
    pub(super) copies: CopyThread,
    /// How many writes are known to be durable, and whether storage is known to be full.
    pub(super) durable: u64,
    pub(super) full: bool,
    /// How often the replica was told that its log cannot be read back.
    pub(super) unreadable: u64,
    /// What is to be written, in order.
    pub(super) records: Vec<Record>,
    pub(super) submissions: mpsc::Receiver<Submission>,
    /// Who wants to know how the replica is.
    pub(super) queries: mpsc::Receiver<Query>,
    pub(super) readiness: watch::Sender<Readiness>,
    /// True once the replica is to stop.
    pub(super) stop: watch::Receiver<bool>,
    /// Whether it ever was.
    pub(super) was_ready: bool,
    pub(super) calls: Calls,
    pub(super) effects: Vec<Effect>,
    pub(super) counters: Counters,
    /// When the stop ends at the latest; none before it.
    pub(super) stopped_by: Option<Instant>,
    /// Whether the replica was told to leave.
    pub(super) leaving: bool,
}

/// Why the event loop ended before it was told to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The system took away the socket or the timer.
    System(io::Error),
    /// Storage does not write: nothing that is not durable may be acked.
    Storage(String),
    /// Another life of this replica, not before this one, is known to others: they do not heed what this one says.
    Outlived(Incarnation),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System(error) => write!(f, "the system failed: {error}"),
            Self::Storage(why) => write!(f, "storage failed: {why}"),
            Self::Outlived(life) => write!(
                f,
                "the others know of life {life} of this replica, and heed none that is not after it: its disk or its \
                 clock was put back, or another process has its id"
            ),
        }
    }
}

/// The calls that wait for their answers.
#[derive(Default)]
pub(super) struct Calls {
    last: u64,
    waiting: HashMap<CallId, Answered>,
}

impl EventLoop {
    /// Runs until the stop was asked for, the calls that waited then are answered or given up, and the replica has left
    /// its view, or cannot.
    ///
    /// # Errors
    /// See [`Failure`]: nothing works then.
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        self.settle();
        while !self.done() {
            self.timer.set(self.clock.now(), self.next_deadline())?;
            let woken = self.wait().await?;
            let more = self.take_in(woken)?;
            self.settle();
            if let Some(life) = self.replica.outlived_by() {
                self.disk.end().await.map_err(Failure::Storage)?;
                return Err(Failure::Outlived(life));
            }
            if more {
                // The callers' connections share this thread.
                tokio::task::yield_now().await;
            }
        }
        let unanswered = self.calls.waiting.len();
        info!(unanswered, "replica stopped");
        debug!(counters = ?self.counters, ring = ?self.replica.counters(), "counted");
        self.disk.end().await.map_err(Failure::Storage)
    }

    /// Whether the stop has ended. Once all calls are answered, or late, the replica is told to leave.
    fn done(&mut self) -> bool {
        let Some(by) = self.stopped_by else {
            return false;
        };
        let now = self.clock.now();
        let drained = self.calls.waiting.is_empty() && self.submissions.is_empty();
        if !self.leaving && (drained || now + LEAVE_TIME >= by) {
            self.leaving = true;
            self.replica.handle(now, Event::Leave, &mut self.effects);
            self.replica.handle(now, Event::Timeout, &mut self.effects);
            self.settle();
        }
        self.leaving && self.replica.has_left(now) || now >= by
    }

    fn next_deadline(&self) -> Instant {
        let replica = self.replica.next_timeout().min(self.peers.next_look_up());
        let leave = self.stopped_by.map(|by| if self.leaving { by } else { by - LEAVE_TIME });
        leave.map_or(replica, |by| by.min(replica))
    }

    /// Waits until there is something to do. What can be counted off later stays where it is, for `take_in`.
    async fn wait(&mut self) -> io::Result<Option<Submission>> {
        let running = self.stopped_by.is_none();
        // What is rare goes first, so that a flood of the others does not hide it.
        tokio::select! {
            biased;
            () = stopped(&mut self.stop), if running => self.begin_to_stop(),
            look_up = self.peers.looked_up() => self.peers.take(look_up),
            query = self.queries.recv(), if running => self.answer_query(query),
            peer = self.links.refused() => self.refused(peer),
            () = self.disk.progressed() => {}
            done = self.copies.done() => self.take_copy(done),
            expired = self.timer.expired() => expired?,
            readable = self.socket.readable() => readable?,
            submission = self.submissions.recv(), if running || !self.submissions.is_empty() => {
                if submission.is_none() && running {
                    self.begin_to_stop();
                }
                return Ok(submission);
            }
        }
        Ok(None)
    }

    /// From now on nothing is taken from callers; what waits may end.
    fn begin_to_stop(&mut self) {
        self.submissions.close();
        self.stopped_by = Some(self.clock.now() + DRAIN_TIME);
        info!(waiting = self.calls.waiting.len(), "stopping");
    }

    /// Hands the replica what has happened, up to the bounds of a turn; gives whether a bound was reached.
    fn take_in(&mut self, woken: Option<Submission>) -> Result<bool, Failure> {
        self.counters.turns += 1;
        let now = self.clock.now();
        self.take_progress(now)?;
        let datagrams = self.take_datagrams(now);
        let mut calls = 0;
        if let Some(submission) = woken {
            self.take_call(now, submission);
            calls += 1;
        }
        while calls < CALLS_PER_TURN
            && let Ok(submission) = self.submissions.try_recv()
        {
            self.take_call(now, submission);
            calls += 1;
        }
        if self.replica.next_timeout() <= now {
            self.replica.handle(now, Event::Timeout, &mut self.effects);
        }
        if self.peers.next_look_up() <= now {
            self.peers.look_up(now, &self.replica.silent_peers(now));
        }
        Ok(datagrams == DATAGRAMS_PER_TURN || calls == CALLS_PER_TURN)
    }

    /// Takes in what became durable, or why nothing will any more.
    fn take_progress(&mut self, now: Instant) -> Result<(), Failure> {
        let progress = self.disk.progress();
        if let Some(why) = progress.failure {
            return Err(Failure::Storage(why));
        }
        if self.disk.has_ended() {
            return Err(Failure::Storage("its thread ended".to_owned()));
        }
        if progress.writes > self.durable {
            self.durable = progress.writes;
            let synced = Event::Synced { writes: progress.writes };
            self.replica.handle(now, synced, &mut self.effects);
        }
        if progress.unreadable > self.unreadable {
            self.unreadable = progress.unreadable;
            self.replica.handle(now, Event::LogUnreadable, &mut self.effects);
        }
        if progress.full != self.full {
            self.full = progress.full;
            self.replica.handle(now, Event::StorageFull(self.full), &mut self.effects);
        }
        Ok(())
    }

    /// A datagram to a peer came back refused.
    fn refused(&mut self, peer: ReplicaId) {
        self.replica.handle(self.clock.now(), Event::Refused(peer), &mut self.effects);
    }

    /// What the thread for copies has read.
    fn take_copy(&mut self, done: Done) {
        let now = self.clock.now();
        match done {
            Done::Lent { to, pieces } => {
                self.replica.handle(now, Event::Lent { to, pieces }, &mut self.effects);
            }
            Done::Read(Some(copy)) => self.replica.take_over(now, *copy, &mut self.effects),
            Done::Read(None) => self.replica.handle(now, Event::CopyUnreadable, &mut self.effects),
        }
    }

    fn answer_query(&mut self, query: Option<Query>) {
        if let Some(Query { answer }) = query {
            // Whoever asked may be gone.
            let report = self.replica.report(self.clock.now());
            answer.send((report, self.counters.clone())).ok();
        }
    }

    fn take_datagrams(&mut self, now: Instant) -> usize {
        for taken in 0..DATAGRAMS_PER_TURN {
            match self.socket.receive() {
                Received::Datagram(datagram) => {
                    self.counters.datagrams_received += 1;
                    self.replica.handle(now, Event::Datagram(datagram), &mut self.effects);
                }
                Received::Oversized(datagram) => {
                    if self.counters.datagrams_oversized == 0 {
                        warn!(
                            bytes = datagram.len(),
                            "a datagram is larger than --max-datagram, which is the same for all replicas"
                        );
                    }
                    self.counters.datagrams_oversized += 1;
                    self.counters.datagrams_received += 1;
                    self.replica.handle(now, Event::Datagram(datagram), &mut self.effects);
                }
                Received::Nothing => return taken,
                Received::Failed(error) => {
                    self.counters.receive_failures += 1;
                    debug!(%error, "receiving failed");
                }
            }
        }
        DATAGRAMS_PER_TURN
    }

    fn take_call(&mut self, now: Instant, submission: Submission) {
        let Submission { operation, patience, answer } = submission;
        if answer.is_closed() {
            // Its caller is gone: nothing of it was multicast, and nothing will be.
            self.counters.answers_unheard += 1;
            return;
        }
        self.counters.calls += 1;
        let call = self.calls.enter(answer);
        let event = Event::Call { call, operation, deadline: now + patience };
        self.replica.handle(now, event, &mut self.effects);
    }

    /// Lets the replica do what follows from what was taken in, and carries it out; then lets it send, once. What is to
    /// be written is handed to the disk before anything is sent: the disk takes longer.
    fn settle(&mut self) {
        let now = self.clock.now();
        self.replica.settle(now, &mut self.effects);
        self.carry_out();
        self.replica.send(now, &mut self.effects);
        self.carry_out();
        self.publish_readiness();
    }

    /// Carries out the effects in their order.
    fn carry_out(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        let (writes, others): (Vec<_>, Vec<_>) = effects.drain(..).partition(|effect| {
            matches!(effect, Effect::Write(_) | Effect::Replace(_) | Effect::Rewrite(_))
        });
        for effect in writes {
            self.counters.writes += 1;
            match effect {
                Effect::Write(record) => self.records.push(record),
                Effect::Replace(replacement) | Effect::Rewrite(replacement) => {
                    self.disk.write(std::mem::take(&mut self.records));
                    self.disk.replace(replacement);
                }
                _ => unreachable!("no write"),
            }
        }
        if !self.records.is_empty() {
            self.disk.write(std::mem::take(&mut self.records));
        }
        let mut unread = false;
        for effect in others {
            match effect {
                Effect::Send { to, datagram } => self.send(to, &datagram),
                Effect::Write(_) | Effect::Replace(_) | Effect::Rewrite(_) => {
                    unreachable!("taken out before")
                }
                Effect::Lend { to, at, pieces, length } => {
                    // Who is not served asks again.
                    self.copies.give(Job::Lend { to, at, pieces, length });
                }
                Effect::ReadCopy(copied) => unread |= !self.copies.give(Job::Read(copied)),
                Effect::Answer { call, result } => {
                    self.counters.answers += 1;
                    if !self.calls.answer(call, result) {
                        self.counters.answers_unheard += 1;
                    }
                }
            }
        }
        // Its memory is used again.
        self.effects = effects;
        if unread {
            self.replica.handle(self.clock.now(), Event::CopyUnreadable, &mut self.effects);
        }
    }

    /// Sends a datagram, or counts why not: the ring repairs what was lost.
    fn send(&mut self, to: ReplicaId, datagram: &[u8]) {
        let Some(target) = self.peers.target(to) else {
            self.counters.sends_unresolved += 1;
            return;
        };
        let sent = self.links.send(to, target, datagram);
        if sent.refused {
            self.refused(to);
        }
        match sent.result {
            Ok(()) => self.counters.datagrams_sent += 1,
            Err(NotSent::Full) => self.counters.sends_full += 1,
            Err(NotSent::Failed(error)) => {
                self.counters.sends_refused += 1;
                trace!(%to, %target, %error, "sending failed");
            }
        }
    }

    fn publish_readiness(&mut self) {
        let stopping = self.stopped_by.map(|_| Readiness::NotReady("stopping".to_owned()));
        let readiness = stopping.as_ref().unwrap_or_else(|| self.replica.readiness());
        let changed = self.readiness.send_if_modified(|published| {
            let changed = published != readiness;
            if changed {
                published.clone_from(readiness);
            }
            changed
        });
        match readiness {
            _ if !changed => {}
            Readiness::Ready => {
                self.was_ready = true;
                info!("ready");
            }
            // Before and after its service that is as it should be.
            Readiness::NotReady(reason) if !self.was_ready || stopping.is_some() => {
                info!(%reason, "not ready");
            }
            Readiness::NotReady(reason) => warn!(%reason, "not ready"),
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody is left who could ask for it.
    stop.wait_for(|stop| *stop).await.map(|_| ()).unwrap_or_default();
}

impl Calls {
    /// Gives a call its name, never used again.
    fn enter(&mut self, answer: Answered) -> CallId {
        self.last += 1;
        let call = CallId(self.last);
        self.waiting.insert(call, answer);
        call
    }

    /// Answers a call; gives whether its caller still listened.
    fn answer(&mut self, call: CallId, result: Result<Executed, Refusal>) -> bool {
        let answer = self.waiting.remove(&call).expect("the replica answers a call once");
        answer.send(result).is_ok()
    }
}
