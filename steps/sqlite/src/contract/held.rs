//! Rows whose new row was in quarantine when the old tables went.
//!
//! Owns what becomes of them on the way back. An old row that stood for such a new row follows it: it is gone where that
//! one is, it becomes what that one gives where that fits now, and comes back as it was where nothing has changed.

use cutover_core::StepError;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, ToSql, params_from_iter};

use super::raw::{ALONE, BESIDE, Raw};
use super::rebuild::{Insert, Rebuilt, as_json, failed, misfit, set_aside};
use crate::mapping::Pair;
use crate::mapping::names::QUARANTINE;
use crate::parity::Sides;
use crate::parity::quarantine::{Entry, entries};
use crate::sql::{message, read_literals};

/// Why a new row is in quarantine whose key an old row has that is there itself.
const TAKEN: &str = "its key belongs to another row there";

/// Decides each of them, in the transaction that brings the old table back. Whether there were any.
pub(super) fn settle(
    conn: &Connection,
    pair: &Pair,
    sides: &Sides,
    raw: &Raw,
    made: &mut Rebuilt,
) -> Result<bool, StepError> {
    let new = entries(conn, pair, "new")?;
    let held = Held::new(conn, pair, sides, raw)?;
    for entry in &new {
        held.decide(entry, made)?;
    }
    // New rows that were inserted since with the key of an old row that is in quarantine itself.
    let old = entries(conn, pair, "old")?;
    let any = !new.is_empty() || !old.is_empty();
    for entry in old {
        let Some(key) = key(pair, &entry) else { continue };
        if held.now(&key)?.is_some() {
            made.quarantined += held.set_aside(&key, TAKEN)?;
        }
    }
    Ok(any)
}

/// A key as the old table has it, and as the new one does.
struct Key {
    old: Vec<Value>,
    new: Vec<Value>,
}

fn key(pair: &Pair, entry: &Entry) -> Option<Key> {
    let old = read_literals(&entry.key).filter(|old| old.len() == pair.key.len())?;
    let across = |(key, value): (&crate::mapping::KeyColumn, &Value)| match value {
        Value::Integer(i) if key.negated => i.checked_neg().map_or(Value::Null, Value::Integer),
        Value::Real(r) if key.negated => Value::Integer(if *r > 0.0 { i64::MIN } else { i64::MAX }),
        other => other.clone(),
    };
    let new = pair.key.iter().zip(&old).map(across).collect();
    Some(Key { old, new })
}

/// The statements about one key each, which is their first parameters.
struct Held<'c> {
    conn: &'c Connection,
    pair: &'c Pair,
    insert: Insert,
    raw: &'c Raw,
    /// The new row as JSON, where it belongs on the old side.
    now: String,
    at: String,
    aside: String,
}

impl<'c> Held<'c> {
    fn new(conn: &'c Connection, pair: &'c Pair, sides: &Sides, raw: &'c Raw) -> Result<Self, StepError> {
        let [_, stored] = sides.ordered();
        let at: String = stored.stored.iter().enumerate().map(|(i, k)| format!(" AND {k} = ?{}", i + 1)).collect();
        let from = sides.any_new_from();
        let insert = Insert::new(pair, sides, raw);
        let now = format!("SELECT {} {from}{at}", as_json(conn, pair)?);
        let aside = format!("{} {from}{at}", set_aside(conn, pair, sides, pair.key.len() + 1)?);
        Ok(Self { conn, pair, insert, raw, now, at, aside })
    }

    fn decide(&self, entry: &Entry, made: &mut Rebuilt) -> Result<(), StepError> {
        let Some(key) = key(self.pair, entry) else { return Ok(()) };
        self.write(
            &format!("DELETE FROM {QUARANTINE} WHERE pair = ?1 AND side = 'new' AND key = ?2"),
            &[&self.pair.name, &entry.key],
        )?;
        let Some(now) = self.now(&key)? else { return Ok(()) };
        let untouched = now == entry.row;
        // What a parent gives may have changed, though the row has not.
        let reason = match untouched && self.pair.parent.is_none() {
            true => Some(entry.reason.clone()),
            false => self.put(&key, entry, made)?,
        };
        let Some(reason) = reason else { return Ok(()) };
        let shown = self.as_it_was(&key, made)?;
        self.set_aside(&key, if untouched { &entry.reason } else { &reason })?;
        self.write(
            &format!("UPDATE {QUARANTINE} SET shown = ?3 WHERE pair = ?1 AND side = 'new' AND key = ?2"),
            &[&self.pair.name, &entry.key, &shown],
        )?;
        if untouched && shown == entry.shown {
            return self.write(
                &format!("UPDATE {QUARANTINE} SET at = ?3 WHERE pair = ?1 AND side = 'new' AND key = ?2"),
                &[&self.pair.name, &entry.key, &entry.at],
            );
        }
        made.quarantined += 1;
        Ok(())
    }

    /// The new row, where there is one that belongs on the old side.
    fn now(&self, key: &Key) -> Result<Option<String>, StepError> {
        self.conn
            .prepare_cached(&self.now)
            .and_then(|mut s| s.query_row(params_from_iter(&key.new), |row| row.get(0)).optional())
            .map_err(failed)
    }

    /// Puts on the old side what the new row gives. Returns why it does not fit.
    fn put(&self, key: &Key, entry: &Entry, made: &mut Rebuilt) -> Result<Option<String>, StepError> {
        for sql in [&self.insert.given, &self.insert.kept] {
            let sql = format!("{sql}{}", self.at);
            match self.conn.prepare_cached(&sql).and_then(|mut s| s.execute(params_from_iter(&key.new))) {
                Ok(0) => {}
                Ok(rows) => {
                    made.rows += rows as u64;
                    return Ok(None);
                }
                Err(e) if misfit(&e) => return Ok(Some(message(&e))),
                Err(e) => return Err(failed(e)),
            }
        }
        Ok(Some(entry.reason.clone()))
    }

    /// Puts the old row back as it was. False: there was none, or another row has what it needs.
    fn as_it_was(&self, key: &Key, made: &mut Rebuilt) -> Result<bool, StepError> {
        let rows =
            self.conn.prepare_cached(&self.insert.beside).and_then(|mut s| s.execute(params_from_iter(&key.old)));
        match rows {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(e) if misfit(&e) => return Ok(false),
            Err(e) => return Err(failed(e)),
        }
        made.rows += 1;
        made.exact += 1;
        let found = format!("UPDATE {} SET whole = {ALONE} WHERE whole = {BESIDE}{}", self.raw.table, self.raw.at(""));
        let key: Vec<&dyn ToSql> = key.old.iter().map(|value| value as &dyn ToSql).collect();
        self.write(&found, &key)?;
        Ok(true)
    }

    /// Puts the new row into the quarantine: how many rows that were.
    fn set_aside(&self, key: &Key, reason: &str) -> Result<u64, StepError> {
        let reason = Value::Text(reason.to_owned());
        let rows = self
            .conn
            .prepare_cached(&self.aside)
            .and_then(|mut s| s.execute(params_from_iter(key.new.iter().chain([&reason]))))
            .map_err(failed)?;
        Ok(rows as u64)
    }

    fn write(&self, sql: &str, values: &[&dyn ToSql]) -> Result<(), StepError> {
        self.conn.prepare_cached(sql).and_then(|mut s| s.execute(values)).map(drop).map_err(failed)
    }
}
