//! The rows that the mapping cannot show on the other side, as parity meets them.
//!
//! Owns the questions whether a row is among them, and which they are. Who puts rows there is `sqlite.expand`.

use cutover_core::StepError;
use rusqlite::Connection;

use crate::mapping::Pair;
use crate::mapping::names::QUARANTINE;
use crate::sql::{quote_text, sqlite_error};
use crate::target::bookkeeping::has_table;

/// How many of them a report names.
const NAMED: usize = 3;

/// The rows in quarantine.
#[derive(Debug, Default)]
pub(crate) struct Quarantined {
    pub(crate) count: u64,
    /// Of them, those of the old side.
    pub(crate) old: u64,
    /// The first of them by key, each with its reason.
    pub(crate) named: Vec<String>,
}

/// The condition under which a row with this key (as the old table has it) is in quarantine, on whichever side it stands.
pub(crate) fn holds(conn: &Connection, pair: &Pair, key: &[String]) -> Result<String, StepError> {
    if !has_table(conn, QUARANTINE)? {
        return Ok("0".to_owned());
    }
    let key: Vec<String> = key.iter().map(|k| format!("quote({k})")).collect();
    let (pair, key) = (quote_text(&pair.name), key.join(" || ',' || "));
    // Whether it has any row is asked once in a statement: mostly there is none, and no key is looked for.
    Ok(format!(
        "(EXISTS (SELECT 1 FROM {QUARANTINE} AS q WHERE q.pair = {pair}) \
         AND EXISTS (SELECT 1 FROM {QUARANTINE} AS q WHERE q.pair = {pair} AND q.key = {key}))"
    ))
}

/// The condition under which an old row with this key stands for a new row that is in quarantine: nobody has written it
/// since the two could not be the same any more.
pub(crate) fn follows(conn: &Connection, pair: &Pair, key: &[String]) -> Result<String, StepError> {
    if !has_table(conn, QUARANTINE)? {
        return Ok("0".to_owned());
    }
    let key: Vec<String> = key.iter().map(|k| format!("quote({k})")).collect();
    Ok(format!(
        "EXISTS (SELECT 1 FROM {QUARANTINE} AS q WHERE q.pair = {} AND q.side = 'new' AND q.key = {} AND q.shown = 1)",
        quote_text(&pair.name),
        key.join(" || ',' || ")
    ))
}

/// A row in quarantine.
#[derive(Debug)]
pub(crate) struct Entry {
    /// As [`crate::sql::read_literals`] reads it: the key as the old table has it.
    pub(crate) key: String,
    pub(crate) reason: String,
    /// Whether an old row stands for it.
    pub(crate) shown: bool,
    /// As it was when it went there, and when that was.
    pub(crate) row: String,
    pub(crate) at: String,
}

/// The rows of a side in quarantine, by key.
pub(crate) fn entries(conn: &Connection, pair: &Pair, side: &str) -> Result<Vec<Entry>, StepError> {
    if !has_table(conn, QUARANTINE)? {
        return Ok(Vec::new());
    }
    conn.prepare_cached(&format!(
        "SELECT key, reason, shown, row, at FROM {QUARANTINE} WHERE pair = ?1 AND side = ?2 ORDER BY length(key), key"
    ))
    .and_then(|mut s| {
        s.query_map([&pair.name, side], |row| {
            Ok(Entry { key: row.get(0)?, reason: row.get(1)?, shown: row.get(2)?, row: row.get(3)?, at: row.get(4)? })
        })?
        .collect()
    })
    .map_err(|e| sqlite_error(e, "while reading the quarantine"))
}

/// The rows of `pair` in quarantine.
pub(crate) fn of(conn: &Connection, pair: &Pair) -> Result<Quarantined, StepError> {
    let mut found = Quarantined::default();
    if !has_table(conn, QUARANTINE)? {
        return Ok(found);
    }
    let failed = |e| sqlite_error(e, "while reading the quarantine");
    let (count, old): (i64, i64) = conn
        .prepare_cached(&format!("SELECT count(*), coalesce(sum(side = 'old'), 0) FROM {QUARANTINE} WHERE pair = ?1"))
        .and_then(|mut s| s.query_row([&pair.name], |row| Ok((row.get(0)?, row.get(1)?))))
        .map_err(failed)?;
    (found.count, found.old) = (count.unsigned_abs(), old.unsigned_abs());
    let named = format!(
        "SELECT key, reason, side FROM {QUARANTINE} WHERE pair = ?1 ORDER BY side DESC, length(key), key LIMIT {NAMED}"
    );
    let mut statement = conn.prepare_cached(&named).map_err(failed)?;
    let mut rows = statement.query([&pair.name]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let (key, reason): (String, String) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
        let of_new = row.get::<_, String>(2).map_err(failed)? == "new";
        let table = if of_new { &pair.new } else { &pair.old };
        let key = if of_new && pair.key.iter().any(|k| k.negated) { negative(&key) } else { key };
        found.named.push(format!("{key} of `{table}` ({reason})"));
    }
    Ok(found)
}

/// The key of a row of the new side, which stands in the quarantine as the old side has it.
fn negative(key: &str) -> String {
    match key.strip_prefix('-') {
        Some(positive) => positive.to_owned(),
        None if key == "0" => key.to_owned(),
        None => format!("-{key}"),
    }
}
