//! A log that storage cannot read back is written anew. All that it stands for is in memory, too; what was said to be
//! durable must be that before the next start finds that it is not.

use std::sync::Arc;

use super::Replica;
use super::contents::Contents;
use super::event::Effect;
use crate::planted::planted;
use crate::types::Seq;

impl Replica {
    /// Storage found that it cannot read back what it was given: a snapshot of all of it takes the log's place.
    pub(super) fn rewrite_log(&mut self, effects: &mut Vec<Effect>) {
        if self.has_new_disk() {
            // There is nothing yet, but an id that a snapshot does not have.
            return;
        }
        let delivered = self.delivered_through;
        let mut last = self.log.ordered_through();
        if planted!(self, RewriteDeliveredOnly) {
            last = delivered;
        }
        let undelivered = (delivered.0 + 1..=last.0)
            .map(|seq| self.log.get(Seq(seq)).expect("what is not delivered is in memory"))
            .collect();
        let contents = Contents {
            promised: self.promised,
            delivered_through: delivered,
            delivered_names: &self.delivered_names,
            lives: self.log.lives(),
            disk: self.own_disk.state,
            first_disks: &self.own_disk.first_disks,
            boundaries: self.log.boundaries(),
            undelivered,
            queues: &self.queues,
        };
        let replacement = Arc::new(contents.to_replacement());
        tracing::warn!(replica = %self.me.id, through = %replacement.last, "writing the log anew: it cannot be read back");
        self.counters.logs_rewritten += 1;
        self.note_rewritten();
        effects.push(Effect::Rewrite(replacement));
    }
}
