//! When a replica that is outside is taken in: near enough, and not again and again where that comes to nothing.

use std::time::Duration;

use super::Replica;
use super::ids::{bit, replica_id};
use super::view::View;
use crate::types::{Instant, ReplicaId};

/// When a replica may be taken in again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readmission {
    refused: u32,
    last: Instant,
    not_before: Instant,
}

impl Readmission {
    /// How often it was left out lately though it was there. Long quiet forgives.
    fn refused(self, now: Instant, unit: Duration) -> u32 {
        if now.since(self.last) > unit * 30 { 0 } else { self.refused }
    }

    /// It was left out though it was there: twice at no cost, then for twice as long each time.
    fn refuse(&mut self, now: Instant, unit: Duration) {
        self.refused = self.refused(now, unit) + 1;
        self.last = now;
        let doublings = self.refused.saturating_sub(2).min(6);
        if doublings > 0 {
            self.not_before = now + unit / 4 * (1 << doublings);
        }
    }
}

impl Replica {
    /// Whether a replica that is no member is to be taken in.
    pub(super) fn may_join(&self, id: ReplicaId, view: &View, now: Instant) -> bool {
        let outsider = id != self.me.id
            && self.detector.incarnation_of(id).is_some_and(|life| !view.contains(id, life))
            && view.incarnation_of(id).is_none();
        if !outsider
            || self.unreachable(id, now).is_some()
            || self.delivered_through < view.start
            || !self.is_welcome(id, now)
        {
            return false;
        }
        let best = self.best_set(now, u16::MAX);
        let all = view.set() | bit(id);
        all & best == all
    }

    /// Whether it is time to take in a replica that is outside: it can be brought up, and has waited as long as it is to
    /// after those times when it came to nothing.
    pub(super) fn is_welcome(&self, id: ReplicaId, now: Instant) -> bool {
        self.readmission[id.index()].not_before <= now && self.can_be_brought_up(id, now)
    }

    /// Whether a replica outside lacks no more than it can fetch while a view waits for it: few entries, and none that
    /// nobody holds in memory any more. One that lost what it had acked may lack such, and would stop every view.
    ///
    /// One that was left out lately must come nearer: it may fetch so slowly that the view gives it up before it has all.
    fn can_be_brought_up(&self, id: ReplicaId, now: Instant) -> bool {
        let delivered = self.detector.delivered_by(id);
        let bound = self.config.join_bound >> self.refused(id, now).min(2);
        delivered.0 + bound >= self.delivered_through.0 && delivered >= self.log.trimmed_through()
    }

    /// How often a replica was left out lately though it was there and near.
    pub(super) fn refused(&self, id: ReplicaId, now: Instant) -> u32 {
        self.readmission[id.index()].refused(now, self.config.view_timeout)
    }

    /// Takes in who was there and near enough, and is no member of the new view: again and again means waits that double.
    pub(super) fn note_absent(&mut self, now: Instant, view: &View) {
        for id in (0..self.config.replicas).map(replica_id) {
            let absent = id != self.me.id && view.incarnation_of(id).is_none();
            let there = absent && self.unreachable(id, now).is_none();
            if there && self.can_be_brought_up(id, now) {
                self.readmission[id.index()].refuse(now, self.config.view_timeout);
            }
        }
    }
}
