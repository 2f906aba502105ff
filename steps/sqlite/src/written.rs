//! Which rows a change wrote, as digests of what it left in them.
//!
//! Owns the digest of a row and the compact form of many, which is kept beside the ledger (or in a receipt). A restore
//! needs it to tell the rows of a step that it takes back from rows that others wrote: a row that somebody changed
//! after the step has another digest, and is theirs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rusqlite::Row;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::value::push_bytes;

/// Rows written, by table and by the columns that they were read with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Written(pub(crate) Vec<Part>);

/// Rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) table: String,
    /// An implicit rowid is the first of them.
    pub(crate) columns: Vec<String>,
    /// In hex, 16 digits a row, ascending.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub(crate) rows: BTreeSet<u64>,
}

/// The rows of many changes, to look one up.
#[derive(Debug, Default)]
pub(crate) struct Known(BTreeMap<String, BTreeMap<Vec<String>, HashSet<u64>>>);

/// The rows known of one table, with the columns as they stand in a query.
#[derive(Debug)]
pub(crate) struct KnownRows<'a>(Vec<(Vec<usize>, &'a HashSet<u64>)>);

impl Known {
    pub(crate) fn add(&mut self, written: Written) {
        for part in written.0 {
            self.0.entry(part.table).or_default().entry(part.columns).or_default().extend(part.rows);
        }
    }

    /// Those of `table`, for a query that returns `columns`. What was read with a column that is no more is unknown.
    pub(crate) fn of(&self, table: &str, columns: &[String]) -> KnownRows<'_> {
        let place = |name: &String| columns.iter().position(|c| c.eq_ignore_ascii_case(name));
        let sets = self.0.get(table).into_iter().flatten();
        KnownRows(
            sets.filter_map(|(read, rows)| Some((read.iter().map(place).collect::<Option<_>>()?, rows))).collect(),
        )
    }
}

impl KnownRows<'_> {
    /// Whether the row is one of them, as it was left.
    pub(crate) fn contain(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        for (places, rows) in &self.0 {
            if rows.contains(&digest(row, places.iter().copied())?) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What the values of `columns` come to: 64 bits, of which nobody needs to fear a chance collision.
pub(crate) fn digest(row: &Row<'_>, columns: impl Iterator<Item = usize>) -> rusqlite::Result<u64> {
    let mut bytes = Vec::with_capacity(256);
    for i in columns {
        push_bytes(&mut bytes, row.get_ref(i)?);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..8]);
    Ok(u64::from_le_bytes(first))
}

fn to_hex<S: Serializer>(rows: &BTreeSet<u64>, out: S) -> Result<S::Ok, S::Error> {
    let mut text = String::with_capacity(16 * rows.len());
    for row in rows {
        let digit = |shift: u32| char::from_digit((row >> shift) as u32 & 15, 16).unwrap_or('0');
        text.extend((0..16).rev().map(|n| digit(4 * n)));
    }
    out.serialize_str(&text)
}

fn from_hex<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeSet<u64>, D::Error> {
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
        let part = Part { table: "t".to_owned(), columns: vec!["a".to_owned()], rows: [1, u64::MAX].into() };
        let text = serde_json::to_string(&Written(vec![part.clone()])).unwrap();
        assert_eq!(text, r#"[{"table":"t","columns":["a"],"rows":"0000000000000001ffffffffffffffff"}]"#);
        assert_eq!(serde_json::from_str::<Written>(&text).unwrap(), Written(vec![part]));
        assert!(serde_json::from_str::<Written>(&text.replace("ffff\"", "ffé\"")).is_err());
    }
}
