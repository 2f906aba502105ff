//! The rows that a step inserted: known by digests, found again, deleted when they are unchanged.
//!
//! Owns the receipt's body, which holds no value of any row: a key may be a secret. Must not know when it runs.

use std::collections::BTreeMap;

use cutover_core::StepError;
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, Row};
use serde::{Deserialize, Serialize};

use crate::identity::{self, Identity, Run, Search, list};
use crate::sequence::Moved;
use crate::sql::{quote_ident, sqlite_error};
use crate::written::digest;

/// What apply inserted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Made {
    pub(super) table: String,
    /// The step's key columns.
    pub(super) key: Vec<String>,
    /// The columns that the table had, of which the digests are.
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Inserted>,
    pub(super) counter: Moved,
}

/// One inserted row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Inserted {
    /// None in a table without rowids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rowid: Option<i64>,
    /// The digest of the step's key columns.
    pub(super) key: String,
    /// The digest of all columns.
    pub(super) row: String,
}

fn hex(digest: u64) -> String {
    format!("{digest:016x}")
}

fn number(digest: &str) -> u64 {
    u64::from_str_radix(digest, 16).unwrap_or_default()
}

/// The condition that a row has these key columns.
pub(super) fn condition(key: &[String]) -> String {
    key.iter().map(|k| format!("{} IS ?", quote_ident(k))).collect::<Vec<_>>().join(" AND ")
}

/// The digest of the key of the row that has these key values, as the table holds them.
pub(super) fn key_digest(
    conn: &Connection,
    table: &str,
    key: &[String],
    values: &[SqlValue],
) -> Result<Option<String>, StepError> {
    let sql = format!("SELECT {} FROM {} WHERE {}", list(key), quote_ident(table), condition(key));
    let found = one(conn, &sql, values, |row| digest(row, 0..key.len()));
    Ok(found.map_err(|e| sqlite_error(e, &format!("reading a row of `{table}`")))?.map(hex))
}

fn one<T>(
    conn: &Connection,
    sql: &str,
    values: &[SqlValue],
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    rows.next()?.map(read).transpose()
}

/// Where a row was inserted.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) rowid: i64,
    pub(super) key: Vec<SqlValue>,
}

impl Made {
    /// Digests the rows as they are in the table now, after whatever its triggers did to them.
    pub(super) fn of(
        conn: &Connection,
        table: &str,
        key: &[String],
        places: &[Place],
        counter: Moved,
    ) -> Result<Self, StepError> {
        let mut made = Self { table: table.to_owned(), key: key.to_vec(), counter, ..Self::default() };
        let Some(shape) = Identity::read(conn, table)? else { return Ok(made) };
        made.columns = shape.columns();
        let all: Vec<String> = key.iter().chain(&made.columns).cloned().collect();
        let place = shape.rowid().map_or_else(|| condition(key), |rowid| format!("{rowid} IS ?"));
        let sql = format!("SELECT {} FROM {} WHERE {place}", list(&all), quote_ident(table));
        for Place { rowid, key: values } in places {
            let values = if shape.rowid().is_some() { &vec![SqlValue::Integer(*rowid)] } else { values };
            let found =
                one(conn, &sql, values, |row| Ok((digest(row, 0..key.len())?, digest(row, key.len()..all.len())?)));
            // A row that a trigger took away at once is not there to be deleted.
            if let Some((key, row)) = found.map_err(|e| sqlite_error(e, &format!("reading a row of `{table}`")))? {
                let rowid = shape.rowid().map(|_| *rowid);
                made.rows.push(Inserted { rowid, key: hex(key), row: hex(row) });
            }
        }
        Ok(made)
    }

    /// Deletes the rows that are still what was inserted; rows and table may be gone already. Returns a line about
    /// what is kept.
    pub(super) fn remove(&self, conn: &Connection) -> Result<Option<String>, StepError> {
        let Some(shape) = Identity::read(conn, &self.table)? else { return Ok(None) };
        let lost = shape.lost(&self.columns);
        if !lost.is_empty() {
            return Ok(Some(identity::lost_note(&self.table, &lost, self.rows.len() as u64)));
        }
        let places: Option<Vec<(i64, u64)>> = self.rows.iter().map(|r| Some((r.rowid?, number(&r.row)))).collect();
        let changed = match (shape.rowid().map(str::to_owned), places) {
            (Some(rowid), Some(places)) => {
                let mut search = Search::new(conn, shape, &rowid, self.columns.clone());
                Run::all(places).iter().try_for_each(|run| search.run(run))?;
                // The key of each row was not there before: a row of the same values is the inserted one.
                search.elsewhere()?;
                search.delete()?
            }
            _ => self.remove_by_key(conn, &shape)?,
        };
        if changed == 0 {
            self.counter.put_back(conn, &self.table)?;
            return Ok(None);
        }
        Ok(Some(identity::changed_note(&self.table, changed)))
    }

    /// The same for a table without rowids: its rows are read, and known by their digests.
    fn remove_by_key(&self, conn: &Connection, shape: &Identity) -> Result<u64, StepError> {
        let failed = |e| sqlite_error(e, &format!("deleting rows of `{}`", self.table));
        let primary = if shape.key().is_empty() { self.columns.as_slice() } else { shape.key() };
        let first: Vec<String> = primary.iter().chain(&self.key).cloned().collect();
        let inserted: BTreeMap<&str, &str> = self.rows.iter().map(|r| (r.key.as_str(), r.row.as_str())).collect();
        let sql = shape.select(&list(&first), &self.columns);
        let mut changed = 0;
        let mut look = || -> rusqlite::Result<Vec<Vec<SqlValue>>> {
            let mut same = Vec::new();
            let mut statement = conn.prepare(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let known = hex(digest(row, primary.len()..first.len())?);
                let Some(inserted) = inserted.get(known.as_str()) else { continue };
                let unused: bool = row.get(first.len())?;
                if unused && hex(digest(row, first.len() + 1..first.len() + 1 + self.columns.len())?) == *inserted {
                    same.push((0..primary.len()).map(|i| row.get(i)).collect::<rusqlite::Result<_>>()?);
                } else {
                    changed += 1;
                }
            }
            Ok(same)
        };
        let same = look().map_err(failed)?;
        let sql = format!("DELETE FROM {} WHERE {}", quote_ident(&self.table), condition(primary));
        for values in same.iter().rev() {
            conn.prepare_cached(&sql)
                .and_then(|mut s| s.execute(rusqlite::params_from_iter(values)))
                .map_err(failed)?;
        }
        Ok(changed)
    }
}
