//! Whether anybody else committed, as one number that only grows.
//!
//! `PRAGMA data_version` moves when *another* connection commits, so on the reader it would move by our own writer.
//! Owns which connection is watched: the reader until a writer is open, from then on the writer.

use cutover_core::StepError;
use rusqlite::Connection;

use crate::sql::sqlite_error;

/// The commits of others that were noticed, and what the watched connection said last.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    ticks: u64,
    reader: Option<i64>,
    writer: Option<i64>,
}

impl Watch {
    /// Looks at `conn`, which is the writer or the reader, and says how many moves were noticed so far.
    pub(crate) fn look(&mut self, is_writer: bool, conn: &Connection) -> Result<u64, StepError> {
        let now = data_version(conn)?;
        let before = if is_writer { &mut self.writer } else { &mut self.reader };
        let moved = before.replace(now).is_some_and(|before| before != now);
        self.ticks += u64::from(moved);
        Ok(self.ticks)
    }

    /// A writer was opened: looks at the reader for the last time.
    pub(crate) fn hand_over(&mut self, reader: &Connection) -> Result<(), StepError> {
        if self.reader.is_some() {
            self.look(false, reader)?;
        }
        self.reader = None;
        Ok(())
    }

    /// Both connections closed: whether anybody commits until they open again is not known, so it counts.
    pub(crate) fn closed(&mut self) {
        if self.reader.take().is_some() || self.writer.take().is_some() {
            self.ticks += 1;
        }
        self.writer = None;
    }
}

/// A number that moves when another connection than `conn` commits.
pub(crate) fn data_version(conn: &Connection) -> Result<i64, StepError> {
    conn.prepare_cached("PRAGMA data_version")
        .and_then(|mut s| s.query_row([], |row| row.get(0)))
        .map_err(|e| sqlite_error(e, "while reading the change counter"))
}
