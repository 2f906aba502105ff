//! The commits of a writing connection: when each gave the database back, and how durable each must be.
//!
//! Owns the write-ahead log's hook, which does what SQLite does by itself (a checkpoint of a long log), after it has
//! noted the time: a checkpoint keeps no writer waiting. Owns `synchronous` and the page cache of batches.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use cutover_core::StepError;
use rusqlite::Connection;
use rusqlite::hooks::Wal;

use crate::sql::sqlite_error;

/// Pages of a log that is checkpointed: SQLite's own number.
const LONG: i32 = 1000;

/// KiB of pages that batches keep in memory.
const CACHE: i64 = 32 * 1024;

/// What is known of the commits of one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commits(Arc<Mutex<Option<Instant>>>);

impl Commits {
    /// Hears of the commits of `conn` from now on.
    pub(crate) fn attach(&self, conn: &mut Connection) -> Result<(), StepError> {
        let last = self.clone();
        let hook = move |log: &mut Wal, pages: i32| {
            last.note();
            // Like SQLite's own: that others are in the way is no failure of what is committed.
            if pages >= LONG { log.checkpoint().or(Ok(())) } else { Ok(()) }
        };
        conn.wal_hook(Some(hook)).map_err(|e| sqlite_error(e, "while watching the write-ahead log"))
    }

    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// When the transaction that just ended was committed; now, where no log told.
    pub(crate) fn last(&self) -> Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_else(Instant::now)
    }

    /// From now on a commit need not wait for the disk, where SQLite keeps the database whole without it: with a
    /// write-ahead log a power failure then takes the last commits back, in their order. What undoes a statement alone
    /// (each page of an index that it touches) is kept in `memory`, where statements are small and sort nothing.
    pub(crate) fn relax(&self, conn: &Connection, memory: bool) -> Result<(), StepError> {
        self.last();
        let relax = || -> rusqlite::Result<()> {
            conn.pragma_update(None, "cache_size", -CACHE)?;
            if memory {
                conn.pragma_update(None, "temp_store", "MEMORY")?;
            }
            let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
            if mode == "wal" { conn.pragma_update(None, "synchronous", "NORMAL") } else { Ok(()) }
        };
        relax().map_err(|e| sqlite_error(e, "while configuring the connection"))
    }

    /// From now on a commit waits for the disk.
    pub(crate) fn tighten(&self, conn: &Connection) -> Result<(), StepError> {
        let tighten = || {
            conn.pragma_update(None, "temp_store", "DEFAULT")?;
            conn.pragma_update(None, "synchronous", "FULL")
        };
        tighten().map_err(|e| sqlite_error(e, "while configuring the connection"))
    }
}
