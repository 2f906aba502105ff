//! Questions about one thing: whether a fact holds, and scalars by query.

use std::collections::BTreeMap;

use cutover_core::{StepContext, StepError, closest};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::Value;

use super::catalog;
use crate::sql::{bind_vars, sqlite_error};
use crate::watched::watched;

const FORMS: &[&str] = &["table", "column", "index", "trigger", "view", "empty"];

/// Whether `fact` holds: `table:NAME`, `column:TABLE.NAME`, `index:NAME`, `trigger:NAME`, `view:NAME`, `empty`.
pub(crate) fn holds(conn: &Connection, ledger: &str, fact: &str) -> Result<bool, StepError> {
    match fact.split_once(':') {
        None if fact == "empty" => Ok(catalog::tables(conn, ledger)?.is_empty()),
        Some((kind @ ("table" | "index" | "trigger" | "view"), name)) => object(conn, kind, name),
        Some(("column", path)) => {
            for (dot, _) in path.match_indices('.') {
                if column(conn, &path[..dot], &path[dot + 1..])? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => {
            let form = fact.split(':').next().unwrap_or_default();
            let error = StepError::failed(format!("`{fact}` is not a fact about a SQLite database"));
            Err(match closest(form, FORMS.iter().copied()) {
                Some(near) => error.with_help(format!("did you mean `{near}`?")),
                None => error.with_help(
                    "write `table:NAME`, `column:TABLE.NAME`, `index:NAME`, `trigger:NAME`, `view:NAME` or `empty`",
                ),
            })
        }
    }
}

fn object(conn: &Connection, kind: &str, name: &str) -> Result<bool, StepError> {
    conn.prepare_cached("SELECT 1 FROM sqlite_master WHERE type = ?1 AND name = ?2 COLLATE NOCASE")
        .and_then(|mut s| s.exists([kind, name]))
        .map_err(|e| sqlite_error(e, "while reading the schema"))
}

fn column(conn: &Connection, table: &str, name: &str) -> Result<bool, StepError> {
    conn.prepare_cached("SELECT 1 FROM pragma_table_xinfo(?1) WHERE name = ?2 COLLATE NOCASE")
        .and_then(|mut s| s.exists([table, name]))
        .map_err(|e| sqlite_error(e, &format!("while reading the columns of `{table}`")))
}

/// Seconds that a measure may take.
const MEASURE_SECONDS: u64 = 600;

/// The one number that `query` gives. A stop and a time limit end it.
pub(crate) fn measure(cx: &StepContext, conn: &Connection, query: &str) -> Result<f64, StepError> {
    let doing = format!("while measuring by `{}`", crate::sql::joined(query));
    let measured = watched(cx, conn, |watched| {
        watched.limited(MEASURE_SECONDS, &doing, || measured(conn, query, cx.vars(), &doing))
    })?;
    measured
        .ok_or_else(|| StepError::failed(format!("{doing}: it was stopped")).with_help("run the same command again"))
}

fn measured(conn: &Connection, query: &str, vars: &BTreeMap<String, Value>, doing: &str) -> Result<f64, StepError> {
    let mut statement = conn.prepare(query).map_err(|e| sqlite_error(e, doing))?;
    let refuse = |why: &str| {
        Err(StepError::failed(format!("{doing}: {why}")).with_help("a measure is one SELECT that gives one number"))
    };
    if !statement.readonly() {
        return refuse("it would write");
    }
    if statement.column_count() != 1 {
        return refuse("it gives more than one column");
    }
    bind_vars(&mut statement, vars)?;
    let mut rows = statement.raw_query();
    let value = match rows.next().map_err(|e| sqlite_error(e, doing))? {
        None => return refuse("it gives no row"),
        Some(row) => match row.get_ref(0).map_err(|e| sqlite_error(e, doing))? {
            #[expect(clippy::cast_precision_loss, reason = "gates compare magnitudes")]
            ValueRef::Integer(i) => i as f64,
            ValueRef::Real(r) => r,
            ValueRef::Null => return refuse("it gives NULL (use `coalesce(…, 0)`)"),
            ValueRef::Text(_) | ValueRef::Blob(_) => return refuse("it gives no number"),
        },
    };
    match rows.next().map_err(|e| sqlite_error(e, doing))? {
        None => Ok(value),
        Some(_) => refuse("it gives more than one row"),
    }
}
