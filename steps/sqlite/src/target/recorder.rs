//! Listens to a connection while a change runs, and says which rows it wrote.
//!
//! Owns the two ways to hear of a row: SQLite's update hook, and for WITHOUT ROWID tables, which the hook does not see,
//! temporary triggers that call a function of ours. When the change is done, each row heard of is read once more and
//! digested as it was left. A table that the change made, rebuilt or renamed counts whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cutover_core::StepError;
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::hooks::Action;
use rusqlite::types::{Null, Value};

use super::catalog::{self, Table};
use super::reader::{NONE, Reader};
use crate::sql::{quote_ident, quote_text, sqlite_error};
use crate::written::Written;

const DOING: &str = "while watching the rows that are written";
const FUNCTION: &str = "cutover_wrote";

/// Rows heard of.
#[derive(Debug, Default)]
struct Heard {
    /// Rowids by table: inclusive ranges, as they came.
    rowids: BTreeMap<String, Vec<(i64, i64)>>,
    /// Primary keys by WITHOUT ROWID table.
    keys: BTreeMap<String, Vec<Vec<Value>>>,
}

/// Listens to a connection's row changes while asked to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorder {
    listening: Arc<AtomicBool>,
    heard: Arc<Mutex<Heard>>,
}

impl Recorder {
    /// Listens to `conn` from now on; nothing is kept until [`record`](Self::record).
    pub(crate) fn attach(&self, conn: &mut Connection) -> Result<(), StepError> {
        let Self { listening, heard } = self.clone();
        let hook = move |action: Action, schema: &str, table: &str, rowid: i64| {
            if listening.load(Ordering::Relaxed) && schema == "main" && action != Action::SQLITE_DELETE {
                let rowids = &mut heard.lock().unwrap_or_else(PoisonError::into_inner).rowids;
                match rowids.get_mut(table) {
                    Some(ranges) => push(ranges, rowid),
                    None => {
                        rowids.insert(table.to_owned(), vec![(rowid, rowid)]);
                    }
                }
            }
        };
        let Self { listening, heard } = self.clone();
        let function = move |call: &Context<'_>| -> rusqlite::Result<Null> {
            if listening.load(Ordering::Relaxed) {
                let table: String = call.get(0)?;
                let key = (1..call.len()).map(|i| call.get(i)).collect::<rusqlite::Result<_>>()?;
                heard.lock().unwrap_or_else(PoisonError::into_inner).keys.entry(table).or_default().push(key);
            }
            Ok(Null)
        };
        conn.update_hook(Some(hook))
            .and_then(|()| conn.create_scalar_function(FUNCTION, -1, FunctionFlags::SQLITE_UTF8, function))
            .map_err(|e| sqlite_error(e, DOING))
    }

    /// Runs `work` inside the open transaction and says which rows it inserted or updated.
    pub(crate) fn record<T>(
        &self,
        conn: &Connection,
        ledger: &str,
        work: impl FnOnce() -> Result<T, StepError>,
    ) -> Result<(T, Written), StepError> {
        let before = tables(conn, ledger)?;
        let keyed = before.values().filter(|(table, _)| table.without_rowid).enumerate();
        let watched: Vec<String> =
            keyed.map(|(n, (t, _))| watch(conn, n, &t.name).map(|()| t.name.clone())).collect::<Result<_, _>>()?;
        self.take();
        self.listening.store(true, Ordering::Relaxed);
        let result = work();
        self.listening.store(false, Ordering::Relaxed);
        let heard = self.take();
        let value = result?;
        Ok((value, left(conn, ledger, &before, &watched, heard)?))
    }

    fn take(&self) -> Heard {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The user's tables as they were when the change began, each with the page where it is stored.
type Tables = BTreeMap<String, (Table, i64)>;

fn tables(conn: &Connection, ledger: &str) -> Result<Tables, StepError> {
    let moving: i64 =
        conn.query_row("PRAGMA main.auto_vacuum", [], |row| row.get(0)).map_err(|e| sqlite_error(e, DOING))?;
    let mut pages: BTreeMap<String, i64> = BTreeMap::new();
    // Where SQLite moves tables by itself, their place says nothing.
    if moving == 0 {
        pages = conn
            .prepare_cached("SELECT name, rootpage FROM main.sqlite_master WHERE type = 'table'")
            .and_then(|mut s| s.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .map_err(|e| sqlite_error(e, DOING))?;
    }
    let plain = catalog::tables(conn, ledger)?.into_iter().filter(|t| !t.is_virtual);
    Ok(plain.map(|t| (t.name.clone(), (t.clone(), pages.get(&t.name).copied().unwrap_or_default()))).collect())
}

/// The columns of a table's primary key, in its order.
fn key(conn: &Connection, table: &str) -> Result<Vec<String>, StepError> {
    conn.prepare_cached("SELECT name FROM pragma_table_info(?1, 'main') WHERE pk > 0 ORDER BY pk")
        .and_then(|mut s| s.query_map([table], |row| row.get(0))?.collect())
        .map_err(|e| sqlite_error(e, DOING))
}

/// Sets triggers on a WITHOUT ROWID table. The rollback of a failed change takes them away again.
fn watch(conn: &Connection, number: usize, table: &str) -> Result<(), StepError> {
    let key = key(conn, table)?;
    let values: Vec<String> = key.iter().map(|name| format!("new.{}", quote_ident(name))).collect();
    for event in ["insert", "update"] {
        let name = format!("{FUNCTION}_{event}_{number}");
        conn.execute_batch(&format!(
            "CREATE TEMP TRIGGER {name} AFTER {event} ON main.{} BEGIN SELECT {FUNCTION}({}, {}); END",
            quote_ident(table),
            quote_text(table),
            values.join(", ")
        ))
        .map_err(|e| sqlite_error(e, DOING))?;
    }
    Ok(())
}

/// Takes the triggers away. The tables whose triggers were gone already: the change dropped them with their table.
fn unwatch(conn: &Connection, watched: usize) -> Result<BTreeSet<usize>, StepError> {
    let there = |name: &str| {
        conn.prepare_cached("SELECT 1 FROM temp.sqlite_master WHERE type = 'trigger' AND name = ?1")
            .and_then(|mut s| s.exists([name]))
            .map_err(|e| sqlite_error(e, DOING))
    };
    let mut gone = BTreeSet::new();
    for number in 0..watched {
        for event in ["insert", "update"] {
            let name = format!("{FUNCTION}_{event}_{number}");
            if there(&name)? {
                conn.execute_batch(&format!("DROP TRIGGER temp.{name}")).map_err(|e| sqlite_error(e, DOING))?;
            } else {
                gone.insert(number);
            }
        }
    }
    Ok(gone)
}

/// The rows heard of, as the change left them.
fn left(
    conn: &Connection,
    ledger: &str,
    before: &Tables,
    watched: &[String],
    mut heard: Heard,
) -> Result<Written, StepError> {
    let gone = unwatch(conn, watched.len())?;
    let mut parts = Vec::new();
    for (name, (table, page)) in tables(conn, ledger)? {
        let place = watched.iter().position(|table| *table == name);
        let same = before.get(&name).is_some_and(|(t, p)| *p == page && t.without_rowid == table.without_rowid);
        let whole = !same || place.is_some_and(|n| gone.contains(&n));
        let (rowids, keys) = (heard.rowids.remove(&name), heard.keys.remove(&name));
        if !whole && rowids.is_none() && keys.is_none() {
            continue;
        }
        let mut reader = Reader::of(conn, &name)?;
        if whole {
            reader.read("1", [NONE])?;
        } else if let Some(mut ranges) = rowids {
            settle(&mut ranges);
            let condition = format!("n.{} BETWEEN ?1 AND ?2", reader.columns.rowid());
            reader.read(&condition, ranges.into_iter().map(|(low, high)| [low, high]))?;
        } else if let Some(keys) = keys {
            let same: Vec<_> = (key(conn, &name)?.iter().zip(1..))
                .map(|(name, n)| format!("n.{} IS ?{n}", quote_ident(name)))
                .collect();
            reader.read(&same.join(" AND "), keys)?;
        }
        parts.extend(reader.finish());
    }
    Ok(Written(parts))
}

fn push(ranges: &mut Vec<(i64, i64)>, rowid: i64) {
    match ranges.last_mut() {
        Some((low, high)) if *low <= rowid && rowid <= high.saturating_add(1) => *high = rowid.max(*high),
        _ => ranges.push((rowid, rowid)),
    }
}

/// Sorts and joins.
fn settle(ranges: &mut Vec<(i64, i64)>) {
    ranges.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for &(low, high) in ranges.iter() {
        match joined.last_mut() {
            Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
            _ => joined.push((low, high)),
        }
    }
    *ranges = joined;
}
