//! What a change wrote: rows as digests of what it found and left in them, and prints of schema objects.
//!
//! Owns the digest of a row and the compact form of many, which is kept beside the ledger (or in a receipt). A restore
//! needs it to tell the rows of a step that it takes back from rows that others wrote: a row that somebody changed
//! after the step has another digest, and one that somebody changed before it was found as the snapshot has it not.

use std::collections::BTreeMap;

use rusqlite::Row;
use rusqlite::types::Value;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use twox_hash::XxHash3_64;

use crate::value::push_bytes;

/// What a change wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tables: Vec<Part>,
    /// Rows that were in tables which the change dropped or rebuilt, and are not in those any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gone: Vec<Gone>,
    /// Schema objects, each with its print before and after; none where it was not there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) schema: BTreeMap<String, [Option<String>; 2]>,
}

impl Written {
    /// Whether nothing was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.gone.is_empty() && self.schema.is_empty()
    }
}

/// Rows of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) table: String,
    /// An implicit rowid is the first of them.
    pub(crate) columns: Vec<String>,
    /// Rows that were not there before.
    #[serde(default, skip_serializing_if = "Vec::is_empty", serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub(crate) new: Vec<u64>,
    /// The columns before the change; empty where no row was there before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) was: Vec<String>,
    /// Rows that were there, as they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty", serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub(crate) before: Vec<u64>,
    /// The same rows, in the same order, as they were left.
    #[serde(default, skip_serializing_if = "Vec::is_empty", serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub(crate) after: Vec<u64>,
}

/// Rows of one table that are not in it any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gone {
    pub(crate) table: String,
    pub(crate) columns: Vec<String>,
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub(crate) rows: Vec<u64>,
}

/// What stands for a row that could not be read; no row comes to it.
pub(crate) const UNREAD: u64 = 0;

/// Digests rows of certain columns. A digest is the sum over the columns, so that a column that was added since can be
/// taken off again, and the order does not count.
#[derive(Debug)]
pub(crate) struct Digester(Vec<Vec<u8>>);

impl Digester {
    pub(crate) fn new(columns: &[String]) -> Self {
        Self(columns.iter().map(|name| start(name)).collect())
    }

    /// The digest of the columns of `row` from `first` on.
    pub(crate) fn row(&mut self, row: &Row<'_>, first: usize) -> rusqlite::Result<u64> {
        let mut sum = 0_u64;
        for (i, bytes) in self.0.iter_mut().enumerate() {
            let start = bytes.len();
            push_bytes(bytes, row.get_ref(first + i)?);
            sum = sum.wrapping_add(short(bytes));
            bytes.truncate(start);
        }
        Ok(sum)
    }
}

/// What one column adds to a digest.
pub(crate) fn share(column: &str, value: &Value) -> u64 {
    let mut bytes = start(column);
    push_bytes(&mut bytes, value.into());
    short(&bytes)
}

fn start(column: &str) -> Vec<u8> {
    let mut bytes = column.to_ascii_lowercase().into_bytes();
    bytes.push(0);
    bytes
}

fn short(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// What the values of `columns` come to: 64 bits, of which nobody needs to fear a chance collision.
pub(crate) fn digest(row: &Row<'_>, columns: impl Iterator<Item = usize>) -> rusqlite::Result<u64> {
    let mut bytes = Vec::with_capacity(256);
    for i in columns {
        push_bytes(&mut bytes, row.get_ref(i)?);
    }
    Ok(short(&bytes))
}

/// The same of a row that is no more than its values.
pub(crate) fn digest_of(row: &[Value]) -> u64 {
    let mut bytes = Vec::with_capacity(256);
    row.iter().for_each(|value| push_bytes(&mut bytes, value.into()));
    short(&bytes)
}

fn to_hex<S: Serializer>(rows: &[u64], out: S) -> Result<S::Ok, S::Error> {
    let mut text = String::with_capacity(16 * rows.len());
    for row in rows {
        let digit = |shift: u32| char::from_digit((row >> shift) as u32 & 15, 16).unwrap_or('0');
        text.extend((0..16).rev().map(|n| digit(4 * n)));
    }
    out.serialize_str(&text)
}

fn from_hex<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u64>, D::Error> {
    let text = String::deserialize(input)?;
    let row = |at: usize| text.get(at..at + 16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    (0..text.len())
        .step_by(16)
        .map(|at| row(at).ok_or_else(|| serde::de::Error::custom("not a list of row digests")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_kept_in_hex_and_come_back() {
        let part =
            Part { table: "t".to_owned(), columns: vec!["a".to_owned()], new: vec![1, u64::MAX], ..Part::default() };
        let written = Written { tables: vec![part], ..Written::default() };
        let text = serde_json::to_string(&written).unwrap();
        assert_eq!(text, r#"{"tables":[{"table":"t","columns":["a"],"new":"0000000000000001ffffffffffffffff"}]}"#);
        assert_eq!(serde_json::from_str::<Written>(&text).unwrap(), written);
        assert!(serde_json::from_str::<Written>(&text.replace("ffff\"", "ffé\"")).is_err());
    }
}
