//! A copy of a database for a rehearsal, and how a database differs from another one, row by row.
//!
//! Owns both: neither writes to the database itself.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cutover_core::StepError;
use cutover_core::disk::io_error;
use rusqlite::Connection;

use super::catalog;
use super::connect;
use super::dump::Columns;
use super::session::Session;
use super::snapshot;
use crate::sql::{quote_ident, sqlite_error};
use crate::value::to_json;

/// Rows shown of each table and side.
const SHOWN: i64 = 5;

/// The files of the database at `path`: itself, its logs.
pub(crate) fn files(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    ["", "-wal", "-shm", "-journal"].iter().map(|end| path.with_file_name(format!("{name}{end}"))).collect()
}

/// A consistent copy of the database at `to`: sharing its blocks where the file system can, else through SQLite.
pub(crate) fn copy(session: &Session, to: &Path) -> Result<(), StepError> {
    if session.path.metadata().is_ok_and(|m| m.len() == 0) {
        return private_file(to).map(drop);
    }
    if session.read_moment(|conn| clone(conn, &session.path, to))? {
        return Ok(());
    }
    let folder = to.parent().unwrap_or_else(|| Path::new("/"));
    let name = to.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    session.read_committed(|conn| snapshot::copy(conn, folder, &name).map(drop))
}

/// Shares the blocks of the main file. `conn` is inside a transaction and reads first, so that nobody writes to the main
/// file meanwhile; where a log holds pages, the main file alone is not the database.
fn clone(conn: &Connection, path: &Path, to: &Path) -> Result<bool, StepError> {
    conn.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))
        .map_err(|e| sqlite_error(e, "while copying the database"))?;
    if files(path)[1..].iter().any(|log| log.metadata().is_ok_and(|m| m.len() > 0) && !log.ends_with("-shm")) {
        return Ok(false);
    }
    let source = File::open(path).map_err(|e| io_error("cannot read", path, e))?;
    let copy = private_file(to)?;
    if rustix::fs::ioctl_ficlone(&copy, &source).is_ok() {
        copy.sync_all().map_err(|e| io_error("cannot make durable", to, e))?;
        return Ok(true);
    }
    drop(copy);
    fs::remove_file(to).map_err(|e| io_error("cannot remove", to, e))?;
    Ok(false)
}

fn private_file(path: &Path) -> Result<File, StepError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|e| io_error("cannot make", path, e))
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
