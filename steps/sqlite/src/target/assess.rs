//! What a look at a database finds: sizes, counts, settings, and what is wrong with it already.

use std::collections::BTreeMap;
use std::path::Path;

use cutover_core::{Assessment, StepError};
use rusqlite::Connection;

use super::{catalog, connect};
use crate::sql::{quote_ident, sqlite_error};

/// Settings that are reported as facts.
const SETTINGS: &[&str] = &["journal_mode", "page_size", "user_version", "encoding"];

/// How quick_check words damage of the file itself, as opposed to rows that break a rule of the schema.
const DAMAGE: &[&str] =
    &["*** in database", "Tree ", "Page ", "Freelist", "malformed", "btreeInitPage", "wrong # of entries"];

/// Looks at what `conn` sees of the database at `path`.
pub(crate) fn assess(conn: &Connection, path: &Path, ledger: &str) -> Result<Assessment, StepError> {
    let mut problems = integrity(conn, path)?;
    problems.extend(orphans(conn));
    let mut facts = BTreeMap::new();
    for name in SETTINGS {
        let value: rusqlite::types::Value = conn
            .query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
            .map_err(|e| sqlite_error(e, &format!("while reading `{name}`")))?;
        facts.insert((*name).to_owned(), plain(value));
    }
    facts.insert(
        "writable".to_owned(),
        match connect::writable(path) {
            Ok(()) => "yes".to_owned(),
            Err(why) => format!("no: {why}"),
        },
    );
    Ok(Assessment {
        kind: "sqlite".to_owned(),
        version: format!("SQLite {}", rusqlite::version()),
        bytes: connect::bytes(path),
        counts: counts(conn, ledger)?,
        facts,
        problems,
    })
}

/// Rows by table.
pub(crate) fn counts(conn: &Connection, ledger: &str) -> Result<BTreeMap<String, u64>, StepError> {
    let mut counts = BTreeMap::new();
    for table in catalog::tables(conn, ledger)? {
        let found = conn
            .query_row(&format!("SELECT count(*) FROM {}", quote_ident(&table.name)), [], |row| row.get::<_, i64>(0));
        match found {
            Ok(n) => counts.insert(table.name, n.unsigned_abs()),
            // A virtual table whose module is not in this build: its plain tables are counted.
            Err(_) if table.is_virtual => None,
            Err(e) => return Err(sqlite_error(e, &format!("while counting the rows of `{}`", table.name))),
        };
    }
    Ok(counts)
}

/// What quick_check says besides "ok". Damage of the file itself is an error.
pub(crate) fn integrity(conn: &Connection, path: &Path) -> Result<Vec<String>, StepError> {
    let corrupt = |what: &str| {
        StepError::unavailable(format!("`{}` is corrupt: {what}", path.display()))
            .with_help("put a good copy back, or save what is left with `sqlite3 FILE .recover`; nothing was changed")
    };
    let lines: rusqlite::Result<Vec<String>> =
        conn.prepare("PRAGMA quick_check(20)").and_then(|mut s| s.query_map([], |row| row.get(0))?.collect());
    match lines {
        Ok(lines) => match lines.iter().find(|line| DAMAGE.iter().any(|mark| line.contains(mark))) {
            Some(line) => Err(corrupt(&line.replace('\n', " "))),
            None => Ok(lines.into_iter().filter(|l| l != "ok").map(|l| format!("integrity: {l}")).collect()),
        },
        Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) => Err(corrupt(&e.to_string())),
        Err(e) => Err(sqlite_error(e, "while checking the database's integrity")),
    }
}

/// Rows whose parent is gone, by child and parent table.
fn orphans(conn: &Connection) -> Vec<String> {
    let found: rusqlite::Result<Vec<(String, String, i64)>> = conn
        .prepare("SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2 ORDER BY 1, 2")
        .and_then(|mut s| s.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect());
    match found {
        Ok(found) => found
            .into_iter()
            .map(|(table, parent, n)| format!("orphans: {n} rows of `{table}` have no parent in `{parent}`"))
            .collect(),
        Err(e) => vec![format!("foreign keys cannot be checked: {e}")],
    }
}

fn plain(value: rusqlite::types::Value) -> String {
    match value {
        rusqlite::types::Value::Integer(i) => i.to_string(),
        rusqlite::types::Value::Real(r) => r.to_string(),
        rusqlite::types::Value::Text(t) => t,
        rusqlite::types::Value::Null | rusqlite::types::Value::Blob(_) => String::new(),
    }
}
