//! Where the views begin in a log: enough to tell two logs apart, since entries of one number and one view are the
//! same entry, and so is all before them.

use std::collections::VecDeque;

use crate::types::{Boundary, Seq, ViewNumber};

/// How many boundaries a log remembers below what it holds in memory: for replicas that were away long.
const REMEMBERED: usize = 4_096;

/// A log's boundaries, numbers and views rising. What lies before the first is unknown, unless that is number 1.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Boundaries(VecDeque<Boundary>);

impl Boundaries {
    /// As another replica told them.
    pub(super) fn told(boundaries: &[Boundary]) -> Self {
        Self(boundaries.iter().copied().collect())
    }

    /// The last entry's view; `NONE` for an empty log.
    pub(super) fn last_view(&self) -> ViewNumber {
        self.0.back().map_or(ViewNumber::NONE, |last| last.view)
    }

    /// Entry `seq` of `view` follows.
    pub(super) fn append(&mut self, seq: Seq, view: ViewNumber) {
        if self.last_view() != view {
            self.0.push_back(Boundary { view, first: seq });
        }
    }

    /// There is nothing past `after` any more.
    pub(super) fn drop_after(&mut self, after: Seq) {
        while self.0.back().is_some_and(|last| last.first > after) {
            self.0.pop_back();
        }
    }

    /// Forgets the oldest boundaries beyond a bound, as far as they lie below `trimmed`.
    pub(super) fn trim(&mut self, trimmed: Seq) {
        while self.0.len() > REMEMBERED && self.0[1].first <= trimmed {
            self.0.pop_front();
        }
    }

    /// The view of entry `seq`, where that is known; `NONE` for 0. The caller knows where the log ends.
    pub(super) fn view_at(&self, seq: Seq) -> Option<ViewNumber> {
        if seq == Seq(0) {
            return Some(ViewNumber::NONE);
        }
        let after = self.0.partition_point(|boundary| boundary.first <= seq);
        Some(self.0.get(after.checked_sub(1)?)?.view)
    }

    /// The last boundaries, at most `most`.
    pub(super) fn last(&self, most: usize) -> Vec<Boundary> {
        self.0.iter().skip(self.0.len().saturating_sub(most)).copied().collect()
    }

    /// The boundaries from the one that covers `seq` on: at most `most`, the first ones; and the last number that they
    /// speak of where the log ends at `last`.
    pub(super) fn first_from(&self, seq: Seq, last: Seq, most: usize) -> (Vec<Boundary>, Seq) {
        let from = self.covering(seq);
        let some =
            self.0.iter().skip(from).take(most).take_while(|boundary| boundary.first <= last);
        let some: Vec<_> = some.copied().collect();
        let through = self.0.get(from + some.len()).map_or(last, |next| Seq(next.first.0 - 1));
        (some, through.min(last))
    }

    fn covering(&self, seq: Seq) -> usize {
        self.0.partition_point(|boundary| boundary.first <= seq).saturating_sub(1)
    }

    /// The last number, at most `last` and not below `least`, at which both logs have the same view; none where
    /// nothing from `least` on is the same.
    pub(super) fn common_with(&self, other: &Self, least: Seq, last: Seq) -> Option<Seq> {
        let mut seq = last;
        loop {
            let (mine, others) = (self.view_at(seq)?, other.view_at(seq)?);
            if mine == others {
                return Some(seq);
            }
            // Below the later one's beginning both may agree; between there and here they do not.
            let begins = |boundaries: &Self| boundaries.0[boundaries.covering(seq)].first;
            seq = Seq(begins(self).max(begins(other)).0 - 1);
            if seq < least {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tools::Random;
    use crate::types::ReplicaId;

    fn view(round: u64) -> ViewNumber {
        ViewNumber { round, proposer: ReplicaId(0) }
    }

    fn of(views: &[u64]) -> Boundaries {
        let mut boundaries = Boundaries::default();
        for (seq, round) in (1..).zip(views) {
            boundaries.append(Seq(seq), view(*round));
        }
        boundaries
    }

    #[test]
    fn every_entry_has_its_view() {
        let views = [1, 1, 2, 5, 5, 5];
        let boundaries = of(&views);
        for (seq, round) in (1..).zip(views) {
            assert_eq!(boundaries.view_at(Seq(seq)), Some(view(round)));
        }
        assert_eq!(boundaries.view_at(Seq(0)), Some(ViewNumber::NONE));
        let told = Boundaries::told(&boundaries.last(2));
        assert_eq!(told.view_at(Seq(3)), Some(view(2)));
        assert_eq!(told.view_at(Seq(2)), None);
    }

    #[test]
    fn logs_are_the_same_up_to_their_last_common_entry() {
        let mut random = Random::new(1);
        for _ in 0..10_000 {
            let mut rising = |length: usize, mut round: u64| -> Vec<u64> {
                (0..length)
                    .map(|_| {
                        round += u64::from(random.below(3) == 0);
                        round
                    })
                    .collect()
            };
            let stem = rising(4, 1);
            let (mut one, mut other) = (stem.clone(), stem);
            // Views of the two branches differ, as in the protocol: a view has one log.
            one.extend(rising(5, 10).iter().map(|round| round * 2));
            other.extend(rising(5, 10).iter().map(|round| round * 2 + 1));
            one.truncate(random.index(10));
            other.truncate(random.index(10));
            let last = one.len().min(other.len());
            let expected = (0..=last).rev().find(|seq| one[..*seq] == other[..*seq]);
            let common = of(&one).common_with(&of(&other), Seq(0), Seq(last as u64));
            assert_eq!(common, expected.map(|seq| Seq(seq as u64)), "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_long_list_is_told_in_parts() {
        let boundaries = of(&[1, 2, 3, 3, 4, 5]);
        let (some, through) = boundaries.first_from(Seq(2), Seq(6), 2);
        assert_eq!(some.iter().map(|one| one.view.round).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(through, Seq(4));
        let (some, through) = boundaries.first_from(Seq(5), Seq(5), 9);
        assert_eq!((some.len(), through), (1, Seq(5)));
    }
}
