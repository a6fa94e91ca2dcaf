//! Installing a view: the log is made the chosen one, then the view's own entry is appended (DESIGN section 3, rule 4).

use super::Replica;
use super::boundaries::Boundaries;
use super::event::Effect;
use super::ids::bit;
use super::status::{Install, Status, Told};
use crate::entry::Record;
use crate::planted::planted;
use crate::types::{Boundary, Instant, Member, Seq};
use crate::wire::{Chunk, Header, LogEnd, MAX_BOUNDARIES};

/// After so many views whose entries were not delivered, a view's entry waits for a majority.
const VAIN_VIEWS: usize = MAX_BOUNDARIES / 4;

impl Replica {
    /// A view is told, by its proposer or by another who installed it.
    pub(super) fn on_new_view(&mut self, now: Instant, told: Told, effects: &mut Vec<Effect>) {
        let number = told.view.number;
        let named = told.view.contains(self.me.id, self.me.incarnation);
        if self.status.told().is_some_and(|known| known.view.number >= number) {
            return;
        }
        let few = told.view.members.len() < self.quorum.size() && !planted!(self, MinorityPromises);
        if few || told.boundaries.last().is_some_and(|last| last.view >= number) {
            // A view has a majority, and is above all that its log has.
            self.counters.impossible_views += 1;
            return;
        }
        match &self.status {
            // Who is named has promised, so its promise was durable.
            Status::Changing(change)
                if change.number == number
                    && change.proposal.is_none()
                    && change.is_durable()
                    && named =>
            {
                self.install(now, told, effects);
            }
            // An own proposal's NEWVIEW nobody else makes.
            Status::Changing(change)
                if change.number == number && (named || change.proposal.is_some()) => {}
            Status::Outside(_) => {}
            _ if number >= self.promised => {
                self.enter_outside(now, &format!("{number} was formed without this replica"));
            }
            _ => {}
        }
    }

    /// Begins to install.
    pub(super) fn install(&mut self, now: Instant, told: Told, effects: &mut Vec<Effect>) {
        let last = Seq(told.view.start.0 - 1);
        let chosen = Boundaries::told(&told.boundaries);
        let ordered = self.log.ordered_through().min(last);
        let own = self.log.boundaries();
        let mut common = own.common_with(&chosen, self.delivered_through, ordered);
        if planted!(self, DropTooMuch) {
            common = common.map(|common| common.min(self.delivered_through));
        }
        if planted!(self, KeepOwnTail) {
            common = Some(ordered);
        }
        // The told boundaries may begin past the own log: then nothing is dropped before all of it is replaced.
        let unlike = common.is_none() && chosen.view_at(self.delivered_through).is_none();
        let common = common.filter(|common| *common >= self.delivered_through);
        if common.is_none() && !unlike {
            // Nobody who keeps the rules chooses a log without what was delivered.
            self.counters.impossible_views += 1;
            return;
        }
        let source = told.source;
        self.enter_installing(now, told, common, effects);
        if unlike {
            self.begin_copying(now, source);
        }
        self.continue_install(now, effects);
    }

    /// Goes on once there is nothing left to fetch and, where that is waited for, a majority is as far.
    pub(super) fn continue_install(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Status::Installing(install) = &mut self.status else {
            return;
        };
        if install.unlike {
            return;
        }
        if self.log.ordered_through().next() != install.told.view.start {
            return;
        }
        if let Some(ready) = &mut install.ready {
            let first = *ready & bit(self.me.id) == 0;
            *ready |= bit(self.me.id);
            if (ready.count_ones() as usize) < self.quorum.size() {
                if first {
                    self.tell_ready();
                }
                return;
            }
        }
        self.enter_member(now, effects);
    }

    /// Whether a view's entry is appended only once a majority is ready to: so many views came to nothing that their
    /// entries would else pile up, one for each attempt, until promises can tell of no older boundary.
    pub(super) fn waits_for_majority(&self, told: &Told) -> bool {
        let undelivered = |boundary: &&Boundary| boundary.first > self.delivered_through;
        told.boundaries.iter().filter(undelivered).count() >= VAIN_VIEWS
    }

    /// Says that this replica has all of the chosen log: by its promise again, which now tells of that log.
    pub(super) fn tell_ready(&mut self) {
        let Status::Installing(Install { told, ready: Some(ready), .. }) = &self.status else {
            return;
        };
        if ready & bit(self.me.id) != 0 {
            let number = told.view.number;
            let log = Box::new(self.log_end());
            self.outbox.for_all(Chunk::Promise { number, log });
        }
    }

    /// A replica may be ready to be a member of the view that is being installed here.
    pub(super) fn on_ready(
        &mut self,
        now: Instant,
        from: Member,
        log: &LogEnd,
        effects: &mut Vec<Effect>,
    ) {
        let Status::Installing(Install { told, ready: Some(ready), .. }) = &mut self.status else {
            return;
        };
        let chosen = told.boundaries.last().map(|last| last.view);
        if told.view.contains(from.id, from.incarnation)
            && log.last.next() == told.view.start
            && chosen.is_none_or(|view| view == log.last_view)
        {
            *ready |= bit(from.id);
            self.continue_install(now, effects);
        }
    }

    /// A replica is a member of the view that is being installed here: it is more than ready.
    pub(super) fn note_member(&mut self, now: Instant, header: &Header, effects: &mut Vec<Effect>) {
        if let Status::Installing(Install { told, ready: Some(ready), .. }) = &mut self.status
            && told.view.number == header.view
            && told.view.contains(header.sender, header.incarnation)
            && *ready & bit(header.sender) == 0
        {
            *ready |= bit(header.sender);
            self.continue_install(now, effects);
        }
    }

    /// Drops the log's entries past `after`.
    pub(super) fn drop_after(&mut self, after: Seq, effects: &mut Vec<Effect>) {
        if after < self.log.ordered_through() {
            self.counters.entries_dropped += self.log.ordered_through().0 - after.0;
            #[cfg(feature = "planted-bugs")]
            let names = self.log.last_names().clone();
            self.log.drop_after(after, (self.delivered_through, &self.delivered_names));
            #[cfg(feature = "planted-bugs")]
            if planted!(self, KeepNumbered) {
                self.log.count_as_numbered(&names);
            }
            self.writes.forget_after(after);
            self.write(Record::Drop { after }, effects);
        }
    }
}
