//! The SQL of a backfill: the plan's query cut into batches by its key.
//!
//! Owns every statement. Must not know how long a batch may take, nor ledgers or cursors' storage.

use std::collections::BTreeMap;

use cutover_core::{BuildError, StepError};
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, Statement, ToSql};
use serde_json::Value;

use super::kept::Filled;
use super::state::State;
use super::touched::{self, Touched};
use crate::declared::{self, Table};
use crate::identity::{Identity, Run, list};
use crate::sequence::{self, Moved};
use crate::sql::{bind_vars, quote_ident, sqlite_error, tokens};
use crate::target::{Ranges, Recorder, rowid_alias};
use crate::value::Exact;

/// What is filled from what.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) into: String,
    pub(super) rows: String,
    pub(super) key: String,
    pub(super) key_stored: bool,
    pub(super) unique: Vec<String>,
}

type Vars = BTreeMap<String, Value>;

/// Parameters of our own, bound after the plan's variables.
const OWN: [&str; 3] = ["cutover_after", "cutover_upto", "cutover_batch"];

/// The query as it is put in parentheses: one, without its semicolon.
pub(super) fn single_query(field: &str, text: &str) -> Result<String, BuildError> {
    let words = tokens(text);
    let end = words.iter().rposition(|w| *w != ";").map_or(0, |i| i + 1);
    let known = words.first().is_some_and(|w| ["select", "with", "values"].contains(&w.to_ascii_lowercase().as_str()));
    if !known || words[..end].contains(&";") {
        return Err(
            BuildError::at(field, "this is not one query").with_help("write a single SELECT with named columns")
        );
    }
    // A comment at the end must not swallow the parenthesis behind the query.
    Ok(format!("{}\n", text.trim_end().trim_end_matches(';')))
}

impl Source {
    /// Whether the table to fill cannot be filled by rowid.
    pub(super) fn unfit(&self, conn: &Connection) -> Result<Option<String>, StepError> {
        let reason = match declared::object(conn, &self.into)? {
            None => None,
            Some(found) if found.kind != "table" => Some(format!("`{}` is a {}", self.into, found.kind)),
            Some(found) if found.sql.to_ascii_lowercase().starts_with("create virtual") => {
                Some(format!("`{}` is a virtual table", self.into))
            }
            Some(_) => {
                let without = Table::read(conn, &self.into)?.is_some_and(|t| t.has_rule("WITHOUT ROWID"));
                without.then(|| format!("table `{}` is WITHOUT ROWID", self.into))
            }
        };
        Ok(reason.map(|r| {
            format!("{r}: a backfill knows the rows that it inserted by their rowid; fill it by a `sqlite.script` step")
        }))
    }

    /// The columns that are inserted, after everything that the query and the table must have was found there.
    pub(super) fn columns(&self, conn: &Connection, vars: &Vars) -> Result<Vec<String>, StepError> {
        if declared::object(conn, &self.into)?.is_none() {
            return Err(declared::no_such_table(conn, &self.into)?);
        }
        if let Some(reason) = self.unfit(conn)? {
            return Err(StepError::conflict(reason));
        }
        let statement = self.prepare(conn, vars, &format!("SELECT * FROM ({}) LIMIT 0", self.rows))?;
        let found: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let needed = std::iter::once(&self.key).chain(&self.unique);
        if let Some(missing) = needed.into_iter().find(|n| !found.iter().any(|f| declared::same_name(f, n))) {
            return Err(StepError::failed(format!("the query has no column `{missing}`; it has {}", found.join(", ")))
                .with_help("name the column in the query: `... AS name`"));
        }
        let kept: Vec<String> =
            found.into_iter().filter(|c| self.key_stored || !declared::same_name(c, &self.key)).collect();
        let there = declared::column_names(conn, &self.into)?;
        let missing: Vec<String> =
            kept.iter().filter(|c| !there.iter().any(|t| declared::same_name(t, c))).cloned().collect();
        if !missing.is_empty() {
            return Err(declared::no_such_columns(conn, "the query's columns", &self.into, &missing)?);
        }
        Ok(kept)
    }

    /// Rows of the query. A row without a key could never be reached: that is an error.
    pub(super) fn total(&self, conn: &Connection, vars: &Vars) -> Result<u64, StepError> {
        let key = quote_ident(&self.key);
        let mut statement = self.prepare(conn, vars, &format!("SELECT count(*), count({key}) FROM ({})", self.rows))?;
        let (all, keyed): (i64, i64) =
            one_row(&mut statement, |row| Ok((row.get(0)?, row.get(1)?)))?.unwrap_or_default();
        if keyed < all {
            return Err(StepError::failed(format!("{} rows of the query have no `{}`", all - keyed, self.key))
                .with_help("choose a key that is never NULL"));
        }
        Ok(u64::try_from(all).unwrap_or(0))
    }

    /// Works on the next rows: `size` of them, or more when several share the last key. None: there are none left.
    pub(super) fn batch(
        &self,
        conn: &Connection,
        recorder: &Recorder,
        vars: &Vars,
        columns: &[String],
        size: u64,
        state: &mut State,
    ) -> Result<Option<Filled>, StepError> {
        let key = quote_ident(&self.key);
        let after = if state.last.is_none() { "1".to_owned() } else { format!("{key} > :cutover_after") };
        let Some((upto, count)) = self.upto(conn, vars, &after, size, state)? else { return Ok(None) };
        if state.last.as_ref() == Some(&upto) {
            return Err(StepError::failed(format!(
                "the rows of the query cannot be put in order by `{}`: it is compared in another type than it has",
                self.key
            ))
            .with_help("give the key one type: `CAST(... AS TEXT) AS key`, or `AS INTEGER`"));
        }

        if state.last.is_none() {
            state.counter = Moved::since(conn, &self.into, sequence::current(conn, &self.into)?)?;
            state.columns = Identity::read(conn, &self.into)?.map(|s| s.columns()).unwrap_or_default();
        }
        let there = self.some_there(conn, vars, &after, &upto, state)?;
        let (list, rowid) = (list(columns), self.rowid(conn)?);
        let touched = Touched::watch(conn, &self.into, rowid, &state.columns)?;
        // An error undoes the whole batch: SQLite need not keep what would undo the statement alone. A conflict clause
        // would change what the table's triggers and constraints do on a conflict, so they must have none.
        let plain = touched.is_none() && !declared::has_conflict_clause(conn, &self.into)?;
        let insert = format!(
            "INSERT {} INTO {} ({list}) SELECT {list} FROM ({}) AS source WHERE {after} AND {key} <= :cutover_upto{} \
             ORDER BY {key}{}",
            if plain { "OR FAIL" } else { "" },
            quote_ident(&self.into),
            self.rows,
            // SQLite writes the rows of a query that reads the table it fills aside first, which costs as much again.
            if there { self.absent(" AND ") } else { String::new() },
            // The table's triggers may insert rows into it that are not the query's.
            if touched.is_some() { format!(" RETURNING {rowid}") } else { String::new() }
        );
        let mut statement = self.prepare(conn, vars, &insert)?;
        own(&mut statement, "cutover_after", &state.last)?;
        own(&mut statement, "cutover_upto", &upto)?;
        let failed = |e| sqlite_error(e, &format!("filling `{}` after {} rows", self.into, state.seen));
        let (returned, heard) = recorder.inserted(&[&self.into], || {
            let mut returned = Ranges::default();
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next().map_err(failed)? {
                returned.push(row.get(0).map_err(failed)?);
            }
            Ok::<_, StepError>(returned)
        })?;
        drop(statement);
        let places = if touched.is_some() { returned } else { heard.into_iter().next().unwrap_or_default() }.settled();
        // Read again only now: the table's own triggers may have changed the rows after each was inserted.
        let inserted = touched::digests(conn, &self.into, rowid, &state.columns, &places)?;
        let changes = touched.map(|t| t.end(&places)).transpose()?.unwrap_or_default();
        state.rows += inserted.len() as u64;
        state.batches += 1;
        state.seen += count;
        state.last = Some(upto);
        state.counter = state.counter.moved_to(conn, &self.into)?;
        Ok(Some(Filled { runs: Run::all(inserted), changes }))
    }

    /// Source rows up to the last key that have no counterpart; none when nothing tells counterparts.
    pub(super) fn without_counterpart(
        &self,
        conn: &Connection,
        vars: &Vars,
        last: Option<&Exact>,
    ) -> Result<Option<(i64, SqlValue)>, StepError> {
        let Some(last) = last.filter(|_| !self.unique.is_empty()) else { return Ok(None) };
        let key = quote_ident(&self.key);
        let sql = format!(
            "SELECT count(*), min({key}) FROM ({}) AS source WHERE {key} <= :cutover_upto{}",
            self.rows,
            self.absent(" AND ")
        );
        let mut statement = self.prepare(conn, vars, &sql)?;
        own(&mut statement, "cutover_upto", last)?;
        one_row(&mut statement, |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// How many rows are in the places of those that one batch inserted.
    pub(super) fn count(&self, conn: &Connection, runs: &[Run]) -> Result<i64, StepError> {
        let (table, rowid) = (quote_ident(&self.into), self.rowid(conn)?);
        let sql = format!("SELECT count(*) FROM {table} WHERE {rowid} BETWEEN ?1 AND ?2");
        let count = || -> rusqlite::Result<i64> {
            let mut statement = conn.prepare_cached(&sql)?;
            runs.iter().map(|run| statement.query_row([run.start, run.end()], |row| row.get::<_, i64>(0))).sum()
        };
        count().map_err(|e| sqlite_error(e, &format!("counting the rows of `{}`", self.into)))
    }

    /// The condition that leaves out rows which are there already.
    fn absent(&self, before: &str) -> String {
        if self.unique.is_empty() {
            return String::new();
        }
        let pairs: Vec<String> =
            self.unique.iter().map(|u| quote_ident(u)).map(|u| format!("there.{u} IS source.{u}")).collect();
        let table = quote_ident(&self.into);
        format!("{before}NOT EXISTS (SELECT 1 FROM {table} AS there WHERE {})", pairs.join(" AND "))
    }

    /// The last key of the next `size` rows, and how many they are; none when none are left.
    fn upto(
        &self,
        conn: &Connection,
        vars: &Vars,
        after: &str,
        size: u64,
        state: &State,
    ) -> Result<Option<(Exact, u64)>, StepError> {
        let key = quote_ident(&self.key);
        let rest = format!("SELECT {key} AS k FROM ({}) AS source WHERE {after} ORDER BY {key}", self.rows);
        let ask = |sql: &str, bound: u64| -> Result<Option<(Exact, i64)>, StepError> {
            let mut statement = self.prepare(conn, vars, sql)?;
            own(&mut statement, "cutover_after", &state.last)?;
            own(&mut statement, "cutover_batch", i64::try_from(bound).unwrap_or(i64::MAX))?;
            let found = one_row(&mut statement, |row| Ok((Exact::of(row.get_ref(0)?), row.get(1)?)))?;
            Ok(found.and_then(|(key, count)| Some((key?, count))))
        };
        if let Some((last, _)) = ask(&format!("SELECT k, 1 FROM ({rest} LIMIT 1 OFFSET :cutover_batch)"), size - 1)? {
            return Ok(Some((last, size)));
        }
        let left = ask(&format!("SELECT max(k), count(*) FROM ({rest} LIMIT :cutover_batch)"), size)?;
        Ok(left.map(|(last, count)| (last, u64::try_from(count).unwrap_or(0))))
    }

    /// Whether any of the rows up to that key is there already. Mostly not.
    fn some_there(
        &self,
        conn: &Connection,
        vars: &Vars,
        after: &str,
        upto: &Exact,
        state: &State,
    ) -> Result<bool, StepError> {
        if self.unique.is_empty() {
            return Ok(false);
        }
        let ask = |sql: &str| -> Result<bool, StepError> {
            let mut statement = self.prepare(conn, vars, sql)?;
            own(&mut statement, "cutover_after", &state.last)?;
            own(&mut statement, "cutover_upto", upto)?;
            Ok(one_row(&mut statement, |row| row.get(0))?.unwrap_or_default())
        };
        let key = quote_ident(&self.key);
        // Between two integers there are only numbers, and those are where a rowid of the same value is.
        let number = |key: &Exact| matches!(key, Exact::Integer(_));
        if number(upto)
            && state.last.as_ref().is_none_or(number)
            && self.unique.iter().all(|unique| declared::same_name(unique, &self.key))
            && rowid_alias(conn, &self.into)?.is_some_and(|alias| declared::same_name(&alias, &self.key))
        {
            let table = quote_ident(&self.into);
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE {after} AND {key} <= :cutover_upto)");
            return ask(&sql);
        }
        let present = self.absent("");
        let present = present.trim_start_matches("NOT ");
        ask(&format!(
            "SELECT EXISTS (SELECT 1 FROM ({}) AS source WHERE {after} AND {key} <= :cutover_upto AND {present})",
            self.rows
        ))
    }

    /// A name of the rowid that no column hides.
    pub(super) fn rowid(&self, conn: &Connection) -> Result<&'static str, StepError> {
        let columns = declared::column_names(conn, &self.into)?;
        let free = ["rowid", "_rowid_", "oid"].into_iter().find(|n| !columns.iter().any(|c| declared::same_name(c, n)));
        free.ok_or_else(|| {
            StepError::conflict(format!("table `{}` hides its rowid behind columns of its names", self.into))
                .with_help("fill it by a `sqlite.script` step")
        })
    }

    fn prepare<'c>(&self, conn: &'c Connection, vars: &Vars, sql: &str) -> Result<Statement<'c>, StepError> {
        let mut statement =
            conn.prepare(sql).map_err(|e| sqlite_error(e, &format!("the query that fills `{}`", self.into)))?;
        let mut all = vars.clone();
        all.extend(OWN.map(|name| (name.to_owned(), Value::Null)));
        bind_vars(&mut statement, &all)?;
        Ok(statement)
    }
}

/// Binds a parameter of our own, where the statement has it.
fn own(statement: &mut Statement<'_>, name: &str, value: impl ToSql) -> Result<(), StepError> {
    let bind = |statement: &mut Statement<'_>| match statement.parameter_index(&format!(":{name}"))? {
        Some(i) => statement.raw_bind_parameter(i, value),
        None => Ok(()),
    };
    bind(statement).map_err(|e| sqlite_error(e, "binding the cursor"))
}

fn one_row<T>(
    statement: &mut Statement<'_>,
    read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, StepError> {
    let mut rows = statement.raw_query();
    let row = rows.next().map_err(|e| sqlite_error(e, "reading the rows to fill in"))?;
    row.map(read).transpose().map_err(|e| sqlite_error(e, "reading the rows to fill in"))
}
