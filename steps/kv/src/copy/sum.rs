//! A checksum over records in any order, which can be continued.
//!
//! Owns that: the sum (modulo 2^128) of a BLAKE3 digest of each record, as Badger would compare it. It guards against what
//! goes missing, comes twice or changes by accident, not against somebody who looks for another set with the same sum.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::encoding::value;
use crate::record::Record;

/// The checksum so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sum(u128);

impl Sum {
    /// Adds a record.
    pub fn add(&mut self, record: &Record) {
        let mut hasher = blake3::Hasher::new();
        hash(&mut hasher, record);
        let digest: [u8; 32] = hasher.finalize().into();
        let (half, _) = digest.split_at(16);
        self.0 = half.iter().fold(0u128, |n, byte| n << 8 | u128::from(*byte)).wrapping_add(self.0);
    }
}

/// Adds a record to a digest: an absent user meta is 0, as to Badger.
pub(crate) fn hash(hasher: &mut blake3::Hasher, record: &Record) {
    let kept = match record.user_meta {
        Some(_) => value(record),
        None => value(&Record { user_meta: Some(0), ..record.clone() }),
    };
    for part in [&record.key, &kept] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    hasher.update(&record.version.to_le_bytes());
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Sum {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

impl From<Sum> for String {
    fn from(sum: Sum) -> Self {
        sum.to_string()
    }
}

impl TryFrom<String> for Sum {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
