//! What a restore would take away although no step of ours wrote it.
//!
//! Owns the comparison of a database with an older copy of itself. A row counts when its key is new or its values
//! changed since, unless it is as a step that the restore takes back left it; a schema object alike. What others
//! deleted does not count: the restore brings it back.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::Path;

use cutover_core::{RestoreOptions, StepError};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::bookkeeping;
use super::catalog::{self, Table};
use super::connect;
use super::dump::{self, Columns};
use super::known::Known;
use super::objects::{self, Objects};
use super::reader::Reader;
use super::{defaults, kept, pairs};
use crate::sql::{joined, quote_ident, sqlite_error, write_literal};
use crate::written::{Digester, Written, share};

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
    pub(crate) fn known(&self, name: &str, plan: &str, options: &RestoreOptions) -> Result<Known<'_>, StepError> {
        let mut changes = Vec::new();
        for (step, receipt) in &options.undone {
            changes.extend(kept::of(&self.conn, plan, step)?);
            if let Some(wrote) = receipt.as_ref().and_then(|r| r.wrote.get(name)) {
                changes.push(serde_json::from_value(wrote.clone()).map_err(|e| {
                    StepError::failed(format!("the receipt of step `{step}` does not say what it wrote")).caused_by(e)
                })?);
            }
        }
        Known::of(self, &changes)
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
    pub(crate) fn export(&self, known: &Known<'_>, out: &mut impl Write) -> Result<BTreeMap<String, u64>, StepError> {
        let mut lost = BTreeMap::new();
        for table in catalog::holders(&self.conn, &self.ledger)? {
            let columns = Columns::of(&self.conn, &table.name)?;
            let condition = match self.same_row(&table)? {
                Some(same) => format!("NOT EXISTS (SELECT 1 FROM old.{} AS o WHERE {same})", quote_ident(&table.name)),
                None => "1".to_owned(),
            };
            let ours = RefCell::new(known.rows(&table.name, columns.names())?);
            let from = quote_ident(&table.name);
            let query = format!("SELECT {} FROM main.{from} AS n WHERE {condition}", columns.list());
            let rows = dump::table(&self.conn, &columns, &query, |row| Ok(!ours.borrow_mut().contain_row(row)?), out)?;
            if rows > 0 {
                lost.insert(table.name, rows);
            }
        }
        Ok(lost)
    }

    /// The schema objects since the older copy that are not `known`, with their SQL.
    pub(crate) fn objects(&self, known: &Known<'_>) -> Result<Objects, StepError> {
        let old = self.older_objects()?;
        let mut found = objects::of(&self.conn, "main", &self.ledger)?;
        found.retain(|name, sql| {
            let same = old.get(name).is_some_and(|old| objects::print(old) == objects::print(sql));
            !same && !known.has_object(name, sql)
        });
        Ok(found)
    }

    /// All that differs from the older copy, as one change.
    pub(crate) fn written(&self, older: &Path) -> Result<Written, StepError> {
        let before = connect::open_immutable(older).map_err(|e| sqlite_error(e, DOING))?;
        let present = objects::of(&self.conn, "main", &self.ledger)?;
        let schema = objects::changes(&self.older_objects()?, &present);
        let mut written = Written { schema, ..Written::default() };
        for table in catalog::holders(&self.conn, &self.ledger)? {
            let old = catalog::table(&before, &table.name)?.map(|old| Reader::of(&before, &old)).transpose()?;
            let (part, gone) = pairs::whole(old.as_ref(), &Reader::of(&self.conn, &table)?, true)?;
            written.tables.extend(part);
            written.gone.extend(gone);
        }
        for table in catalog::holders(&before, &self.ledger)? {
            if catalog::table(&self.conn, &table.name)?.is_none() {
                written.gone.extend(pairs::dropped(&Reader::of(&before, &table)?)?);
            }
        }
        Ok(written)
    }

    /// What makes a table of others again: itself, or where an older one is there the columns that it lacks.
    pub(crate) fn table_text(&self, table: &str, sql: &str) -> Result<String, StepError> {
        let older = self.names("old", table)?;
        if older.is_empty() {
            return Ok(format!("{sql};\n"));
        }
        let mut text = format!("-- The table was: {}\n", joined(sql).replace('\n', " "));
        for (name, _) in self.names("main", table)? {
            if !older.iter().any(|(o, _)| o.eq_ignore_ascii_case(&name)) {
                let (table, definition) = (quote_ident(table), defaults::definition(&self.conn, table, &name)?);
                text.push_str(&format!("ALTER TABLE {table} ADD COLUMN {} {definition};\n", quote_ident(&name)));
            }
        }
        Ok(text)
    }

    /// The schema of the older copy.
    pub(crate) fn older_objects(&self) -> Result<Objects, StepError> {
        objects::of(&self.conn, "old", &self.ledger)
    }

    /// What `column` holds in rows from before it. None: it is no more.
    pub(crate) fn default_of(&self, table: &str, column: &str) -> Result<Option<Value>, StepError> {
        defaults::of(&self.conn, table, column)
    }

    /// The rows of the older copy of `table`, read with `columns`; a column that it has not holds its default.
    pub(crate) fn older_digests(&self, table: &str, columns: &[String]) -> Result<HashSet<u64>, StepError> {
        let names: Vec<String> = self.names("old", table)?.into_iter().map(|(name, _)| name).collect();
        if names.is_empty() {
            return Ok(HashSet::new());
        }
        let rowid = |name: &str| ["rowid", "_rowid_", "oid"].contains(&name);
        let (mut shared, mut added) = (Vec::new(), 0_u64);
        for name in columns {
            if names.iter().any(|n| n.eq_ignore_ascii_case(name)) || rowid(name) {
                shared.push(name.clone());
            } else if let Some(value) = self.default_of(table, name)? {
                added = added.wrapping_add(share(name, &value));
            } else {
                return Ok(HashSet::new());
            }
        }
        let list: Vec<String> = shared.iter().map(|name| quote_ident(name)).collect();
        let query = format!("SELECT {} FROM old.{}", list.join(", "), quote_ident(table));
        let mut digester = Digester::new(&shared);
        self.conn
            .prepare(&query)
            .and_then(|mut s| s.query_map([], |row| Ok(digester.row(row, 0)?.wrapping_add(added)))?.collect())
            .map_err(|e| sqlite_error(e, DOING))
    }

    /// The columns of a table with their place in its key.
    fn names(&self, schema: &str, table: &str) -> Result<Vec<(String, i64)>, StepError> {
        self.conn
            .prepare_cached("SELECT name, pk FROM pragma_table_xinfo(?1, ?2) WHERE hidden = 0")
            .and_then(|mut s| s.query_map([table, schema], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .map_err(|e| sqlite_error(e, &format!("while comparing the columns of `{table}`")))
    }

    /// The condition under which row `o` of the older table is row `n` of the present one, unchanged. None: there is
    /// no such table in the older copy.
    fn same_row(&self, table: &Table) -> Result<Option<String>, StepError> {
        let (present, older) = (self.names("main", &table.name)?, self.names("old", &table.name)?);
        if older.is_empty() {
            return Ok(None);
        }
        let mut same: Vec<String> = Vec::new();
        if !table.without_rowid && present.iter().all(|c| c.1 == 0) {
            same.push("o.rowid = n.rowid".to_owned());
        }
        for (name, key) in present {
            let column = quote_ident(&name);
            if older.iter().any(|(o, _)| o.eq_ignore_ascii_case(&name)) {
                // A key is compared as its index does it; anything else byte by byte.
                let collate = if key > 0 { "" } else { " COLLATE BINARY" };
                same.push(format!("o.{column} IS n.{column}{collate}"));
            } else if let Some(value) = self.default_of(&table.name, &name)? {
                let mut literal = Vec::new();
                write_literal(&mut literal, (&value).into())
                    .map_err(|e| StepError::internal("a value").caused_by(e))?;
                same.push(format!("n.{column} IS {} COLLATE BINARY", String::from_utf8_lossy(&literal)));
            }
        }
        Ok(Some(same.join(" AND ")))
    }
}
