//! The database as it was before the open transaction, seen by a connection of its own.
//!
//! While the writer's transaction is open nobody else commits, so a reader sees what the transaction found. With a
//! write-ahead log that is so at any time. With a rollback journal the writer may need the file for itself before it
//! commits, when its cache is full: a small database is held, and the cache grows instead; of a large one the old state
//! may then be out of reach, and whoever asks takes that for an unknown one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cutover_core::{StepError, StepErrorKind};
use rusqlite::Connection;

use super::connect;
use crate::sql::sqlite_error;

const DOING: &str = "while looking at the database as it was";

/// A database with a rollback journal is held up to this size.
const HELD: i64 = 256 << 20;

/// The reader, once it was needed.
#[derive(Debug, Default)]
pub(crate) struct Before(Mutex<Option<Connection>>);

impl Before {
    /// From now on the state before is to be kept in sight, until [`release`](Self::release).
    pub(crate) fn hold(&self, writer: &Connection) -> Result<(), StepError> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_some_and(|conn| !conn.is_autocommit()) {
            return Ok(());
        }
        let conn = match slot.take() {
            Some(conn) => conn,
            None => open(writer)?,
        };
        let number = |pragma: &str| writer.query_row(&format!("PRAGMA main.{pragma}"), [], |row| row.get::<_, i64>(0));
        let look = || -> rusqlite::Result<()> {
            if !has_log(writer)? {
                if number("page_count")?.saturating_mul(number("page_size")?) > HELD {
                    return Ok(());
                }
                // Pages; switching it off has no effect inside a transaction.
                writer.execute_batch("PRAGMA main.cache_spill = 1000000000")?;
            }
            conn.execute_batch("BEGIN; SELECT count(*) FROM sqlite_master")
        };
        match look().map_err(|e| sqlite_error(e, DOING)) {
            // Out of reach already.
            Err(e) if e.kind() == StepErrorKind::Busy => *slot = None,
            Err(e) => return Err(e),
            Ok(()) => *slot = Some(conn),
        }
        Ok(())
    }

    /// Runs `work` on the state before. None: it is out of reach.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StepError>,
    ) -> Result<Option<T>, StepError> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(work) {
            Some(Err(e)) if e.kind() == StepErrorKind::Busy => Ok(None),
            other => other.transpose(),
        }
    }

    /// The transaction ends: nothing is held any more.
    pub(crate) fn release(&self, writer: &Connection) -> Result<(), StepError> {
        let slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.as_ref() {
            Some(conn) if !conn.is_autocommit() => conn
                .execute_batch("ROLLBACK")
                .and_then(|()| writer.execute_batch("PRAGMA main.cache_spill = 1"))
                .map_err(|e| sqlite_error(e, DOING)),
            _ => Ok(()),
        }
    }

    /// Closes the reader.
    pub(crate) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn open(writer: &Connection) -> Result<Connection, StepError> {
    let path = writer.path().unwrap_or_default();
    let conn = connect::reader(path.as_ref())?;
    // Only the writer's own transaction can be in the way, and that does not end by waiting.
    conn.busy_timeout(Duration::ZERO).map_err(|e| sqlite_error(e, DOING))?;
    Ok(conn)
}

fn has_log(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("PRAGMA main.journal_mode", [], |row| row.get::<_, String>(0)).map(|mode| mode == "wal")
}
