//! Multicast: operations that wait become messages. While earlier ones are unnumbered they go on waiting, so that
//! messages grow with load; with no load a message leaves at once.

use bytes::Bytes;

use super::Replica;
use super::messages::Arrival;
use super::status::{Status, Told};
use crate::planted::planted;
use crate::types::LocalSeq;
use crate::wire::{Chunk, max_payload};

impl Replica {
    /// Packs waiting operations into a message and sends it to all members, if the window and the waiting
    /// operations call for one. Says whether it did.
    pub(super) fn pack_message(&mut self) -> bool {
        let Status::Member(Told { view, .. }) = &self.status else {
            return false;
        };
        let unnumbered = self.unnumbered();
        let largest = max_payload(self.config.max_datagram);
        if self.calls.waiting() == 0 {
            return false;
        }
        if unnumbered > 0 && self.calls.waiting_bytes() < largest {
            return false;
        }
        // Counted from what is delivered too: what is numbered past it may turn out not to be.
        let past_delivered = self.last_local.0.saturating_sub(self.own_delivered().0);
        let full =
            unnumbered >= self.config.unnumbered_window && !planted!(self, NoUnnumberedWindow);
        if full || past_delivered + 1 >= self.message_window() {
            self.counters.messages_held_by_window += 1;
            return false;
        }
        let local = self.last_local.next();
        let name = view.name(self.me.id, local);
        let mut payload = Vec::with_capacity(largest.min(self.calls.waiting_bytes()));
        self.calls.pack(local, largest, &mut payload);
        let payload = Bytes::from(payload);
        self.last_local = local;
        let next = self.order.next_local(self.me.id);
        let arrival = self.messages.insert(self.me.id, local, next, payload.clone());
        assert_eq!(arrival, Arrival::New, "an own message is new and within the window");
        self.outbox.for_all(Chunk::Data { name, payload });
        self.counters.messages_sent += 1;
        true
    }

    /// This replica's last message that was delivered.
    pub(super) fn own_delivered(&self) -> LocalSeq {
        self.delivered_names.of(self.me.id, self.me.incarnation)
    }

    /// Whether a message waits for its number, as far as this replica knows.
    pub(super) fn message_waits(&self) -> bool {
        let members = self.status.view().map_or(&[][..], |view| &view.members);
        self.unnumbered() > 0
            || members.iter().any(|member| {
                let next = self.order.next_local(member.id);
                self.messages.get(member.id, next).is_some()
            })
    }

    /// How many of this replica's messages are not known to be numbered.
    pub(super) fn unnumbered(&self) -> u64 {
        self.last_local.0.saturating_sub(self.order.own_numbered_through().0)
    }

    /// This replica's oldest message that is not known to be numbered.
    pub(super) fn oldest_unnumbered(&self) -> Option<LocalSeq> {
        (self.unnumbered() > 0).then(|| self.order.own_numbered_through().next())
    }
}
