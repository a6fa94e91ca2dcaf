//! Datagrams as they come in: opened, judged by their header, taken apart. Nothing of one that cannot be opened is
//! looked at.

use bytes::Bytes;

use super::Replica;
use super::detector::Heartbeat;
use super::event::Effect;
use super::messages::Arrival;
use super::status::{Status, Told};
use super::view::View;
use crate::types::{Instant, Member, MessageName, ReplicaId, ViewNumber};
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
        self.heard.listen(&header, &datagram.chunks);
        self.view_attention |= self.detector.on_datagram(now, &header);
        self.judge_view(now, &header);
        self.note_member(now, &header, effects);
        for chunk in datagram.chunks {
            self.on_chunk(now, &header, chunk, effects);
        }
        if self.is_in_view(&header) {
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

    /// Leaves a view that is past.
    fn judge_view(&mut self, now: Instant, header: &Header) {
        if header.view > self.promised {
            // A majority promised that view, and this replica is not among them: its own can deliver nothing more.
            let learns = matches!(self.status, Status::Outside(_));
            if !learns {
                self.enter_outside(now, &format!("{} is in view {}", header.sender, header.view));
            }
        }
        if self
            .status
            .view()
            .is_some_and(|view| header.view != view.number && header.view != ViewNumber::NONE)
        {
            self.counters.datagrams_of_other_views += 1;
        }
    }

    /// Tells the sender of the view that it lacks. By its heartbeats alone: two that install a view would tell each other
    /// without end.
    fn tell_who_lacks_view(&mut self, header: &Header) {
        let told = self.status.told().map(|told| told.view.number);
        if told.is_some_and(|told| header.view != told && header.promised == told) {
            self.outbox.new_view_for(header.sender);
        }
    }

    /// Whether the datagram's chunks of the ring are for this replica: sender and receiver are in the same view, the
    /// sender in the life that the view names.
    fn is_in_view(&self, header: &Header) -> bool {
        self.status.view().is_some_and(|view| {
            view.number == header.view && view.contains(header.sender, header.incarnation)
        })
    }

    fn on_chunk(&mut self, now: Instant, header: &Header, chunk: Chunk, effects: &mut Vec<Effect>) {
        let from = header.sender;
        let sender = Member { id: from, incarnation: header.incarnation };
        match chunk {
            Chunk::Heartbeat { sent_at, delivered, leaving, heard } => {
                let promised = header.promised;
                let heartbeat = Heartbeat { sent_at, delivered, leaving, promised, heard: &heard };
                self.on_heartbeat(now, from, &heartbeat);
                self.tell_who_lacks_view(header);
            }
            Chunk::Prepare { number } => self.on_prepare(now, sender, number, effects),
            Chunk::Promise { number, log } => self.on_promise(now, sender, number, *log, effects),
            Chunk::NewView { number, members, start, source, boundaries } => {
                let view = View { number, members, start };
                self.on_new_view(now, Told { view, source, boundaries }, effects);
            }
            Chunk::Fetch { from: first, to } => self.on_fetch(now, from, first, to),
            Chunk::Entry(entry) => self.on_entry(now, from, entry, effects),
            Chunk::Inquiry { from: first } => self.on_inquiry(from, first),
            Chunk::Summary { through, held_from, boundaries } => {
                let numbers = (through, held_from);
                self.on_summary(now, (from, header.view), numbers, &boundaries, effects);
            }
            Chunk::CopyRequest { at } => self.on_copy_request(now, from, at, effects),
            Chunk::Copy { at, length, last_segment, bytes } => {
                self.on_copy(now, from, (at, length, last_segment), bytes, effects);
            }
            Chunk::Known { lives } => self.on_known(now, from, &lives, effects),
            Chunk::NewDisks { disks } => self.on_new_disks(now, from, disks),
            Chunk::Formatted { disks } => self.on_formatted(now, disks, effects),
            Chunk::Recover => self.on_recover(sender, effects),
            Chunk::Recovery { last_view, last, fences } => {
                self.on_recovery(from, header.promised, (last_view, last), fences);
            }
            _ if !self.is_in_view(header) => {}
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
