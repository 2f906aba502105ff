//! The declared rows against the table: which are there, and inserting the others.
//!
//! Owns the SQL. Must not know when it runs.

use std::collections::{BTreeMap, BTreeSet};

use cutover_core::{Receipt, StepError};
use rusqlite::Connection;
use rusqlite::types::Value as SqlValue;
use serde_json::Value;

use super::made::{Made, Place, condition, key_digest};
use super::seed::{Cell, Seed};
use crate::declared::{self, Table};
use crate::sequence::{self, Moved};
use crate::sql::{quote_ident, sqlite_error};
use crate::value::to_json;

/// The rows of a step.
#[derive(Debug, Clone)]
pub(super) struct Seeds {
    pub(super) table: String,
    pub(super) key: Vec<String>,
    pub(super) rows: Vec<Seed>,
}

type Vars = BTreeMap<String, Value>;

impl Seeds {
    /// How many of the rows are there; none when the table, or what a key is made of, is not there yet.
    pub(super) fn present(&self, conn: &Connection, vars: &Vars) -> Result<Option<usize>, StepError> {
        if self.missing_columns(conn)?.is_none_or(|m| !m.is_empty()) {
            return Ok(None);
        }
        let mut count = 0;
        for row in &self.rows {
            // What a key's query reads may be made by an earlier step of the plan.
            let Ok(key) = row.key(conn, &self.key, vars) else { continue };
            count += usize::from(exists(conn, &self.table, &self.key, &key)?);
        }
        Ok(Some(count))
    }

    /// The columns named by rows that the table lacks; none without the table.
    fn missing_columns(&self, conn: &Connection) -> Result<Option<Vec<String>>, StepError> {
        let Some(table) = Table::read(conn, &self.table)? else { return Ok(None) };
        let mut missing: Vec<String> =
            self.rows.iter().flat_map(|r| r.cells.keys()).filter(|c| table.column(c).is_none()).cloned().collect();
        missing.sort();
        missing.dedup();
        Ok(Some(missing))
    }

    pub(super) fn insert(&self, conn: &Connection, vars: &Vars) -> Result<Receipt, StepError> {
        match self.missing_columns(conn)? {
            None => return Err(declared::no_such_table(conn, &self.table)?),
            Some(missing) if !missing.is_empty() => {
                return Err(declared::no_such_columns(conn, "the declared rows", &self.table, &missing)?);
            }
            Some(_) => {}
        }
        let before = sequence::current(conn, &self.table)?;
        let (mut places, mut kept) = (Vec::new(), 0);
        for row in &self.rows {
            let key = row.key(conn, &self.key, vars)?;
            if exists(conn, &self.table, &self.key, &key)? {
                kept += 1;
            } else if row.insert(conn, &self.table, vars)? {
                places.push(Place { rowid: conn.last_insert_rowid(), key });
            }
        }
        let counter = Moved::since(conn, &self.table, before)?;
        let made = Made::of(conn, &self.table, &self.key, &places, counter)?;
        let receipt = Receipt::of(&made)?.with_rows(places.len() as u64);
        Ok(if kept == 0 {
            receipt
        } else {
            receipt.with_note(format!("{kept} rows of {} were there before: kept", self.table))
        })
    }

    pub(super) fn differences(
        &self,
        conn: &Connection,
        vars: &Vars,
        ours: &BTreeSet<String>,
    ) -> Result<Vec<String>, StepError> {
        match self.missing_columns(conn)? {
            None => return Ok(vec![format!("table {}: expected, found none", self.table)]),
            Some(missing) if !missing.is_empty() => {
                return Ok(missing
                    .iter()
                    .map(|c| format!("column {}.{c}: expected, found none", self.table))
                    .collect());
            }
            Some(_) => {}
        }
        let mut lines = Vec::new();
        for row in &self.rows {
            let key = row.key(conn, &self.key, vars)?;
            let name = self.name_of(&key);
            if !exists(conn, &self.table, &self.key, &key)? {
                lines.push(format!("{name}: expected, found none"));
            } else if key_digest(conn, &self.table, &self.key, &key)?.is_some_and(|digest| ours.contains(&digest)) {
                for (column, cell) in &row.cells {
                    let Cell::Constant(expected) = cell else { continue };
                    if let Some(found) = other_value(conn, &self.table, &self.key, &key, column, expected)? {
                        lines.push(format!(
                            "{name}: expected {column} = {}, found {}",
                            to_json(expected),
                            to_json(&found)
                        ));
                    }
                }
            }
        }
        Ok(lines)
    }

    fn name_of(&self, key: &[SqlValue]) -> String {
        let pairs: Vec<String> = self.key.iter().zip(key).map(|(k, v)| format!("{k} = {}", to_json(v))).collect();
        format!("row {} ({})", self.table, pairs.join(", "))
    }
}

fn exists(conn: &Connection, table: &str, key: &[String], values: &[SqlValue]) -> Result<bool, StepError> {
    let sql = format!("SELECT 1 FROM {} WHERE {}", quote_ident(table), condition(key));
    conn.prepare_cached(&sql)
        .and_then(|mut s| s.exists(rusqlite::params_from_iter(values)))
        .map_err(|e| sqlite_error(e, &format!("looking for a row in `{table}`")))
}

/// What the column holds, when it is something else than `expected` (by the column's own comparison).
fn other_value(
    conn: &Connection,
    table: &str,
    key: &[String],
    values: &[SqlValue],
    column: &str,
    expected: &SqlValue,
) -> Result<Option<SqlValue>, StepError> {
    let column = quote_ident(column);
    let sql = format!("SELECT {column}, {column} IS ? FROM {} WHERE {}", quote_ident(table), condition(key));
    let params = std::iter::once(expected).chain(values);
    let (found, same): (SqlValue, bool) = conn
        .prepare_cached(&sql)
        .and_then(|mut s| s.query_row(rusqlite::params_from_iter(params), |row| Ok((row.get(0)?, row.get(1)?))))
        .map_err(|e| sqlite_error(e, &format!("reading a row of `{table}`")))?;
    Ok((!same).then_some(found))
}
