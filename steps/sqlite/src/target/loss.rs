//! The rows that a restore would take away although no step of ours wrote them.
//!
//! Owns the comparison of a database with an older copy of itself. A row counts when its key is new or its values
//! changed since, unless a step that the restore takes back recorded that it wrote it. Rows that others deleted are
//! not counted: the restore brings them back. Virtual tables are not compared; their content follows other tables.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use cutover_core::{Receipt, StepError};
use rusqlite::Connection;
use serde::Deserialize;

use super::bookkeeping;
use super::catalog::{self, Table};
use super::connect;
use super::dump::{self, Columns};
use crate::sql::{quote_ident, sqlite_error};
use crate::written::Written;

/// The part of a receipt that says which rows a step wrote.
#[derive(Debug, Default, Deserialize)]
struct Wrote {
    #[serde(default)]
    written: Written,
}

/// The present database with the older copy attached as `old`. Both are files that nobody writes.
#[derive(Debug)]
pub(crate) struct Comparison {
    conn: Connection,
    ledger: String,
    ours: Written,
}

impl Comparison {
    pub(crate) fn new(present: &Path, older: &Path, ledger: &str) -> Result<Self, StepError> {
        let doing = "while comparing the database with its snapshot";
        let conn = connect::open_immutable(present).map_err(|e| sqlite_error(e, doing))?;
        conn.execute("ATTACH DATABASE ?1 AS old", [connect::uri(older, "immutable=1").to_string_lossy()])
            .map_err(|e| sqlite_error(e, doing))?;
        let ours = ours(&conn, ledger)?;
        Ok(Self { conn, ledger: ledger.to_owned(), ours })
    }

    /// Rows written by others since the older copy, by table; written to `out` as INSERT statements.
    pub(crate) fn export(&self, out: &mut impl Write) -> Result<BTreeMap<String, u64>, StepError> {
        let mut lost = BTreeMap::new();
        for table in catalog::tables(&self.conn, &self.ledger)? {
            if !table.is_virtual {
                let rows = self.table(&table, out)?;
                if rows > 0 {
                    lost.insert(table.name, rows);
                }
            }
        }
        Ok(lost)
    }

    fn table(&self, table: &Table, out: &mut impl Write) -> Result<u64, StepError> {
        let doing = format!("while comparing the rows of `{}`", table.name);
        let columns = Columns::of(&self.conn, &table.name)?;
        let new = format!("SELECT {} FROM main.{} AS n", columns.list(), quote_ident(&table.name));
        let Some(same) = self.same_row(table)? else {
            // The table itself is newer than the copy.
            return if table.without_rowid {
                dump::table(&self.conn, &columns, &new, &[], out)
            } else {
                self.rows_of_others(table, &columns, "1", out)
            };
        };
        let gone = format!("NOT EXISTS (SELECT 1 FROM old.{} AS o WHERE {same})", quote_ident(&table.name));
        if table.without_rowid {
            return dump::table(&self.conn, &columns, &format!("{new} WHERE {gone}"), &[], out);
        }
        self.rows_of_others(table, &columns, &gone, out).map_err(|e| StepError::new(e.kind(), format!("{doing}: {e}")))
    }

    /// The rows of a rowid table for which `condition` holds and that no step of ours wrote.
    fn rows_of_others(
        &self,
        table: &Table,
        columns: &Columns,
        condition: &str,
        out: &mut impl Write,
    ) -> Result<u64, StepError> {
        let doing = format!("while comparing the rows of `{}`", table.name);
        let name = quote_ident(&table.name);
        let rowid = columns.rowid();
        let ids: Vec<i64> = self
            .conn
            .prepare(&format!("SELECT n.{rowid} FROM main.{name} AS n WHERE {condition} ORDER BY 1"))
            .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
            .map_err(|e| sqlite_error(e, &doing))?;
        let query = format!("SELECT {} FROM main.{name} AS n WHERE n.{rowid} = ?1", columns.list());
        let mut rows = 0;
        for id in ids.into_iter().filter(|id| !self.ours.contains(&table.name, *id)) {
            rows += dump::table(&self.conn, columns, &query, &[id], out)?;
        }
        Ok(rows)
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

/// The rows written by steps that are in the present ledger and not in the older one.
fn ours(conn: &Connection, ledger: &str) -> Result<Written, StepError> {
    let doing = "while reading the ledger";
    let mut ours = Written::default();
    if !bookkeeping::check_shape(conn, ledger)? {
        return Ok(ours);
    }
    let name = quote_ident(ledger);
    let older = conn
        .prepare("SELECT 1 FROM old.sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE")
        .and_then(|mut s| s.exists([ledger]))
        .map_err(|e| sqlite_error(e, doing))?;
    let known = if older {
        format!(
            "AND NOT EXISTS (SELECT 1 FROM old.{name} o WHERE o.plan = n.plan AND o.step = n.step AND o.run = n.run)"
        )
    } else {
        String::new()
    };
    let receipts: Vec<String> = conn
        .prepare(&format!("SELECT receipt FROM main.{name} n WHERE success = 1 AND receipt IS NOT NULL {known}"))
        .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
        .map_err(|e| sqlite_error(e, doing))?;
    for receipt in receipts {
        // A receipt of a kind that says nothing of rows adds none.
        let wrote = serde_json::from_str::<Receipt>(&receipt).ok().and_then(|r| Wrote::deserialize(r.body).ok());
        ours.extend(wrote.unwrap_or_default().written);
    }
    Ok(ours)
}
