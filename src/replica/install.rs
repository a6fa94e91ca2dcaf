//! Installing a view: the log is made the chosen one, then the view's own entry is appended (DESIGN section 3, rule 4).

use super::Replica;
use super::boundaries::Boundaries;
use super::event::Effect;
use super::status::{Status, Told};
use crate::entry::Record;
use crate::planted::planted;
use crate::types::{Instant, Seq};

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
                    && change.durable
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
        let Some(common) = common.filter(|common| *common >= self.delivered_through) else {
            // Nobody who keeps the rules chooses a log without what was delivered.
            self.counters.impossible_views += 1;
            return;
        };
        self.enter_installing(now, told, common, effects);
        self.continue_install(now, effects);
    }

    /// Goes on once there is nothing left to fetch.
    pub(super) fn continue_install(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if let Status::Installing(install) = &self.status
            && self.log.ordered_through().next() == install.told.view.start
        {
            self.enter_member(now, effects);
        }
    }

    /// Drops the log's entries past `after`.
    pub(super) fn drop_after(&mut self, after: Seq, effects: &mut Vec<Effect>) {
        if after < self.log.ordered_through() {
            self.counters.entries_dropped += self.log.ordered_through().0 - after.0;
            let names = self.log.last_names().clone();
            self.log.drop_after(after, (self.delivered_through, &self.delivered_names));
            if planted!(self, KeepNumbered) {
                self.log.count_as_numbered(&names);
            }
            self.writes.forget_after(after);
            self.write(Record::Drop { after }, effects);
        }
    }
}
