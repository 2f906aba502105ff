//! The keys that programs write while a step looks at all rows and keeps nobody out.
//!
//! Owns a log for each pair, and the triggers that fill it. A long look goes first, and what was written since is looked
//! at again, the last of it while writers wait: that is short, however large the tables are. A key may be in the log that
//! nobody wrote, and more than once; none is missing. What a REPLACE deletes without firing a trigger is logged before
//! it happens: every row that shares a unique key with the one that comes.

use cutover_core::StepError;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::part::Part;
use super::sides::Sides;
use crate::expand::{Shape, Unique};
use crate::mapping::names::PREFIX;
use crate::mapping::{Mapping, Pair};
use crate::sql::{quote_ident, sqlite_error};
use crate::target::bookkeeping::has_table;

/// The triggers of a table, by the moment that is in their name.
const MOMENTS: [(&str, &str); 5] = [
    ("insert", "AFTER INSERT"),
    ("update", "AFTER UPDATE"),
    ("delete", "AFTER DELETE"),
    ("before_insert", "BEFORE INSERT"),
    ("before_update", "BEFORE UPDATE"),
];

/// The log of `pair`.
fn table(pair: &Pair) -> String {
    format!("{PREFIX}written_{}", pair.name)
}

/// `k0, k1`: the old key.
fn columns(pair: &Pair) -> String {
    (0..pair.key.len()).map(|i| format!("k{i}")).collect::<Vec<_>>().join(", ")
}

/// Whether a log is open.
pub(crate) fn is_open(conn: &Connection, mapping: &Mapping) -> Result<bool, StepError> {
    mapping.pairs.iter().try_fold(false, |open, pair| Ok(open || has_table(conn, &table(pair))?))
}

/// Opens an empty log for each pair. Of what an earlier run left open, nothing stays.
pub(crate) fn open(conn: &Connection, mapping: &Mapping) -> Result<(), StepError> {
    open_for(conn, mapping, &|_| true)
}

/// The same, of writes to the new tables alone.
pub(crate) fn open_new(conn: &Connection, mapping: &Mapping) -> Result<(), StepError> {
    open_for(conn, mapping, &|watched| !matches!(watched.key, Key::Old))
}

fn open_for(conn: &Connection, mapping: &Mapping, which: &dyn Fn(&Watched) -> bool) -> Result<(), StepError> {
    close(conn, mapping)?;
    for pair in &mapping.pairs {
        let (table, columns) = (quote_ident(&table(pair)), columns(pair));
        run(conn, &format!("CREATE TABLE {table} (n INTEGER PRIMARY KEY, {columns})"))?;
        for Watched { role, table, key } in watched(pair).into_iter().filter(which) {
            let Some(shape) = Shape::read(conn, &table)? else { continue };
            let log = Log { pair, shape: &shape, key };
            for (moment, when) in MOMENTS {
                let body = log.body(moment);
                if !body.is_empty() {
                    let (name, table) = (quote_ident(&trigger(pair, role, moment)), quote_ident(&shape.name));
                    run(conn, &format!("CREATE TRIGGER {name} {when} ON {table} BEGIN {}; END", body.join("; ")))?;
                }
            }
        }
    }
    Ok(())
}

/// Takes the logs away.
pub(crate) fn close(conn: &Connection, mapping: &Mapping) -> Result<(), StepError> {
    for pair in &mapping.pairs {
        for Watched { role, .. } in watched(pair) {
            for (moment, _) in MOMENTS {
                run(conn, &format!("DROP TRIGGER IF EXISTS {}", quote_ident(&trigger(pair, role, moment))))?;
            }
        }
        run(conn, &format!("DROP TABLE IF EXISTS {}", quote_ident(&table(pair))))?;
    }
    Ok(())
}

/// The number of the last key in the log of `pair`, and how many there are up to it.
pub(crate) fn last(conn: &Connection, pair: &Pair) -> Result<(i64, u64), StepError> {
    let sql = format!("SELECT coalesce(max(n), 0), count(*) FROM {}", quote_ident(&table(pair)));
    let read =
        conn.prepare_cached(&sql).and_then(|mut s| s.query_row([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?))));
    read.map(|(last, count)| (last, count.unsigned_abs())).map_err(failed)
}

/// The rows whose keys are in the log: always by the same text, so that its statements stay compiled.
pub(crate) fn part(pair: &Pair, sides: &Sides) -> Part {
    let names: Vec<String> = (0..pair.key.len()).map(|i| format!("k{i}")).collect();
    let of = |key: &[String], minus: &str| {
        let logged: Vec<String> = names.iter().map(|name| format!("{minus}{name}")).collect();
        let (key, logged) = (key.join(", "), logged.join(", "));
        format!(" AND ({key}) IN (SELECT {logged} FROM {})", quote_ident(&table(pair)))
    };
    let [old, new] = sides.ordered();
    let minus = if new.reversed { "-" } else { "" };
    Part { old: of(&old.stored, ""), new: of(&new.stored, minus), key: of(&names, ""), values: Vec::new() }
}

/// Logs a key: of a row that has to be looked at again.
pub(crate) fn add(conn: &Connection, pair: &Pair, key: &[Value]) -> Result<(), StepError> {
    let marks = vec!["?"; key.len()].join(", ");
    let insert = format!("INSERT INTO {} ({}) VALUES ({marks})", quote_ident(&table(pair)), columns(pair));
    conn.prepare_cached(&insert).and_then(|mut s| s.execute(params_from_iter(key))).map(|_| ()).map_err(failed)
}

/// Forgets the keys up to that number.
pub(crate) fn forget(conn: &Connection, pair: &Pair, upto: i64) -> Result<(), StepError> {
    run(conn, &format!("DELETE FROM {} WHERE n <= {upto}", quote_ident(&table(pair))))
}

/// A table whose writes are logged.
struct Watched {
    role: &'static str,
    table: String,
    key: Key,
}

/// What is logged of a row.
#[derive(Clone, Copy)]
enum Key {
    /// The old row's own key.
    Old,
    /// The key of the old row that a new row is shown by.
    New,
    /// Those of the new rows that belong to it.
    Parent,
}

/// The tables of a pair. A parent comes last: a trigger on it may be about rows of the new table.
fn watched(pair: &Pair) -> Vec<Watched> {
    let mut tables = vec![
        Watched { role: "old", table: pair.old.clone(), key: Key::Old },
        Watched { role: "new", table: pair.new.clone(), key: Key::New },
    ];
    tables.extend(pair.parent.iter().map(|p| Watched { role: "parent", table: p.new.clone(), key: Key::Parent }));
    tables
}

/// Whether a log of the mapping has a trigger of that name.
pub(crate) fn has_trigger(mapping: &Mapping, name: &str) -> bool {
    let mut triggers = mapping.pairs.iter().flat_map(|pair| {
        watched(pair).into_iter().flat_map(move |w| MOMENTS.map(|(moment, _)| trigger(pair, w.role, moment)))
    });
    triggers.any(|trigger| trigger.eq_ignore_ascii_case(name))
}

fn trigger(pair: &Pair, role: &str, moment: &str) -> String {
    format!("{PREFIX}written_{}_{role}_{moment}", pair.name)
}

struct Log<'a> {
    pair: &'a Pair,
    shape: &'a Shape,
    key: Key,
}

impl Log<'_> {
    /// The statements of a trigger; none where it has nothing to do.
    fn body(&self, moment: &str) -> Vec<String> {
        match moment {
            "insert" => vec![self.row("NEW")],
            "update" => vec![self.row("OLD"), self.row("NEW")],
            "delete" => vec![self.row("OLD")],
            _ => self.replaced(),
        }
    }

    /// Logs the key of `row`.
    fn row(&self, row: &str) -> String {
        let into = self.into();
        match (self.key, &self.pair.parent) {
            (Key::Parent, Some(parent)) => format!(
                "{into} SELECT {} FROM {} AS c WHERE c.{} = {row}.{}",
                self.keys("c", Key::New),
                quote_ident(&self.pair.new),
                quote_ident(&parent.refers),
                quote_ident(&parent.id)
            ),
            _ => format!("{into} VALUES ({})", self.keys(row, self.key)),
        }
    }

    /// Logs the rows that `NEW` would replace: those with one of its unique keys. The key itself is logged anyway, where its
    /// index compares bytes.
    fn replaced(&self) -> Vec<String> {
        let parent = self.pair.parent.as_ref().map(|p| p.id.as_str());
        let key: Vec<&str> = match self.key {
            Key::Old => self.pair.key.iter().map(|k| k.old.as_str()).collect(),
            Key::New => self.pair.key.iter().map(|k| k.new.as_str()).collect(),
            Key::Parent => parent.into_iter().collect(),
        };
        let bytewise =
            |unique: &&Unique| unique.columns.iter().flatten().all(|(_, c)| c.eq_ignore_ascii_case("BINARY"));
        let uniques = self.shape.uniques.iter().filter(|u| !(u.is_of(&key.iter().copied()) && bytewise(u)));
        uniques
            .filter_map(|unique| {
                let (here, same) = unique.like_new(&quote_ident(&self.shape.name), "r")?;
                let (into, same) = (self.into(), same.join(" AND "));
                Some(match (self.key, &self.pair.parent) {
                    (Key::Parent, Some(parent)) => format!(
                        "{into} SELECT {} FROM {here} JOIN {} AS c ON c.{} = r.{} WHERE {same}",
                        self.keys("c", Key::New),
                        quote_ident(&self.pair.new),
                        quote_ident(&parent.refers),
                        quote_ident(&parent.id)
                    ),
                    _ => format!("{into} SELECT {} FROM {here} WHERE {same}", self.keys("r", self.key)),
                })
            })
            .collect()
    }

    fn into(&self) -> String {
        format!("INSERT INTO {} ({})", quote_ident(&table(self.pair)), columns(self.pair))
    }

    fn keys(&self, row: &str, of: Key) -> String {
        let one = |k: &crate::mapping::KeyColumn| match of {
            Key::Old => format!("{row}.{}", quote_ident(&k.old)),
            Key::New | Key::Parent => k.across(&format!("{row}.{}", quote_ident(&k.new))),
        };
        self.pair.key.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

fn run(conn: &Connection, sql: &str) -> Result<(), StepError> {
    conn.execute_batch(sql).map_err(failed)
}

fn failed(e: rusqlite::Error) -> StepError {
    sqlite_error(e, "while logging which rows programs write meanwhile")
}
