//! Lending what storage holds to a replica that copies it: piece by piece, at a part of the budget of resends.

use bytes::Bytes;

use super::Replica;
use super::copying::PIECES;
use super::event::Effect;
use crate::types::{Instant, ReplicaId};
use crate::wire::{Chunk, CopyPlace, max_payload};

/// What a piece counts in the budget of resends: a copy is long, and the ring goes first.
const PIECE_COST: u32 = 4;

impl Replica {
    /// A replica copies what storage holds here. Whoever has it lends: what was delivered anywhere is the cluster's.
    pub(super) fn on_copy_request(
        &mut self,
        now: Instant,
        to: ReplicaId,
        at: CopyPlace,
        effects: &mut Vec<Effect>,
    ) {
        let mut pieces = 0;
        while pieces < PIECES && !self.budget_is_half_spent(now) {
            (0..PIECE_COST).for_each(|_| self.resend.spend());
            pieces += 1;
        }
        if pieces == 0 {
            self.counters.resends_held_back += 1;
            return;
        }
        let length = max_payload(self.config.max_datagram);
        effects.push(Effect::Lend { to, at, pieces, length });
    }

    /// Pieces were read: they are sent.
    pub(super) fn on_lent(&mut self, to: ReplicaId, pieces: Vec<Chunk>) {
        for piece in pieces {
            self.counters.copy_pieces_sent += 1;
            self.outbox.for_one(to, piece);
        }
    }
}

/// What was read of a file from `at` on, as pieces of at most `length` bytes; at least one. `file` is how long the file is,
/// and which segment is the last.
pub fn pieces_of(at: CopyPlace, file: (u64, u64), bytes: Bytes, length: usize) -> Vec<Chunk> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while from < bytes.len() || pieces.is_empty() {
        let to = (from + length).min(bytes.len());
        let at = CopyPlace { offset: at.offset + from as u64, ..at };
        let (length, last_segment) = file;
        pieces.push(Chunk::Copy { at, length, last_segment, bytes: bytes.slice(from..to) });
        from = to;
    }
    pieces
}
