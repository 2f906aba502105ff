//! Rows and values that go with a table or a column, set aside as statements that put them back.
//!
//! Owns the SQL of these files: CREATE and INSERT for a table, UPDATE by primary key (else by rowid) for the values of
//! a column that are not its default. Generated columns hold nothing of their own and are left out, as are implicit
//! rowids, which newer rows may have by then. Triggers run when such a file is loaded, as for any other statement.

use std::io::{self, Write};
use std::path::PathBuf;

use cutover_core::disk::io_error;
use cutover_core::{StepContext, StepError};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::{keep, shown};
use crate::declared;
use crate::identity::{Identity, list};
use crate::sql::{quote_ident, sqlite_error, write_literal};

const LOAD_TABLE: &str = "Load it with sqlite3 where the table is gone, or where the plan is applied again (drop its table first if it lacks columns); `.dbconfig enable_trigger off` first, if no trigger may run.";

const TRIGGERS: &str = "Load it with sqlite3 where the plan is applied again; `.dbconfig enable_trigger off` first, if no trigger may run.";

/// Sets aside a table: every row of it, with its definition, its indexes and its triggers. Returns the line about it;
/// none when it is not there, or when it has no rows and is not `changed` since it was made.
pub(crate) fn table(
    cx: &StepContext,
    conn: &Connection,
    table: &str,
    changed: bool,
) -> Result<Option<String>, StepError> {
    let Some(shape) = Identity::read(conn, table)? else { return Ok(None) };
    let Some(own) = declared::object(conn, table)? else { return Ok(None) };
    let others = declared::objects_on(conn, table)?;
    let (name, columns) = (quote_ident(table), list(&shape.columns()));
    let head = format!("INSERT INTO {name} ({columns}) VALUES (");
    let about = format!("The table {table} when it was dropped, with its rows. {LOAD_TABLE}");
    let failed = |e| io_error("cannot set aside into", cx.state_dir(), e);
    let source = Source { file: table, about: &about, query: &format!("SELECT {columns} FROM {name}") };
    let kept = set_aside(
        cx,
        conn,
        &source,
        changed,
        |out| writeln!(out, "{};", unless_there(&own.sql)).map_err(failed),
        |out, row, count| {
            out.write_all(head.as_bytes())?;
            for i in 0..count {
                out.write_all(if i > 0 { b", " } else { b"" })?;
                write_literal(out, row.get_ref(i).unwrap_or(ValueRef::Null))?;
            }
            out.write_all(b");\n")
        },
        // Behind the rows: a trigger must not run for them where the table is made anew.
        |out| others.iter().try_for_each(|o| writeln!(out, "{};", unless_there(&o.sql))).map_err(failed),
    )?;
    Ok(kept.map(|(rows, path)| {
        let shown = shown(cx, &path);
        let count = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
        match (changed, rows) {
            (false, 1) => format!("table {table} is dropped; its 1 row is kept in `{shown}`"),
            (false, _) => format!("table {table} is dropped; its {count} are kept in `{shown}`"),
            (true, 0) => format!("table {table} was changed since and is dropped; its definition is kept in `{shown}`"),
            (true, _) => format!(
                "table {table} was changed since and is dropped; its definition and its {count} are kept in `{shown}`"
            ),
        }
    }))
}

/// The stored SQL of an object as a statement that does nothing where the name is taken. SQLite itself writes the words
/// before the name.
fn unless_there(sql: &str) -> String {
    let starts = ["CREATE TABLE ", "CREATE UNIQUE INDEX ", "CREATE INDEX ", "CREATE TRIGGER "];
    match starts.iter().find_map(|start| Some((*start, sql.strip_prefix(start)?))) {
        Some((start, rest)) => format!("{start}IF NOT EXISTS {rest}"),
        None => sql.to_owned(),
    }
}

/// Sets aside the values of a column that are not its default. Returns the line about it; none when there are none.
pub(crate) fn column_values(
    cx: &StepContext,
    conn: &Connection,
    table: &str,
    column: &str,
) -> Result<Option<String>, StepError> {
    let Some(shape) = Identity::read(conn, table)? else { return Ok(None) };
    let Some(is_default) = shape.is_default(column) else { return Ok(None) };
    let (name, quoted) = (quote_ident(table), quote_ident(column));
    let key: Vec<String> = shape.key().iter().map(|k| quote_ident(k)).collect();
    let place = shape.rowid().unwrap_or("NULL");
    let first: Vec<&str> = [quoted.as_str(), place].into_iter().chain(key.iter().map(String::as_str)).collect();
    let sql = format!("SELECT {} FROM {name} WHERE NOT ({is_default})", first.join(", "));
    let about = format!("The values of column {table}.{column} when it was dropped. {TRIGGERS}");
    let file = format!("{table}.{column}");
    let source = Source { file: &file, about: &about, query: &sql };
    let write = |out: &mut dyn Write, row: &Row<'_>, count: usize| {
        let value = |i: usize| row.get_ref(i).unwrap_or(ValueRef::Null);
        write!(out, "UPDATE {name} SET {quoted} = ")?;
        write_literal(out, value(0))?;
        // A primary key of a table with rowids may hold NULL, more than once.
        if key.is_empty() || (2..count).any(|i| value(i) == ValueRef::Null) {
            write!(out, " WHERE {place} = ")?;
            write_literal(out, value(1))?;
        } else {
            for (i, column) in key.iter().enumerate() {
                write!(out, "{}{column} = ", if i > 0 { " AND " } else { " WHERE " })?;
                write_literal(out, value(i + 2))?;
            }
        }
        out.write_all(b";\n")
    };
    let kept = set_aside(cx, conn, &source, false, |_| Ok(()), write, |_| Ok(()))?;
    Ok(kept.map(|(rows, path)| {
        let values = if rows == 1 { "1 value is".to_owned() } else { format!("{rows} values are") };
        format!("column {table}.{column} is dropped; its {values} kept in `{}`", shown(cx, &path))
    }))
}

/// What is set aside: into which file, with which words above it, by which query.
struct Source<'a> {
    file: &'a str,
    about: &'a str,
    query: &'a str,
}

/// Writes one statement for each row of the query, one row at a time, between `before` and `after`.
fn set_aside(
    cx: &StepContext,
    conn: &Connection,
    source: &Source<'_>,
    always: bool,
    before: impl FnOnce(&mut dyn Write) -> Result<(), StepError>,
    write: impl Fn(&mut dyn Write, &Row<'_>, usize) -> io::Result<()>,
    after: impl FnOnce(&mut dyn Write) -> Result<(), StepError>,
) -> Result<Option<(u64, PathBuf)>, StepError> {
    let failed = |e| sqlite_error(e, &format!("setting aside `{}`", source.file));
    let mut statement = conn.prepare(source.query).map_err(failed)?;
    if !always && !statement.exists([]).map_err(failed)? {
        return Ok(None);
    }
    let count = statement.column_count();
    keep(cx, source.file, source.about, always, |out| {
        before(out)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut written = 0;
        while let Some(row) = rows.next().map_err(failed)? {
            write(out, row, count).map_err(|e| io_error("cannot set aside into", cx.state_dir(), e))?;
            written += 1;
        }
        after(out)?;
        Ok(written)
    })
}
