//! Whom a replica outside asks first for what it lacks: not those whose copies came to nothing.

use super::ids::bit;
use crate::types::ReplicaId;

/// Whose copies came to nothing since one was of use.
#[derive(Debug, Default)]
pub(super) struct Givers {
    /// By bit.
    gave_nothing: u16,
}

impl Givers {
    /// A copy of what this one holds could not be read, or did not come.
    pub(super) fn gave_nothing(&mut self, id: ReplicaId) {
        self.gave_nothing |= bit(id);
    }

    /// A copy was of use.
    pub(super) fn forgive(&mut self) {
        self.gave_nothing = 0;
    }

    /// Those of the members that are to be asked; all of them again where none is left.
    pub(super) fn out_of(&mut self, mut members: Vec<ReplicaId>) -> Vec<ReplicaId> {
        let none_left = members.iter().all(|id| self.gave_nothing & bit(*id) != 0);
        if none_left && !members.is_empty() {
            self.forgive();
        }
        members.retain(|id| self.gave_nothing & bit(*id) == 0);
        members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gave_nothing_is_asked_once_the_others_gave_nothing_too() {
        let [one, two, three] = [1, 2, 3].map(ReplicaId);
        let mut givers = Givers::default();
        assert_eq!(givers.out_of(vec![one, two]), [one, two]);
        givers.gave_nothing(one);
        assert_eq!(givers.out_of(vec![one, two]), [two]);
        assert_eq!(givers.out_of(vec![]), []);
        givers.gave_nothing(two);
        assert_eq!(givers.out_of(vec![one, two, three]), [three]);
        assert_eq!(givers.out_of(vec![one, two]), [one, two]);
        assert_eq!(givers.out_of(vec![one]), [one]);
        givers.gave_nothing(one);
        givers.forgive();
        assert_eq!(givers.out_of(vec![one, two]), [one, two]);
    }
}
