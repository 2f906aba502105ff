//! What steps wrote, kept in `cutover_state` until the steps are undone.
//!
//! Owns those rows of the table: one for each change or batch that wrote any, in that change's own transaction.

use cutover_core::{StepError, StepInfo};
use rusqlite::{Connection, params};

use super::bookkeeping::STATE_TABLE;
use super::bookkeeping::has_table;
use crate::sql::sqlite_error;
use crate::written::Written;

const DOING: &str = "while keeping which rows were written";

/// The first key of a step's rows, and the first behind them.
fn keys(plan: &str, step: &str) -> [String; 2] {
    ["/", "0"].map(|end| format!("wrote:{plan}/{step}{end}"))
}

/// Adds what a change of `step` wrote.
pub(crate) fn add(conn: &Connection, step: &StepInfo, written: &Written) -> Result<(), StepError> {
    if written.is_empty() {
        return Ok(());
    }
    let text = serde_json::to_string(written)
        .map_err(|e| StepError::internal("a list of rows could not be written as JSON").caused_by(e))?;
    let [first, behind] = keys(&step.plan, &step.id);
    let last = format!("SELECT max(key) FROM {STATE_TABLE} WHERE key >= ?1 AND key < ?2");
    conn.prepare_cached(&last)
        .and_then(|mut s| s.query_row([&first, &behind], |row| row.get::<_, Option<String>>(0)))
        .and_then(|last| {
            let number = last.and_then(|key| key[first.len()..].parse::<u64>().ok()).unwrap_or(0) + 1;
            conn.prepare_cached(&format!("INSERT INTO {STATE_TABLE} (key, value) VALUES (?1, ?2)"))?
                .execute(params![format!("{first}{number:012}"), text])
        })
        .map(|_| ())
        .map_err(|e| sqlite_error(e, DOING))
}

/// What the changes of a step wrote.
pub(crate) fn of(conn: &Connection, plan: &str, step: &str) -> Result<Vec<Written>, StepError> {
    if !has_table(conn, STATE_TABLE)? {
        return Ok(Vec::new());
    }
    let query = format!("SELECT value FROM main.{STATE_TABLE} WHERE key >= ?1 AND key < ?2 ORDER BY key");
    let texts: Vec<String> = conn
        .prepare_cached(&query)
        .and_then(|mut s| s.query_map(keys(plan, step), |row| row.get(0))?.collect())
        .map_err(|e| sqlite_error(e, DOING))?;
    texts
        .iter()
        .map(|text| {
            serde_json::from_str(text).map_err(|e| {
                StepError::failed(format!("what step `{step}` wrote cannot be read from `{STATE_TABLE}`")).caused_by(e)
            })
        })
        .collect()
}

/// Forgets what `step` wrote.
pub(crate) fn clear(conn: &Connection, step: &StepInfo) -> Result<(), StepError> {
    if !has_table(conn, STATE_TABLE)? {
        return Ok(());
    }
    conn.prepare_cached(&format!("DELETE FROM {STATE_TABLE} WHERE key >= ?1 AND key < ?2"))
        .and_then(|mut s| s.execute(keys(&step.plan, &step.id)))
        .map(|_| ())
        .map_err(|e| sqlite_error(e, DOING))
}
