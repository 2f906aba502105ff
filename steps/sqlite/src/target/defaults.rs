//! What a column holds in rows that were there before it was added.

use cutover_core::StepError;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};

use crate::sql::sqlite_error;

/// The default of `column`, as the column's type makes it; null where it has none. None: there is no such column.
pub(crate) fn of(conn: &Connection, table: &str, column: &str) -> Result<Option<Value>, StepError> {
    let doing = format!("while reading the default of `{table}`.`{column}`");
    let declared: Option<(String, Option<String>)> = conn
        .prepare_cached("SELECT type, dflt_value FROM pragma_table_xinfo(?1, 'main') WHERE name = ?2 COLLATE NOCASE")
        .and_then(|mut s| s.query_row([table, column], |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .map_err(|e| sqlite_error(e, &doing))?;
    let Some((kind, text)) = declared else { return Ok(None) };
    let Some(text) = text else { return Ok(Some(Value::Null)) };
    // A word stands for itself as a default, and for a column's name in brackets.
    let made = [format!("({text})"), text].into_iter().find_map(|text| evaluate(conn, &kind, &text).ok());
    Ok(Some(made.unwrap_or(Value::Null)))
}

/// Type, NOT NULL and default of `column`.
pub(crate) fn definition(conn: &Connection, table: &str, column: &str) -> Result<String, StepError> {
    conn.prepare_cached(
        "SELECT type || iif(\"notnull\", ' NOT NULL', '') || coalesce(' DEFAULT ' || dflt_value, '')
         FROM pragma_table_xinfo(?1, 'main') WHERE name = ?2",
    )
    .and_then(|mut s| s.query_row([table, column], |row| row.get(0)))
    .map_err(|e| sqlite_error(e, &format!("while reading the column `{table}`.`{column}`")))
}

fn evaluate(conn: &Connection, kind: &str, text: &str) -> rusqlite::Result<Value> {
    conn.execute_batch(&format!(
        "DROP TABLE IF EXISTS temp.cutover_default; CREATE TEMP TABLE cutover_default (c {kind} DEFAULT {text}); \
         INSERT INTO temp.cutover_default DEFAULT VALUES"
    ))?;
    conn.query_row("SELECT c FROM temp.cutover_default", [], |row| row.get(0))
}
