//! The counter of an AUTOINCREMENT table: what inserted rows moved, a rollback puts back.
//!
//! Owns the row of `sqlite_sequence` of one table. The counter is put back only when nobody else moved it since.

use cutover_core::StepError;
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};

use crate::sql::sqlite_error;

/// A counter before and after a change; kept in receipts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moved {
    before: Option<i64>,
    after: Option<i64>,
}

impl Moved {
    /// From the counter as it was `before` to what it is now.
    pub(crate) fn since(conn: &Connection, table: &str, before: Option<i64>) -> Result<Self, StepError> {
        Ok(Self { before, after: current(conn, table)? })
    }

    /// The same beginning, up to what the counter is now.
    pub(crate) fn moved_to(&self, conn: &Connection, table: &str) -> Result<Self, StepError> {
        Self::since(conn, table, self.before)
    }

    /// Puts the counter back, unless somebody else has moved it.
    pub(crate) fn put_back(&self, conn: &Connection, table: &str) -> Result<(), StepError> {
        let Some(after) = self.after.filter(|a| Some(*a) != self.before) else { return Ok(()) };
        if current(conn, table)? != Some(after) {
            return Ok(());
        }
        match self.before {
            Some(before) => conn.execute(
                "UPDATE sqlite_sequence SET seq = ?2 WHERE name = ?1 COLLATE NOCASE",
                rusqlite::params![table, before],
            ),
            None => conn.execute("DELETE FROM sqlite_sequence WHERE name = ?1 COLLATE NOCASE", [table]),
        }
        .map(|_| ())
        .map_err(|e| sqlite_error(e, &format!("putting back the counter of table `{table}`")))
    }
}

/// The counter of `table`; none when it has none yet.
pub(crate) fn current(conn: &Connection, table: &str) -> Result<Option<i64>, StepError> {
    let read = || -> rusqlite::Result<Option<i64>> {
        if !conn.prepare("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'")?.exists([])? {
            return Ok(None);
        }
        conn.query_row("SELECT seq FROM sqlite_sequence WHERE name = ?1 COLLATE NOCASE", [table], |row| row.get(0))
            .optional()
    };
    read().map_err(|e| sqlite_error(e, &format!("reading the counter of table `{table}`")))
}
