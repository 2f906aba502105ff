//! A freeze: triggers that refuse every row change of others, as long as a lease lasts.
//!
//! Owns the table `_cutover_freeze` (one row: whose the freeze is, from when until when it holds) and the triggers that
//! read it. The lease is in the database, so it ends by itself when nobody renews it; its window is closed on both
//! sides, so that a clock set back ends it too. The owner's own transactions pass: they open the freeze when they begin
//! and close it before they commit, which nobody else ever sees. Knows nothing of steps or threads.

use std::collections::BTreeMap;
use std::time::Duration;

use cutover_core::{StepError, StepInfo};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{bookkeeping, catalog, objects};
use crate::sql::{quote_ident, quote_text, sqlite_error};

/// The table of the lease.
pub(crate) const TABLE: &str = "_cutover_freeze";

/// Seconds since 1970, by the clock that the triggers read.
const NOW: &str = "CAST(strftime('%s', 'now') AS INTEGER)";

const DOING: &str = "while reading the freeze";

/// The freeze that a database is under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Freeze {
    pub(crate) plan: String,
    pub(crate) step: String,
    pub(crate) run: String,
    pub(crate) lease: Duration,
    /// Milliseconds since 1970.
    pub(crate) began: i64,
    /// How often it was found open, because nobody had renewed it in time.
    pub(crate) lapses: i64,
    /// How often somebody else was found to have committed all the same.
    pub(crate) passed: i64,
    /// Whether others are refused now.
    pub(crate) holds: bool,
    objects: BTreeMap<String, String>,
}

impl Freeze {
    /// Whether this run made it.
    pub(crate) fn is_of(&self, step: &StepInfo) -> bool {
        self.plan == step.plan && self.run == step.run
    }
}

/// The freeze of the database, if it is under one (or was, and nobody took it away).
pub(crate) fn read(conn: &Connection) -> Result<Option<Freeze>, StepError> {
    if !bookkeeping::has_table(conn, TABLE)? {
        return Ok(None);
    }
    conn.prepare_cached(&format!(
        "SELECT plan, step, run, lease, began, lapses, passed, {NOW} BETWEEN since AND until, objects FROM {TABLE}"
    ))
    .and_then(|mut s| {
        s.query_row([], |row| {
            Ok(Freeze {
                plan: row.get(0)?,
                step: row.get(1)?,
                run: row.get(2)?,
                lease: Duration::from_secs(u64::try_from(row.get::<_, i64>(3)?).unwrap_or(1)),
                began: row.get(4)?,
                lapses: row.get(5)?,
                passed: row.get(6)?,
                holds: row.get(7)?,
                objects: serde_json::from_str(&row.get::<_, String>(8)?).unwrap_or_default(),
            })
        })
        .optional()
    })
    .map_err(|e| sqlite_error(e, DOING))
}

/// Puts the database under a freeze of `step`. `now`: milliseconds since 1970.
pub(crate) fn install(
    conn: &Connection,
    ledger: &str,
    step: &StepInfo,
    lease: Duration,
    now: i64,
) -> Result<(), StepError> {
    remove(conn)?;
    conn.execute_batch(&format!(
        "CREATE TABLE {TABLE} (
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  plan TEXT NOT NULL,
  step TEXT NOT NULL,
  run TEXT NOT NULL,
  since INTEGER NOT NULL,
  until INTEGER NOT NULL,
  lease INTEGER NOT NULL,
  passing INTEGER NOT NULL DEFAULT 0,
  began INTEGER NOT NULL,
  lapses INTEGER NOT NULL DEFAULT 0,
  passed INTEGER NOT NULL DEFAULT 0,
  objects TEXT NOT NULL
)"
    ))
    .and_then(|()| {
        let lease = i64::try_from(lease.as_secs().max(1)).unwrap_or(i64::MAX);
        conn.execute(
            &format!(
                "INSERT INTO {TABLE} (only_row, plan, step, run, since, until, lease, began, objects) \
                 VALUES (1, ?1, ?2, ?3, {NOW}, {NOW} + ?4, ?4, ?5, '{{}}')"
            ),
            params![step.plan, step.id, step.run, lease, now],
        )
        .map(drop)
    })
    .map_err(|e| sqlite_error(e, "while freezing the database"))?;
    cover(conn, ledger, &step.plan)?;
    remember(conn, ledger)
}

/// Takes the freeze away: every trigger of it and its table, whatever of them is there.
pub(crate) fn remove(conn: &Connection) -> Result<(), StepError> {
    let ours = |kind: &str| -> rusqlite::Result<Vec<String>> {
        conn.prepare_cached("SELECT name FROM main.sqlite_master WHERE type = ?1 AND substr(name, 1, 15) = ?2")?
            .query_map([kind, TABLE], |row| row.get(0))?
            .collect()
    };
    let drop_all = || -> rusqlite::Result<()> {
        for kind in ["trigger", "table"] {
            for name in ours(kind)? {
                conn.execute_batch(&format!("DROP {kind} main.{}", quote_ident(&name)))?;
            }
        }
        Ok(())
    };
    drop_all().map_err(|e| sqlite_error(e, "while lifting the freeze"))
}

/// The tables that others could write all the same: none of their own kinds of change is refused.
pub(crate) fn uncovered(conn: &Connection, ledger: &str) -> Result<Vec<String>, StepError> {
    let covered: Vec<String> = conn
        .prepare_cached(
            "SELECT tbl_name FROM main.sqlite_master WHERE type = 'trigger' AND substr(name, 1, 16) = ?1 || '_'
             GROUP BY tbl_name HAVING count(*) >= 3",
        )
        .and_then(|mut s| s.query_map([TABLE], |row| row.get(0))?.collect())
        .map_err(|e| sqlite_error(e, DOING))?;
    let tables = catalog::tables(conn, ledger)?;
    Ok(tables.into_iter().filter(|t| !t.is_virtual && !covered.contains(&t.name)).map(|t| t.name).collect())
}

/// How many tables others cannot write.
pub(crate) fn covered(conn: &Connection) -> Result<usize, StepError> {
    let count: i64 = conn
        .query_row(
            "SELECT count(DISTINCT tbl_name) FROM main.sqlite_master WHERE type = 'trigger' AND substr(name, 1, 16) = ?1 || '_'",
            [TABLE],
            |row| row.get(0),
        )
        .map_err(|e| sqlite_error(e, DOING))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// The virtual tables, which can have no triggers; those of `known` are left out.
pub(crate) fn virtual_tables(conn: &Connection, ledger: &str, known: &[String]) -> Result<Vec<String>, StepError> {
    let tables = catalog::tables(conn, ledger)?;
    let listed = |name: &str| known.iter().any(|k| k.eq_ignore_ascii_case(name));
    Ok(tables.into_iter().filter(|t| t.is_virtual && !listed(&t.name)).map(|t| t.name).collect())
}

/// Opens the freeze for the transaction of its own run, and takes away that of another: whoever writes here holds the
/// lock of the database, so the run that made it is over. `passed`: somebody else was seen to have committed. Returns
/// what others changed in the schema under the freeze.
pub(crate) fn enter(conn: &Connection, ledger: &str, step: &StepInfo, passed: bool) -> Result<Vec<String>, StepError> {
    let Some(freeze) = read(conn)? else { return Ok(Vec::new()) };
    if !freeze.is_of(step) {
        remove(conn)?;
        // A freeze that is over is to be made again, if its plan goes on.
        let over = StepInfo { plan: freeze.plan, id: freeze.step, ..StepInfo::default() };
        bookkeeping::erase(conn, ledger, &over)?;
        return Ok(Vec::new());
    }
    let now = prints(conn, ledger)?;
    let altered: Vec<String> =
        cutover_core::differences(&freeze.objects, &now).map(|(name, how)| format!("{name} {how}")).collect();
    conn.prepare_cached(&format!(
        "UPDATE {TABLE} SET passing = ?1, lapses = lapses + ?2, passed = passed + ?3, since = {NOW}, until = {NOW} + lease"
    ))
    .and_then(|mut s| s.execute(params![if altered.is_empty() { 1 } else { 2 }, !freeze.holds, passed]))
    .map_err(|e| sqlite_error(e, "while passing the freeze"))?;
    Ok(altered)
}

/// Closes the freeze again behind the transaction of its own run, before it commits: tables that it made are covered
/// too. Returns how long the lease is, where there is a freeze.
pub(crate) fn leave(conn: &Connection, ledger: &str) -> Result<Option<Duration>, StepError> {
    let Some(freeze) = read(conn)? else { return Ok(None) };
    let failed = |e| sqlite_error(e, "while closing the freeze");
    let passing: i64 = conn.query_row(&format!("SELECT passing FROM {TABLE}"), [], |row| row.get(0)).map_err(failed)?;
    // What others did to the schema stays noted until the freeze ends.
    if passing == 1 {
        cover(conn, ledger, &freeze.plan)?;
        remember(conn, ledger)?;
    }
    conn.prepare_cached(&format!("UPDATE {TABLE} SET passing = 0, since = {NOW}, until = {NOW} + lease"))
        .and_then(|mut s| s.execute([]))
        .map_err(failed)?;
    Ok(Some(freeze.lease))
}

/// Lengthens the lease from now. False: there is no freeze of that run any more.
pub(crate) fn renew(conn: &Connection, plan: &str, run: &str) -> Result<bool, StepError> {
    if !bookkeeping::has_table(conn, TABLE)? {
        return Ok(false);
    }
    conn.prepare_cached(&format!(
        "UPDATE {TABLE} SET lapses = lapses + ({NOW} NOT BETWEEN since AND until), since = {NOW}, until = {NOW} + lease \
         WHERE plan = ?1 AND run = ?2"
    ))
    .and_then(|mut s| s.execute([plan, run]))
    .map(|rows| rows > 0)
    .map_err(|e| sqlite_error(e, "while renewing the lease of the freeze"))
}

fn cover(conn: &Connection, ledger: &str, plan: &str) -> Result<(), StepError> {
    let refusal = quote_text(&format!(
        "frozen by the migration `{plan}`: nobody may write until it goes on; reading works, try again in a moment"
    ));
    let make = |table: &str, number: &mut i64| -> rusqlite::Result<()> {
        let table = quote_ident(table);
        for verb in ["INSERT", "UPDATE", "DELETE"] {
            *number += 1;
            conn.execute_batch(&format!(
                "CREATE TRIGGER main.{TABLE}_{number} BEFORE {verb} ON {table} \
                 WHEN (SELECT passing = 0 AND {NOW} BETWEEN since AND until FROM {TABLE}) \
                 BEGIN SELECT RAISE(ABORT, {refusal}); END"
            ))?;
        }
        Ok(())
    };
    let mut number: i64 = conn
        .query_row(
            "SELECT coalesce(max(CAST(substr(name, 17) AS INTEGER)), 0) FROM main.sqlite_master \
             WHERE type = 'trigger' AND substr(name, 1, 16) = ?1 || '_'",
            [TABLE],
            |row| row.get(0),
        )
        .map_err(|e| sqlite_error(e, DOING))?;
    for table in uncovered(conn, ledger)? {
        make(&table, &mut number).map_err(|e| sqlite_error(e, &format!("while freezing the table `{table}`")))?;
    }
    Ok(())
}

/// Keeps what the schema is now.
fn remember(conn: &Connection, ledger: &str) -> Result<(), StepError> {
    let text = serde_json::to_string(&prints(conn, ledger)?)
        .map_err(|e| StepError::internal("a list of objects could not be written as JSON").caused_by(e))?;
    conn.prepare_cached(&format!("UPDATE {TABLE} SET objects = ?1"))
        .and_then(|mut s| s.execute([text]))
        .map(drop)
        .map_err(|e| sqlite_error(e, DOING))
}

fn prints(conn: &Connection, ledger: &str) -> Result<BTreeMap<String, String>, StepError> {
    let objects = objects::of(conn, "main", ledger)?;
    Ok(objects.into_iter().map(|(name, sql)| (name, objects::print(&sql))).collect())
}
