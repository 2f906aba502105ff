//! The old tables as schema: what goes with them, in which order, and how all of it comes back word by word.
//!
//! Owns which objects are the mapping's: the old tables with their indexes and triggers, and the triggers of ours on the
//! new tables. What others built on an old table is in the way and named.

use cutover_core::StepError;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::declared::{self, Object, same_name, schema_version};
use crate::expand::Part;
use crate::mapping::Mapping;
use crate::mapping::names::PREFIX;
use crate::parity::{log, names};
use crate::sequence;
use crate::sql::{quote_ident, sqlite_error, tokens};

pub(super) const STAYS: &str = "the old tables stay";

/// An old table, as it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OldTable {
    pub(super) pair: String,
    pub(super) name: String,
    /// Its own statement.
    pub(super) sql: String,
    /// Those of its indexes and triggers, in the order in which they were made.
    pub(super) objects: Vec<String>,
    /// Its AUTOINCREMENT counter, and that of the new table.
    pub(super) counter: Option<i64>,
    pub(super) new_counter: Option<i64>,
}

impl OldTable {
    /// Whether this statement about the table comes before its rows: an index, or a trigger that closes it to others.
    pub(super) fn comes_first(sql: &str) -> bool {
        let words = tokens(sql);
        let refuses = |name: &str| name.trim_matches('"').starts_with(&format!("{PREFIX}refuse_"));
        match words.iter().position(|word| word.eq_ignore_ascii_case("TRIGGER")) {
            Some(1) => words.get(2).is_some_and(|name| refuses(name)),
            _ => true,
        }
    }
}

/// What a contract takes away.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Taken {
    /// In the order of the mapping.
    pub(super) tables: Vec<OldTable>,
    /// The statements of the views and triggers of ours beside the old tables, in the order in which they are made.
    pub(super) beside: Vec<String>,
}

/// What a contract is to take away, looked up before anybody is kept out.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// In which schema.
    version: i64,
    taken: Taken,
    /// The statements that take it: triggers of ours first, then the tables, each behind those that refer to it.
    drops: Vec<String>,
}

impl Seen {
    /// What is there to take. Refuses where somebody has built on the old tables.
    pub(super) fn of(conn: &Connection, mapping: &Mapping) -> Result<Self, StepError> {
        let version = schema_version(conn)?;
        is_free(conn, mapping)?;
        let mut tables = Vec::new();
        let is_kept = |o: &Object| !log::has_trigger(mapping, &o.name);
        for pair in &mapping.pairs {
            let Some(table) = declared::object(conn, &pair.old)?.filter(|o| o.kind == "table") else {
                return Err(declared::no_such_table(conn, &pair.old)?);
            };
            let objects = objects(conn)?.into_iter().filter(|o| same_name(&o.table, &table.name) && is_kept(o));
            tables.push(OldTable {
                pair: pair.name.clone(),
                objects: objects.map(|o| o.sql).collect(),
                counter: None,
                new_counter: None,
                name: table.name,
                sql: table.sql,
            });
        }
        let beside = ours_elsewhere(conn, mapping)?;
        let mut drops: Vec<String> =
            beside.iter().rev().map(|part| format!("DROP {} {}", part.kind, quote_ident(&part.name))).collect();
        drops.extend(order(conn, &tables)?.iter().map(|table| format!("DROP TABLE {}", quote_ident(table))));
        Ok(Self { version, taken: Taken { tables, beside: beside.into_iter().map(|o| o.sql).collect() }, drops })
    }

    /// Takes it, or what has become of it since.
    pub(super) fn take(self, conn: &Connection, mapping: &Mapping) -> Result<Taken, StepError> {
        let now = if schema_version(conn)? == self.version { self } else { Self::of(conn, mapping)? };
        let Self { mut taken, drops, .. } = now;
        for (table, pair) in taken.tables.iter_mut().zip(&mapping.pairs) {
            table.counter = sequence::current(conn, &table.name)?;
            table.new_counter = sequence::current(conn, &pair.new)?;
        }
        drops.iter().try_for_each(|sql| run(conn, sql, &format!("running `{sql}`")))?;
        Ok(taken)
    }
}

/// The old tables, each behind those that refer to it. Tables that refer to each other go in any order.
fn order(conn: &Connection, tables: &[OldTable]) -> Result<Vec<String>, StepError> {
    let mut left: Vec<&str> = tables.iter().map(|t| t.name.as_str()).collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let mut free = None;
        for (at, table) in left.iter().enumerate() {
            let others: Vec<&str> = left.iter().copied().filter(|other| other != table).collect();
            if referring(conn, table)?.iter().all(|from| !others.iter().any(|other| same_name(other, from))) {
                free = Some(at);
                break;
            }
        }
        order.push(left.remove(free.unwrap_or(0)).to_owned());
    }
    Ok(order)
}

/// The indexes, views and triggers of the database: triggers last, each kind in the order in which they were made.
fn objects(conn: &Connection) -> Result<Vec<Object>, StepError> {
    conn.prepare_cached(
        "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type IN ('index', 'view', 'trigger') AND sql IS NOT NULL \
         ORDER BY type = 'trigger', type, rowid",
    )
    .and_then(|mut s| {
        s.query_map([], |row| {
            Ok(Object { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? })
        })?
        .collect()
    })
    .map_err(|e| sqlite_error(e, "while reading the schema"))
}

/// The views and triggers of this mapping that are not on its old tables: views first.
fn ours_elsewhere(conn: &Connection, mapping: &Mapping) -> Result<Vec<Object>, StepError> {
    let weaves = crate::expand::weaves(conn, mapping)?;
    let parts: Vec<Part> = weaves.iter().flat_map(crate::expand::parts).collect();
    let is_old = |table: &str| mapping.pairs.iter().any(|pair| same_name(&pair.old, table));
    let ours = |object: &Object| parts.iter().any(|p| p.kind == object.kind && same_name(&p.name, &object.name));
    let mut found = objects(conn)?;
    found.retain(|object| !is_old(&object.table) && ours(object));
    Ok(found)
}

/// The tables with a foreign key to `table`.
fn referring(conn: &Connection, table: &str) -> Result<Vec<String>, StepError> {
    conn.prepare_cached(
        "SELECT DISTINCT m.name FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f \
         WHERE m.type = 'table' AND f.\"table\" = ?1 COLLATE NOCASE ORDER BY 1",
    )
    .and_then(|mut s| s.query_map([table], |row| row.get(0))?.collect())
    .map_err(|e| sqlite_error(e, "while reading the foreign keys"))
}

/// Refuses where somebody has built on the old tables.
fn is_free(conn: &Connection, mapping: &Mapping) -> Result<(), StepError> {
    let built = in_the_way(conn, mapping)?;
    if built.is_empty() {
        return Ok(());
    }
    Err(StepError::conflict(format!("{STAYS}: {}", built.join("; ")))
        .with_help("drop or rewrite what still needs the old tables in an earlier step, then run again"))
}

/// What others have built on the old tables: views and triggers that name one, also those of another mapping; foreign keys
/// to one.
fn in_the_way(conn: &Connection, mapping: &Mapping) -> Result<Vec<String>, StepError> {
    let ours = ours_elsewhere(conn, mapping)?;
    let is_ours = |object: &Object| {
        log::has_trigger(mapping, &object.name) || ours.iter().any(|o| o.kind == object.kind && o.name == object.name)
    };
    let is_old = |table: &str| mapping.pairs.iter().any(|pair| same_name(&pair.old, table));
    let mut found = Vec::new();
    let others: Vec<Object> = conn
        .prepare_cached(
            "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type IN ('view', 'trigger') ORDER BY type, name",
        )
        .and_then(|mut s| {
            s.query_map([], |row| {
                Ok(Object { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? })
            })?
            .collect()
        })
        .map_err(|e| sqlite_error(e, "while reading the schema"))?;
    for pair in &mapping.pairs {
        for object in others.iter().filter(|o| !is_ours(o) && !is_old(&o.table) && names(&o.sql, &pair.old)) {
            found.push(format!("{} `{}` names `{}`", object.kind, object.name, pair.old));
        }
        for table in referring(conn, &pair.old)?.iter().filter(|table| !is_old(table)) {
            found.push(format!("table `{table}` refers to `{}`", pair.old));
        }
    }
    Ok(found)
}

/// Runs statements of ours.
pub(super) fn run(conn: &Connection, sql: &str, doing: &str) -> Result<(), StepError> {
    conn.execute_batch(sql).map_err(|e| sqlite_error(e, doing))
}
