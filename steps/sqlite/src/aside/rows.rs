//! Rows and values that go with a table or a column, set aside as statements that put them back.
//!
//! Owns the SQL of these files: INSERT for the rows of a table, UPDATE by primary key (else by rowid) for the values of
//! a column that are not its default. Generated columns hold nothing of their own and are left out, as are implicit
//! rowids, which newer rows may have by then. Triggers run when such a file is loaded, as for any other statement.

use std::io::{self, Write};
use std::path::PathBuf;

use cutover_core::disk::io_error;
use cutover_core::{StepContext, StepError};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::{keep, shown};
use crate::identity::{Shape, list};
use crate::sql::{quote_ident, sqlite_error, write_literal};

const TRIGGERS: &str = "Load it with sqlite3 where the plan is applied again; `.dbconfig enable_trigger off` first, if no trigger may run.";

/// Sets aside every row of `table`. Returns the line about it; none when it has no rows or is not there.
pub(crate) fn table_rows(cx: &StepContext, conn: &Connection, table: &str) -> Result<Option<String>, StepError> {
    let Some(shape) = Shape::read(conn, table)? else { return Ok(None) };
    let (name, columns) = (quote_ident(table), list(&shape.columns()));
    let head = format!("INSERT INTO {name} ({columns}) VALUES (");
    let about = format!("The rows of table {table} when it was dropped. {TRIGGERS}");
    let kept = set_aside(cx, conn, table, &about, &format!("SELECT {columns} FROM {name}"), |out, row, count| {
        out.write_all(head.as_bytes())?;
        for i in 0..count {
            out.write_all(if i > 0 { b", " } else { b"" })?;
            write_literal(out, row.get_ref(i).unwrap_or(ValueRef::Null))?;
        }
        out.write_all(b");\n")
    })?;
    Ok(kept.map(|(rows, path)| {
        let rows = if rows == 1 { "1 row is".to_owned() } else { format!("{rows} rows are") };
        format!("table {table} is dropped; its {rows} kept in `{}`", shown(cx, &path))
    }))
}

/// Sets aside the values of a column that are not its default. Returns the line about it; none when there are none.
pub(crate) fn column_values(
    cx: &StepContext,
    conn: &Connection,
    table: &str,
    column: &str,
) -> Result<Option<String>, StepError> {
    let Some(shape) = Shape::read(conn, table)? else { return Ok(None) };
    let Some(is_default) = shape.is_default(column) else { return Ok(None) };
    let (name, quoted) = (quote_ident(table), quote_ident(column));
    let key: Vec<String> = shape.key().iter().map(|k| quote_ident(k)).collect();
    let place = shape.rowid().unwrap_or("NULL");
    let first: Vec<&str> = [quoted.as_str(), place].into_iter().chain(key.iter().map(String::as_str)).collect();
    let sql = format!("SELECT {} FROM {name} WHERE NOT ({is_default})", first.join(", "));
    let about = format!("The values of column {table}.{column} when it was dropped. {TRIGGERS}");
    let file = format!("{table}.{column}");
    let kept = set_aside(cx, conn, &file, &about, &sql, |out, row, count| {
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
    })?;
    Ok(kept.map(|(rows, path)| {
        let values = if rows == 1 { "1 value is".to_owned() } else { format!("{rows} values are") };
        format!("column {table}.{column} is dropped; its {values} kept in `{}`", shown(cx, &path))
    }))
}

/// Writes one statement for each row of the query, one row at a time.
fn set_aside(
    cx: &StepContext,
    conn: &Connection,
    file: &str,
    about: &str,
    sql: &str,
    write: impl Fn(&mut dyn Write, &Row<'_>, usize) -> io::Result<()>,
) -> Result<Option<(u64, PathBuf)>, StepError> {
    let failed = |e| sqlite_error(e, &format!("setting aside `{file}`"));
    let mut statement = conn.prepare(sql).map_err(failed)?;
    if !statement.exists([]).map_err(failed)? {
        return Ok(None);
    }
    let count = statement.column_count();
    keep(cx, file, about, |out| {
        let mut rows = statement.query([]).map_err(failed)?;
        let mut written = 0;
        while let Some(row) = rows.next().map_err(failed)? {
            write(out, row, count).map_err(|e| io_error("cannot set aside into", cx.state_dir(), e))?;
            written += 1;
        }
        Ok(written)
    })
}
