//! The rows that a restore would take away although no step of ours wrote them.
//!
//! Owns the comparison of a database with an older copy of itself. A row counts when its key is new or its values
//! changed since, unless it is as a step that the restore takes back left it. Rows that others deleted are not counted:
//! the restore brings them back. Virtual tables are not compared; their content follows other tables.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use cutover_core::{RestoreOptions, StepError};
use rusqlite::Connection;

use super::bookkeeping;
use super::catalog::{self, Table};
use super::connect;
use super::dump::{self, Columns};
use super::kept;
use super::reader::{NONE, Reader};
use crate::sql::{quote_ident, sqlite_error};
use crate::written::{Known, Written};

const DOING: &str = "while comparing the database with its snapshot";

/// The present database with an older copy attached as `old`, which nobody writes.
#[derive(Debug)]
pub(crate) struct Comparison {
    conn: Connection,
    ledger: String,
}

impl Comparison {
    /// Compares a file that nobody writes.
    pub(crate) fn of_copy(present: &Path, older: &Path, ledger: &str) -> Result<Self, StepError> {
        let conn = connect::open_immutable(present).map_err(|e| sqlite_error(e, DOING))?;
        Self::attach(conn, older, ledger)
    }

    /// Compares the living database as it is at this moment.
    pub(crate) fn of_living(present: &Path, older: &Path, ledger: &str) -> Result<Self, StepError> {
        let comparison = Self::attach(connect::reader(present)?, older, ledger)?;
        comparison.conn.execute_batch("BEGIN").map_err(|e| sqlite_error(e, DOING))?;
        Ok(comparison)
    }

    fn attach(conn: Connection, older: &Path, ledger: &str) -> Result<Self, StepError> {
        conn.execute("ATTACH DATABASE ?1 AS old", [connect::uri(older, "immutable=1").to_string_lossy()])
            .map_err(|e| sqlite_error(e, DOING))?;
        Ok(Self { conn, ledger: ledger.to_owned() })
    }

    /// What the steps of `options` wrote into the target `name`, as the database and their receipts have it.
    pub(crate) fn known(&self, name: &str, plan: &str, options: &RestoreOptions) -> Result<Known, StepError> {
        let mut known = Known::default();
        for (step, receipt) in &options.undone {
            kept::of(&self.conn, plan, step)?.into_iter().for_each(|written| known.add(written));
            if let Some(wrote) = receipt.as_ref().and_then(|r| r.wrote.get(name)) {
                known.add(serde_json::from_value(wrote.clone()).map_err(|e| {
                    StepError::failed(format!("the receipt of step `{step}` does not say which rows it wrote"))
                        .caused_by(e)
                })?);
            }
        }
        Ok(known)
    }

    /// Steps that were applied since the older copy and are not among those of `options`, by plan.
    pub(crate) fn bystanders(
        &self,
        plan: &str,
        options: &RestoreOptions,
    ) -> Result<BTreeMap<String, Vec<String>>, StepError> {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        if !bookkeeping::check_shape(&self.conn, &self.ledger)? {
            return Ok(found);
        }
        let name = quote_ident(&self.ledger);
        let older = self
            .conn
            .prepare("SELECT 1 FROM old.sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE")
            .and_then(|mut s| s.exists([&self.ledger]))
            .map_err(|e| sqlite_error(e, DOING))?;
        let same = "o.plan = n.plan AND o.step = n.step AND o.run = n.run AND o.success = 1";
        let known =
            if older { format!("AND NOT EXISTS (SELECT 1 FROM old.{name} o WHERE {same})") } else { String::new() };
        let rows: Vec<(String, String)> = self
            .conn
            .prepare(&format!("SELECT plan, step FROM main.{name} n WHERE success = 1 {known} ORDER BY id"))
            .and_then(|mut s| s.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .map_err(|e| sqlite_error(e, DOING))?;
        for (of, step) in rows {
            if of != plan || !options.undone.contains_key(&step) {
                found.entry(of).or_default().push(step);
            }
        }
        Ok(found)
    }

    /// Rows since the older copy that are not `known`, by table; written to `out` as INSERT statements.
    pub(crate) fn export(&self, known: &Known, out: &mut impl Write) -> Result<BTreeMap<String, u64>, StepError> {
        let mut lost = BTreeMap::new();
        for (table, columns, condition) in self.changed()? {
            let ours = known.of(&table, columns.names());
            let query = format!("SELECT {} FROM main.{} AS n WHERE {condition}", columns.list(), quote_ident(&table));
            let rows = dump::table(&self.conn, &columns, &query, |row| Ok(!ours.contain(row)?), out)?;
            if rows > 0 {
                lost.insert(table, rows);
            }
        }
        Ok(lost)
    }

    /// Every row that is new or has changed since the older copy.
    pub(crate) fn rows(&self) -> Result<Written, StepError> {
        let mut written = Written::default();
        for (table, _, condition) in self.changed()? {
            let mut reader = Reader::of(&self.conn, &table)?;
            reader.read(&condition, [NONE])?;
            written.0.extend(reader.finish());
        }
        Ok(written)
    }

    /// The tables, their columns, and the condition under which a row `n` of them is new or changed.
    fn changed(&self) -> Result<Vec<(String, Columns, String)>, StepError> {
        let mut found = Vec::new();
        for table in catalog::tables(&self.conn, &self.ledger)?.into_iter().filter(|t| !t.is_virtual) {
            let columns = Columns::of(&self.conn, &table.name)?;
            let condition = match self.same_row(&table)? {
                Some(same) => format!("NOT EXISTS (SELECT 1 FROM old.{} AS o WHERE {same})", quote_ident(&table.name)),
                None => "1".to_owned(),
            };
            found.push((table.name, columns, condition));
        }
        Ok(found)
    }

    /// The condition under which row `o` of the older table is row `n` of the present one, unchanged. None: there is
    /// no such table in the older copy.
    fn same_row(&self, table: &Table) -> Result<Option<String>, StepError> {
        let doing = format!("while comparing the columns of `{}`", table.name);
        let read = |schema: &str| -> Result<Vec<(String, i64)>, StepError> {
            self.conn
                .prepare("SELECT name, pk FROM pragma_table_info(?1, ?2)")
                .and_then(|mut s| s.query_map([&table.name, schema], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
                .map_err(|e| sqlite_error(e, &doing))
        };
        let (present, older) = (read("main")?, read("old")?);
        if older.is_empty() {
            return Ok(None);
        }
        let mut same: Vec<String> = Vec::new();
        if !table.without_rowid && present.iter().all(|c| c.1 == 0) {
            same.push("o.rowid = n.rowid".to_owned());
        }
        for (name, key) in present.iter().filter(|(name, _)| older.iter().any(|(o, _)| o.eq_ignore_ascii_case(name))) {
            let column = quote_ident(name);
            // A key is compared as its index does it; anything else byte by byte.
            let collate = if *key > 0 { "" } else { " COLLATE BINARY" };
            same.push(format!("o.{column} IS n.{column}{collate}"));
        }
        Ok(Some(same.join(" AND ")))
    }
}
