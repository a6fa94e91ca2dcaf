//! A replica's turn: it takes in what waits for it, and what it wants done is carried out and checked.

use bytes::Bytes;
use ftqueue::testing::{Chunk, Effect, Entry, Event, Instant, Record};

use super::node::Node;
use super::{Happening, World};
use crate::check::{Bounds, Said, Sender};
use crate::network::Arrival;
use crate::options::MILLISECOND;
use crate::story::Fate;

impl World {
    /// A replica gets to its events: takes all in, settles, and sends once, as the runtime does.
    pub(super) fn run_node(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.wake_at = u64::MAX;
        if self.now < node.paused_until {
            let until = node.paused_until;
            return self.wake(index, until);
        }
        let local = node.local(self.now);
        let mut effects = Vec::new();
        let inbox = std::mem::take(&mut node.inbox);
        let Some(replica) = &mut node.replica else {
            return;
        };
        for event in inbox {
            replica.handle(local, event, &mut effects);
        }
        if replica.next_timeout() <= local {
            replica.handle(local, Event::Timeout, &mut effects);
        }
        replica.settle(local, &mut effects);
        self.carry_out_all(index, &mut effects);
        while self.options.sync[index] == (0, 0)
            && let Some(synced) = self.sync_at_once(index)
            && let Some(replica) = &mut self.nodes[index].replica
        {
            replica.handle(local, synced, &mut effects);
            replica.settle(local, &mut effects);
            self.carry_out_all(index, &mut effects);
        }
        let Some(replica) = &mut self.nodes[index].replica else {
            return;
        };
        replica.send(local, &mut effects);
        self.carry_out_all(index, &mut effects);
        self.sync(index);
        self.check_delivered(index);
        self.check_counters(index);
        self.check_resends(index, local);
        self.note_made_good_tail(index);
        let (often, most) = self.options.pause;
        if self.random.below(1_000_000) < often {
            self.nodes[index].paused_until = self.now + self.random.below(most);
            self.probes.hit("replica_paused");
        }
        self.check_view(index);
        self.check_recovered(index);
        self.end_if_outlived(index);
        self.end_if_left(index);
        let Some(replica) = &self.nodes[index].replica else {
            return;
        };
        let next = replica.next_timeout();
        let node = &mut self.nodes[index];
        node.late_wakes = if next <= local { node.late_wakes + 1 } else { 0 };
        assert!(node.late_wakes < 3, "r{index} wants to be woken in the past");
        let at = self.nodes[index].global(next).max(self.now + 1);
        self.wake(index, at);
    }

    /// What was delivered is everybody's.
    pub(super) fn check_delivered(&mut self, index: usize) {
        let Some(replica) = &self.nodes[index].replica else {
            return;
        };
        let (before, through) = (self.nodes[index].delivered, replica.delivered_through().0);
        assert!(before <= through, "r{index} takes back what it delivered");
        if before < through {
            let digest = replica.queues().digest();
            let logs: Vec<_> = self.nodes.iter().map(|node| &node.log).collect();
            self.ledger.delivered(index, &logs, (before, through), digest);
            self.nodes[index].delivered = through;
        }
    }

    /// A view's number names one view; promises rise.
    fn check_view(&mut self, index: usize) {
        let Some(replica) = &self.nodes[index].replica else {
            return;
        };
        let promised = replica.promised();
        assert!(promised >= self.nodes[index].promised, "r{index} takes a promise back");
        if let Some(view) = replica.view() {
            let known = self.views.entry(view.number).or_insert_with(|| view.clone());
            assert_eq!(known, view, "two views have one number");
        }
        self.nodes[index].promised = promised;
        if self.views_at_first.is_none() {
            let full = |node: &Node| {
                let view = node.replica.as_ref().and_then(|replica| replica.view());
                view.is_some_and(|view| view.members.len() == self.nodes.len())
            };
            if self.nodes.iter().all(full) {
                self.views_at_first = Some(self.views.len());
            }
        }
    }

    /// What a replica's own counts must not say.
    fn check_counters(&self, index: usize) {
        let node = &self.nodes[index];
        let Some(replica) = &node.replica else {
            return;
        };
        let counters = replica.counters();
        assert_eq!(
            counters.conflicting_numberings, 0,
            "r{index} was told two things of one number"
        );
        assert_eq!(counters.foreign_names, 0, "r{index} was told of a message of nobody");
        assert_eq!(counters.impossible_views, 0, "r{index} was told of a view that cannot be");
        assert_eq!(counters.unreadable_payloads, 0, "r{index} delivered what it cannot read");
        let (accepted, genuine) = (counters.datagrams_accepted, node.genuine.len() as u64);
        assert!(accepted <= genuine, "r{index} accepted a datagram twice, or one that nobody sent");
    }

    /// What is resent on request stays within the budget of each millisecond.
    fn check_resends(&mut self, index: usize, local: Instant) {
        let node = &mut self.nodes[index];
        let Some(replica) = &node.replica else {
            return;
        };
        let counters = replica.counters();
        let resent = counters.messages_resent + counters.numberings_resent + counters.entries_sent;
        let resent = node.resent.in_this_millisecond(local, resent);
        let most = Bounds::of(&self.options).resends_per_ms;
        assert!(resent <= most, "r{index} resends {resent} things in a millisecond");
    }

    /// A datagram is lost. If it told of the last number there is, and nothing follows, the receiver must hear of that
    /// number otherwise.
    fn note_lost_tail(&mut self, from: usize, to: usize) {
        let read = self.last_read[from].1.as_ref().expect("it was just sent");
        let told = read.chunks.iter().filter_map(|chunk| match chunk {
            Chunk::Sequence { first, names } => Some(first.0 + names.len() as u64 - 1),
            _ => None,
        });
        if let Some(last) = told.max()
            && last == self.spy.highest_number()
            && self.nodes[to].log.last() < last
        {
            self.tail_lost[to] = Some(last);
        }
    }

    /// A replica has what the lost end of the order told of, and nothing was numbered since.
    fn note_made_good_tail(&mut self, index: usize) {
        if let Some(last) = self.tail_lost[index]
            && self.nodes[index].log.last() >= last
        {
            self.tail_lost[index] = None;
            if self.spy.highest_number() == last {
                self.probes.hit("tail_sequence_lost");
            }
        }
    }

    fn carry_out(&mut self, index: usize, effect: Effect) {
        match effect {
            Effect::Send { to, datagram } => self.send(index, to.index(), &datagram),
            Effect::Write(record) => {
                if let Record::Append(entry) = &record {
                    self.note(&[5, index as u64, entry.seq.0]);
                    if let Some(name) = entry.name() {
                        self.spy.appended(name);
                    }
                    if self.story.is_some() {
                        let what = describe_entry(entry);
                        self.story_line(format_args!("r{index}        appends {what}"));
                    }
                }
                if let Record::Drop { after } = &record {
                    self.story_line(format_args!("r{index}        drops what follows {after}"));
                }
                self.written(index, record);
            }
            Effect::Replace(replacement) => self.replaced(index, replacement),
            Effect::Rewrite(replacement) => self.rewritten(index, replacement),
            Effect::Lend { to, at, pieces, length } => {
                self.lend(index, to, at, pieces as usize * length, length);
            }
            Effect::ReadCopy(copied) => self.read_copy(index, &copied),
            Effect::Answer { call, result } => self.answer(call, result),
        }
    }

    fn send(&mut self, index: usize, to: usize, datagram: &Bytes) {
        // A multicast comes as one effect per receiver, one after the other: it is read once.
        if self.last_read[index].0 != *datagram {
            self.read(index, datagram);
        }
        self.note(&[4, index as u64, to as u64, datagram.len() as u64]);
        let fate = self.told_fate(index, to);
        if self.nodes[to].replica.is_none() {
            if self.random.per_mille(self.options.refusals) {
                self.probes.hit("datagram_refused");
                let at = self.now + self.random.between(1, MILLISECOND);
                self.schedule(at, Happening::Refused { node: index, by: to });
            }
            return;
        }
        let arrivals = self.network.send(self.now, index, to, datagram);
        if arrivals.is_empty() {
            self.note_lost_tail(index, to);
        }
        let read = self.last_read[index].1.as_ref().expect("it was just read");
        let said = (index, Said::in_datagram(read));
        for Arrival { at, bytes, genuine } in arrivals {
            let genuine = genuine.then_some(said);
            let at = match fate {
                Some(Fate::Lost) => continue,
                Some(Fate::Late(delay)) => at + delay,
                Some(Fate::Twice) => {
                    let again = Happening::Arrive { node: to, bytes: bytes.clone(), genuine };
                    self.schedule(at + MILLISECOND, again);
                    at
                }
                None => at,
            };
            self.schedule(at, Happening::Arrive { node: to, bytes, genuine });
        }
    }

    /// A datagram is judged by what its sender may say.
    fn read(&mut self, index: usize, datagram: &Bytes) {
        let node = &self.nodes[index];
        let Some(replica) = &node.replica else {
            return;
        };
        let (view, durable) = (replica.view(), node.log.durable_entries());
        let members = view.into_iter().flat_map(|view| &view.members);
        let before = view.map_or(0, |view| view.start.0 - 1);
        let stable = members.map(|member| self.nodes[member.id.index()].log.acked_entries());
        let sender = Sender {
            node: index,
            view,
            ordered: replica.ordered_through().0,
            durable,
            delivered: replica.delivered_through().0,
            stable: stable.min().unwrap_or(0).max(before),
            promised: node.log.promised(),
            log: &node.log,
        };
        let read = self.spy.read(&sender, datagram);
        let quiet = self.options.broken.is_empty()
            && self.level_at.is_some_and(|at| self.now > at + self.quiet_after());
        let heartbeat = |chunk: &Chunk| matches!(chunk, Chunk::Heartbeat { .. });
        let said = &read.chunks;
        assert!(
            !quiet || said.iter().all(heartbeat),
            "r{index} goes on saying {said:?}; {}",
            self.describe()
        );
        self.last_read[index] = (datagram.clone(), Some(read));
    }

    pub(super) fn carry_out_all(&mut self, index: usize, effects: &mut Vec<Effect>) {
        for effect in effects.drain(..) {
            if self.nodes[index].replica.is_none() {
                // It crashed in the midst of it.
                return;
            }
            let node = &mut self.nodes[index];
            if let Some(left) = &mut node.crash_in {
                *left -= 1;
                if *left == 0 {
                    node.crash_in = None;
                    self.probes.hit("crash_between_effects");
                    let power = self.random.per_mille(500);
                    self.crash(index, power);
                    return;
                }
            }
            self.carry_out(index, effect);
        }
    }
}

fn describe_entry(entry: &Entry) -> String {
    match entry.name() {
        Some(name) => format!("{}={}.{}", entry.seq, name.origin, name.local.0),
        None => format!("{}={}", entry.seq, entry.view),
    }
}
