//! The triggers by which the old tables refuse writes once programs write the new ones only.
//!
//! Owns their text. What mirrors a write of the new tables passes: it has set the guard. What a foreign key of the old table
//! does passes too, and is shown on the new side: the row that it referred to is gone by then.

use std::collections::BTreeMap;

use cutover_core::StepError;
use rusqlite::Connection;

use crate::mapping::names::{GUARD, PREFIX};
use crate::mapping::{Mapping, Pair};
use crate::sql::{quote_ident, quote_text, same_sql, sqlite_error};

/// What a foreign key does to rows when the one goes that they refer to, or gets another key.
const DELETES: &str = "on_delete = 'CASCADE'";
const UPDATES: &str = "on_delete IN ('SET NULL', 'SET DEFAULT') OR on_update IN ('CASCADE', 'SET NULL', 'SET DEFAULT')";

const VERBS: [&str; 3] = ["insert", "update", "delete"];

/// The names of all triggers.
fn names(mapping: &Mapping) -> impl Iterator<Item = String> {
    mapping.pairs.iter().flat_map(|pair| VERBS.map(|verb| name(pair, verb)))
}

fn name(pair: &Pair, verb: &str) -> String {
    format!("{PREFIX}refuse_{}_{verb}", pair.name)
}

/// Each trigger by name, with its SQL.
fn triggers(conn: &Connection, mapping: &Mapping) -> Result<Vec<(String, String)>, StepError> {
    let of = |pair| VERBS.map(|verb| trigger(conn, mapping, pair, verb));
    mapping.pairs.iter().flat_map(of).collect()
}

/// The conditions under which a write is the work of a foreign key of `table`.
fn of_keys(conn: &Connection, table: &str, verb: &str) -> rusqlite::Result<Vec<String>> {
    let acts = match verb {
        "delete" => DELETES,
        "update" => UPDATES,
        _ => return Ok(Vec::new()),
    };
    // Without a column, it refers to the primary key.
    let sql = format!(
        "SELECT f.id, f.\"table\", f.\"from\", coalesce(f.\"to\", (SELECT i.name FROM pragma_table_info(f.\"table\") AS i \
         WHERE i.pk = f.seq + 1)) FROM pragma_foreign_key_list(?1) AS f WHERE {acts} ORDER BY f.id, f.seq"
    );
    let mut found: BTreeMap<i64, (String, Vec<String>, Vec<String>)> = BTreeMap::new();
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([table])?;
    while let Some(row) = rows.next()? {
        let (from, Some(to)): (String, Option<String>) = (row.get(2)?, row.get(3)?) else { continue };
        let key = found.entry(row.get(0)?).or_insert((row.get(1)?, Vec::new(), Vec::new()));
        key.1.push(format!("OLD.{} IS NOT NULL", quote_ident(&from)));
        key.2.push(format!("p.{} = OLD.{}", quote_ident(&to), quote_ident(&from)));
    }
    let condition = |(parent, refers, same): (String, Vec<String>, Vec<String>)| {
        let (refers, same) = (refers.join(" AND "), same.join(" AND "));
        format!("({refers} AND NOT EXISTS (SELECT 1 FROM {} AS p WHERE {same}))", quote_ident(&parent))
    };
    Ok(found.into_values().map(condition).collect())
}

fn trigger(conn: &Connection, mapping: &Mapping, pair: &Pair, verb: &str) -> Result<(String, String), StepError> {
    let name = name(pair, verb);
    let keys = of_keys(conn, &pair.old, verb).map_err(|e| sqlite_error(e, "while reading the foreign keys"))?;
    let keys: String = keys.iter().map(|key| format!(" AND NOT {key}")).collect();
    let said = format!(
        "table `{}` is closed to writes: `{}` has moved on to `{}` (stage new-only)",
        pair.old, mapping.name, pair.new
    );
    let sql = format!(
        "CREATE TRIGGER {} BEFORE {} ON {} WHEN NOT EXISTS (SELECT 1 FROM {GUARD} WHERE origin IS NOT NULL){keys} BEGIN SELECT RAISE(ABORT, {}); END",
        quote_ident(&name),
        verb.to_ascii_uppercase(),
        quote_ident(&pair.old),
        quote_text(&said)
    );
    Ok((name, sql))
}

/// Closes the old tables.
pub(crate) fn close(conn: &Connection, mapping: &Mapping) -> Result<(), StepError> {
    triggers(conn, mapping)?.iter().try_for_each(|(name, sql)| {
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
    names(mapping).try_for_each(|name| {
        conn.execute_batch(&format!("DROP TRIGGER IF EXISTS {}", quote_ident(&name)))
            .map_err(|e| sqlite_error(e, &format!("dropping trigger `{name}`")))
    })
}

/// A line for each trigger that is not there as it should be.
pub(crate) fn differences(conn: &Connection, mapping: &Mapping) -> Result<Vec<String>, StepError> {
    let mut lines = Vec::new();
    for (name, sql) in triggers(conn, mapping)? {
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
