//! The commits of a writing connection: when each gave the database back, and how durable each must be.
//!
//! Owns the write-ahead log's hook, which does what SQLite does by itself (a checkpoint of a long log), after it has
//! noted the time: a checkpoint keeps no writer waiting. Owns `synchronous`, so that nobody waits for our disk either
//! where a log makes that possible, and the page cache of batches.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cutover_core::StepError;
use cutover_core::disk::io_error;
use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::folding::Folding;
use super::still::sibling;
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
    /// Batches are written: nobody waits for the disk.
    relaxed: AtomicBool,
    /// Whoever committed waits for the disk behind the commit.
    deferred: AtomicBool,
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
        self.0.relaxed.store(true, Ordering::Relaxed);
        let log = relax().map_err(|e| sqlite_error(e, "while configuring the connection"))?;
        if log && batching.alone && self.folding().is_none() {
            let folding = Folding::by(another()?)?;
            *self.folding() = Some(folding);
        }
        self.0.alone.store(batching.alone, Ordering::Relaxed);
        Ok(())
    }

    /// The next transaction is to be durable, and others need not wait for that: with a write-ahead log its commit does
    /// not, and [`settle`](Self::settle) waits for the disk when they have the database back. What they read meanwhile, a
    /// power failure may take back with all that was written behind it, never without.
    pub(crate) fn defer(&self, conn: &Connection) -> Result<(), StepError> {
        if self.0.relaxed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let defer = || -> rusqlite::Result<bool> {
            // Nobody can give the file another journal while we have it open with a log.
            let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
            if mode == "wal" {
                conn.pragma_update(None, "synchronous", "NORMAL")?;
            }
            Ok(mode == "wal")
        };
        let log = defer().map_err(|e| sqlite_error(e, "while configuring the connection"))?;
        self.0.deferred.store(log, Ordering::Relaxed);
        Ok(())
    }

    /// The transaction has ended: makes it durable, if it was `committed`.
    pub(crate) fn settle(&self, conn: &Connection, path: &Path, committed: bool) -> Result<(), StepError> {
        if !self.0.deferred.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        conn.pragma_update(None, "synchronous", "FULL")
            .map_err(|e| sqlite_error(e, "while configuring the connection"))?;
        if !committed {
            return Ok(());
        }
        // It has no locks that closing it would drop. What was folded away since is in the main file, and durable; where
        // there is no log any more, somebody took the database away, which others tell.
        let log = sibling(path, "-wal");
        match File::open(&log).and_then(|log| log.sync_data()) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(io_error("cannot make durable", &log, e)),
            _ => Ok(()),
        }
    }

    /// From now on a commit waits for the disk.
    pub(crate) fn tighten(&self, conn: &Connection) -> Result<(), StepError> {
        self.0.relaxed.store(false, Ordering::Relaxed);
        self.0.alone.store(false, Ordering::Relaxed);
        let tighten = || {
            conn.pragma_update(None, "temp_store", "DEFAULT")?;
            conn.pragma_update(None, "synchronous", "FULL")
        };
        tighten().map_err(|e| sqlite_error(e, "while configuring the connection"))
    }
}
