//! Whom a replica outside asks first for what it lacks: not those whose copies came to nothing.

use crate::types::ReplicaId;

/// Whose copies came to nothing since one was of use.
#[derive(Debug, Default)]
pub(super) struct Givers {
    /// In the order in which they last did.
    gave_nothing: Vec<ReplicaId>,
}

impl Givers {
    /// A copy of what this one holds could not be read, or did not come.
    pub(super) fn gave_nothing(&mut self, giver: ReplicaId) {
        self.gave_nothing.retain(|id| *id != giver);
        self.gave_nothing.push(giver);
    }

    /// A copy was of use.
    pub(super) fn forgive(&mut self) {
        self.gave_nothing.clear();
    }

    /// The members as they are to be asked: those that gave nothing last, and of these the one whose turn was longest ago
    /// first. All are asked in the end: the others may not answer.
    pub(super) fn in_order(&self, mut members: Vec<ReplicaId>) -> Vec<ReplicaId> {
        let place = |id: &ReplicaId| self.gave_nothing.iter().position(|other| other == id);
        members.sort_by_key(place);
        members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gave_nothing_is_asked_last() {
        let [one, two, three] = [1, 2, 3].map(ReplicaId);
        let all = || vec![one, two, three];
        let mut givers = Givers::default();
        assert_eq!(givers.in_order(all()), [one, two, three]);
        givers.gave_nothing(one);
        assert_eq!(givers.in_order(all()), [two, three, one]);
        assert_eq!(givers.in_order(vec![one]), [one]);
        givers.gave_nothing(two);
        assert_eq!(givers.in_order(all()), [three, one, two]);
        givers.gave_nothing(three);
        assert_eq!(givers.in_order(all()), [one, two, three]);
        givers.gave_nothing(one);
        assert_eq!(givers.in_order(all()), [two, three, one]);
        givers.forgive();
        assert_eq!(givers.in_order(all()), [one, two, three]);
    }
}
