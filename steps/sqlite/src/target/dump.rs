//! A database as SQL text that the sqlite3 program loads: every object and every row.
//!
//! Owns the order (tables with rows, counters, then indexes, views and triggers) and the INSERT statements, which a
//! restore also writes for the rows that it would lose. A virtual table is entered into the schema as sqlite3's own
//! `.dump` does it, and its shadow tables are written as plain ones. Statistics (`sqlite_stat*`) are left out: ANALYZE
//! makes them again.

use std::io::{self, Write};

use cutover_core::StepError;
use rusqlite::{Connection, Row};

use super::catalog;
use crate::sql::{quote_ident, quote_text, sqlite_error, write_literal};

/// Writes all of `conn`'s main database. Returns how many rows there were.
pub(crate) fn database(conn: &Connection, out: &mut impl Write) -> Result<u64, StepError> {
    let doing = "while exporting the schema";
    let mut rows = 0;
    let mut has_virtual = false;
    text(out, "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n")?;
    for (name, sql) in objects(conn, "type = 'table'", doing)? {
        if name.starts_with("sqlite_") {
            continue;
        }
        if is_virtual(&sql) {
            if !has_virtual {
                text(out, "PRAGMA writable_schema=ON;\n")?;
                has_virtual = true;
            }
            let (name, sql) = (quote_text(&name), quote_text(&sql));
            text(
                out,
                &format!(
                    "INSERT INTO sqlite_master(type,name,tbl_name,rootpage,sql) VALUES('table',{name},{name},0,{sql});\n"
                ),
            )?;
            continue;
        }
        statement(out, &sql)?;
        let columns = Columns::of(conn, &name)?;
        rows += table(
            conn,
            &columns,
            &format!("SELECT {} FROM {}", columns.list(), quote_ident(&name)),
            |_| Ok(true),
            out,
        )?;
    }
    sequence(conn, out)?;
    for kind in ["index", "view", "trigger"] {
        for (_, sql) in objects(conn, &format!("type = '{kind}'"), doing)? {
            statement(out, &sql)?;
        }
    }
    if has_virtual {
        text(out, "PRAGMA writable_schema=OFF;\n")?;
    }
    for name in ["user_version", "application_id"] {
        let value: i64 =
            conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).map_err(|e| sqlite_error(e, doing))?;
        if value != 0 {
            text(out, &format!("PRAGMA {name}={value};\n"))?;
        }
    }
    text(out, "COMMIT;\n")?;
    Ok(rows)
}

fn is_virtual(sql: &str) -> bool {
    sql.get(..20).is_some_and(|start| start.eq_ignore_ascii_case("CREATE VIRTUAL TABLE"))
}

fn objects(conn: &Connection, which: &str, doing: &str) -> Result<Vec<(String, String)>, StepError> {
    conn.prepare(&format!(
        "SELECT name, sql FROM sqlite_master WHERE {which} AND sql IS NOT NULL \
         AND name NOT LIKE '\\_cutover\\_freeze%' ESCAPE '\\' ORDER BY rowid"
    ))
    .and_then(|mut s| s.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
    .map_err(|e| sqlite_error(e, doing))
}

fn sequence(conn: &Connection, out: &mut impl Write) -> Result<(), StepError> {
    if objects(conn, "name = 'sqlite_sequence'", "while exporting the counters")?.is_empty() {
        return Ok(());
    }
    text(out, "DELETE FROM sqlite_sequence;\n")?;
    let names = vec!["name".to_owned(), "seq".to_owned()];
    let columns = Columns { table: "sqlite_sequence".to_owned(), names, rowid: "rowid" };
    table(conn, &columns, "SELECT name, seq FROM sqlite_sequence ORDER BY name", |_| Ok(true), out).map(|_| ())
}

/// The columns of a table that can be inserted into.
#[derive(Debug)]
pub(crate) struct Columns {
    table: String,
    names: Vec<String>,
    rowid: &'static str,
}

impl Columns {
    /// Those of `table`: generated ones left out, an implicit rowid put first (full-text tables may point to it).
    pub(crate) fn of(conn: &Connection, table: &str) -> Result<Self, StepError> {
        let doing = format!("while reading the columns of `{table}`");
        let found: Vec<String> = conn
            .prepare_cached("SELECT name FROM pragma_table_xinfo(?1) WHERE hidden = 0 ORDER BY cid")
            .and_then(|mut s| s.query_map([table], |row| row.get(0))?.collect())
            .map_err(|e| sqlite_error(e, &doing))?;
        let without_rowid: bool = conn
            .query_row("SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1", [table], |row| {
                row.get(0)
            })
            .map_err(|e| sqlite_error(e, &doing))?;
        let has_alias = catalog::rowid_alias(conn, table)?.is_some();
        let taken = |alias: &str| found.iter().any(|c| c.eq_ignore_ascii_case(alias));
        let rowid = ["rowid", "_rowid_", "oid"].into_iter().find(|alias| !taken(alias));
        let implicit = rowid.filter(|_| !without_rowid && !has_alias).map(str::to_owned);
        let names = implicit.into_iter().chain(found.iter().cloned()).collect();
        Ok(Self { table: table.to_owned(), names, rowid: rowid.unwrap_or("rowid") })
    }

    /// The table's name.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// The names, in the order of [`list`](Self::list).
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// A name by which the table's rowid is reached.
    pub(crate) fn rowid(&self) -> &'static str {
        self.rowid
    }

    /// The names, quoted, for a SELECT or an INSERT.
    pub(crate) fn list(&self) -> String {
        self.names.iter().map(|n| quote_ident(n)).collect::<Vec<_>>().join(",")
    }
}

/// Writes the rows of `query` (whose columns are `columns`) that `wanted` picks as INSERT statements. Returns how many.
pub(crate) fn table(
    conn: &Connection,
    columns: &Columns,
    query: &str,
    wanted: impl Fn(&Row<'_>) -> rusqlite::Result<bool>,
    out: &mut impl Write,
) -> Result<u64, StepError> {
    let doing = format!("while exporting the rows of `{}`", columns.table);
    let head = format!("INSERT INTO {}({}) VALUES(", quote_ident(&columns.table), columns.list());
    let mut statement = conn.prepare(query).map_err(|e| sqlite_error(e, &doing))?;
    let mut rows = statement.query([]).map_err(|e| sqlite_error(e, &doing))?;
    let mut count = 0;
    while let Some(row) = rows.next().map_err(|e| sqlite_error(e, &doing))? {
        if !wanted(row).map_err(|e| sqlite_error(e, &doing))? {
            continue;
        }
        insert(out, &head, row, columns.names.len()).map_err(|e| match e {
            Failure::Sql(e) => sqlite_error(e, &doing),
            Failure::Io(e) => write_error(e),
        })?;
        count += 1;
    }
    Ok(count)
}

enum Failure {
    Sql(rusqlite::Error),
    Io(io::Error),
}

fn insert(out: &mut impl Write, head: &str, row: &Row<'_>, columns: usize) -> Result<(), Failure> {
    out.write_all(head.as_bytes()).map_err(Failure::Io)?;
    for i in 0..columns {
        if i > 0 {
            out.write_all(b",").map_err(Failure::Io)?;
        }
        write_literal(out, row.get_ref(i).map_err(Failure::Sql)?).map_err(Failure::Io)?;
    }
    out.write_all(b");\n").map_err(Failure::Io)
}

/// SQLite keeps a comment at the end of a definition: it must not swallow the semicolon.
fn statement(out: &mut impl Write, sql: &str) -> Result<(), StepError> {
    text(out, sql)?;
    text(out, if sql.contains("--") { "\n;\n" } else { ";\n" })
}

fn text(out: &mut impl Write, sql: &str) -> Result<(), StepError> {
    out.write_all(sql.as_bytes()).map_err(write_error)
}

fn write_error(e: io::Error) -> StepError {
    StepError::failed("the export could not be written").with_help("free some disk space, then run again").caused_by(e)
}
