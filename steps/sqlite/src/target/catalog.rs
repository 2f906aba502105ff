//! The tables of a database that hold its user's data.
//!
//! Owns the one answer to "which tables count": not SQLite's own, not ours, not the shadow tables of virtual tables.

use cutover_core::StepError;
use rusqlite::Connection;

use super::bookkeeping::STATE_TABLE;
use crate::sql::sqlite_error;

/// A table with its user's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) is_virtual: bool,
    pub(crate) without_rowid: bool,
}

/// The user's tables by name.
pub(crate) fn tables(conn: &Connection, ledger: &str) -> Result<Vec<Table>, StepError> {
    let doing = "while listing the tables";
    let mut statement = conn
        .prepare_cached(
            "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual') ORDER BY name",
        )
        .map_err(|e| sqlite_error(e, doing))?;
    let rows = statement
        .query_map([], |row| {
            let kind: String = row.get(1)?;
            Ok(Table { name: row.get(0)?, is_virtual: kind == "virtual", without_rowid: row.get(2)? })
        })
        .map_err(|e| sqlite_error(e, doing))?;
    let mut found = Vec::new();
    for row in rows {
        let table = row.map_err(|e| sqlite_error(e, doing))?;
        if !is_ours(&table.name, ledger) && !is_internal(&table.name) {
            found.push(table);
        }
    }
    Ok(found)
}

/// Whether `table` is Cutover's own.
pub(crate) fn is_ours(table: &str, ledger: &str) -> bool {
    table.eq_ignore_ascii_case(ledger) || table.eq_ignore_ascii_case(STATE_TABLE)
}

/// Whether `name` is one of SQLite's own objects.
pub(crate) fn is_internal(name: &str) -> bool {
    name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_"))
}

/// The user's tables that hold rows of their own: plain ones, and virtual ones that keep in tables of theirs what nobody
/// else has (full text without `content=`, R-trees).
pub(crate) fn holders(conn: &Connection, ledger: &str) -> Result<Vec<Table>, StepError> {
    let mut found = tables(conn, ledger)?;
    if found.iter().any(|table| table.is_virtual) {
        let shadows: Vec<String> = conn
            .prepare_cached("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow'")
            .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
            .map_err(|e| sqlite_error(e, "while listing the tables"))?;
        let holds = |table: &Table, end: &str| shadows.contains(&format!("{}_{end}", table.name));
        found.retain(|table| !table.is_virtual || holds(table, "content") || holds(table, "rowid"));
    }
    Ok(found)
}

/// The table `name`, whoever's it is.
pub(crate) fn table(conn: &Connection, name: &str) -> Result<Option<Table>, StepError> {
    conn.prepare_cached(
        "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual') AND name = ?1",
    )
    .and_then(|mut s| {
        s.query_map([name], |row| {
            let kind: String = row.get(1)?;
            Ok(Table { name: row.get(0)?, is_virtual: kind == "virtual", without_rowid: row.get(2)? })
        })?
        .next()
        .transpose()
    })
    .map_err(|e| sqlite_error(e, "while listing the tables"))
}
