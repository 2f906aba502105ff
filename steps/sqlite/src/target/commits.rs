//! The commits of a writing connection: when each gave the database back, and how durable each must be.
//!
//! Owns the write-ahead log's hook, which does what SQLite does by itself (a checkpoint of a long log), after it has
//! noted the time: a checkpoint keeps no writer waiting. Owns `synchronous`, and the page cache of batches.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cutover_core::StepError;
use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::folding::Folding;
use crate::sql::sqlite_error;

/// Pages of a log that is checkpointed: SQLite's own number.
const LONG: i32 = 1000;

/// Pages of a log that the writer itself checkpoints where another thread is at it already: 64 MB.
const LONGEST: i32 = 16_000;

/// KiB of pages that batches keep in memory.
const CACHE: i64 = 32 * 1024;

/// How batches are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batching {
    /// What undoes a single statement is kept in memory: for statements that are small and sort nothing.
    pub(crate) memory: bool,
    /// Nobody else writes.
    pub(crate) alone: bool,
}

/// What is known of the commits of one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commits(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    last: Mutex<Option<Instant>>,
    alone: AtomicBool,
    folding: Mutex<Option<Folding>>,
}

impl Commits {
    /// Hears of the commits of `conn` from now on.
    pub(crate) fn attach(&self, conn: &mut Connection) -> Result<(), StepError> {
        let last = self.clone();
        let hook = move |log: &mut Wal, pages: i32| {
            last.note();
            if pages < LONG || last.fold_behind(pages) {
                return Ok(());
            }
            // Like SQLite's own: that others are in the way is no failure of what is committed.
            log.checkpoint().or(Ok(()))
        };
        conn.wal_hook(Some(hook)).map_err(|e| sqlite_error(e, "while watching the write-ahead log"))
    }

    /// Whether another thread sees to a log of so many pages: between batches, while nobody else writes (whose commit would
    /// meet the long log, too), and as long as it is not too long.
    fn fold_behind(&self, pages: i32) -> bool {
        let folding = self.folding();
        let Some(folding) = folding.as_ref() else { return false };
        if self.0.alone.load(Ordering::Relaxed) && pages < LONGEST {
            folding.ask();
            return true;
        }
        folding.wait();
        false
    }

    fn folding(&self) -> MutexGuard<'_, Option<Folding>> {
        self.0.folding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection is about to be closed.
    pub(crate) fn close(&self) {
        *self.folding() = None;
    }

    fn note(&self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// When the last one gave the database back, if that was after `begun`; a checkpoint that it is followed by keeps nobody
    /// out.
    pub(crate) fn since(&self, begun: Instant) -> Option<Instant> {
        let last = *self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.filter(|last| *last >= begun)
    }

    /// When the transaction that just ended was committed; now, where no log told.
    pub(crate) fn last(&self) -> Instant {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_else(Instant::now)
    }

    /// From now on a commit need not wait for the disk, where SQLite keeps the database whole without it: with a
    /// write-ahead log a power failure then takes the last commits back, in their order.
    ///
    /// `another` opens the connection that checkpoints the log meanwhile.
    pub(crate) fn relax(
        &self,
        conn: &Connection,
        batching: Batching,
        another: impl FnOnce() -> Result<Connection, StepError>,
    ) -> Result<(), StepError> {
        self.last();
        let relax = || -> rusqlite::Result<bool> {
            conn.pragma_update(None, "cache_size", -CACHE)?;
            if batching.memory {
                conn.pragma_update(None, "temp_store", "MEMORY")?;
            }
            let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
            if mode == "wal" {
                conn.pragma_update(None, "synchronous", "NORMAL")?;
            }
            Ok(mode == "wal")
        };
        let log = relax().map_err(|e| sqlite_error(e, "while configuring the connection"))?;
        if log && batching.alone && self.folding().is_none() {
            let folding = Folding::by(another()?)?;
            *self.folding() = Some(folding);
        }
        self.0.alone.store(batching.alone, Ordering::Relaxed);
        Ok(())
    }

    /// Runs `work`, whose commit need not wait for the disk: with a write-ahead log a power failure may take it back,
    /// together with all that was committed behind it, never without. The next durable commit waits for both.
    pub(crate) fn lightly<T>(
        &self,
        conn: &Connection,
        work: impl FnOnce() -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        let set = |level| {
            conn.pragma_update(None, "synchronous", level)
                .map_err(|e| sqlite_error(e, "while configuring the connection"))
        };
        let mode: String = conn
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .map_err(|e| sqlite_error(e, "while configuring the connection"))?;
        if mode != "wal" {
            return work();
        }
        set("NORMAL")?;
        let result = work();
        set("FULL")?;
        result
    }

    /// From now on a commit waits for the disk.
    pub(crate) fn tighten(&self, conn: &Connection) -> Result<(), StepError> {
        self.0.alone.store(false, Ordering::Relaxed);
        let tighten = || {
            conn.pragma_update(None, "temp_store", "DEFAULT")?;
            conn.pragma_update(None, "synchronous", "FULL")
        };
        tighten().map_err(|e| sqlite_error(e, "while configuring the connection"))
    }
}
