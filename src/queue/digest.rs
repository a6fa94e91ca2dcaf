//! A hash that is the same on every machine and in every version of the program's libraries.

/// FNV-1a over 64-bit words, with a shift after each so that high bits reach the low ones. Each step is a bijection:
/// two inputs of one length that differ in a single word never collide. Not for use against an adversary.
#[derive(Debug)]
pub(super) struct Digest(u64);

const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

impl Digest {
    /// The hash of nothing.
    pub(super) fn new() -> Self {
        Self(OFFSET_BASIS)
    }

    /// Adds a word.
    pub(super) fn add(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(PRIME);
        self.0 = mixed ^ (mixed >> 32);
    }

    /// The hash.
    pub(super) fn finish(self) -> u64 {
        self.0
    }
}
