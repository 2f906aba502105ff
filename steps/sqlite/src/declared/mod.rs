//! Declared definitions: what SQLite itself makes of a `CREATE` statement or a column definition, compared with
//! what a database holds.
//!
//! Owns reading definitions (pragmas and the clauses of the stored SQL that no pragma tells), their differences in
//! words, and the statements that a plan may declare. Must not know targets, ledgers or receipts: it works on plain
//! connections, and never writes to the one it looks at.

mod column;
mod index;
mod index_state;
mod mark;
mod memory;
mod statements;
mod table;
mod text;

pub(crate) use column::Column;
pub(crate) use index::Index;
pub(crate) use index_state::{
    INDEX_REMEDY, IndexState, drop_index, index_conflict, index_difference, index_state, make_index,
};
pub(crate) use mark::{Mark, Still};
pub(crate) use memory::{AddedColumn, Declarations, Declared, add_sql, added_column, check_index_syntax};
pub(crate) use statements::{Kind, Statement, from_config, from_script};
pub(crate) use table::Table;
pub(crate) use text::{same_name, unquoted};

use cutover_core::{StepError, closest};
use rusqlite::{Connection, OptionalExtension as _};

use crate::sql::sqlite_error;

/// A number that each change of the schema raises.
pub(crate) fn schema_version(conn: &Connection) -> Result<i64, StepError> {
    conn.pragma_query_value(None, "schema_version", |row| row.get(0))
        .map_err(|e| sqlite_error(e, "while reading the schema"))
}

/// Runs `work` while SQLite tolerates broken objects and lets their SQL be written.
pub(crate) fn with_writable_schema<T>(
    conn: &Connection,
    work: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    conn.execute_batch("PRAGMA writable_schema = ON")?;
    let result = work();
    conn.execute_batch("PRAGMA writable_schema = OFF")?;
    result
}

/// A row of `sqlite_master`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    /// table, index, view or trigger.
    pub(crate) kind: String,
    /// Its name as the database spells it.
    pub(crate) name: String,
    /// The table that it belongs to.
    pub(crate) table: String,
    /// Its SQL; empty for an index that SQLite made by itself.
    pub(crate) sql: String,
}

/// The object of that name, whatever it is, if there is one.
pub(crate) fn object(conn: &Connection, name: &str) -> Result<Option<Object>, StepError> {
    conn.query_row(
        "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master \
         WHERE name = ?1 COLLATE NOCASE AND type <> 'trigger'",
        [name],
        |row| Ok(Object { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? }),
    )
    .optional()
    .map_err(|e| sqlite_error(e, "reading the schema"))
}

/// The indexes and triggers of a table that somebody declared (Cutover's own are not): indexes first, by name.
pub(crate) fn objects_on(conn: &Connection, table: &str) -> Result<Vec<Object>, StepError> {
    let read = || -> rusqlite::Result<Vec<Object>> {
        conn.prepare_cached(
            "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE tbl_name = ?1 COLLATE NOCASE \
             AND type IN ('index', 'trigger') AND sql IS NOT NULL AND name NOT LIKE '\\_cutover\\_%' ESCAPE '\\' \
             ORDER BY type, name",
        )?
        .query_map([table], |row| {
            Ok(Object { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? })
        })?
        .collect()
    };
    read().map_err(|e| sqlite_error(e, "reading the schema"))
}

/// The names of all tables that a user made, sorted.
pub(crate) fn tables(conn: &Connection) -> Result<Vec<String>, StepError> {
    names(
        conn,
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         AND name NOT LIKE '\\_cutover\\_%' ESCAPE '\\' ORDER BY name",
        [],
    )
}

/// The names of a table's columns (generated ones too), in their order; empty when there is no such table.
pub(crate) fn column_names(conn: &Connection, table: &str) -> Result<Vec<String>, StepError> {
    names(conn, "SELECT name FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid", [table])
}

/// The error for a table that is not there: names it, the nearest one, and what there is.
pub(crate) fn no_such_table(conn: &Connection, table: &str) -> Result<StepError, StepError> {
    let there = tables(conn)?;
    let list = if there.is_empty() { "it has no tables".to_owned() } else { format!("it has {}", there.join(", ")) };
    let error = StepError::failed(format!("the database has no table `{table}`: {list}"));
    Ok(error.with_help(match closest(table, there.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "make it in an earlier step, or let `when = { has = \"table:...\" }` decide".to_owned(),
    }))
}

/// The error for columns that a table lacks: names them, the table and the columns that it really has.
pub(crate) fn no_such_columns(
    conn: &Connection,
    what: &str,
    table: &str,
    missing: &[String],
) -> Result<StepError, StepError> {
    let there = column_names(conn, table)?;
    let (word, list) = match missing {
        [one] => ("column", format!("`{one}`")),
        many => ("columns", many.iter().map(|m| format!("`{m}`")).collect::<Vec<_>>().join(", ")),
    };
    let error = StepError::failed(format!("{what}: table `{table}` has no {word} {list}; it has {}", there.join(", ")));
    let near = missing.first().and_then(|m| closest(m, there.iter().map(String::as_str)));
    Ok(error.with_help(match near {
        Some(near) => {
            format!("did you mean `{near}`? otherwise name a real column, or add this one in an earlier step")
        }
        None => "name a real column, or add this one in an earlier `sqlite.columns` step".to_owned(),
    }))
}

fn names<P: rusqlite::Params>(conn: &Connection, query: &str, params: P) -> Result<Vec<String>, StepError> {
    let read = || -> rusqlite::Result<Vec<String>> {
        conn.prepare_cached(query)?.query_map(params, |row| row.get(0))?.collect()
    };
    read().map_err(|e| sqlite_error(e, "reading the schema"))
}

/// The indexes of `table` that have `column` as a term; those that SQLite made for constraints are left out.
pub(crate) fn indexes_on(conn: &Connection, table: &str, column: &str) -> Result<Vec<String>, StepError> {
    names(
        conn,
        "SELECT DISTINCT l.name FROM pragma_index_list(?1) AS l, pragma_index_xinfo(l.name) AS x \
         WHERE x.key = 1 AND x.name = ?2 COLLATE NOCASE AND l.origin = 'c' ORDER BY l.name",
        [table, column],
    )
}

/// Whether a constraint of `table` says what to do on a conflict.
pub(crate) fn has_conflict_clause(conn: &Connection, table: &str) -> Result<bool, StepError> {
    let words = object(conn, table)?.map(|found| found.sql).unwrap_or_default();
    let words = crate::sql::tokens(&words);
    Ok(words.windows(2).any(|two| two[0].eq_ignore_ascii_case("on") && two[1].eq_ignore_ascii_case("conflict")))
}
