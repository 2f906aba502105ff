//! The digest of a database's logical content.
//!
//! The schema part holds every object of the user by its tokenised SQL, which says all that `table_xinfo`,
//! `index_xinfo` and the foreign-key list say, and `user_version`. `ALTER TABLE … ADD COLUMN` followed by
//! `DROP COLUMN` gives the same tokens again.
//!
//! The content part holds every row: in key order where the table itself is stored in that order (an integer primary
//! key, WITHOUT ROWID, virtual tables), else as a multiset, so that implicit rowids do not count.
//!
//! Not in it: our ledger, `cutover_state` and all whose names begin with `_cutover_` (triggers too), `sqlite_stat*`, shadow tables (the virtual table's rows are read), and
//! `sqlite_sequence`: it remembers which ids were ever handed out, so that AUTOINCREMENT never gives one twice. A
//! rollback that took rows away again must leave that memory, and is equal all the same.

use std::collections::BTreeMap;

use cutover_core::{Depth, Fingerprint, PartPrint, StepContext, StepError};
use rusqlite::Connection;

use super::catalog::{self, Table};
use super::rows_digest::Printer;
use crate::sql::{normalised, quote_ident, sqlite_error};

/// The fingerprint of what `conn` sees.
pub(crate) fn of(
    conn: &Connection,
    ledger: &str,
    depth: Depth,
    cx: Option<&StepContext>,
) -> Result<Fingerprint, StepError> {
    let content = match depth {
        Depth::Schema => None,
        Depth::Content => Some(content(conn, ledger, cx)?),
    };
    Ok(Fingerprint { kind: "sqlite".to_owned(), schema: schema(conn, ledger)?, content })
}

fn schema(conn: &Connection, ledger: &str) -> Result<BTreeMap<String, String>, StepError> {
    let doing = "while reading the schema";
    let shadows = shadow_tables(conn)?;
    let mut prints = BTreeMap::new();
    let mut statement = conn
        .prepare_cached("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        .map_err(|e| sqlite_error(e, doing))?;
    let mut rows = statement.query([]).map_err(|e| sqlite_error(e, doing))?;
    while let Some(row) = rows.next().map_err(|e| sqlite_error(e, doing))? {
        let read = |i: usize| row.get::<_, String>(i).map_err(|e| sqlite_error(e, doing));
        let (kind, name, table) = (read(0)?, read(1)?, read(2)?);
        let skipped = catalog::is_internal(&name)
            || catalog::is_ours(&table, ledger)
            || catalog::is_ours(&name, ledger)
            || shadows.binary_search(&table).is_ok();
        if !skipped {
            prints.insert(format!("{kind} {name}"), cutover_core::blake3_hex(normalised(&read(3)?).as_bytes()));
        }
    }
    let version: i64 =
        conn.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(|e| sqlite_error(e, doing))?;
    prints.insert("user_version".to_owned(), version.to_string());
    Ok(prints)
}

fn shadow_tables(conn: &Connection) -> Result<Vec<String>, StepError> {
    let doing = "while listing the tables";
    conn.prepare_cached("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow' ORDER BY name")
        .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
        .map_err(|e| sqlite_error(e, doing))
}

fn content(
    conn: &Connection,
    ledger: &str,
    cx: Option<&StepContext>,
) -> Result<BTreeMap<String, PartPrint>, StepError> {
    let tables = catalog::tables(conn, ledger)?;
    let mut prints = BTreeMap::new();
    for (done, table) in tables.iter().enumerate() {
        if let Some(cx) = cx {
            cx.progress(done as u64, Some(tables.len() as u64), "tables");
        }
        if let Some(print) = table_print(conn, table)? {
            prints.insert(format!("table {}", table.name), print);
        }
    }
    Ok(prints)
}

/// The print of one table's rows. None for a virtual table whose module is not in this build: its rows then show as
/// those of its plain tables.
fn table_print(conn: &Connection, table: &Table) -> Result<Option<PartPrint>, StepError> {
    let doing = format!("while reading the rows of `{}`", table.name);
    let name = quote_ident(&table.name);
    let key = if table.is_virtual { None } else { ordered_key(conn, table)? };
    let sql = match (&key, table.is_virtual) {
        (_, true) => format!("SELECT rowid, * FROM {name}"),
        (Some(key), _) => format!("SELECT * FROM {name} ORDER BY {key}"),
        (None, _) => format!("SELECT * FROM {name}"),
    };
    let mut statement = match conn.prepare(&sql) {
        Ok(statement) => statement,
        Err(e) if table.is_virtual && e.to_string().contains("no such module") => return Ok(None),
        Err(e) => return Err(sqlite_error(e, &doing)),
    };
    let columns = statement.column_count();
    std::thread::scope(|scope| {
        let mut print = Printer::new(scope, key.is_some());
        let mut rows = statement.query([]).map_err(|e| sqlite_error(e, &doing))?;
        while let Some(row) = rows.next().map_err(|e| sqlite_error(e, &doing))? {
            print.row(row, columns).map_err(|e| sqlite_error(e, &doing))?;
        }
        print.finish().map(Some)
    })
}

/// The columns of the key in whose order the table is stored, as SQL.
fn ordered_key(conn: &Connection, table: &Table) -> Result<Option<String>, StepError> {
    if !table.without_rowid {
        return Ok(catalog::rowid_alias(conn, &table.name)?.map(|alias| quote_ident(&alias)));
    }
    let key: Vec<String> = conn
        .prepare_cached("SELECT name FROM pragma_table_xinfo(?1, 'main') WHERE pk > 0 ORDER BY pk")
        .and_then(|mut s| s.query_map([&table.name], |row| row.get(0))?.collect())
        .map_err(|e| sqlite_error(e, "while reading a primary key"))?;
    Ok(Some(key.iter().map(|name| quote_ident(name)).collect::<Vec<_>>().join(", ")))
}
