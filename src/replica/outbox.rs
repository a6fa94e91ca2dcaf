//! What is to be sent after this batch of events: chunks that leave together share datagrams.

use std::mem::discriminant;

use super::Replica;
use super::event::Effect;
use super::proposal::new_view_chunk;
use crate::types::ReplicaId;
use crate::wire::{self, Chunk, Header};

/// Chunks by receiver.
#[derive(Debug)]
pub(super) struct Outbox {
    all: Vec<Chunk>,
    one: Vec<Vec<Chunk>>,
    /// Who is told of the view: once, however often that was called for.
    new_view: Vec<bool>,
}

impl Outbox {
    pub(super) fn new(replicas: usize) -> Self {
        Self { all: Vec::new(), one: vec![Vec::new(); replicas], new_view: vec![false; replicas] }
    }

    /// For every other replica.
    pub(super) fn for_all(&mut self, chunk: Chunk) {
        self.all.push(chunk);
    }

    /// For one replica.
    pub(super) fn for_one(&mut self, to: ReplicaId, chunk: Chunk) {
        self.one[to.index()].push(chunk);
    }

    /// For one replica, instead of another chunk of its kind: the answer to what was asked several times at once.
    pub(super) fn for_one_once(&mut self, to: ReplicaId, chunk: Chunk) {
        let chunks = &mut self.one[to.index()];
        chunks.retain(|other| discriminant(other) != discriminant(&chunk));
        chunks.push(chunk);
    }

    /// Tells one replica of the present view.
    pub(super) fn new_view_for(&mut self, to: ReplicaId) {
        self.new_view[to.index()] = true;
    }

    /// Drops what has not left: it belongs to a view that is no more.
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.one.iter_mut().for_each(Vec::clear);
        self.new_view.fill(false);
    }
}

impl Replica {
    /// Packs, seals and sends what is in the outbox: to the next sequencer first, the ring waits for it.
    pub(super) fn empty_outbox(&mut self, effects: &mut Vec<Effect>) {
        if self.config.replicas == 1 {
            return self.outbox.clear();
        }
        let header = self.header();
        let first = self.next_sequencer();
        self.tell_of_view();
        if !self.outbox.all.is_empty() {
            let chunks = std::mem::take(&mut self.outbox.all);
            for datagram in wire::pack(&mut self.sealer, &header, &chunks, self.config.max_datagram)
            {
                for to in others(self.me.id, self.config.replicas, first) {
                    effects.push(Effect::Send { to, datagram: datagram.clone() });
                    self.counters.datagrams_sent += 1;
                }
            }
        }
        for to in others(self.me.id, self.config.replicas, first) {
            if self.outbox.one[to.index()].is_empty() {
                continue;
            }
            let chunks = std::mem::take(&mut self.outbox.one[to.index()]);
            for datagram in wire::pack(&mut self.sealer, &header, &chunks, self.config.max_datagram)
            {
                effects.push(Effect::Send { to, datagram });
                self.counters.datagrams_sent += 1;
            }
        }
    }

    /// Puts the present view in front of what is said to those that are to be told of it.
    fn tell_of_view(&mut self) {
        let Some(told) = self.status.told() else {
            return;
        };
        for (tell, chunks) in self.outbox.new_view.iter_mut().zip(&mut self.outbox.one) {
            if std::mem::take(tell) {
                chunks.insert(0, new_view_chunk(told));
            }
        }
    }

    fn header(&self) -> Header {
        Header {
            sender: self.me.id,
            incarnation: self.me.incarnation,
            view: self.status.view_number(),
            promised: self.promised,
            highest_seq: self.order.highest_seq(),
            highest_local: self.last_local,
        }
    }

    fn next_sequencer(&self) -> ReplicaId {
        let next = self.order.highest_seq().next();
        self.status.view().map_or(ReplicaId(0), |view| view.sequencer_of(next))
    }
}

/// All replicas but `me`, from `first` on.
fn others(me: ReplicaId, replicas: usize, first: ReplicaId) -> impl Iterator<Item = ReplicaId> {
    let all = (0..replicas).map(move |offset| (first.index() + offset) % replicas);
    all.map(|index| ReplicaId(u8::try_from(index).expect("ids are small")))
        .filter(move |id| *id != me)
}
