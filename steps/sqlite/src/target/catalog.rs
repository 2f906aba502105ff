//! The tables of a database that hold its user's data.
//!
//! Owns the one answer to "which tables count": not SQLite's own, not ours, not the shadow tables of virtual tables; and
//! to "which column is the rowid".

use cutover_core::StepError;
use rusqlite::{Connection, OptionalExtension as _};

use super::bookkeeping::STATE_TABLE;
use crate::mapping::names::is_helper;
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

/// The plain tables of the database by name, whoever's they are.
pub(crate) fn plain_tables(conn: &Connection) -> Result<Vec<String>, StepError> {
    conn.prepare_cached("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY name")
        .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
        .map_err(|e| sqlite_error(e, "while listing the tables"))
}

/// The column that is another name of the rowid; none where the key has an index of its own (`INT PRIMARY KEY`,
/// `INTEGER PRIMARY KEY DESC`, WITHOUT ROWID) or there is no key.
pub(crate) fn rowid_alias(conn: &Connection, table: &str) -> Result<Option<String>, StepError> {
    conn.prepare_cached(
        "SELECT name FROM pragma_table_xinfo(?1, 'main') WHERE pk > 0
         AND EXISTS (SELECT 1 FROM pragma_table_list
           WHERE schema = 'main' AND name = ?1 COLLATE NOCASE AND type IN ('table', 'shadow') AND NOT wr)
         AND NOT EXISTS (SELECT 1 FROM pragma_index_list(?1, 'main') WHERE origin = 'pk')",
    )
    .and_then(|mut s| s.query_row([table], |row| row.get(0)).optional())
    .map_err(|e| sqlite_error(e, &format!("while reading the primary key of `{table}`")))
}

/// Whether `table` is Cutover's own.
pub(crate) fn is_ours(table: &str, ledger: &str) -> bool {
    table.eq_ignore_ascii_case(ledger) || table.eq_ignore_ascii_case(STATE_TABLE) || is_helper(table)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_the_rowid_exactly_where_sqlite_says_so() {
        let keys = [
            "id INTEGER PRIMARY KEY",
            "id integer PRIMARY KEY ASC",
            "id INTEGER PRIMARY KEY DESC",
            "id INTEGER, PRIMARY KEY (id DESC)",
            "id INTEGER, PRIMARY KEY (\"ID\")",
            "id INTEGER, PRIMARY KEY ('id')",
            "id \"INTEGER\" PRIMARY KEY",
            "id [integer] NOT NULL PRIMARY KEY AUTOINCREMENT",
            "id INT PRIMARY KEY",
            "id BIGINT PRIMARY KEY",
            "id INTEGER(8) PRIMARY KEY",
            "id UNSIGNED INTEGER PRIMARY KEY",
            "id PRIMARY KEY",
            "id INTEGER PRIMARY KEY DESC UNIQUE",
            "id INTEGER UNIQUE PRIMARY KEY DESC",
            "id INTEGER UNIQUE, PRIMARY KEY (id)",
            "id INTEGER, UNIQUE (id), PRIMARY KEY (id DESC)",
            "id INTEGER, PRIMARY KEY (id, id)",
            "id INTEGER, n INTEGER, PRIMARY KEY (id, n)",
            "id INTEGER, PRIMARY KEY (id COLLATE nocase)",
            "id INTEGER UNIQUE",
        ];
        for key in keys {
            let conn = Connection::open_in_memory().unwrap();
            conn.execute_batch(&format!("CREATE TABLE T({key}); INSERT INTO T(rowid, id) VALUES (7, 77)")).unwrap();
            // Where it is the rowid, the last one of the two names wins.
            let is: bool = conn.query_row("SELECT rowid = id FROM T", [], |row| row.get(0)).unwrap();
            assert_eq!(rowid_alias(&conn, "t").unwrap().is_some(), is, "{key}");
        }
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(
            "CREATE TABLE w(id INTEGER PRIMARY KEY) WITHOUT ROWID; CREATE VIEW v AS SELECT id FROM w;
             CREATE VIRTUAL TABLE f USING fts5(a); CREATE TEMP TABLE x(id INTEGER PRIMARY KEY)",
        )
        .unwrap();
        for none in ["w", "v", "f", "x", "missing"] {
            assert_eq!(rowid_alias(&conn, none).unwrap(), None, "{none}");
        }
        assert_eq!(rowid_alias(&conn, "f_data").unwrap().as_deref(), Some("id"));
    }
}
