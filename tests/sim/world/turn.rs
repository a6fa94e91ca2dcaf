//! A replica's turn: it takes in what waits for it, and what it wants done is carried out and checked.

use ftqueue::testing::{Chunk, Effect, Event, Instant, Seq};

use super::{Happening, QUIET_AFTER, World};
use crate::check::{Bounds, Sender};
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
        for event in std::mem::take(&mut node.inbox) {
            node.replica.handle(local, event, &mut effects);
        }
        if node.replica.next_timeout() <= local {
            node.replica.handle(local, Event::Timeout, &mut effects);
        }
        node.replica.settle(local, &mut effects);
        self.carry_out_all(index, &mut effects);
        while self.options.sync[index] == (0, 0)
            && let Some(synced) = self.sync_at_once(index)
        {
            let replica = &mut self.nodes[index].replica;
            replica.handle(local, synced, &mut effects);
            replica.settle(local, &mut effects);
            self.carry_out_all(index, &mut effects);
        }
        self.nodes[index].replica.send(local, &mut effects);
        self.carry_out_all(index, &mut effects);
        self.sync(index);
        let replica = &self.nodes[index].replica;
        self.ledger.delivered(index, replica.delivered_through().0, || replica.queues().digest());
        self.check_counters(index);
        self.check_resends(index, local);
        self.note_made_good_tail(index);
        let (often, most) = self.options.pause;
        if self.random.below(1_000_000) < often {
            self.nodes[index].paused_until = self.now + self.random.below(most);
            self.probes.hit("replica_paused");
        }
        self.check_view(index);
        let next = self.nodes[index].replica.next_timeout();
        let node = &mut self.nodes[index];
        node.late_wakes = if next <= local { node.late_wakes + 1 } else { 0 };
        assert!(node.late_wakes < 3, "r{index} wants to be woken in the past");
        let at = self.nodes[index].global(next).max(self.now + 1);
        self.wake(index, at);
    }

    /// A view's number names one view.
    fn check_view(&mut self, index: usize) {
        if let Some(view) = self.nodes[index].replica.view() {
            let known = self.views.entry(view.number).or_insert_with(|| view.clone());
            assert_eq!(known, view, "two views have one number");
        }
    }

    /// What a replica's own counts must not say.
    fn check_counters(&self, index: usize) {
        let node = &self.nodes[index];
        let counters = node.replica.counters();
        assert_eq!(
            counters.conflicting_numberings, 0,
            "r{index} was told two things of one number"
        );
        assert_eq!(counters.foreign_names, 0, "r{index} was told of a message of nobody");
        assert_eq!(counters.unreadable_payloads, 0, "r{index} delivered what it cannot read");
        let (accepted, genuine) = (counters.datagrams_accepted, node.genuine.len() as u64);
        assert!(accepted <= genuine, "r{index} accepted a datagram twice, or one that nobody sent");
    }

    /// What is resent on request stays within the budget of each millisecond.
    fn check_resends(&mut self, index: usize, local: Instant) {
        let node = &mut self.nodes[index];
        let counters = node.replica.counters();
        let resent = counters.messages_resent + counters.numberings_resent;
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
            && self.ledger.appended(to) < last
        {
            self.tail_lost[to] = Some(last);
        }
    }

    /// A replica has what the lost end of the order told of, and nothing was numbered since.
    fn note_made_good_tail(&mut self, index: usize) {
        if let Some(last) = self.tail_lost[index]
            && self.ledger.appended(index) >= last
        {
            self.tail_lost[index] = None;
            if self.spy.highest_number() == last {
                self.probes.hit("tail_sequence_lost");
            }
        }
    }

    fn carry_out(&mut self, index: usize, effect: Effect) {
        match effect {
            Effect::Send { to, datagram } => {
                // A multicast comes as one effect per receiver, one after the other: it is read once.
                if self.last_read[index].0 != datagram {
                    let durable = self.ledger.durable(index);
                    let replica = &self.nodes[index].replica;
                    let delivered = replica.delivered_through().0;
                    let (view, ordered) = (replica.view(), replica.ordered_through().0);
                    let stable = self.ledger.stable();
                    let sender = Sender { node: index, view, ordered, durable, delivered, stable };
                    let read = self.spy.read(&sender, &datagram);
                    let quiet = self.level_at.is_some_and(|at| self.now > at + QUIET_AFTER);
                    let heartbeat = |chunk: &Chunk| matches!(chunk, Chunk::Heartbeat { .. });
                    let said = &read.chunks;
                    assert!(
                        !quiet || said.iter().all(heartbeat),
                        "r{index} goes on saying {said:?}; {}",
                        self.describe()
                    );
                    self.last_read[index] = (datagram.clone(), Some(read));
                }
                self.note(&[4, index as u64, to.index() as u64, datagram.len() as u64]);
                let fate = self.told_fate(index, to.index());
                let arrivals = self.network.send(self.now, index, to.index(), &datagram);
                if arrivals.is_empty() {
                    self.note_lost_tail(index, to.index());
                }
                for Arrival { at, bytes, genuine } in arrivals {
                    let at = match fate {
                        Some(Fate::Lost) => continue,
                        Some(Fate::Late(delay)) => at + delay,
                        Some(Fate::Twice) => {
                            let (node, bytes) = (to.index(), bytes.clone());
                            let again = Happening::Arrive { node, bytes, genuine };
                            self.schedule(at + MILLISECOND, again);
                            at
                        }
                        None => at,
                    };
                    self.schedule(at, Happening::Arrive { node: to.index(), bytes, genuine });
                }
            }
            Effect::Append(entry) => {
                self.note(&[5, index as u64, entry.seq.0]);
                self.ledger.append(index, &entry);
                let name = entry.name;
                let entry = format!("{}={}.{}", entry.seq, name.origin, name.local.0);
                self.story_line(&format!("r{index}        appends {entry}"));
            }
            Effect::Answer { call, result } => self.answer(call, result),
        }
    }

    fn carry_out_all(&mut self, index: usize, effects: &mut Vec<Effect>) {
        for effect in effects.drain(..) {
            self.carry_out(index, effect);
        }
    }

    /// What was appended is durable at once.
    fn sync_at_once(&mut self, index: usize) -> Option<Event> {
        let (appended, durable) = (self.ledger.appended(index), self.ledger.durable(index));
        if appended == durable {
            return None;
        }
        self.ledger.synced(index, appended);
        let view = self.nodes[index].replica.view()?.number;
        Some(Event::Synced { view, through: Seq(appended) })
    }

    /// Syncs what was appended since the last sync, all at once.
    fn sync(&mut self, index: usize) {
        let (appended, durable) = (self.ledger.appended(index), self.ledger.durable(index));
        if self.nodes[index].syncing || appended == durable {
            return;
        }
        let Some(view) = self.nodes[index].replica.view().map(|view| view.number) else {
            return;
        };
        self.nodes[index].syncing = true;
        let (least, most) = self.options.sync[index];
        let at = self.now + self.random.between(least, most);
        let (round, proposer) = (view.round, view.proposer.0);
        self.schedule(at, Happening::Synced { node: index, round, proposer, through: appended });
    }
}
