//! How far a backfill has come: the document in its cursor row, which becomes its receipt.
//!
//! Which rows were inserted is kept with each batch. Runs no SQL.

use cutover_core::StepError;
use serde::{Deserialize, Serialize};

use crate::sequence::Moved;
use crate::value::Exact;

/// What a backfill has done so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// The table filled.
    pub(super) into: String,
    /// The columns that the table had before the first batch, of which the digests are.
    pub(super) columns: Vec<String>,
    /// The last key worked on; none before the first batch. Not in the receipt, which holds no values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<Exact>,
    /// Batches done.
    pub(super) batches: u64,
    /// Source rows worked on.
    pub(super) seen: u64,
    /// Rows inserted.
    pub(super) rows: u64,
    /// The table's AUTOINCREMENT counter.
    pub(super) counter: Moved,
}

impl State {
    /// The document of a cursor row.
    pub(super) fn parse(text: &str) -> Result<Self, StepError> {
        serde_json::from_str(text).map_err(|e| {
            StepError::failed("the saved cursor of this step cannot be read")
                .with_help("roll the step back by restoring the snapshot taken before it")
                .caused_by(e)
        })
    }

    /// The text of a cursor row.
    pub(super) fn text(&self) -> Result<String, StepError> {
        serde_json::to_string(self)
            .map_err(|e| StepError::internal("a cursor could not be written as JSON").caused_by(e))
    }

    /// What the receipt holds of it.
    pub(super) fn without_values(&self) -> Self {
        Self { last: None, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    #[test]
    fn a_cursor_brings_back_the_very_value_of_every_key() {
        let conn = Connection::open_in_memory().unwrap();
        for key in [
            "9e999",
            "-9e999",
            "0.1",
            "-0.0",
            "5e-324",
            "1.7976931348623157e308",
            "3.0",
            "9223372036854775807",
            "-9223372036854775808",
            "''",
            "'a' || char(0) || 'b'",
            "'{\"blob\":\"00\"}'",
            "CAST(x'ff00' AS TEXT)",
            "x''",
            "x'00ff'",
        ] {
            let state = conn
                .query_row(&format!("SELECT {key}"), [], |row| {
                    Ok(State { last: Exact::of(row.get_ref(0)?), ..State::default() })
                })
                .unwrap();
            let back = State::parse(&state.text().unwrap()).unwrap();
            let sql = format!("SELECT typeof(?1) = typeof({key}) AND ?1 IS {key} AND quote(?1) IS quote({key})");
            assert!(conn.query_row(&sql, [back.last], |row| row.get::<_, bool>(0)).unwrap(), "{key}");
        }
    }
}
