//! Who needs a table: views, triggers of other tables, full-text tables and foreign keys that name it.
//!
//! Owns the search by name. A name inside a string is none; a column of the same name is taken for the table, since
//! SQLite's own grammar would be needed to tell, and a refusal loses nothing.

use cutover_core::StepError;
use rusqlite::Connection;

use crate::declared::{same_name, unquoted};
use crate::mapping::names::is_helper;
use crate::sql::{sqlite_error, tokens};
use crate::target::bookkeeping::{DEFAULT_LEDGER, STATE_TABLE};

const DOING: &str = "while looking for what needs a table";

/// What to do instead with a table that is Cutover's or SQLite's own.
pub(crate) fn ours(table: &str) -> Option<&'static str> {
    if table.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_")) {
        Some("SQLite's own tables cannot be dropped: take it out")
    } else if same_name(table, STATE_TABLE) || same_name(table, DEFAULT_LEDGER) {
        Some("rollbacks need what Cutover keeps there: take it out")
    } else if is_helper(table) {
        Some("a `sqlite.retire` step ends a mapping and takes its helpers along")
    } else {
        None
    }
}

/// The first of `tables` that something names which does not go with them, and what does.
pub(super) fn by_others(conn: &Connection, tables: &[String]) -> Result<Option<(String, Vec<String>)>, StepError> {
    let goes = |name: &str| tables.iter().any(|table| same_name(table, name));
    type Object = (String, String, String, String);
    let objects: Vec<Object> = conn
        .prepare(
            "SELECT type, name, tbl_name, sql FROM main.sqlite_master WHERE type IN ('view', 'trigger')
             OR sql LIKE 'CREATE VIRTUAL TABLE%' ORDER BY type, name",
        )
        .and_then(|mut s| s.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))?.collect())
        .map_err(|e| sqlite_error(e, DOING))?;
    let keys: Vec<(String, String)> = references(conn)?;
    for table in tables {
        let named = |sql: &str| tokens(sql).iter().any(|word| is_name(word) && same_name(&unquoted(word), table));
        let mut by: Vec<String> = objects
            .iter()
            .filter(|(_, name, owner, sql)| !goes(name) && !goes(owner) && (named(sql) || reads(sql, table)))
            .map(|(kind, name, ..)| format!("{} `{name}`", if kind == "table" { "virtual table" } else { kind }))
            .collect();
        let children = keys.iter().filter(|(child, parent)| same_name(parent, table) && !goes(child));
        by.extend(children.map(|(child, _)| format!("a foreign key of `{child}`")));
        if !by.is_empty() {
            return Ok(Some((table.clone(), by)));
        }
    }
    Ok(None)
}

/// A string is no name; SQLite takes `'t'` for one in places where we do not expect it.
fn is_name(word: &str) -> bool {
    !word.starts_with('\'')
}

/// Whether a full-text table reads its rows from `table`, whose name may be a string there.
fn reads(sql: &str, table: &str) -> bool {
    let words = tokens(sql);
    words.windows(3).any(|w| w[0].eq_ignore_ascii_case("content") && w[1] == "=" && same_name(&unquoted(w[2]), table))
}

/// Every foreign key: the table that has it, and the one that it refers to.
fn references(conn: &Connection) -> Result<Vec<(String, String)>, StepError> {
    conn.prepare(
        "SELECT DISTINCT m.name, f.\"table\" FROM main.sqlite_master AS m, pragma_foreign_key_list(m.name) AS f
         WHERE m.type = 'table' AND m.name <> f.\"table\" COLLATE NOCASE ORDER BY 1, 2",
    )
    .and_then(|mut s| s.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect())
    .map_err(|e| sqlite_error(e, DOING))
}

/// Those that refer to others before these. Tables that refer to each other in a ring stay in their order.
pub(super) fn children_first(conn: &Connection, mut tables: Vec<String>) -> Result<Vec<String>, StepError> {
    let keys = references(conn)?;
    let mut order = Vec::with_capacity(tables.len());
    while !tables.is_empty() {
        let referred = |table: &String| {
            let child = |name: &String| tables.iter().any(|left| same_name(left, name));
            keys.iter().any(|(from, to)| same_name(to, table) && child(from))
        };
        let at = tables.iter().position(|table| !referred(table)).unwrap_or(0);
        order.push(tables.remove(at));
    }
    Ok(order)
}
