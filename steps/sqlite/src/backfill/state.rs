//! How far a backfill has come: the document in its cursor row, which becomes its receipt.
//!
//! Owns the ranges of rowids that were inserted. Runs no SQL.

use cutover_core::StepError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sequence::Moved;

/// What a backfill has done so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// The table filled.
    pub(super) into: String,
    /// The last key worked on; null before the first batch.
    pub(super) last: Value,
    /// Source rows worked on.
    pub(super) seen: u64,
    /// Rows inserted.
    pub(super) rows: u64,
    /// Rowids inserted, from and to.
    pub(super) ranges: Vec<(i64, i64)>,
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

    /// Notes one inserted row. Neighbours become one range: nobody else's row can lie between them.
    pub(super) fn inserted(&mut self, rowid: i64) {
        self.rows += 1;
        match self.ranges.last_mut() {
            Some((_, to)) if to.checked_add(1) == Some(rowid) => *to = rowid,
            _ => self.ranges.push((rowid, rowid)),
        }
    }
}
