//! What is to happen, in the order of its times; what has one time, in the order in which it was put down.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Happening;

/// See the module. The heap moves places alone, which are small.
#[derive(Default)]
pub(super) struct Agenda {
    order: BinaryHeap<Reverse<(u64, u64, usize)>>,
    count: u64,
    places: Vec<Option<Happening>>,
    free: Vec<usize>,
}

impl Agenda {
    /// Puts down what happens at a time.
    pub(super) fn push(&mut self, at: u64, happening: Happening) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(happening);
        self.count += 1;
        self.order.push(Reverse((at, self.count, place)));
    }

    /// When the first of it happens.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.order.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the first of it.
    ///
    /// # Panics
    /// When there is nothing.
    pub(super) fn pop(&mut self) -> Happening {
        let Reverse((_, _, place)) = self.order.pop().expect("there is something");
        self.free.push(place);
        self.places[place].take().expect("a place that is listed is taken")
    }
}
