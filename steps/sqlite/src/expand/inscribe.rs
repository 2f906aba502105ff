//! Views and triggers put into a schema, all of them at once.
//!
//! Owns the way round CREATE TRIGGER: for each trigger that has SQLite read its text twice, while all programs that want to
//! write wait; together that takes three times as long as here. What they are is a row of the schema's table each, word for
//! word the one that CREATE would write. SQLite reads the whole schema once, before the transaction ends: what it cannot read
//! is an error, and nothing is changed.

use cutover_core::StepError;
use rusqlite::{Connection, params};

use super::triggers::Part;
use crate::declared::schema_version;
use crate::sql::sqlite_error;

/// Makes them, in the caller's transaction.
pub(super) fn inscribe<'p>(conn: &Connection, parts: impl Iterator<Item = &'p Part>) -> Result<(), StepError> {
    let failed = |e| sqlite_error(e, "while making the triggers");
    let version = schema_version(conn)?;
    conn.pragma_update(None, "writable_schema", true).map_err(failed)?;
    let written = write(conn, parts);
    // Each connection reads the schema anew; this one now, and what is wrong with it is said.
    let marked = conn.pragma_update(None, "schema_version", version + 1).map_err(failed);
    conn.pragma_update(None, "writable_schema", "RESET").map_err(failed)?;
    written.and(marked)?;
    conn.prepare("SELECT 1 FROM sqlite_schema").map(drop).map_err(failed)
}

fn write<'p>(conn: &Connection, parts: impl Iterator<Item = &'p Part>) -> Result<(), StepError> {
    let mut insert = conn
        .prepare(
            "INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) SELECT ?1, ?2, ?3, 0, ?4 \
             WHERE NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?2 COLLATE NOCASE)",
        )
        .map_err(|e| sqlite_error(e, "while making the triggers"))?;
    for Part { kind, name, table, sql } in parts {
        let made = insert
            .execute(params![kind, name, table, sql])
            .map_err(|e| sqlite_error(e, &format!("while making `{name}`")))?;
        if made == 0 {
            return Err(StepError::conflict(format!("the database has something called `{name}` already"))
                .with_help("names that begin with `_cutover_` are ours: rename or drop what has that one"));
        }
    }
    Ok(())
}
