//! Bounded readers and writers of bytes. Bytes that come from a socket or a disk are read through [`Reader`], which
//! checks every step: a read either gives a value or says [`Malformed`], and never allocates.
//!
//! Every value has one encoding: fixed integers are little-endian, varints are LEB128 in their shortest form. So two
//! encodings are equal exactly when the values are, and checksums and comparisons may work on the bytes.
#![deny(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

use std::fmt;

/// The longest varint, in bytes: 64 bits, 7 to a byte.
pub(crate) const MAX_VARINT_LEN: usize = 10;

/// Bytes that are not an encoding of what they should be, and what was wrong: lower case, no full stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Reads values off the front of a slice. After an error the position is unspecified: give the bytes up.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of all of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `length` bytes.
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(taken)
    }

    /// One byte.
    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// Four bytes, little-endian.
    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes, little-endian.
    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A byte that is 0 or 1.
    pub(crate) fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("a truth value is neither 0 nor 1")),
        }
    }

    /// A varint in its shortest form.
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return Err(Malformed("a varint exceeds 64 bits"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                let overlong = byte == 0 && shift > 0;
                return if overlong { Err(Malformed("a varint is overlong")) } else { Ok(value) };
            }
        }
        Err(Malformed("a varint exceeds 64 bits"))
    }

    /// A signed integer, zigzag-coded in a varint.
    pub(crate) fn zigzag(&mut self) -> Result<i64, Malformed> {
        let coded = self.varint()?;
        Ok((coded >> 1).cast_signed() ^ -(coded & 1).cast_signed())
    }

    /// How many elements follow: at most `limit`, and no more than there are bytes left, so that the count may be
    /// trusted for an allocation (an element takes a byte at least).
    pub(crate) fn count(&mut self, limit: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.varint()?).map_err(|_| TOO_MANY)?;
        if count > limit {
            return Err(TOO_MANY);
        }
        if count > self.remaining() {
            return Err(ENDS_EARLY);
        }
        Ok(count)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(*taken)
    }
}

const ENDS_EARLY: Malformed = Malformed("the bytes end early");
const TOO_MANY: Malformed = Malformed("a count exceeds its limit");

/// Appends values to a buffer; the counterpart of [`Reader`], method for method.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// These bytes, without their length.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// One byte.
    pub(crate) fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    /// Four bytes, little-endian.
    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    /// Eight bytes, little-endian.
    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    /// A byte that is 0 or 1.
    pub(crate) fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// A varint in its shortest form.
    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            let [low, ..] = value.to_le_bytes();
            self.u8(low | 0x80);
            value >>= 7;
        }
        let [low, ..] = value.to_le_bytes();
        self.u8(low);
    }

    /// A signed integer, zigzag-coded in a varint: numbers near zero are short, whatever their sign.
    pub(crate) fn zigzag(&mut self, value: i64) {
        self.varint(zigzag(value));
    }

    /// How many elements follow.
    pub(crate) fn count(&mut self, count: usize) {
        self.varint(count as u64);
    }
}

/// The length of a value's varint, in bytes.
pub(crate) const fn varint_len(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// The length of a signed integer's zigzag varint, in bytes.
pub(crate) const fn zigzag_len(value: i64) -> usize {
    varint_len(zigzag(value))
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_tools::{Random, hex, unhex};

    fn varint(value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).varint(value);
        bytes
    }

    fn read_varint(bytes: &[u8]) -> Result<u64, Malformed> {
        let mut reader = Reader::new(bytes);
        let value = reader.varint()?;
        if reader.is_empty() { Ok(value) } else { Err(Malformed("bytes follow the end")) }
    }

    #[test]
    fn varints_have_these_bytes() {
        for (value, bytes) in [
            (0, "00"),
            (1, "01"),
            (127, "7f"),
            (128, "8001"),
            (300, "ac02"),
            (16_383, "ff7f"),
            (16_384, "808001"),
            (u64::MAX >> 1, "ffffffffffffffff7f"),
            (u64::MAX, "ffffffffffffffffff01"),
        ] {
            assert_eq!(hex(&varint(value)), bytes);
            assert_eq!(read_varint(&unhex(bytes)), Ok(value));
            assert_eq!(varint_len(value), bytes.len() / 2);
        }
        assert_eq!(varint_len(u64::MAX), MAX_VARINT_LEN);
    }

    #[test]
    fn signed_integers_near_zero_are_short() {
        for (value, bytes) in [
            (0, "00"),
            (-1, "01"),
            (1, "02"),
            (-64, "7f"),
            (64, "8001"),
            (i64::MAX, "feffffffffffffffff01"),
            (i64::MIN, "ffffffffffffffffff01"),
        ] {
            let mut written = Vec::new();
            Writer::new(&mut written).zigzag(value);
            assert_eq!(hex(&written), bytes);
            assert_eq!(Reader::new(&written).zigzag(), Ok(value));
            assert_eq!(zigzag_len(value), bytes.len() / 2);
        }
    }

    #[test]
    fn overlong_and_oversized_varints_are_malformed() {
        for bytes in [
            "8000",
            "ff00",
            "808000",
            "80808080808080808000",
            "ffffffffffffffffff00",
            // 2^64 and more.
            "80808080808080808002",
            "ffffffffffffffffff7f",
            // An eleventh byte.
            "8080808080808080808001",
            "ffffffffffffffffffff01",
        ] {
            assert!(read_varint(&unhex(bytes)).is_err(), "{bytes}");
        }
    }

    #[test]
    fn no_value_has_two_encodings() {
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                let bytes = [first, second];
                if let Ok(value) = read_varint(&bytes) {
                    assert_eq!(varint(value), bytes);
                }
            }
        }
        let mut random = Random::new(1);
        for _ in 0..100_000 {
            let length = random.index(12);
            let mut bytes = random.bytes(length);
            bytes.iter_mut().rev().skip(1).for_each(|byte| *byte |= 0x80);
            if let Ok(value) = read_varint(&bytes) {
                assert_eq!(varint(value), bytes);
            }
        }
    }

    #[test]
    fn what_is_written_is_read_and_no_less() {
        let mut random = Random::new(2);
        for _ in 0..2_000 {
            let (varint, zigzag) = (random.of_any_length(64), random.next().cast_signed());
            let (fixed, flag) = (random.next(), random.below(2) == 1);
            let mut bytes = Vec::new();
            let mut writer = Writer::new(&mut bytes);
            writer.varint(varint);
            writer.zigzag(zigzag >> (varint % 64));
            writer.u64(fixed);
            writer.u32(7);
            writer.bool(flag);
            writer.count(2);
            writer.bytes(b"ab");

            let all = (varint, zigzag >> (varint % 64), fixed, 7, flag, b"ab".as_slice());
            assert_eq!(read_all(&bytes), Ok(all));
            for shorter in 0..bytes.len() {
                assert!(read_all(&bytes[..shorter]).is_err());
            }
            bytes.push(0);
            assert!(read_all(&bytes).is_err());
        }
    }

    type All<'a> = (u64, i64, u64, u32, bool, &'a [u8]);

    fn read_all(bytes: &[u8]) -> Result<All<'_>, Malformed> {
        let mut reader = Reader::new(bytes);
        let all = (
            reader.varint()?,
            reader.zigzag()?,
            reader.u64()?,
            reader.u32()?,
            reader.bool()?,
            reader.count(2).and_then(|count| reader.take(count))?,
        );
        if reader.is_empty() { Ok(all) } else { Err(Malformed("bytes follow the end")) }
    }

    #[test]
    fn a_count_promises_no_more_than_is_there() {
        assert_eq!(Reader::new(&[2, 0, 0]).count(2), Ok(2));
        assert_eq!(Reader::new(&[2, 0, 0]).count(1), Err(TOO_MANY));
        assert_eq!(Reader::new(&[2, 0]).count(2), Err(ENDS_EARLY));
        assert_eq!(Reader::new(&varint(u64::MAX)).count(usize::MAX), Err(ENDS_EARLY));
        assert_eq!(Reader::new(&[2]).bool(), Err(Malformed("a truth value is neither 0 nor 1")));
    }
}
