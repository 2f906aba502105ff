//! The old tables made anew from the new ones, and from what was kept aside.
//!
//! Owns the rows. A row whose new row gives what it gave when the old table went gets its old bytes; a row that was
//! written since gets what the new row gives now. A new row that does not fit into the old table any more stays on the new
//! side, in quarantine: no way back fails on a row, and none loses one.

use cutover_core::StepError;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params_from_iter};

use super::portion::FEW;
use super::raw::{ALONE, BESIDE, MOVED, Raw, VALUES};
use super::schema::{OldTable, run};
use crate::mapping::Pair;
use crate::mapping::names::QUARANTINE;
use crate::parity::sides::bytewise;
use crate::parity::{Part, Sides, log};
use crate::sequence;
use crate::sql::{message, quote_ident, quote_text, row_json, sqlite_error};

/// What came back.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Rebuilt {
    pub(super) rows: u64,
    /// Of them, those with old bytes that the new tables do not hold.
    pub(super) exact: u64,
    /// New rows that do not fit.
    pub(super) quarantined: u64,
}

/// What is done with a new row that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It may fit once others have moved: it is logged, and looked at again.
    Again,
    /// It goes into the quarantine.
    Aside,
}

/// Fills in what was kept whole among the next few rows behind the rowid `above`. Returns the last one's; none: there are none
/// left.
pub(super) fn whole(
    conn: &Connection,
    pair: &Pair,
    sides: &Sides,
    raw: &Raw,
    above: i64,
    made: &mut Rebuilt,
) -> Result<Option<i64>, StepError> {
    // By rowids alone: the index of the key would have all rows that were kept whole looked at each time.
    let last = format!("SELECT rowid FROM {} WHERE rowid > ?1 ORDER BY rowid LIMIT 1 OFFSET {}", raw.table, FEW - 1);
    let last: Option<i64> = conn
        .prepare_cached(&last)
        .and_then(|mut s| s.query_row([above], |row| row.get(0)).optional())
        .map_err(failed)?;
    let until = last.unwrap_or(i64::MAX);
    let insert = Insert::new(pair, sides, raw).whole;
    let rows = conn.prepare_cached(&insert).and_then(|mut s| s.execute([above, until])).map_err(failed)? as u64;
    made.rows += rows;
    made.exact += rows;
    Ok(last)
}

/// Compiles what fills that part in, and what looks whether it was filled in.
pub(super) fn compile(conn: &Connection, pair: &Pair, sides: &Sides, raw: &Raw, part: &Part) -> Result<(), StepError> {
    let Insert { given, kept, again, .. } = Insert::new(pair, sides, raw);
    let filling = [(again, &part.old), (given, &part.new), (kept, &part.new)].map(|(sql, more)| format!("{sql}{more}"));
    let looking = sides.unlike(&part.old, &part.new);
    filling.iter().chain(&looking).try_for_each(|sql| conn.prepare_cached(sql).map(drop)).map_err(failed)
}

/// Fills in that part from the new table, instead of what was filled in of it before.
pub(super) fn fill(
    conn: &Connection,
    pair: &Pair,
    sides: &Sides,
    raw: &Raw,
    (part, unfit): (&Part, Unfit),
    made: &mut Rebuilt,
) -> Result<(), StepError> {
    let insert = Insert::new(pair, sides, raw);
    let run = |sql: &str, more: &str| -> rusqlite::Result<u64> {
        let rows = conn.prepare_cached(&format!("{sql}{more}"))?.execute(params_from_iter(&part.values))?;
        Ok(rows as u64)
    };
    made.rows = made.rows.saturating_sub(run(&insert.again, &part.old).map_err(failed)?);
    for (sql, exact) in [(&insert.given, false), (&insert.kept, true)] {
        let rows = match run(sql, &part.new) {
            Ok(rows) => rows,
            Err(e) if misfit(&e) => one_by_one(conn, pair, sides, sql, (part, unfit), made)?,
            Err(e) => return Err(failed(e)),
        };
        made.rows += rows;
        made.exact += if exact { rows } else { 0 };
    }
    Ok(())
}

/// Refuses unless in that part the old table has a row for each that the new one shows, and for each that was kept
/// whole.
pub(super) fn counted(conn: &Connection, pair: &Pair, sides: &Sides, raw: &Raw, part: &Part) -> Result<(), StepError> {
    let count =
        |sql: &str| conn.prepare_cached(sql)?.query_row(params_from_iter(&part.values), |row| row.get::<_, i64>(0));
    let counts = || -> rusqlite::Result<(i64, i64)> {
        let old = count(&format!("SELECT count(*) FROM {} AS old WHERE 1{}", quote_ident(&pair.old), part.old))?;
        let shown = count(&format!("SELECT count(*) {}{}", sides.new_from(), part.new))?;
        let alone = format!("SELECT count(*) FROM {} WHERE whole = {ALONE}{}", raw.table, part.key);
        Ok((old, shown + count(&alone)?))
    };
    let (old, wanted) = counts().map_err(failed)?;
    if old == wanted {
        return Ok(());
    }
    Err(StepError::failed(format!("`{}` would come back with {old} rows instead of {wanted}", pair.old)).with_help(
        "its own rules or triggers take rows away or add some: mend them in the snapshot's schema, or restore",
    ))
}

pub(super) fn failed(e: rusqlite::Error) -> StepError {
    sqlite_error(e, "filling an old table from the new ones")
}

/// The statements that fill an old table.
pub(super) struct Insert {
    /// Of rows of which nothing was kept.
    pub(super) given: String,
    /// Of rows of which something was.
    pub(super) kept: String,
    /// Of rows that were kept whole and have no new row, between two rowids.
    whole: String,
    /// Of a row that was kept whole and has one; the parameters are its key.
    pub(super) beside: String,
    /// Deletes what was filled in, but for rows that have no new one.
    again: String,
}

impl Insert {
    pub(super) fn new(pair: &Pair, sides: &Sides, raw: &Raw) -> Self {
        let table = quote_ident(&pair.old);
        let key: Vec<String> = sides.key.iter().map(|(old, _)| quote_ident(old)).collect();
        let columns: Vec<String> = sides.compared.iter().map(|c| quote_ident(&c.column)).collect();
        let unmapped: Vec<String> = raw.unmapped.iter().map(|u| quote_ident(u)).collect();
        let new_key: Vec<String> = pair.key.iter().map(|k| k.across(&format!("new.{}", quote_ident(&k.new)))).collect();
        let given: Vec<String> = sides.compared.iter().map(|c| c.new.clone()).collect();
        let at: Vec<String> = raw.keys().iter().zip(&new_key).map(|(k, key)| format!("r.{k} = +{key}")).collect();
        let at = at.join(" AND ");
        let values: Vec<String> = given
            .iter()
            .enumerate()
            .map(|(i, sql)| {
                let unchanged = format!("{} IS {}", bytewise(sql), bytewise(&format!("r.n{i}")));
                format!("CASE WHEN r.whole = {VALUES} AND {unchanged} THEN r.v{i} ELSE {sql} END")
            })
            .collect();
        let unmapped_raw: Vec<String> = (0..unmapped.len()).map(|i| format!("r.u{i}")).collect();
        let old_at: Vec<String> = raw.keys().iter().zip(&key).map(|(k, key)| format!("r.{k} IS +old.{key}")).collect();
        let old_at = old_at.join(" AND ");
        let join = |parts: &[&[String]]| parts.concat().join(", ");
        let (from, condition) = sides.new_parts();
        let whole: Vec<String> = (0..columns.len()).map(|i| format!("r.v{i}")).collect();
        let keys: Vec<String> = raw.keys().iter().map(|k| format!("r.{k}")).collect();
        let whole = format!(
            "INSERT OR ABORT INTO {table} ({}) SELECT {} FROM {} AS r",
            join(&[&key, &columns, &unmapped]),
            join(&[&keys, &whole, &unmapped_raw]),
            raw.table
        );
        Self {
            given: format!(
                "INSERT OR ABORT INTO {table} ({}) SELECT {} {from} WHERE {condition} AND NOT EXISTS (SELECT 1 FROM {} AS r WHERE r.whole IN ({VALUES}, {BESIDE}, {MOVED}) AND {at})",
                join(&[&key, &columns]),
                join(&[&new_key, &given]),
                raw.table
            ),
            kept: format!(
                "INSERT OR ABORT INTO {table} ({}) SELECT {} {from} JOIN {} AS r ON r.whole IN ({VALUES}, {BESIDE}, {MOVED}) AND {at} WHERE {condition}",
                join(&[&key, &columns, &unmapped]),
                join(&[&new_key, &values, &unmapped_raw]),
                raw.table
            ),
            whole: format!("{whole} WHERE +r.whole = {ALONE} AND r.rowid > ?1 AND r.rowid <= ?2"),
            beside: format!("{whole} WHERE r.whole = {BESIDE}{}", raw.at("r.")),
            again: format!(
                "DELETE FROM {table} AS old WHERE NOT EXISTS (SELECT 1 FROM {} AS r WHERE r.whole = {ALONE} AND {old_at})",
                raw.table
            ),
        }
    }
}

/// Puts rows of the new side into the quarantine, up to `FROM`; the reason is the parameter of that number.
pub(super) fn set_aside(conn: &Connection, pair: &Pair, sides: &Sides, reason: usize) -> Result<String, StepError> {
    let quoted: Vec<String> = sides.new_key().iter().map(|k| format!("quote({k})")).collect();
    Ok(format!(
        "INSERT OR REPLACE INTO {QUARANTINE} (pair, side, key, reason, shown, row, at) \
         SELECT {}, 'new', {}, ?{reason}, 0, {}, strftime('%Y-%m-%dT%H:%M:%SZ', 'now')",
        quote_text(&pair.name),
        quoted.join(" || ',' || "),
        as_json(conn, pair)?
    ))
}

/// The row `new` as JSON, as the quarantine has it.
pub(super) fn as_json(conn: &Connection, pair: &Pair) -> Result<String, StepError> {
    let columns = crate::declared::column_names(conn, &pair.new)?;
    Ok(row_json(columns.iter().map(String::as_str), "new"))
}

/// Whether a row does not fit: the table's rules, or the type of its key.
pub(super) fn misfit(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch))
}

/// Puts the new rows whose parent is gone into the quarantine: no old row can show them.
pub(super) fn orphans(conn: &Connection, pair: &Pair, sides: &Sides, made: &mut Rebuilt) -> Result<(), StepError> {
    let Some(orphans) = sides.orphans() else { return Ok(()) };
    let rows = conn
        .prepare_cached(&format!("{} {orphans}", set_aside(conn, pair, sides, 1)?))
        .and_then(|mut s| s.execute(["its parent is gone"]))
        .map_err(failed)?;
    made.quarantined += rows as u64;
    Ok(())
}

/// The rows of a part one at a time.
fn one_by_one(
    conn: &Connection,
    pair: &Pair,
    sides: &Sides,
    insert: &str,
    (part, unfit): (&Part, Unfit),
    made: &mut Rebuilt,
) -> Result<u64, StepError> {
    let (from, condition) = sides.new_parts();
    let [_, stored] = sides.ordered();
    let (stored, old) = (stored.stored, sides.new_key());
    let columns = [&stored[..], &old].concat().join(", ");
    let keys = format!("SELECT {columns} {from} WHERE {condition}{}", part.new);
    let keys: Vec<Vec<Value>> = conn
        .prepare_cached(&keys)
        .and_then(|mut s| {
            let all = stored.len() + old.len();
            s.query_map(params_from_iter(&part.values), |row| (0..all).map(|i| row.get(i)).collect())?.collect()
        })
        .map_err(failed)?;
    let at: Vec<String> = stored.iter().enumerate().map(|(i, k)| format!(" AND {k} = ?{}", i + 1)).collect();
    let at = at.concat();
    let reason = stored.len() + 1;
    let aside = format!("{} {from} WHERE {condition}{at}", set_aside(conn, pair, sides, reason)?);
    let mut rows = 0;
    for keys in keys {
        let (key, old) = keys.split_at(stored.len());
        match conn.prepare_cached(&format!("{insert}{at}")).and_then(|mut s| s.execute(params_from_iter(key))) {
            Ok(n) => rows += n as u64,
            Err(e) if misfit(&e) => match unfit {
                Unfit::Again => log::add(conn, pair, old)?,
                Unfit::Aside => {
                    let why = Value::Text(message(&e));
                    conn.execute(&aside, params_from_iter(key.iter().chain([&why]))).map_err(failed)?;
                    made.quarantined += 1;
                }
            },
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
