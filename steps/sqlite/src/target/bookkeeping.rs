//! What Cutover itself keeps inside a database: the ledger table and `cutover_state`.
//!
//! Owns their definitions and every statement on them. Knows nothing of connections or transactions: each function
//! works in whatever transaction its caller has open.

use cutover_core::{LedgerEntry, Receipt, StepError, StepErrorKind, StepInfo};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::kept;
use crate::sql::{quote_ident, sqlite_error};

/// The ledger's name where a target does not choose one.
pub const DEFAULT_LEDGER: &str = "cutover_ledger";

/// The table of epoch, cursors and rows written.
pub const STATE_TABLE: &str = "cutover_state";

const LEDGER_COLUMNS: [&str; 12] = [
    "id",
    "name",
    "applied_at",
    "checksum",
    "success",
    "error_message",
    "plan",
    "step",
    "run",
    "epoch",
    "digest",
    "receipt",
];

/// Makes the ledger and the state table, where they are not there yet.
pub(crate) fn create(conn: &Connection, ledger: &str) -> Result<(), StepError> {
    check_shape(conn, ledger)?;
    conn.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS {} (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  applied_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  checksum TEXT NOT NULL,
  success INTEGER NOT NULL,
  error_message TEXT,
  plan TEXT NOT NULL,
  step TEXT NOT NULL,
  run TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  digest TEXT NOT NULL,
  receipt TEXT,
  UNIQUE (plan, step)
);
CREATE TABLE IF NOT EXISTS {STATE_TABLE} (key TEXT PRIMARY KEY, value TEXT NOT NULL);",
        quote_ident(ledger)
    ))
    .map_err(|e| sqlite_error(e, "while creating the ledger"))
}

/// Whether the ledger is there. A table of that name with other columns is a conflict.
pub(crate) fn check_shape(conn: &Connection, ledger: &str) -> Result<bool, StepError> {
    let mut statement = conn
        .prepare_cached("SELECT name FROM pragma_table_info(?1)")
        .map_err(|e| sqlite_error(e, "while reading the ledger's columns"))?;
    let found: Vec<String> = statement
        .query_map([ledger], |row| row.get(0))
        .and_then(Iterator::collect)
        .map_err(|e| sqlite_error(e, "while reading the ledger's columns"))?;
    if found.is_empty() {
        return Ok(false);
    }
    let missing: Vec<&str> =
        LEDGER_COLUMNS.iter().copied().filter(|c| !found.iter().any(|f| f.eq_ignore_ascii_case(c))).collect();
    if missing.is_empty() {
        return Ok(true);
    }
    let file = conn.path().filter(|p| !p.is_empty()).unwrap_or("the database");
    Err(StepError::conflict(format!(
        "`{file}` has a table `{ledger}` that is not a ledger of Cutover: it lacks the columns {}",
        missing.join(", ")
    ))
    .with_help("choose another name with `ledger = \"cutover_ledger\"` in the target's table of the plan"))
}

/// Whether a table of that name is there.
pub(crate) fn has_table(conn: &Connection, name: &str) -> Result<bool, StepError> {
    conn.prepare_cached("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE")
        .and_then(|mut s| s.exists([name]))
        .map_err(|e| sqlite_error(e, "while looking for a table"))
}

/// The highest epoch that ever wrote here (0: none).
pub(crate) fn epoch(conn: &Connection) -> Result<u64, StepError> {
    Ok(get(conn, "epoch")?.and_then(|v| v.parse().ok()).unwrap_or(0))
}

/// Refuses an epoch below the stored one, and raises the stored one to `mine`.
pub(crate) fn check_epoch(conn: &Connection, mine: u64) -> Result<(), StepError> {
    let stored = epoch(conn)?;
    if stored > mine {
        return Err(StepError::new(
            StepErrorKind::Fenced,
            format!("another runner has taken over: the database is at epoch {stored}, this run at {mine}"),
        )
        .with_help("run the same command again; it continues from what the other runner did"));
    }
    if stored < mine {
        set(conn, "epoch", &mine.to_string())?;
    }
    Ok(())
}

fn get(conn: &Connection, key: &str) -> Result<Option<String>, StepError> {
    if !has_table(conn, STATE_TABLE)? {
        return Ok(None);
    }
    conn.prepare_cached("SELECT value FROM cutover_state WHERE key = ?1")
        .and_then(|mut s| s.query_row([key], |row| row.get(0)).optional())
        .map_err(|e| sqlite_error(e, "while reading `cutover_state`"))
}

fn set(conn: &Connection, key: &str, value: &str) -> Result<(), StepError> {
    conn.prepare_cached("INSERT OR REPLACE INTO cutover_state (key, value) VALUES (?1, ?2)")
        .and_then(|mut s| s.execute([key, value]))
        .map(|_| ())
        .map_err(|e| sqlite_error(e, "while writing `cutover_state`"))
}

fn cursor_key(step: &StepInfo) -> String {
    format!("cursor:{}/{}", step.plan, step.id)
}

/// The cursor that an earlier batch of this step saved.
pub fn cursor(conn: &Connection, step: &StepInfo) -> Result<Option<String>, StepError> {
    get(conn, &cursor_key(step))
}

/// Saves this step's cursor, in the batch's own transaction.
pub fn set_cursor(conn: &Connection, step: &StepInfo, value: &str) -> Result<(), StepError> {
    set(conn, &cursor_key(step), value)
}

/// Forgets this step's cursor.
pub fn clear_cursor(conn: &Connection, step: &StepInfo) -> Result<(), StepError> {
    if !has_table(conn, STATE_TABLE)? {
        return Ok(());
    }
    conn.prepare_cached("DELETE FROM cutover_state WHERE key = ?1")
        .and_then(|mut s| s.execute([cursor_key(step)]))
        .map(|_| ())
        .map_err(|e| sqlite_error(e, "while writing `cutover_state`"))
}

/// What a new ledger row says beyond the step itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome<'a> {
    Success(&'a Receipt),
    Failure(&'a str),
}

/// Writes the row of `step`, in place of an earlier one.
pub(crate) fn record(
    conn: &Connection,
    ledger: &str,
    step: &StepInfo,
    now: Timestamp,
    outcome: Outcome<'_>,
) -> Result<(), StepError> {
    let (success, message, receipt) = match outcome {
        Outcome::Success(receipt) => {
            let text = serde_json::to_string(receipt)
                .map_err(|e| StepError::internal("a receipt could not be written as JSON").caused_by(e))?;
            (1, None, Some(text))
        }
        Outcome::Failure(message) => (0, Some(message), None),
    };
    let sql = format!(
        "INSERT OR REPLACE INTO {} (name, applied_at, checksum, success, error_message, plan, step, run, epoch, \
         digest, receipt) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        quote_ident(ledger)
    );
    let applied_at = now.strftime("%Y-%m-%d %H:%M:%S").to_string();
    conn.prepare_cached(&sql)
        .and_then(|mut s| {
            s.execute(params![
                step.id,
                applied_at,
                step.checksum,
                success,
                message,
                step.plan,
                step.id,
                step.run,
                i64::try_from(step.epoch).unwrap_or(i64::MAX),
                step.digest,
                receipt
            ])
        })
        .map(|_| ())
        .map_err(|e| sqlite_error(e, "while writing the ledger"))
}

/// Refuses a step that the ledger has as applied: whoever looked before asks again now that nobody else can write.
pub(crate) fn refuse_applied(conn: &Connection, ledger: &str, step: &StepInfo) -> Result<(), StepError> {
    let sql = format!("SELECT run FROM {} WHERE plan = ?1 AND step = ?2 AND success = 1", quote_ident(ledger));
    let run: Option<String> = conn
        .prepare_cached(&sql)
        .and_then(|mut s| s.query_row([&step.plan, &step.id], |row| row.get(0)).optional())
        .map_err(|e| sqlite_error(e, "while reading the ledger"))?;
    match run {
        None => Ok(()),
        Some(run) => {
            Err(StepError::conflict(format!("the ledger has step `{}` as applied meanwhile, by run {run}", step.id))
                .with_help("nothing was written; the same command takes it from the ledger and goes on"))
        }
    }
}

/// Whether a change or a batch of `step` was ever committed and not undone: its row, or its cursor.
pub(crate) fn has_traces(conn: &Connection, ledger: &str, step: &StepInfo) -> Result<bool, StepError> {
    Ok(entry(conn, ledger, step)?.is_some_and(|e| e.success) || cursor(conn, step)?.is_some())
}

/// Deletes the row of `step`, if it says that the step succeeded, and what it wrote; a recorded failure stays. Whether
/// there was one.
pub(crate) fn erase(conn: &Connection, ledger: &str, step: &StepInfo) -> Result<bool, StepError> {
    kept::clear(conn, step)?;
    conn.prepare_cached(&format!("DELETE FROM {} WHERE plan = ?1 AND step = ?2 AND success = 1", quote_ident(ledger)))
        .and_then(|mut s| s.execute([&step.plan, &step.id]))
        .map(|rows| rows > 0)
        .map_err(|e| sqlite_error(e, "while writing the ledger"))
}

const ENTRY: &str = "plan, step, run, epoch, digest, checksum, success, error_message, receipt, applied_at";

/// The row of one step.
pub(crate) fn entry(conn: &Connection, ledger: &str, step: &StepInfo) -> Result<Option<LedgerEntry>, StepError> {
    if !check_shape(conn, ledger)? {
        return Ok(None);
    }
    let sql = format!("SELECT {ENTRY} FROM {} WHERE plan = ?1 AND step = ?2", quote_ident(ledger));
    let raw = conn
        .prepare_cached(&sql)
        .and_then(|mut s| s.query_row([&step.plan, &step.id], read_row).optional())
        .map_err(|e| sqlite_error(e, "while reading the ledger"))?;
    Ok(raw.map(finish))
}

/// The rows of `plan` in the order they were applied.
pub(crate) fn entries(conn: &Connection, ledger: &str, plan: &str) -> Result<Vec<LedgerEntry>, StepError> {
    if !check_shape(conn, ledger)? {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT {ENTRY} FROM {} WHERE plan = ?1 ORDER BY id", quote_ident(ledger));
    let mut statement = conn.prepare_cached(&sql).map_err(|e| sqlite_error(e, "while reading the ledger"))?;
    let rows = statement.query_map([plan], read_row).map_err(|e| sqlite_error(e, "while reading the ledger"))?;
    rows.map(|row| row.map(finish).map_err(|e| sqlite_error(e, "while reading the ledger"))).collect()
}

type RawEntry = (LedgerEntry, Option<String>);

fn read_row(row: &Row<'_>) -> rusqlite::Result<RawEntry> {
    let applied_at: String = row.get(9)?;
    let epoch: i64 = row.get(3)?;
    let entry = LedgerEntry {
        plan: row.get(0)?,
        step: row.get(1)?,
        run: row.get(2)?,
        epoch: u64::try_from(epoch).unwrap_or(0),
        digest: row.get(4)?,
        checksum: row.get(5)?,
        success: row.get(6)?,
        error_message: row.get(7)?,
        receipt: None,
        unreadable: None,
        applied_at: rfc3339(&applied_at),
    };
    Ok((entry, row.get(8)?))
}

/// A receipt that is none of ours makes no row unreadable: the journal may have it.
fn finish((mut entry, receipt): RawEntry) -> LedgerEntry {
    match receipt.map(|text| serde_json::from_str(&text)) {
        Some(Ok(receipt)) => entry.receipt = Some(receipt),
        Some(Err(error)) => entry.unreadable = Some(error.to_string()),
        None => {}
    }
    entry
}

/// SQLite's CURRENT_TIMESTAMP (UTC) as RFC 3339.
fn rfc3339(stored: &str) -> String {
    match stored.split_once(' ') {
        Some((date, time)) => format!("{date}T{time}Z"),
        None => stored.to_owned(),
    }
}
