//! Random bytes of the operating system.

use ring::rand::{SystemRandom, generate};

/// # Panics
/// When the operating system gives none: nothing that names requests can go on then.
fn bytes<const N: usize>() -> [u8; N]
where
    [u8; N]: ring::rand::RandomlyConstructable,
{
    generate(&SystemRandom::new()).expect("the operating system gives random bytes").expose()
}

/// Any 64 bits.
pub(super) fn bits() -> u64 {
    u64::from_le_bytes(bytes())
}

/// A name that nobody else has, but by a chance of one in 2^128 or so: 32 hexadecimal digits.
pub(super) fn name() -> String {
    format!("{:032x}", u128::from_le_bytes(bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_are_short_enough() {
        let (one, other) = (name(), name());
        assert_ne!(one, other);
        assert_eq!(one.len(), 32);
        assert!(one.bytes().all(|digit| digit.is_ascii_hexdigit()), "{one}");
        assert_ne!(bits(), bits());
    }
}
