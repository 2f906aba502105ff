//! Views and triggers put into a schema, all of them at once.
//!
//! Owns the way round CREATE TRIGGER: for each trigger that has SQLite read its text twice, while all programs that want to
//! write wait; together that takes three times as long as here. What they are is a row of the schema's table each, word for
//! word the one that CREATE would write. SQLite reads the whole schema once, before the transaction ends: what it cannot read
//! is an error, and nothing is changed.

use cutover_core::StepError;
use rusqlite::{Connection, params};

use super::triggers::Part;
use crate::declared::{schema_version, with_writable_schema};
use crate::sql::sqlite_error;

/// Makes them, in the caller's transaction.
pub(super) fn inscribe<'p>(conn: &Connection, parts: impl Iterator<Item = &'p Part>) -> Result<(), StepError> {
    let failed = |e| sqlite_error(e, "while making the triggers");
    let version = schema_version(conn)?;
    let written = with_writable_schema(conn, || write(conn, parts));
    conn.pragma_update(None, "writable_schema", "RESET").map_err(failed)?;
    let read = conn.prepare("SELECT 1 FROM sqlite_schema").map(drop);
    // Now the others read it, too. Last of all: it is by this that SQLite knows, when the transaction is undone, that what it
    // has read is so no more; RESET has made it forget what changed before.
    conn.pragma_update(None, "schema_version", version + 1).map_err(failed)?;
    read.map_err(failed)?;
    match written.map_err(failed)? {
        None => Ok(()),
        Some(name) => Err(StepError::conflict(format!("the database has something called `{name}` already"))
            .with_help("names that begin with `_cutover_` are ours: rename or drop what has that one")),
    }
}

/// Writes them up to the first whose name is taken, and returns that name.
fn write<'p>(conn: &Connection, mut parts: impl Iterator<Item = &'p Part>) -> rusqlite::Result<Option<&'p str>> {
    let mut insert = conn.prepare(
        "INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) SELECT ?1, ?2, ?3, 0, ?4 \
         WHERE NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?2 COLLATE NOCASE)",
    )?;
    parts.try_fold(None, |taken, Part { kind, name, table, sql }| match taken {
        Some(name) => Ok(Some(name)),
        None => Ok((insert.execute(params![kind, name, table, sql])? == 0).then_some(name.as_str())),
    })
}
