//! A copy of a database for a rehearsal, and how a database differs from another one, row by row.
//!
//! Owns both: neither writes to the database itself.

use std::fs::File;
use std::path::{Path, PathBuf};

use cutover_core::disk::io_error;
use cutover_core::{StepContext, StepError};
use rusqlite::Connection;

use super::catalog;
use super::connect;
use super::dump::Columns;
use super::session::Session;
use super::still::{private_file, sibling, still};
use crate::sql::{quote_ident, sqlite_error};
use crate::value::to_json;

/// Rows shown of each table and side.
const SHOWN: i64 = 5;

/// The files of the database at `path`: itself, its logs.
pub(crate) fn files(path: &Path) -> Vec<PathBuf> {
    ["", "-wal", "-shm", "-journal"].iter().map(|end| sibling(path, end)).collect()
}

/// A consistent copy of the database at `to`, sharing its blocks where the file system can. The copy is for trying things
/// on: it is neither durable nor proven.
pub(crate) fn copy(session: &Session, to: &Path, cx: &StepContext) -> Result<(), StepError> {
    if session.path.metadata().is_ok_and(|m| m.len() == 0) {
        return private_file(to).map(drop);
    }
    session.read_committed(|conn| {
        still(session, conn, |main, log| {
            main.copy(&private_file(to)?, to, Some(cx))?;
            let Some(log) = log else { return Ok(()) };
            // After the file: whatever a checkpoint put into it meanwhile is in the log.
            let copy = sibling(to, "-wal");
            let opened = File::open(log).map_err(|e| io_error("cannot read", log, e))?;
            let made = private_file(&copy)?;
            if rustix::fs::ioctl_ficlone(&made, &opened).is_err() {
                std::io::copy(&mut &opened, &mut &made).map_err(|e| io_error("cannot write", &copy, e))?;
            }
            Ok(())
        })
    })
}

/// Rows that are in one of the two databases and not in the other, a line for each of the first of every table. `conn`
/// is left as it was.
pub(crate) fn differing(conn: &Connection, ledger: &str, original: &Path) -> Result<Vec<String>, StepError> {
    let doing = "while comparing the database with its original";
    conn.execute("ATTACH DATABASE ?1 AS original", [connect::uri(original, "mode=ro").to_string_lossy()])
        .map_err(|e| sqlite_error(e, doing))?;
    let mut lines = Vec::new();
    let compared = compare(conn, ledger, &mut lines);
    conn.execute_batch("DETACH DATABASE original").map_err(|e| sqlite_error(e, doing))?;
    compared.map(|()| lines)
}

fn compare(conn: &Connection, ledger: &str, lines: &mut Vec<String>) -> Result<(), StepError> {
    for table in catalog::tables(conn, ledger)?.into_iter().filter(|t| !t.is_virtual) {
        let here = Columns::of(conn, &table.name)?;
        let there: Vec<String> = conn
            .prepare("SELECT name FROM pragma_table_xinfo(?1, 'original') WHERE hidden = 0")
            .and_then(|mut s| s.query_map([&table.name], |row| row.get(0))?.collect())
            .map_err(|e| sqlite_error(e, "while comparing the columns"))?;
        let shared: Vec<&String> = here.names().iter().filter(|n| there.contains(n)).collect();
        if shared.is_empty() {
            continue;
        }
        let list = shared.iter().map(|n| quote_ident(n)).collect::<Vec<_>>().join(", ");
        let name = quote_ident(&table.name);
        for (from, other, side) in
            [("original", "main", "only in the original"), ("main", "original", "not in the original")]
        {
            let sql =
                format!("SELECT {list} FROM {from}.{name} EXCEPT SELECT {list} FROM {other}.{name} LIMIT {SHOWN}");
            let doing = format!("while comparing the rows of `{}`", table.name);
            let mut statement = conn.prepare(&sql).map_err(|e| sqlite_error(e, &doing))?;
            let mut rows = statement.query([]).map_err(|e| sqlite_error(e, &doing))?;
            while let Some(row) = rows.next().map_err(|e| sqlite_error(e, &doing))? {
                let values: rusqlite::Result<Vec<String>> =
                    (0..shared.len()).map(|i| Ok(format!("{}={}", shared[i], to_json(&row.get(i)?)))).collect();
                let values = values.map_err(|e| sqlite_error(e, &doing))?;
                lines.push(format!("table {}: {side}: {}", table.name, values.join(", ")));
            }
        }
    }
    Ok(())
}
