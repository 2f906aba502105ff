//! Bytes taken off the front of a slice, each length checked before anything is taken.
//!
//! Owns how integers lie in Badger's files. Knows no file: who calls says where the bytes came from.

use crate::error::{KvError, KvErrorKind};
use std::path::Path;

/// What fails without knowing in which file.
pub(super) type Parsed<T> = Result<T, KvErrorKind>;

/// What is left of a slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Bytes<'a> {
    /// `what` it is, for messages: "the index".
    pub(super) fn of(rest: &'a [u8], what: &'static str) -> Self {
        Self { rest, what }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, count: usize) -> Parsed<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| {
            KvErrorKind::Truncated(format!("{} ends {} bytes early", self.what, count.saturating_sub(self.rest.len())))
        })?;
        self.rest = rest;
        Ok(taken)
    }

    /// The last `count` bytes.
    pub(super) fn take_end(&mut self, count: usize) -> Parsed<&'a [u8]> {
        let split = self
            .rest
            .len()
            .checked_sub(count)
            .ok_or_else(|| KvErrorKind::Truncated(format!("{} is shorter than what ends it", self.what)))?;
        let (rest, taken) = self.rest.split_at(split);
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> Parsed<u8> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u16_le(&mut self) -> Parsed<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32_le(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u32_be(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64_be(&mut self) -> Parsed<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn u32_be_end(&mut self) -> Parsed<u32> {
        let what = self.what;
        let bytes = self.take_end(4)?;
        bytes.try_into().map(u32::from_be_bytes).map_err(|_| KvErrorKind::Truncated(format!("{what} ends early")))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let what = self.what;
        self.take(N)?.try_into().map_err(|_| KvErrorKind::Truncated(format!("{what} ends early")))
    }

    /// Go's `binary.Uvarint`.
    pub(super) fn uvarint(&mut self) -> Parsed<u64> {
        let mut value = 0u64;
        for shift in (0..).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 || shift > 63 {
                return Err(KvErrorKind::Malformed(format!("{} holds a number above 64 bits", self.what)));
            }
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }
}

/// Splits a stored key into the key and its version, which is stored as its complement so that newer ones come first.
pub(super) fn split_key(stored: &[u8]) -> Parsed<(&[u8], u64)> {
    let (key, version) = stored.split_last_chunk::<8>().ok_or_else(|| {
        KvErrorKind::Malformed(format!("a key of {} bytes has no room for its version", stored.len()))
    })?;
    Ok((key, u64::MAX - u64::from_be_bytes(*version)))
}

/// Where bytes came from, for what parsing them finds.
pub(super) trait Located<T> {
    fn at(self, path: &Path, offset: u64) -> crate::Result<T>;
}

impl<T, K: Into<KvErrorKind>> Located<T> for Result<T, K> {
    fn at(self, path: &Path, offset: u64) -> crate::Result<T> {
        self.map_err(|kind| KvError::at(path, offset, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_64_bits_are_refused_and_the_largest_is_not() {
        let largest = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
        assert_eq!(Bytes::of(&largest, "it").uvarint().unwrap(), u64::MAX);
        for wrong in [&[0xFF; 11][..], &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02], &[0x80], &[]] {
            assert!(Bytes::of(wrong, "it").uvarint().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn newer_versions_have_smaller_suffixes() {
        let stored = [b"key".as_slice(), &(u64::MAX - 7).to_be_bytes()].concat();
        assert_eq!(split_key(&stored).unwrap(), (b"key".as_slice(), 7));
        assert!(split_key(&stored[..7]).is_err());
    }
}
