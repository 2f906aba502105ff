//! The rows that each batch of a mapping's backfill inserted, kept in the target's `cutover_state` until the step is rolled
//! back: `mirrored:PLAN/STEP/N`, ranges of rowids as JSON, no values.

use cutover_core::{StepError, StepInfo};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use crate::sql::sqlite_error;
use crate::target::bookkeeping::{STATE_TABLE, has_table};

const DOING: &str = "keeping which rows were filled in";

/// What one batch inserted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inserted {
    /// The pair of tables.
    pub(super) pair: String,
    /// Ranges of rowids of the new table.
    pub(super) rows: Vec<(i64, i64)>,
    /// Ranges of rowids of the parent's table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) parents: Vec<(i64, i64)>,
}

/// The keys of all batches are from the first up to the second.
fn bounds(step: &StepInfo) -> [String; 2] {
    ["/", "0"].map(|end| format!("mirrored:{}/{}{end}", step.plan, step.id))
}

/// Keeps what batch `number` inserted.
pub(super) fn save(conn: &Connection, step: &StepInfo, number: u64, inserted: &Inserted) -> Result<(), StepError> {
    if inserted.rows.is_empty() && inserted.parents.is_empty() {
        return Ok(());
    }
    let text = serde_json::to_string(inserted)
        .map_err(|e| StepError::internal("a list of rows could not be written as JSON").caused_by(e))?;
    let [first, _] = bounds(step);
    conn.prepare_cached(&format!("INSERT OR REPLACE INTO {STATE_TABLE} (key, value) VALUES (?1, ?2)"))
        .and_then(|mut s| s.execute(params![format!("{first}{number:012}"), text]))
        .map(|_| ())
        .map_err(|e| sqlite_error(e, DOING))
}

/// What the last batch inserted that is not taken back yet, with its key.
pub(super) fn last(conn: &Connection, step: &StepInfo) -> Result<Option<(String, Inserted)>, StepError> {
    if !has_table(conn, STATE_TABLE)? {
        return Ok(None);
    }
    let sql = format!("SELECT key, value FROM {STATE_TABLE} WHERE key >= ?1 AND key < ?2 ORDER BY key DESC LIMIT 1");
    let found: Option<(String, String)> = conn
        .prepare_cached(&sql)
        .and_then(|mut s| s.query_row(bounds(step), |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .map_err(|e| sqlite_error(e, DOING))?;
    let Some((key, text)) = found else { return Ok(None) };
    let inserted = serde_json::from_str(&text).map_err(|e| {
        StepError::failed(format!("`{STATE_TABLE}` no longer says which rows this step filled in"))
            .with_help("restore the snapshot taken before it, or use the cutover that applied it. Nothing was deleted")
            .caused_by(e)
    })?;
    Ok(Some((key, inserted)))
}

/// Forgets one batch.
pub(super) fn drop(conn: &Connection, key: &str) -> Result<(), StepError> {
    conn.prepare_cached(&format!("DELETE FROM {STATE_TABLE} WHERE key = ?1"))
        .and_then(|mut s| s.execute([key]))
        .map(|_| ())
        .map_err(|e| sqlite_error(e, DOING))
}

/// Forgets all of it.
pub(super) fn forget(conn: &Connection, step: &StepInfo) -> Result<(), StepError> {
    conn.prepare_cached(&format!("DELETE FROM {STATE_TABLE} WHERE key >= ?1 AND key < ?2"))
        .and_then(|mut s| s.execute(bounds(step)))
        .map(|_| ())
        .map_err(|e| sqlite_error(e, DOING))
}
