//! What a view is made of, by the promises of a majority: the greatest log, and those near it as members (DESIGN
//! section 3, rule 3).

use std::cmp::Reverse;

use super::Replica;
use super::boundaries::Boundaries;
use super::ids::{bit, replica_id};
use super::proposal::{Promised, Proposal};
use super::status::Told;
use super::view::View;
use crate::planted::planted;
use crate::types::{Instant, Member, ReplicaId, ViewNumber};
use crate::wire::{LogEnd, MAX_BOUNDARIES};

impl Replica {
    /// The view that follows from the promises: the greatest log, and those near it as members.
    pub(super) fn choose(
        &self,
        now: Instant,
        number: ViewNumber,
        proposal: &Proposal,
    ) -> Option<Told> {
        let all = || {
            let all = (0..).map(replica_id).zip(&proposal.promises);
            all.filter_map(|(id, promise)| Some((id, promise.as_ref()?)))
        };
        // Who lost its disk since it promised does not hold what it promised with.
        let fenced = |id: ReplicaId, promise: &Promised| {
            let fences = all().flat_map(|(_, other)| &other.log.fences);
            let mut its = fences.filter(|fence| fence.id == id);
            its.any(|fence| promise.incarnation < fence.incarnation)
        };
        let promises = || all().filter(|(id, promise)| !fenced(*id, promise));
        if promises().count() < self.quorum.size() && !planted!(self, MinorityPromises) {
            return None;
        }
        let by_length = planted!(self, LongestLog);
        let (source, chosen) =
            promises().max_by_key(|(id, promise)| preference(*id, &promise.log, by_length))?;
        let log = &chosen.log;
        let boundaries = Boundaries::told(&log.boundaries);
        // How much of the chosen log a replica has, where the boundaries tell.
        let has = |Promised { log: its, .. }: &Promised| {
            let own = Boundaries::told(&its.boundaries);
            own.common_with(&boundaries, its.delivered, its.last.min(log.last))
                .filter(|common| *common >= its.delivered)
        };
        let near = |promise: &Promised| {
            has(promise).is_some_and(|has| has.0 + self.config.join_bound >= log.last.0)
        };
        // What it lacks somebody must be able to send: the source at least.
        let served =
            |promise: &Promised| has(promise).is_some_and(|has| has.next() >= log.held_from);
        // A promise binds the lives that follow; a member is the one that lives.
        let lives = |id: ReplicaId, promise: &Promised| {
            let present = self.detector.incarnation_of(id).filter(|_| id != self.me.id);
            present.is_none_or(|present| present <= promise.incarnation)
        };
        let able = |id: ReplicaId, promise: &Promised| served(promise) && lives(id, promise);
        let best = self.best_set(now, u16::MAX);
        let fits = |id: ReplicaId| best & bit(self.me.id) == 0 || best & bit(id) != 0;
        let welcome = |id: ReplicaId| {
            id == self.me.id && !self.leaving
                || id != self.me.id
                    && fits(id)
                    && proposal.excluded & bit(id) == 0
                    && self.unreachable(id, now).is_none()
        };
        let member =
            |(id, promise): (ReplicaId, &Promised)| Member { id, incarnation: promise.incarnation };
        let best: Vec<Member> = promises()
            .filter(|(id, promise)| able(*id, promise) && near(promise) && welcome(*id))
            .map(member)
            .collect();
        let mut members = best;
        if members.len() < self.quorum.size() {
            members = promises().filter(|(id, promise)| able(*id, promise)).map(member).collect();
        }
        if members.len() < self.quorum.size() {
            // Some must copy what the source holds, and all wait for that: else there is no view at all.
            members = promises().filter(|(id, promise)| lives(*id, promise)).map(member).collect();
        }
        if members.len() < self.quorum.size() && !planted!(self, MinorityPromises) {
            return None;
        }
        let start = log.last.next();
        let boundaries = log.boundaries.clone();
        Some(Told { view: View { number, members, start }, source, boundaries })
    }

    /// The log's end as a promise tells it.
    pub(super) fn log_end(&self) -> LogEnd {
        let (last, delivered) = (self.log.ordered_through(), self.delivered_through);
        let last_view = self.log.last_view();
        let boundaries = self.log.boundaries().last(MAX_BOUNDARIES);
        let held_from = self.log.trimmed_through().next();
        let fences = self.log.lives().fences();
        LogEnd { last_view, last, delivered, held_from, boundaries, fences }
    }
}

/// Which of several logs is chosen: the greatest by this. Of two the one whose end is of the later view is the greater,
/// however long the other is; of two that are the same, the one of which more can still be sent.
fn preference(id: ReplicaId, log: &LogEnd, by_length: bool) -> impl Ord + use<> {
    let view = if by_length { ViewNumber::NONE } else { log.last_view };
    (view, log.last, Reverse(log.held_from), Reverse(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Seq;

    #[test]
    fn the_greatest_log_is_chosen_where_most_of_it_is_held() {
        let log = |round, last, held_from| LogEnd {
            last_view: ViewNumber { round, proposer: ReplicaId(0) },
            last: Seq(last),
            delivered: Seq(last),
            held_from: Seq(held_from),
            boundaries: Vec::new(),
            fences: Vec::new(),
        };
        let chosen = |logs: &[LogEnd]| {
            let ids = (0..).map(replica_id).zip(logs);
            ids.max_by_key(|(id, log)| preference(*id, log, false)).unwrap().0.index()
        };
        assert_eq!(chosen(&[log(1, 90, 1), log(2, 10, 9), log(2, 9, 1)]), 1);
        assert_eq!(chosen(&[log(2, 10, 9), log(2, 10, 3), log(2, 10, 3)]), 1);
    }
}
