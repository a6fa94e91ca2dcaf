//! The items of one queue.

use std::collections::VecDeque;

/// Items in order of their arrival, in at most 32 bytes each and some 200 for the queue.
///
/// One long `VecDeque` would do but for two things: it gives no memory back by itself, and where it grows or shrinks
/// it moves all items at once (measured: 20 to 100 ms for 20 million), which would stall the whole replica. So a
/// queue is a list of blocks, and each shrinks when it has become mostly empty.
#[derive(Debug, Default)]
pub(super) struct Items {
    /// The first items; none only where there are no others either.
    head: VecDeque<i64>,
    /// The blocks that follow, each of [`BLOCK`] items, the last of 1 to [`BLOCK`].
    rest: VecDeque<VecDeque<i64>>,
}

/// How many items a block has: 32 KB, moved in microseconds, and few blocks for a long queue.
const BLOCK: usize = 4_096;

impl Items {
    /// No items.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        let rest = self.rest.back().map_or(0, |last| (self.rest.len() - 1) * BLOCK + last.len());
        (self.head.len() + rest) as u64
    }

    /// The item at the head.
    pub(super) fn front(&self) -> Option<i64> {
        self.head.front().copied()
    }

    /// All items from head to tail.
    pub(super) fn iter(&self) -> impl Iterator<Item = i64> {
        self.head.iter().chain(self.rest.iter().flatten()).copied()
    }

    /// Appends an item at the tail.
    pub(super) fn push_back(&mut self, item: i64) {
        let tail = self.rest.back_mut().unwrap_or(&mut self.head);
        if tail.len() < BLOCK {
            tail.push_back(item);
        } else {
            self.rest.push_back(VecDeque::from([item]));
        }
    }

    /// Removes the item at the head.
    pub(super) fn pop_front(&mut self) -> Option<i64> {
        let item = self.head.pop_front();
        if self.head.is_empty()
            && let Some(next) = self.rest.pop_front()
        {
            self.head = next;
            shrink(&mut self.rest);
        } else {
            shrink(&mut self.head);
        }
        item
    }
}

/// The capacity that may stay where there is little: what a `VecDeque` starts with.
const LEAST_CAPACITY: usize = 4;

/// Shrinks to half full what is less than a quarter full. The elements moved are no more than those that must be
/// removed or appended before the next move, so a removal costs O(1) amortised.
fn shrink<T>(elements: &mut VecDeque<T>) {
    let length = elements.len();
    if elements.capacity() > LEAST_CAPACITY.max(4 * length) {
        elements.shrink_to(LEAST_CAPACITY.max(2 * length));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tools::Random;

    /// What the items take on the heap.
    fn heap(items: &Items) -> usize {
        let slots: usize = items.rest.iter().map(VecDeque::capacity).sum();
        let blocks = items.rest.capacity() * size_of::<VecDeque<i64>>();
        (items.head.capacity() + slots) * size_of::<i64>() + blocks
    }

    /// 32 bytes for each item, and nothing so large that moving it takes long. (Looks at every block.)
    fn assert_bounds(items: &Items) {
        let most = 32 * usize::try_from(items.len()).unwrap() + 160;
        assert!(heap(items) <= most, "{} bytes for {} items", heap(items), items.len());
        let blocks = items.rest.iter().chain([&items.head]);
        assert!(blocks.map(VecDeque::capacity).max() <= Some(2 * BLOCK));
    }

    #[test]
    fn memory_follows_the_length() {
        let mut items = Items::new();
        for item in 0..100_000 {
            items.push_back(item);
            assert_bounds(&items);
        }
        for item in 0..100_000 {
            assert_eq!(items.pop_front(), Some(item));
            assert_bounds(&items);
        }
        assert_eq!((items.pop_front(), items.len()), (None, 0));
        assert_bounds(&items);
    }

    #[test]
    fn blocks_do_not_show() {
        let mut random = Random::new(1);
        let (mut items, mut model) = (Items::new(), VecDeque::new());
        for _ in 0..200 {
            let push = random.below(2) == 0;
            for _ in 0..random.below(3 * BLOCK as u64) {
                if push {
                    let item = random.next().cast_signed();
                    items.push_back(item);
                    model.push_back(item);
                } else {
                    assert_eq!(items.pop_front(), model.pop_front());
                }
                assert_eq!(items.len(), model.len() as u64);
                assert_eq!(items.front(), model.front().copied());
            }
            assert!(items.iter().eq(model.iter().copied()));
            assert_bounds(&items);
        }
    }

    /// Counts the elements that are moved to a smaller buffer: no more than there were calls.
    #[test]
    fn shrinking_costs_constant_time_in_the_long_run() {
        let mut random = Random::new(2);
        let mut elements = VecDeque::new();
        let (mut calls, mut moved) = (0, 0);
        for _ in 0..400 {
            let push = random.below(2) == 0;
            for _ in 0..random.below(2_000) {
                if push {
                    elements.push_back(1);
                } else {
                    elements.pop_front();
                }
                let capacity = elements.capacity();
                shrink(&mut elements);
                calls += 1;
                moved += if elements.capacity() < capacity { elements.len() } else { 0 };
                assert!(elements.capacity() <= LEAST_CAPACITY.max(4 * elements.len()));
            }
        }
        assert!(moved > 0 && moved <= calls, "{moved} elements moved in {calls} calls");
    }
}
