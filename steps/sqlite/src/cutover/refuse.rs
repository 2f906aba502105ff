//! The triggers by which the old tables refuse writes once programs write the new ones only.
//!
//! Owns their text. What mirrors a write of the new tables passes: it has set the guard.

use cutover_core::StepError;
use rusqlite::Connection;

use crate::mapping::names::{GUARD, PREFIX};
use crate::mapping::{Mapping, Pair};
use crate::sql::{quote_ident, quote_text, same_sql, sqlite_error};

const VERBS: [&str; 3] = ["insert", "update", "delete"];

/// Each trigger by name, with its SQL.
fn triggers(mapping: &Mapping) -> Vec<(String, String)> {
    mapping.pairs.iter().flat_map(|pair| VERBS.map(|verb| trigger(mapping, pair, verb))).collect()
}

fn trigger(mapping: &Mapping, pair: &Pair, verb: &str) -> (String, String) {
    let name = format!("{PREFIX}refuse_{}_{verb}", pair.name);
    let said = format!(
        "table `{}` is closed to writes: `{}` has moved on to `{}` (stage new-only)",
        pair.old, mapping.name, pair.new
    );
    let sql = format!(
        "CREATE TRIGGER {} BEFORE {} ON {} WHEN NOT EXISTS (SELECT 1 FROM {GUARD} WHERE origin IS NOT NULL) BEGIN SELECT RAISE(ABORT, {}); END",
        quote_ident(&name),
        verb.to_ascii_uppercase(),
        quote_ident(&pair.old),
        quote_text(&said)
    );
    (name, sql)
}

/// Closes the old tables.
pub(crate) fn close(conn: &Connection, mapping: &Mapping) -> Result<(), StepError> {
    triggers(mapping).iter().try_for_each(|(name, sql)| {
        conn.execute_batch(sql).map_err(|e| sqlite_error(e, &format!("making trigger `{name}`")))
    })
}

/// Closes them where nobody mirrors: on a copy of the structure, which has no guard.
pub(crate) fn close_for_all(conn: &Connection, mapping: &Mapping) -> Result<(), StepError> {
    conn.execute_batch(&format!("CREATE TABLE IF NOT EXISTS {GUARD} (id INTEGER PRIMARY KEY, origin TEXT)"))
        .map_err(|e| sqlite_error(e, "making the guard"))?;
    close(conn, mapping)
}

/// Opens them again.
pub(crate) fn open(conn: &Connection, mapping: &Mapping) -> Result<(), StepError> {
    triggers(mapping).iter().try_for_each(|(name, _)| {
        conn.execute_batch(&format!("DROP TRIGGER IF EXISTS {}", quote_ident(name)))
            .map_err(|e| sqlite_error(e, &format!("dropping trigger `{name}`")))
    })
}

/// A line for each trigger that is not there as it should be.
pub(crate) fn differences(conn: &Connection, mapping: &Mapping) -> Result<Vec<String>, StepError> {
    let mut lines = Vec::new();
    for (name, sql) in triggers(mapping) {
        let found: Vec<String> = conn
            .prepare_cached("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = ?1")
            .and_then(|mut s| s.query_map([&name], |row| row.get(0))?.collect())
            .map_err(|e| sqlite_error(e, "while reading the schema"))?;
        match found.first() {
            None => lines.push(format!("trigger {name}: missing")),
            Some(found) if !same_sql(found, &sql) => lines.push(format!("trigger {name}: is another one")),
            Some(_) => {}
        }
    }
    Ok(lines)
}
