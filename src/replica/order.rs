//! Order: whose turn a sequence number is, which message gets it, and the log that follows from it.

use std::collections::VecDeque;

use super::Replica;
use super::event::Effect;
use crate::entry::{Body, Entry, Record};
use crate::planted::planted;
use crate::queue::Answer;
use crate::types::{Instant, LocalSeq, MessageName, ReplicaId, Seq};
use crate::wire::{Chunk, MAX_NAMES};

/// How many numberings a SEQUENCE repeats besides its own: a lost one is then made good by the next.
const REPEATED: u64 = 3;
const _: () = assert!(REPEATED < MAX_NAMES as u64);

impl Replica {
    /// Appends every message that is numbered and held, and takes every turn that is this replica's. Says whether
    /// anything was appended.
    pub(super) fn advance(&mut self, now: Instant, effects: &mut Vec<Effect>) -> bool {
        let Some(number) = self.status.view().map(|view| view.number) else {
            return false;
        };
        let mut appended = false;
        loop {
            let seq = self.log.ordered_through().next();
            let name = match self.order.numbered(seq) {
                Some(name) => name,
                None => match self.take_turn(now, seq) {
                    Some(name) => name,
                    None => return appended,
                },
            };
            if name.local != self.order.next_local(name.origin) {
                // Cannot come from a member that keeps the rules: it would break an origin's order.
                self.counters.conflicting_numberings += 1;
                self.order.forget(seq);
                return appended;
            }
            let Some(payload) = self.messages.get(name.origin, name.local) else {
                return appended;
            };
            let entry =
                Entry { seq, view: number, body: Body::Message { name, payload: payload.clone() } };
            self.log.append(entry.clone());
            self.order.appended(seq, name);
            if planted!(self, AnswerBeforeDelivery) && name.origin == self.me.id {
                for call in self.calls.of_message(name.local).to_vec() {
                    if self.calls.end(call) {
                        effects.push(self.early_answer(call, Answer::Pushed));
                    }
                }
            }
            self.write(Record::Append(entry), effects);
            appended = true;
        }
    }

    /// Gives `seq` to a message if it is this replica's turn, a message waits and no bound forbids it.
    fn take_turn(&mut self, now: Instant, seq: Seq) -> Option<MessageName> {
        let view = self.status.view()?;
        if view.sequencer_of(seq) != self.me.id && !planted!(self, NumberOutOfTurn) {
            return None;
        }
        if seq <= self.order.highest_seq() && !planted!(self, NumberOutOfTurn) {
            // Somebody heard of it, so it was given out: never a second time.
            return None;
        }
        if !self.numbers_may_advance(seq) {
            self.counters.turns_held_by_window += 1;
            return None;
        }
        let origin = self.next_origin()?;
        let view = self.status.view()?;
        let mut local = self.order.next_local(origin);
        if planted!(self, NumberTwice) && seq.0.is_multiple_of(50) {
            local = LocalSeq(local.0.saturating_sub(1).max(1));
        }
        if planted!(self, BreakOriginOrder) && self.messages.get(origin, local.next()).is_some() {
            local = local.next();
        }
        let name = view.name(origin, local);
        self.order.note_numbering(seq, name);
        self.handover.gave(seq, now + self.ack_time());
        let (first, names) = self.numberings_up_to(seq);
        self.outbox.for_all(Chunk::Sequence { first, names });
        self.counters.numbers_given += 1;
        Some(name)
    }

    /// Whether `seq` stays within the windows past the delivered and past the stable number.
    fn numbers_may_advance(&self, seq: Seq) -> bool {
        let undelivered = seq.0.saturating_sub(self.delivered_through.0);
        let unstable = seq.0.saturating_sub(self.acks.held_by_members().0);
        (undelivered <= self.config.undelivered_window || planted!(self, NoUndeliveredWindow))
            && (unstable <= self.config.unstable_window || planted!(self, NoUnstableWindow))
    }

    /// The member whose message is numbered next: origins in turn, from the one after the last numbered one's.
    fn next_origin(&self) -> Option<ReplicaId> {
        let members = &self.status.view()?.members;
        let last = self.order.last_origin();
        let after = members.iter().filter(|member| Some(member.id) > last);
        let before = members.iter().filter(|member| Some(member.id) <= last);
        after.chain(before).map(|member| member.id).find(|origin| {
            let next = self.order.next_local(*origin);
            self.messages.get(*origin, next).is_some()
        })
    }

    /// The numbering of `seq` and of the few before it, as far as they are held; `seq` itself is.
    pub(super) fn numberings_up_to(&self, seq: Seq) -> (Seq, Vec<MessageName>) {
        let start = self.status.view().map_or(Seq(0), |view| view.start);
        let held_from = self.log.trimmed_through().max(start).next();
        let first = Seq(seq.0.saturating_sub(REPEATED)).max(held_from).min(seq);
        let names = (first.0..=seq.0).map_while(|seq| self.numbering(Seq(seq))).collect();
        (first, names)
    }

    /// Which message has `seq`, if it is known and held.
    pub(super) fn numbering(&self, seq: Seq) -> Option<MessageName> {
        match self.log.get(seq) {
            Some(entry) => entry.name(),
            None => self.order.numbered(seq),
        }
    }

    /// Numberings arrived: message `names[i]` has number `first + i`.
    pub(super) fn on_sequence(&mut self, first: Seq, names: &[MessageName]) {
        for (offset, name) in names.iter().enumerate() {
            let seq = Seq(first.0.saturating_add(offset as u64));
            let view = self.status.view().expect("ring chunks are for members");
            if !view.contains(name.origin, name.incarnation) {
                self.counters.foreign_names += 1;
                continue;
            }
            if seq <= self.log.trimmed_through() || seq <= view.start {
                continue;
            }
            match self.numbering(seq) {
                Some(known) if known == *name => {}
                Some(_) => self.counters.conflicting_numberings += 1,
                None if seq.0 > self.log.ordered_through().0 + self.known_window()
                    || !self.may_be_numbered(*name) =>
                {
                    self.counters.beyond_window += 1;
                }
                None => {
                    self.messages.note_highest(name.origin, name.local);
                    self.order.note_numbering(seq, *name);
                }
            }
        }
    }

    /// Whether a message can have a number that is not known here: it is not behind its origin's next one, nor further
    /// ahead than an origin gets; an own one was sent.
    fn may_be_numbered(&self, name: MessageName) -> bool {
        let next = self.order.next_local(name.origin);
        let last = if name.origin == self.me.id {
            self.last_local
        } else {
            LocalSeq(next.0 + self.message_window())
        };
        (next..=last).contains(&name.local)
    }

    /// How far past its next message to be numbered, as this replica knows it, an origin's messages are taken in.
    pub(super) fn message_window(&self) -> u64 {
        self.config.unnumbered_window + self.known_window()
    }

    /// See [`super::known_window`].
    pub(super) fn known_window(&self) -> u64 {
        super::known_window(&self.config)
    }
}

/// Numberings past the log's end, and what the log's end says of whose message is next.
#[derive(Debug)]
pub(super) struct Order {
    me: ReplicaId,
    /// The log's last number; `beyond[i]` is the numbering of `ordered_through + 1 + i`.
    ordered_through: Seq,
    beyond: VecDeque<Option<MessageName>>,
    /// The highest number known to be given out in this view.
    highest_seq: Seq,
    /// Each origin's next message to be numbered, judged by the log's end.
    next_local: Vec<LocalSeq>,
    /// The origin of the log's last entry.
    last_origin: Option<ReplicaId>,
    /// This replica's own messages through this one are known to be numbered.
    own_numbered_through: LocalSeq,
}

impl Order {
    /// At a log's end: `last_local` is each origin's last message in the log, of its present incarnation.
    pub(super) fn new(me: ReplicaId, ordered_through: Seq, last_local: &[LocalSeq]) -> Self {
        Self {
            me,
            ordered_through,
            beyond: VecDeque::new(),
            highest_seq: ordered_through,
            next_local: last_local.iter().map(|last| last.next()).collect(),
            last_origin: None,
            own_numbered_through: last_local[me.index()],
        }
    }

    /// The highest number known to be given out in this view.
    pub(super) fn highest_seq(&self) -> Seq {
        self.highest_seq
    }

    /// Takes in that `seq` was given out. No member gives out more than `window` past another's log's end, since that
    /// one's own turn would have come: what says otherwise is not believed.
    pub(super) fn note_highest(&mut self, seq: Seq, window: u64) {
        if seq.0 <= self.ordered_through.0 + window {
            self.highest_seq = self.highest_seq.max(seq);
        }
    }

    /// The origin's next message to be numbered, judged by the log's end.
    pub(super) fn next_local(&self, origin: ReplicaId) -> LocalSeq {
        self.next_local[origin.index()]
    }

    fn last_origin(&self) -> Option<ReplicaId> {
        self.last_origin
    }

    /// This replica's own messages through this one are known to be numbered: an origin's are in their order.
    pub(super) fn own_numbered_through(&self) -> LocalSeq {
        self.own_numbered_through
    }

    /// Which message has `seq`, where `seq` is past the log's end and its numbering is known.
    fn numbered(&self, seq: Seq) -> Option<MessageName> {
        *self.beyond.get(self.place(seq)?)?
    }

    fn place(&self, seq: Seq) -> Option<usize> {
        usize::try_from(seq.0.checked_sub(self.ordered_through.0 + 1)?).ok()
    }

    /// Takes a numbering in; `seq` is past the log's end, within the window.
    fn note_numbering(&mut self, seq: Seq, name: MessageName) {
        let place = self.place(seq).expect("past the log's end");
        if self.beyond.len() <= place {
            self.beyond.resize(place + 1, None);
        }
        self.beyond[place] = Some(name);
        self.highest_seq = self.highest_seq.max(seq);
        if name.origin == self.me {
            self.own_numbered_through = self.own_numbered_through.max(name.local);
        }
    }

    /// Forgets a numbering past the log's end.
    fn forget(&mut self, seq: Seq) {
        if let Some(name) = self.place(seq).and_then(|place| self.beyond.get_mut(place)) {
            *name = None;
        }
        let own = self.beyond.iter().flatten().filter(|name| name.origin == self.me);
        let in_log = LocalSeq(self.next_local[self.me.index()].0 - 1);
        self.own_numbered_through = own.map(|name| name.local).fold(in_log, LocalSeq::max);
    }

    /// Takes in that the log has a new last entry.
    fn appended(&mut self, seq: Seq, name: MessageName) {
        assert_eq!(name.local, self.next_local(name.origin), "an origin's order holds");
        self.beyond.pop_front();
        self.ordered_through = seq;
        self.last_origin = Some(name.origin);
        self.next_local[name.origin.index()] = name.local.next();
    }

    /// The numbers past the log's end that are known to be given out, with their messages where those are known.
    pub(super) fn beyond_log(&self) -> impl Iterator<Item = (Seq, Option<MessageName>)> + '_ {
        (self.ordered_through.0 + 1..=self.highest_seq.0)
            .map(|seq| (Seq(seq), self.numbered(Seq(seq))))
    }
}
