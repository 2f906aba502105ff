//! What a block of a file says, as SQLite reads it: loaded into tables in memory that change no value.

use std::collections::BTreeMap;

use cutover_core::StepError;
use rusqlite::types::Value;
use rusqlite::{Connection, Row};

use crate::identity::list;
use crate::sql::{quote_ident, sqlite_error};
use crate::written::digest;

const DOING: &str = "while reading back rows that were set aside";

/// Tables in memory, by name, each with its columns.
#[derive(Debug)]
pub(super) struct Scratch {
    conn: Connection,
    tables: BTreeMap<String, Vec<String>>,
}

impl Scratch {
    pub(super) fn new(tables: BTreeMap<String, Vec<String>>) -> Result<Self, StepError> {
        let make = || -> rusqlite::Result<Connection> {
            let conn = Connection::open_in_memory()?;
            for (table, columns) in &tables {
                // Without a type, a column keeps what it is given.
                conn.execute_batch(&format!("CREATE TABLE {} ({})", quote_ident(table), list(columns)))?;
            }
            Ok(conn)
        };
        let conn = make().map_err(|e| sqlite_error(e, DOING))?;
        Ok(Self { conn, tables })
    }

    /// Loads a block in place of the one before.
    pub(super) fn load(&self, block: &[u8]) -> Result<(), StepError> {
        let text =
            std::str::from_utf8(block).map_err(|e| StepError::internal("a block of rows is no text").caused_by(e))?;
        let load = || {
            for table in self.tables.keys() {
                self.conn.execute(&format!("DELETE FROM {}", quote_ident(table)), [])?;
            }
            self.conn.execute_batch(&format!("BEGIN;\n{text}COMMIT;"))
        };
        load().map_err(|e| sqlite_error(e, DOING))
    }

    /// The digests of the rows of a table, in the order of their statements.
    pub(super) fn digests(&self, table: &str) -> Result<Vec<u64>, StepError> {
        self.each(table, |row, columns| digest(row, 0..columns))
    }

    /// The rows of a table, in the order of their statements.
    pub(super) fn rows(&self, table: &str) -> Result<Vec<Vec<Value>>, StepError> {
        self.each(table, |row, columns| (0..columns).map(|i| row.get(i)).collect())
    }

    fn each<T>(&self, table: &str, read: impl Fn(&Row<'_>, usize) -> rusqlite::Result<T>) -> Result<Vec<T>, StepError> {
        let Some(columns) = self.tables.get(table) else { return Ok(Vec::new()) };
        let sql = format!("SELECT {} FROM {}", list(columns), quote_ident(table));
        self.conn
            .prepare_cached(&sql)
            .and_then(|mut s| s.query_map([], |row| read(row, columns.len()))?.collect())
            .map_err(|e| sqlite_error(e, DOING))
    }
}
