//! Reads rows of one table and digests them.

use std::collections::BTreeSet;

use cutover_core::StepError;
use rusqlite::{Connection, params_from_iter};

use super::dump::Columns;
use crate::sql::{quote_ident, sqlite_error};
use crate::written::{Part, digest};

/// No parameters.
pub(crate) const NONE: [i64; 0] = [];

/// Digests rows of one table.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    conn: &'a Connection,
    pub(crate) columns: Columns,
    rows: BTreeSet<u64>,
}

impl<'a> Reader<'a> {
    pub(crate) fn of(conn: &'a Connection, table: &str) -> Result<Self, StepError> {
        Ok(Self { conn, columns: Columns::of(conn, table)?, rows: BTreeSet::new() })
    }

    /// The rows `n` for which `condition` holds, once with each of `params`.
    pub(crate) fn read<P, V>(&mut self, condition: &str, params: P) -> Result<(), StepError>
    where
        P: IntoIterator<Item = V>,
        V: IntoIterator<Item: rusqlite::ToSql>,
    {
        let table = quote_ident(self.columns.table());
        let query = format!("SELECT {} FROM main.{table} AS n WHERE {condition}", self.columns.list());
        let count = self.columns.names().len();
        let read = || {
            let mut statement = self.conn.prepare(&query)?;
            for params in params {
                let mut rows = statement.query(params_from_iter(params))?;
                while let Some(row) = rows.next()? {
                    self.rows.insert(digest(row, 0..count)?);
                }
            }
            Ok(())
        };
        read().map_err(|e| sqlite_error(e, &format!("while reading the rows of `{}`", self.columns.table())))
    }

    /// None when there was no row.
    pub(crate) fn finish(self) -> Option<Part> {
        let (table, columns) = (self.columns.table().to_owned(), self.columns.names().to_vec());
        (!self.rows.is_empty()).then_some(Part { table, columns, rows: self.rows })
    }
}
