//! Which datagrams of one incarnation of a sender were here before.

/// How many counters below the highest one are remembered. Datagrams overtaken by more than this many others are
/// dropped as late; at 1,400 bytes each these are more than 5 MB in flight.
pub(super) const WINDOW: u64 = 4_096;

const WORD_BITS: u64 = u64::BITS as u64;
/// One word more than the window has bits for: the window may begin in the middle of a word.
const WORDS: usize = (WINDOW / WORD_BITS) as usize + 1;

/// The counters seen of the last [`WINDOW`], in a ring of bits as in RFC 6479: going forward clears words instead of
/// shifting them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Window {
    /// The highest counter seen; 0 before the first (counters start at 1).
    highest: u64,
    /// Bit `c % 64` of word `c / 64 % WORDS` says whether counter c was seen, for the counters in the window. Bits
    /// of its last word that are above `highest` are clear.
    words: [u64; WORDS],
}

/// Whether a counter was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    /// It was not.
    Never,
    /// It was.
    Before,
    /// It is below the window: nobody knows.
    Unknown,
}

#[expect(clippy::indexing_slicing, reason = "word() is below WORDS, the array's length")]
impl Window {
    /// Nothing was seen.
    pub(super) fn new() -> Self {
        Self { highest: 0, words: [0; WORDS] }
    }

    /// Whether `counter` was seen; changes nothing. 0 is below every window.
    pub(super) fn look_up(&self, counter: u64) -> Seen {
        if counter == 0 || self.highest.saturating_sub(counter) >= WINDOW {
            Seen::Unknown
        } else if counter > self.highest || self.words[word(counter)] & bit(counter) == 0 {
            Seen::Never
        } else {
            Seen::Before
        }
    }

    /// Notes that `counter` was seen. Only for a counter that `look_up` never saw and whose datagram is authentic.
    pub(super) fn record(&mut self, counter: u64) {
        if counter > self.highest {
            let passed = counter / WORD_BITS - self.highest / WORD_BITS;
            for step in 0..passed.min(WORDS as u64) {
                self.words[word(counter - step * WORD_BITS)] = 0;
            }
            self.highest = counter;
        }
        self.words[word(counter)] |= bit(counter);
    }
}

fn word(counter: u64) -> usize {
    (counter / WORD_BITS % WORDS as u64) as usize
}

fn bit(counter: u64) -> u64 {
    1 << (counter % WORD_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tools::Random;
    use std::collections::BTreeSet;

    #[test]
    fn the_window_ends_where_it_says() {
        for highest in [1, 63, 64, 65, WINDOW - 1, WINDOW, WINDOW + 1, 10 * WINDOW, u64::MAX] {
            let mut window = Window::new();
            window.record(highest);
            assert_eq!(window.look_up(0), Seen::Unknown);
            assert_eq!(window.look_up(highest), Seen::Before);
            if highest > WINDOW {
                assert_eq!(window.look_up(highest - WINDOW), Seen::Unknown);
                assert_eq!(window.look_up(highest - WINDOW + 1), Seen::Never);
            } else if highest > 1 {
                assert_eq!(window.look_up(1), Seen::Never);
            }
            if highest < u64::MAX {
                assert_eq!(window.look_up(highest + 1), Seen::Never);
            }
        }
    }

    /// Against a set of all counters ever seen, with steps of every length, forwards and backwards.
    #[test]
    fn each_counter_is_new_once() {
        for seed in 0..20 {
            let mut random = Random::new(seed);
            let (mut window, mut seen, mut highest) = (Window::new(), BTreeSet::new(), 0);
            for _ in 0..5_000 {
                let step = random.of_any_length(14);
                let counter = match random.below(2) {
                    0 => highest + step,
                    _ => highest.saturating_sub(step),
                };
                let expected = if counter == 0 || counter + WINDOW <= highest {
                    Seen::Unknown
                } else if seen.contains(&counter) {
                    Seen::Before
                } else {
                    Seen::Never
                };
                assert_eq!(
                    window.look_up(counter),
                    expected,
                    "{counter} of {highest}, seed {seed}"
                );
                if expected == Seen::Never {
                    window.record(counter);
                    seen.insert(counter);
                    highest = highest.max(counter);
                }
            }
        }
    }
}
