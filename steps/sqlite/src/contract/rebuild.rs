//! The old tables made anew from the new ones, and from what was kept aside.
//!
//! Owns the rows. A row whose new row gives what it gave when the old table went gets its old bytes; a row that was
//! written since gets what the new row gives now. A new row that does not fit into the old table any more stays on the new
//! side, in quarantine: no way back fails on a row, and none loses one.

use cutover_core::StepError;
use rusqlite::{Connection, ErrorCode, params_from_iter};

use super::raw::Raw;
use super::schema::{OldTable, run};
use crate::mapping::Pair;
use crate::mapping::names::QUARANTINE;
use crate::parity::sides::bytewise;
use crate::parity::{Range, Sides};
use crate::sequence;
use crate::sql::{message, quote_ident, quote_text, sqlite_error};

/// What came back.
#[derive(Debug, Default)]
pub(super) struct Rebuilt {
    pub(super) rows: u64,
    /// Of them, those with old bytes that the new tables do not hold.
    pub(super) exact: u64,
    /// New rows that do not fit.
    pub(super) quarantined: u64,
}

/// Fills the table, which is there and empty, without indexes and triggers.
pub(super) fn fill(
    conn: &Connection,
    pair: &Pair,
    sides: &Sides,
    raw: &Raw,
    found: &mut Rebuilt,
) -> Result<(), StepError> {
    let insert = Insert::new(pair, sides, raw);
    let mut range = Some(Range::first(conn, sides)?);
    while let Some(at) = range {
        let [_, new] = sides.ordered();
        let condition = at.condition(&new);
        for (sql, exact) in [(&insert.given, false), (&insert.kept, true)] {
            let rows = match conn
                .prepare_cached(&format!("{sql}{condition}"))
                .and_then(|mut s| s.execute(params_from_iter(at.values())))
            {
                Ok(rows) => rows as u64,
                Err(e) if e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    one_by_one(conn, pair, sides, sql, &at, found)?
                }
                Err(e) => return Err(failed(e)),
            };
            found.rows += rows;
            found.exact += if exact { rows } else { 0 };
        }
        range = at.next(conn, sides)?;
    }
    let whole = conn.execute(&insert.whole, []).map_err(failed)? as u64;
    found.rows += whole;
    found.exact += whole;
    Ok(())
}

fn failed(e: rusqlite::Error) -> StepError {
    sqlite_error(e, "filling an old table from the new ones")
}

/// The statements that fill an old table.
struct Insert {
    /// Of rows of which nothing was kept.
    given: String,
    /// Of rows of which something was.
    kept: String,
    /// Of rows that were kept whole.
    whole: String,
}

impl Insert {
    fn new(pair: &Pair, sides: &Sides, raw: &Raw) -> Self {
        let table = quote_ident(&pair.old);
        let key: Vec<String> = sides.key.iter().map(|(old, _)| quote_ident(old)).collect();
        let columns: Vec<String> = sides.compared.iter().map(|c| quote_ident(&c.column)).collect();
        let unmapped: Vec<String> = raw.unmapped.iter().map(|u| quote_ident(u)).collect();
        let new_key: Vec<String> = pair.key.iter().map(|k| k.across(&format!("new.{}", quote_ident(&k.new)))).collect();
        let given: Vec<String> = sides.compared.iter().map(|c| c.new.clone()).collect();
        let at: Vec<String> = raw.keys().iter().zip(&new_key).map(|(k, key)| format!("r.{k} = {key}")).collect();
        let at = at.join(" AND ");
        let values: Vec<String> = given
            .iter()
            .enumerate()
            .map(|(i, sql)| {
                format!("CASE WHEN {} IS {} THEN r.v{i} ELSE {sql} END", bytewise(sql), bytewise(&format!("r.n{i}")))
            })
            .collect();
        let unmapped_raw: Vec<String> = (0..unmapped.len()).map(|i| format!("r.u{i}")).collect();
        let join = |parts: &[&[String]]| parts.concat().join(", ");
        let (from, condition) = sides.new_parts();
        let whole: Vec<String> = (0..columns.len()).map(|i| format!("r.v{i}")).collect();
        let keys: Vec<String> = raw.keys().iter().map(|k| format!("r.{k}")).collect();
        Self {
            given: format!(
                "INSERT INTO {table} ({}) SELECT {} {from} WHERE {condition} AND NOT EXISTS (SELECT 1 FROM {} AS r WHERE {at})",
                join(&[&key, &columns]),
                join(&[&new_key, &given]),
                raw.table
            ),
            kept: format!(
                "INSERT INTO {table} ({}) SELECT {} {from} JOIN {} AS r ON r.whole = 0 AND {at} WHERE {condition}",
                join(&[&key, &columns, &unmapped]),
                join(&[&new_key, &values, &unmapped_raw]),
                raw.table
            ),
            whole: format!(
                "INSERT INTO {table} ({}) SELECT {} FROM {} AS r WHERE r.whole = 1 ORDER BY {}",
                join(&[&key, &columns, &unmapped]),
                join(&[&keys, &whole, &unmapped_raw]),
                raw.table,
                keys.join(", ")
            ),
        }
    }
}

/// The rows of a range one at a time; those that do not fit go into the quarantine.
fn one_by_one(
    conn: &Connection,
    pair: &Pair,
    sides: &Sides,
    insert: &str,
    range: &Range,
    found: &mut Rebuilt,
) -> Result<u64, StepError> {
    let (from, condition) = sides.new_parts();
    let [_, ordered] = sides.ordered();
    let keys = format!("SELECT {} {from} WHERE {condition}{}", ordered.stored.join(", "), range.condition(&ordered));
    let key = ordered.stored;
    let keys: Vec<Vec<rusqlite::types::Value>> = conn
        .prepare_cached(&keys)
        .and_then(|mut s| {
            s.query_map(params_from_iter(range.values()), |row| (0..key.len()).map(|i| row.get(i)).collect())?.collect()
        })
        .map_err(failed)?;
    let at: Vec<String> = key.iter().enumerate().map(|(i, k)| format!(" AND {k} = ?{}", i + 1)).collect();
    let at = at.concat();
    let quoted: Vec<String> = sides.new_key().iter().map(|k| format!("quote({k})")).collect();
    let row: Vec<String> = crate::declared::column_names(conn, &pair.new)?
        .iter()
        .map(|c| {
            let value = format!("new.{}", quote_ident(c));
            format!("{}, CASE typeof({value}) WHEN 'blob' THEN quote({value}) ELSE {value} END", quote_text(c))
        })
        .collect();
    let aside = format!(
        "INSERT OR REPLACE INTO {QUARANTINE} (pair, side, key, reason, shown, row, at) \
         SELECT {}, 'new', {}, ?{}, 0, json_object({}), strftime('%Y-%m-%dT%H:%M:%SZ', 'now') {from} WHERE {condition}{at}",
        quote_text(&pair.name),
        quoted.join(" || ',' || "),
        key.len() + 1,
        row.join(", ")
    );
    let mut rows = 0;
    for key in keys {
        match conn.prepare_cached(&format!("{insert}{at}")).and_then(|mut s| s.execute(params_from_iter(&key))) {
            Ok(n) => rows += n as u64,
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                let why = rusqlite::types::Value::Text(message(&e));
                conn.execute(&aside, params_from_iter(key.iter().chain([&why]))).map_err(failed)?;
                found.quarantined += 1;
            }
            Err(e) => return Err(failed(e)),
        }
    }
    Ok(rows)
}

/// Puts the counter of the table back, above every id that either side has handed out since.
pub(super) fn count_on(conn: &Connection, pair: &Pair, table: &OldTable) -> Result<(), StepError> {
    let Some(before) = table.counter else {
        // Without a row before, one that the rebuilding made stays: it is what the ids that are there ask for.
        return Ok(());
    };
    // Where keys are negated, each table counts its own.
    let shared = !pair.key.iter().any(|k| k.negated);
    let now = sequence::current(conn, &pair.new)?.filter(|_| shared);
    let moved = now.filter(|now| Some(*now) != table.new_counter);
    let here = sequence::current(conn, &table.name)?;
    let seq = [Some(before), moved, here].into_iter().flatten().max().unwrap_or(before);
    let name = quote_text(&table.name);
    run(
        conn,
        &format!(
            "DELETE FROM sqlite_sequence WHERE name = {name}; INSERT INTO sqlite_sequence (name, seq) VALUES ({name}, {seq})"
        ),
        "putting back a counter",
    )
}
