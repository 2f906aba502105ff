//! How far a backfill has come: the document in its cursor row, which becomes its receipt.
//!
//! Which rows were inserted is kept with each batch. Runs no SQL.

use cutover_core::StepError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sequence::Moved;

/// What a backfill has done so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// The table filled.
    pub(super) into: String,
    /// The columns that the table had before the first batch, of which the digests are.
    pub(super) columns: Vec<String>,
    /// The last key worked on; null before the first batch. Not in the receipt, which holds no values.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) last: Value,
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
        Self { last: Value::Null, ..self.clone() }
    }
}
