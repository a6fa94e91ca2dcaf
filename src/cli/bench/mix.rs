//! Which operations a load is made of.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde::ser::SerializeMap as _;

use crate::queue::{Action, QueueId};

/// The operations that a load may have, each with its weight: `push=50,pop=50`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mix {
    /// In the order of [`NAMES`]; their sum is above 0 and fits 32 bits.
    weights: [u32; 4],
}

const NAMES: [&str; 4] = ["push", "pop", "top", "size"];

impl Mix {
    /// Draws an operation on `queue`; `item` is pushed if it is a push.
    pub(super) fn draw(&self, random: &mut Random, queue: QueueId, item: i64) -> Action {
        let mut left = random.below(self.weights.iter().sum());
        let mut chosen = 0;
        while left >= self.weights[chosen] {
            left -= self.weights[chosen];
            chosen += 1;
        }
        match chosen {
            0 => Action::Push { queue, item },
            1 => Action::Pop { queue },
            2 => Action::Top { queue },
            _ => Action::Size { queue },
        }
    }

    fn present(&self) -> impl Iterator<Item = (&'static str, u32)> {
        NAMES.into_iter().zip(self.weights).filter(|&(_, weight)| weight > 0)
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut weights = [None; 4];
        for part in text.split(',') {
            let (name, weight) = part
                .split_once('=')
                .ok_or_else(|| format!("`{part}` is not OPERATION=WEIGHT, such as push=50"))?;
            let index = NAMES
                .iter()
                .position(|&known| known == name)
                .ok_or_else(|| format!("`{name}` is not one of {}", NAMES.join(", ")))?;
            let weight: u16 =
                weight.parse().map_err(|_| format!("`{weight}` is not 0 to 65535"))?;
            if weights[index].replace(u32::from(weight)).is_some() {
                return Err(format!("`{name}` is there twice"));
            }
        }
        let weights = weights.map(Option::unwrap_or_default);
        if weights == [0; 4] {
            return Err("all weights are 0".to_owned());
        }
        Ok(Self { weights })
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> =
            self.present().map(|(name, weight)| format!("{name}={weight}")).collect();
        f.write_str(&parts.join(","))
    }
}

impl Serialize for Mix {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, weight) in self.present() {
            map.serialize_entry(name, &weight)?;
        }
        map.end()
    }
}

/// Random numbers good enough to spread a load, the same for the same seed (SplitMix64).
#[derive(Debug)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    /// The numbers of `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let high = (z ^ (z >> 31)) >> 32;
        // The product of two numbers below 2^32, its upper half: below `bound`.
        u32::try_from((high * u64::from(bound)) >> 32).expect("below a 32-bit bound")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_read_and_written() {
        let mix: Mix = "pop=1,push=3,size=0".parse().unwrap();
        assert_eq!(mix.to_string(), "push=3,pop=1");
        assert_eq!(serde_json::to_string(&mix).unwrap(), r#"{"push":3,"pop":1}"#);
    }

    #[test]
    fn a_mix_that_makes_no_sense_is_refused() {
        for wrong in [
            "",
            "push",
            "push=",
            "push=-1",
            "push=65536",
            "create=1",
            "pop=1,pop=1",
            "pop=0",
            "pop=1,",
        ] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn operations_are_drawn_by_weight() {
        let mix: Mix = "push=60,pop=30,top=10".parse().unwrap();
        let mut random = Random::new(1);
        let mut counts = [0; 4];
        for _ in 0..10_000 {
            match mix.draw(&mut random, 1, 2) {
                Action::Push { queue: 1, item: 2 } => counts[0] += 1,
                Action::Pop { queue: 1 } => counts[1] += 1,
                Action::Top { queue: 1 } => counts[2] += 1,
                _ => counts[3] += 1,
            }
        }
        let near = |count: i32, expected: i32| (count - expected).abs() < 200;
        assert!(
            near(counts[0], 6_000) && near(counts[1], 3_000) && near(counts[2], 1_000),
            "{counts:?}"
        );
        assert_eq!(counts[3], 0);
    }

    #[test]
    fn random_numbers_stay_below_their_bound_and_reach_it() {
        let mut random = Random::new(7);
        let drawn: std::collections::BTreeSet<_> = (0..1_000).map(|_| random.below(5)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(random.below(1), 0);
        assert!(random.below(u32::MAX) < u32::MAX);
    }
}
