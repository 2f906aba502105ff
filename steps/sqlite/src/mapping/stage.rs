//! The stage of a mapping: one row in the user's database, which programs that link `cutover-dual` follow.
//!
//! Owns the table's definition and its statements; the stages are that crate's. Who moves them is the business of the
//! steps.

use cutover_core::{StepError, StepInfo};
pub(crate) use cutover_dual::Stage;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use super::names::STAGE;
use crate::sql::sqlite_error;
use crate::target::bookkeeping::has_table;

/// The statement that makes the table.
pub(crate) fn create_sql() -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {STAGE} (\n  name TEXT PRIMARY KEY,\n  stage TEXT NOT NULL,\n  \
         changed_at TEXT NOT NULL,\n  run TEXT NOT NULL\n)"
    )
}

/// The stage that `mapping` is at. A row that names none of ours is a conflict.
pub(crate) fn read(conn: &Connection, mapping: &str) -> Result<Stage, StepError> {
    if !has_table(conn, STAGE)? {
        return Ok(Stage::OldOnly);
    }
    let found: Option<String> = conn
        .prepare_cached(&format!("SELECT stage FROM {STAGE} WHERE name = ?1"))
        .and_then(|mut s| s.query_row([mapping], |row| row.get(0)).optional())
        .map_err(|e| sqlite_error(e, "while reading the stage"))?;
    let Some(name) = found else { return Ok(Stage::OldOnly) };
    Stage::parse(&name).ok_or_else(|| {
        StepError::conflict(format!("mapping `{mapping}` is at a stage `{name}` that this version does not know"))
            .with_help("use the version of Cutover that moved it there")
    })
}

/// Puts `mapping` at `stage`, in the caller's transaction; the table is made where it is missing.
pub(crate) fn set(
    conn: &Connection,
    mapping: &str,
    stage: Stage,
    step: &StepInfo,
    now: Timestamp,
) -> Result<(), StepError> {
    let write = || -> rusqlite::Result<()> {
        if stage == Stage::OldOnly {
            return conn.execute(&format!("DELETE FROM {STAGE} WHERE name = ?1"), [mapping]).map(|_| ());
        }
        conn.execute_batch(&create_sql())?;
        conn.execute(
            &format!("INSERT OR REPLACE INTO {STAGE} (name, stage, changed_at, run) VALUES (?1, ?2, ?3, ?4)"),
            [mapping, stage.name(), &now.to_string(), &step.run],
        )?;
        Ok(())
    };
    write().map_err(|e| sqlite_error(e, "while moving the stage"))
}

/// Takes the table away when it has no row left.
pub(crate) fn drop_empty(conn: &Connection) -> Result<(), StepError> {
    let write = || -> rusqlite::Result<()> {
        if !conn.prepare(&format!("SELECT 1 FROM {STAGE}"))?.exists([])? {
            conn.execute_batch(&format!("DROP TABLE {STAGE}"))?;
        }
        Ok(())
    };
    if has_table(conn, STAGE)? { write().map_err(|e| sqlite_error(e, "while moving the stage")) } else { Ok(()) }
}
