//! Whether a row is still what a step inserted: its place, and a digest of its values.
//!
//! A digest covers every stored column that the table had when the row was inserted, types included, so that an edit
//! of any of them shows. A column that somebody added since must hold its default, else the row is in use. When a
//! column is gone there is nothing to compare with: every row is kept, for that loses nothing. Columns that later
//! steps of the plan added or dropped are as they were by the time this step is rolled back.
//!
//! Owns digests, shapes and the deleting of rows that are unchanged. Must not know where digests are kept.

use std::collections::BTreeMap;

use cutover_core::StepError;
use rusqlite::Connection;

use crate::declared::same_name;
use crate::sql::{quote_ident, sqlite_error};
use crate::target::rowid_alias;
use crate::written::digest;

/// What tells the rows of a table apart, as the table is now.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    table: String,
    /// Stored columns with the SQL of their defaults.
    stored: Vec<(String, String)>,
    key: Vec<String>,
    /// The name by which the rowid is reached; none for a table without one.
    rowid: Option<String>,
    /// Whether a VACUUM keeps the rowids.
    fixed: bool,
}

impl Identity {
    /// The shape of `table`; none when there is no such table.
    pub(crate) fn read(conn: &Connection, table: &str) -> Result<Option<Self>, StepError> {
        type Info = (String, i64, Option<String>, i64);
        let read = || -> rusqlite::Result<(Vec<Info>, bool)> {
            let columns = conn
                .prepare_cached("SELECT name, pk, dflt_value, hidden FROM pragma_table_xinfo(?1) ORDER BY cid")?
                .query_map([table], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let without: Vec<bool> = conn
                .prepare_cached(
                    "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE AND type <> 'view'",
                )?
                .query_map([table], |r| r.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(without.first().map_or((Vec::new(), false), |without| (columns, *without)))
        };
        let (columns, without_rowid) =
            read().map_err(|e| sqlite_error(e, &format!("reading the columns of `{table}`")))?;
        if columns.is_empty() {
            return Ok(None);
        }
        let mut key: Vec<&Info> = columns.iter().filter(|c| c.1 > 0).collect();
        key.sort_by_key(|c| c.1);
        let alias = rowid_alias(conn, table)?;
        let free = ["rowid", "_rowid_", "oid"].into_iter().find(|n| !columns.iter().any(|c| same_name(&c.0, n)));
        let rowid = alias.clone().map(|a| quote_ident(&a)).or_else(|| free.map(str::to_owned));
        Ok(Some(Self {
            table: table.to_owned(),
            key: key.iter().map(|c| c.0.clone()).collect(),
            rowid: rowid.filter(|_| !without_rowid),
            fixed: alias.is_some(),
            stored: columns
                .iter()
                .filter(|c| c.3 == 0)
                .map(|c| (c.0.clone(), default_of(c.2.as_deref()).to_owned()))
                .collect(),
        }))
    }

    /// The stored columns.
    pub(crate) fn columns(&self) -> Vec<String> {
        self.stored.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The columns of the primary key.
    pub(crate) fn key(&self) -> &[String] {
        &self.key
    }

    /// The name of the rowid.
    pub(crate) fn rowid(&self) -> Option<&str> {
        self.rowid.as_deref()
    }

    /// Whether a VACUUM keeps the rowids.
    pub(crate) fn fixed(&self) -> bool {
        self.fixed
    }

    /// The condition under which `column` holds its default.
    pub(crate) fn is_default(&self, column: &str) -> Option<String> {
        let (name, default) = self.stored.iter().find(|(name, _)| same_name(name, column))?;
        Some(format!("{} IS ({default}) COLLATE BINARY", quote_ident(name)))
    }

    /// The condition under which `column` of the row of that name holds its default.
    pub(crate) fn is_default_of(&self, row: &str, column: &str) -> Option<String> {
        self.is_default(column).map(|condition| format!("{row}.{condition}"))
    }

    /// The columns of `inserted` that the table has lost.
    pub(crate) fn lost(&self, inserted: &[String]) -> Vec<String> {
        inserted.iter().filter(|i| !self.stored.iter().any(|(s, _)| same_name(s, i))).cloned().collect()
    }

    /// What a look at a row reads: `first`, whether columns added since hold their defaults, then `inserted`.
    pub(crate) fn select(&self, first: &str, inserted: &[String]) -> String {
        let added: Vec<String> = self
            .stored
            .iter()
            .filter(|(s, _)| !inserted.iter().any(|i| same_name(s, i)))
            .filter_map(|(s, _)| self.is_default(s))
            .collect();
        let unused = if added.is_empty() { "1".to_owned() } else { added.join(" AND ") };
        format!("SELECT {first}, ({unused}), {} FROM {}", list(inserted), quote_ident(&self.table))
    }
}

/// A default that can stand in a query. A bare or double-quoted word would be read as a column's name there.
fn default_of(default: Option<&str>) -> &str {
    let Some(text) = default else { return "NULL" };
    let plain = text.starts_with(|c: char| c.is_ascii_digit() || "'(+-.".contains(c))
        || ["null", "true", "false"].iter().any(|word| text.eq_ignore_ascii_case(word))
        || text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x'"));
    if plain { text } else { "NULL" }
}

/// Quoted names, for a SELECT.
pub(crate) fn list(columns: &[String]) -> String {
    columns.iter().map(|c| quote_ident(c)).collect::<Vec<_>>().join(", ")
}

/// The digests of rows with neighbouring rowids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: i64,
    pub(crate) digests: Vec<u64>,
}

impl Run {
    /// The rows, sorted, as runs.
    pub(crate) fn all(mut rows: Vec<(i64, u64)>) -> Vec<Self> {
        rows.sort_unstable();
        let mut runs: Vec<Self> = Vec::new();
        for (rowid, digest) in rows {
            match runs.last_mut() {
                Some(run) if run.end().checked_add(1) == Some(rowid) => run.digests.push(digest),
                _ => runs.push(Self { start: rowid, digests: vec![digest] }),
            }
        }
        runs
    }

    /// The last rowid.
    pub(crate) fn end(&self) -> i64 {
        self.start.saturating_add(i64::try_from(self.digests.len()).unwrap_or(i64::MAX).saturating_sub(1))
    }
}

/// Looks for inserted rows in a table with rowids, and deletes those that are unchanged.
#[derive(Debug)]
pub(crate) struct Search<'c> {
    conn: &'c Connection,
    shape: Identity,
    rowid: String,
    columns: Vec<String>,
    same: Vec<(i64, i64)>,
    changed: u64,
    unmatched: BTreeMap<u64, u64>,
    at_place: String,
}

impl<'c> Search<'c> {
    /// A search for rows whose digests are of `columns`.
    pub(crate) fn new(conn: &'c Connection, shape: Identity, rowid: &str, columns: Vec<String>) -> Self {
        let at_place = format!("{} WHERE {rowid} BETWEEN ?1 AND ?2", shape.select(rowid, &columns));
        Self {
            conn,
            shape,
            rowid: rowid.to_owned(),
            columns,
            same: Vec::new(),
            changed: 0,
            unmatched: BTreeMap::new(),
            at_place,
        }
    }

    /// Looks for the rows of one run in their places.
    pub(crate) fn run(&mut self, run: &Run) -> Result<(), StepError> {
        let mut look = || -> rusqlite::Result<()> {
            let mut statement = self.conn.prepare_cached(&self.at_place)?;
            let mut rows = statement.query([run.start, run.end()])?;
            let mut found = vec![false; run.digests.len()];
            while let Some(row) = rows.next()? {
                let rowid: i64 = row.get(0)?;
                let Ok(at) = usize::try_from(rowid.wrapping_sub(run.start)) else { continue };
                let digest = digest(row, 2..2 + self.columns.len())?;
                if row.get(1)? && run.digests.get(at) == Some(&digest) {
                    found[at] = true;
                    push(&mut self.same, rowid);
                } else {
                    self.changed += 1;
                }
            }
            for (digest, _) in run.digests.iter().zip(found).filter(|(_, found)| !found) {
                *self.unmatched.entry(*digest).or_default() += 1;
            }
            Ok(())
        };
        look().map_err(|e| self.failed(e))
    }

    /// Looks everywhere for rows that are not in their places: a VACUUM may have moved them. Sound only when no row of
    /// others can have been the same before, so that what is found is what was inserted.
    pub(crate) fn elsewhere(&mut self) -> Result<(), StepError> {
        if self.shape.fixed() || self.unmatched.is_empty() {
            return Ok(());
        }
        let mut look = || -> rusqlite::Result<Vec<(i64, i64)>> {
            let mut known = self.same.clone();
            known.sort_unstable();
            let mut more = Vec::new();
            let mut statement = self.conn.prepare(&self.shape.select(&self.rowid, &self.columns))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let rowid: i64 = row.get(0)?;
                let at = known.partition_point(|(low, _)| *low <= rowid);
                if at > 0 && known[at - 1].1 >= rowid || !row.get::<_, bool>(1)? {
                    continue;
                }
                let digest = digest(row, 2..2 + self.columns.len())?;
                if let Some(left) = self.unmatched.get_mut(&digest).filter(|left| **left > 0) {
                    *left -= 1;
                    self.changed = self.changed.saturating_sub(1);
                    push(&mut more, rowid);
                }
            }
            Ok(more)
        };
        let more = look().map_err(|e| self.failed(e))?;
        self.same.extend(more);
        Ok(())
    }

    /// Deletes what was found unchanged. Returns how many rows in the places of inserted ones are something else.
    pub(crate) fn delete(self) -> Result<u64, StepError> {
        let sql = format!("DELETE FROM {} WHERE {} BETWEEN ?1 AND ?2", quote_ident(&self.shape.table), self.rowid);
        let delete = || -> rusqlite::Result<()> {
            let mut statement = self.conn.prepare_cached(&sql)?;
            self.same.iter().rev().try_for_each(|(from, to)| statement.execute([from, to]).map(|_| ()))
        };
        delete().map_err(|e| sqlite_error(e, &format!("deleting the rows inserted into `{}`", self.shape.table)))?;
        Ok(self.changed)
    }

    fn failed(&self, error: rusqlite::Error) -> StepError {
        sqlite_error(error, &format!("looking for the rows inserted into `{}`", self.shape.table))
    }
}

fn push(ranges: &mut Vec<(i64, i64)>, rowid: i64) {
    match ranges.last_mut() {
        Some((_, to)) if to.checked_add(1) == Some(rowid) => *to = rowid,
        _ => ranges.push((rowid, rowid)),
    }
}

/// The line about rows that are no longer what a step inserted.
pub(crate) fn changed_note(table: &str, changed: u64) -> String {
    format!("{changed} {} of {table} changed since: kept", if changed == 1 { "row" } else { "rows" })
}

/// The line about rows that cannot be compared any more.
pub(crate) fn lost_note(table: &str, lost: &[String], rows: u64) -> String {
    let word = if lost.len() == 1 { "column" } else { "columns" };
    format!("table {table} no longer has the {word} {}: the {rows} rows inserted are kept", lost.join(", "))
}
