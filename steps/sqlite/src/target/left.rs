//! What a change left, put together from what was heard of it.
//!
//! Rows of which something was heard are read as they were before the transaction and as they are. A table that the
//! change made, rebuilt, renamed or took columns from is read whole, and so is one whose rows changed their rowid.

use std::collections::BTreeMap;

use cutover_core::StepError;
use rusqlite::Connection;

use super::before::Before;
use super::catalog::{self, Table};
use super::heard::{Earlier, Heard, Ranges};
use super::keyed;
use super::objects::{self, Objects};
use super::pairs;
use super::reader::{Key, Reader};
use crate::sql::sqlite_error;
use crate::written::{Gone, Part, UNREAD, Written};

const DOING: &str = "while watching the rows that are written";

/// A table with the page where it is stored.
type Place = (Table, i64);

/// The database as it was when the change began.
#[derive(Debug)]
pub(crate) struct Start {
    tables: BTreeMap<String, Place>,
    objects: Objects,
    /// The WITHOUT ROWID tables.
    pub(crate) watched: Vec<String>,
}

impl Start {
    pub(crate) fn of(conn: &Connection, ledger: &str) -> Result<Self, StepError> {
        let objects = objects::of(conn, "main", ledger)?;
        let tables = places(conn, ledger)?;
        let keyed = tables.values().filter(|(table, _)| table.without_rowid);
        let watched = keyed.map(|(table, _)| table.name.clone()).collect();
        Ok(Self { tables, objects, watched })
    }

    /// Whether `table` is the table of that name as it was, whatever happened to its rows and columns.
    fn has(&self, (table, page): &Place) -> bool {
        self.tables.get(&table.name).is_some_and(|(old, at)| at == page && old.without_rowid == table.without_rowid)
    }

    /// Whether the columns of `table` may be others now.
    fn may_differ(&self, table: &str, objects: &Objects) -> bool {
        let name = format!("table {table}");
        self.objects.get(&name) != objects.get(&name)
    }
}

fn places(conn: &Connection, ledger: &str) -> Result<BTreeMap<String, Place>, StepError> {
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
    let place = |table: Table| {
        let page = pages.get(&table.name).copied().unwrap_or_default();
        (table.name.clone(), (table, page))
    };
    Ok(catalog::holders(conn, ledger)?.into_iter().map(place).collect())
}

/// What was written: the rows heard of, whole tables, and the schema.
pub(crate) fn left(
    conn: &Connection,
    ledger: &str,
    start: &Start,
    mut heard: Heard,
    earlier: &mut Earlier,
    before: &Before,
) -> Result<Written, StepError> {
    let lost_triggers = keyed::unwatch(conn, start.watched.len())?;
    let objects = objects::of(conn, "main", ledger)?;
    let mut written = Written { schema: objects::changes(&start.objects, &objects), ..Written::default() };
    let same_schema = objects == start.objects;
    let now = if same_schema { None } else { Some(places(conn, ledger)?) };
    let now = now.as_ref().unwrap_or(&start.tables);
    for (name, place) in now {
        let table = &place.0;
        let in_place = start.has(place);
        let unwatched = start.watched.iter().position(|t| t == name).is_some_and(|n| lost_triggers.contains(&n));
        let shadows = format!("{name}_");
        let heard_of = |t: &String| t == name || table.is_virtual && t.starts_with(&shadows);
        let touched = heard.inserted.keys().chain(heard.updated.keys()).chain(heard.moves.keys()).any(heard_of);
        let altered = !same_schema && start.may_differ(name, &objects);
        if !touched && in_place && !unwatched && !altered {
            continue;
        }
        let after = Reader::of(conn, table)?;
        let less = altered
            && !with_old(before, table, |old| Ok(old.is_some_and(|old| has_all(old, &after))))?.unwrap_or(false);
        let whole = !in_place || unwatched || less || table.is_virtual;
        if !whole && !touched {
            continue;
        }
        let mut part = None;
        if !whole {
            part = some_rows(&after, table, &mut heard, earlier, before)?;
        }
        if whole || part.is_none() {
            let whole = with_old(before, table, |old| pairs::whole(old, &after, in_place))?;
            let (made, gone) = whole.unwrap_or((None, unknown(name)));
            written.gone.extend(gone);
            part = Some(made);
        }
        written.tables.extend(part.flatten());
    }
    for (name, (table, _)) in start.tables.iter().filter(|(name, _)| !now.contains_key(*name)) {
        let gone = with_old(before, table, |old| old.map(pairs::dropped).transpose().map(Option::flatten))?;
        written.gone.extend(gone.unwrap_or_else(|| unknown(name)));
    }
    Ok(written)
}

/// Runs `work` with the table as it was before the transaction, if it was there. None: that is out of reach.
fn with_old<T>(
    before: &Before,
    table: &Table,
    work: impl FnOnce(Option<&Reader<'_>>) -> Result<T, StepError>,
) -> Result<Option<T>, StepError> {
    before.read(|conn| {
        let old = catalog::table(conn, &table.name)?;
        let reader = old.map(|old| Reader::of(conn, &old)).transpose()?;
        work(reader.as_ref())
    })
}

/// Whether no column was taken away or renamed.
fn has_all(old: &Reader<'_>, now: &Reader<'_>) -> bool {
    old.columns.names().iter().all(|o| now.columns.names().iter().any(|n| n.eq_ignore_ascii_case(o)))
}

fn unknown(table: &str) -> Option<Gone> {
    Some(Gone { table: table.to_owned(), columns: Vec::new(), rows: vec![UNREAD] })
}

/// The rows heard of. None: a row came from nowhere, so its rowid was changed.
fn some_rows(
    after: &Reader<'_>,
    table: &Table,
    heard: &mut Heard,
    earlier: &mut Earlier,
    before: &Before,
) -> Result<Option<Option<Part>>, StepError> {
    if table.without_rowid {
        let moves = heard.moves.remove(&table.name).unwrap_or_default();
        return keyed_rows(after, table, moves, earlier, before).map(Some);
    }
    let mut ranges = heard.inserted.remove(&table.name).unwrap_or_default();
    ranges.extend(&heard.updated.remove(&table.name).unwrap_or_default());
    ranges.settle();
    let none = Ranges::default();
    let inserted = earlier.inserted.get(&table.name).unwrap_or(&none);
    let condition = |reader: &Reader<'_>| format!("n.{} BETWEEN ?1 AND ?2", reader.columns.rowid());
    let read = |old: Option<&Reader<'_>>, known: bool| {
        let mut was: BTreeMap<Key, u64> = BTreeMap::new();
        if let Some(old) = old {
            old.read(&condition(old), ranges.pairs(), |key, digest| {
                was.insert(key, digest);
            })?;
        }
        let mut part = pairs::part(old, after);
        let mut strays = false;
        after.read(&condition(after), ranges.pairs(), |key, digest| match was.remove(&key) {
            Some(old) => {
                part.before.push(old);
                part.after.push(digest);
            }
            None if matches!(key, Key::Rowid(rowid) if inserted.contain(rowid)) => part.new.push(digest),
            None if !known => {
                part.before.push(UNREAD);
                part.after.push(digest);
            }
            None => strays = true,
        })?;
        Ok::<_, StepError>((!strays).then(|| pairs::finish(part, old, after)))
    };
    match with_old(before, table, |old| read(old, true))? {
        Some(found) => Ok(found),
        None => read(None, false),
    }
}

/// The rows heard of in a WITHOUT ROWID table.
fn keyed_rows(
    after: &Reader<'_>,
    table: &Table,
    moves: Vec<super::heard::Move>,
    earlier: &mut Earlier,
    before: &Before,
) -> Result<Option<Part>, StepError> {
    let now = earlier.follow(&table.name, moves);
    let mut found = BTreeMap::new();
    after.read(&after.has_key(), now.values(), |key, digest| {
        found.insert(key, digest);
    })?;
    let origins = earlier.origins.get(&table.name).into_iter().flatten().filter(|(key, _)| found.contains_key(key));
    let origins: Vec<_> = origins.map(|(key, (inserted, from))| (found[key], *inserted, from)).collect();
    let read = |old: Option<&Reader<'_>>, known: bool| {
        let mut was = BTreeMap::new();
        if let Some(old) = old {
            old.read(&old.has_key(), origins.iter().map(|(_, _, from)| *from), |key, digest| {
                was.insert(key, digest);
            })?;
        }
        let mut part = pairs::part(old, after);
        for (digest, inserted, from) in &origins {
            match was.get(&Key::primary(from)).copied() {
                None if *inserted || known => part.new.push(*digest),
                old => {
                    part.before.push(old.unwrap_or(UNREAD));
                    part.after.push(*digest);
                }
            }
        }
        Ok::<_, StepError>(pairs::finish(part, old, after))
    };
    match with_old(before, table, |old| read(old, true))? {
        Some(part) => Ok(part),
        None => read(None, false),
    }
}
