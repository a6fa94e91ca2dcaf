//! Datagrams as they come in: opened, judged by their header, taken apart. Nothing of one that cannot be opened is
//! looked at.

use bytes::Bytes;

use super::Replica;
use super::event::Effect;
use super::messages::Arrival;
use super::view::View;
use crate::types::{Instant, MessageName, ReplicaId, ViewNumber};
use crate::wire::{self, Chunk, Dropped, Header};

impl Replica {
    /// A datagram arrived.
    pub(super) fn on_datagram(&mut self, now: Instant, bytes: &Bytes, effects: &mut Vec<Effect>) {
        let datagram = match wire::open(&mut self.opener, bytes) {
            Ok(datagram) => datagram,
            Err(dropped) => return self.count_dropped(dropped),
        };
        self.counters.datagrams_accepted += 1;
        let header = datagram.header;
        self.detector.on_datagram(now, &header);
        let mut in_view = self.judge_view(now, &header, effects);
        for chunk in datagram.chunks {
            if let Chunk::NewView { number, members, start } = chunk {
                self.on_new_view(now, View { number, members, start });
                in_view = self.judge_view(now, &header, effects);
            } else {
                self.on_chunk(now, &header, in_view, chunk);
            }
        }
        if in_view {
            self.order.note_highest(header.highest_seq, self.known_window());
            self.messages.note_highest(header.sender, header.highest_local);
        }
    }

    fn count_dropped(&mut self, dropped: Dropped) {
        self.counters.datagrams_dropped += 1;
        match dropped {
            Dropped::Replayed | Dropped::Late => self.counters.datagrams_replayed += 1,
            Dropped::OldIncarnation => self.counters.datagrams_of_old_incarnations += 1,
            _ => {}
        }
    }

    /// Whether the datagram's chunks of the ring are for this replica: sender and receiver are in the same view, the
    /// sender in the life that the view names.
    fn judge_view(&mut self, now: Instant, header: &Header, effects: &mut Vec<Effect>) -> bool {
        let Some(view) = self.status.view() else {
            return false;
        };
        if view.incarnation_of(header.sender).is_none_or(|named| named < header.incarnation) {
            self.on_lost_member(now, header.sender, effects);
            return false;
        }
        if header.view == ViewNumber::NONE {
            self.outbox.new_view_for(header.sender);
            return false;
        }
        let same = view.number == header.view;
        if !same {
            self.counters.datagrams_of_other_views += 1;
        }
        same
    }

    fn on_chunk(&mut self, now: Instant, header: &Header, in_view: bool, chunk: Chunk) {
        let from = header.sender;
        match chunk {
            Chunk::Heartbeat { sent_at, heard } => self.on_heartbeat(now, from, sent_at, &heard),
            _ if !in_view => {}
            Chunk::NewView { .. } => unreachable!("judged with the header"),
            Chunk::Data { name, payload } => self.on_data(name, payload),
            Chunk::Sequence { first, names } => self.on_sequence(first, &names),
            Chunk::Ack { through, reply } => self.on_ack(from, through, reply),
            Chunk::Nack { sequences, messages } => self.on_nack(now, from, &sequences, &messages),
        }
    }

    /// A message arrived, from its origin or from another who holds it.
    fn on_data(&mut self, name: MessageName, payload: Bytes) {
        let view = self.status.view().expect("ring chunks are for members");
        if !view.contains(name.origin, name.incarnation) || self.is_me(name.origin) {
            self.counters.foreign_names += 1;
            return;
        }
        let next = self.order.next_local(name.origin);
        match self.messages.insert(name.origin, name.local, next, payload) {
            Arrival::New => {}
            Arrival::Duplicate => self.counters.messages_duplicate += 1,
            Arrival::BeyondWindow => self.counters.beyond_window += 1,
        }
    }

    fn is_me(&self, id: ReplicaId) -> bool {
        id == self.me.id
    }
}
