//! Reads: the schema that the stage says, and the old one where the new has nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rusqlite::Connection;

use crate::counters::Counters;
use crate::stage::Stage;

/// Reads a database of two schemas. Shared by the connections of a program as it likes.
#[derive(Debug)]
pub struct DualReader {
    mapping: String,
    counters: Arc<Counters>,
    compare_every: u64,
    turn: AtomicU64,
}

impl DualReader {
    /// For the mapping of that name.
    pub fn new(mapping: impl Into<String>, counters: Arc<Counters>) -> Self {
        Self { mapping: mapping.into(), counters, compare_every: 0, turn: AtomicU64::new(0) }
    }

    /// Every so many reads by [`DualReader::read_compared`], both schemas are read and compared; 0: never.
    #[must_use]
    pub fn compare_every(self, reads: u64) -> Self {
        Self { compare_every: reads, ..self }
    }

    /// Reads by `new` or by `old`, as the stage says, in one transaction with reading the stage; in the caller's, where
    /// `conn` has one open. While the new schema is preferred, the old one is asked where `found` says of what the new
    /// one gave that it is nothing, or where the new one failed.
    ///
    /// # Errors
    /// What `old` returns, or `new` where there is nothing to fall back to, and those of SQLite.
    pub fn read<T, E>(
        &self,
        conn: &Connection,
        new: impl FnOnce(&Connection) -> Result<T, E>,
        old: impl FnOnce(&Connection) -> Result<T, E>,
        found: impl FnOnce(&T) -> bool,
    ) -> Result<T, E>
    where
        E: From<rusqlite::Error>,
    {
        let began = Instant::now();
        let _view = View::of(conn)?;
        let counters = &self.counters;
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        let result = match Stage::of(conn, &self.mapping)? {
            Stage::OldOnly | Stage::DualWrite => {
                count(&counters.reads_old);
                old(conn)
            }
            Stage::NewOnly | Stage::Contracted => {
                count(&counters.reads_new);
                new(conn)
            }
            Stage::PreferNew => match new(conn) {
                Ok(value) if found(&value) => {
                    count(&counters.reads_new);
                    Ok(value)
                }
                other => {
                    count(&counters.reads_fallback);
                    if other.is_err() {
                        count(&counters.reads_failed_new);
                    }
                    old(conn)
                }
            },
        };
        counters.read_times.count(began.elapsed());
        result
    }

    /// As [`DualReader::read`]; and every so many times, while there are both schemas, both are read and compared. What
    /// differs is counted, and what the stage says is returned.
    ///
    /// # Errors
    /// As [`DualReader::read`]. An error of a schema that is only read to be compared is a difference.
    pub fn read_compared<T, E>(
        &self,
        conn: &Connection,
        new: impl Fn(&Connection) -> Result<T, E>,
        old: impl Fn(&Connection) -> Result<T, E>,
        found: impl Fn(&T) -> bool,
    ) -> Result<T, E>
    where
        T: PartialEq,
        E: From<rusqlite::Error>,
    {
        let turn =
            self.compare_every > 0 && self.turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.compare_every);
        // Both in one view, else what others write in between were a difference.
        let _view = View::of(conn)?;
        let value = self.read(conn, &new, &old, &found)?;
        let both =
            turn && matches!(Stage::of(conn, &self.mapping)?, Stage::DualWrite | Stage::PreferNew | Stage::NewOnly);
        if both {
            self.counters.reads_compared.fetch_add(1, Ordering::Relaxed);
            if !matches!((new(conn), old(conn)), (Ok(new), Ok(old)) if new == old) {
                self.counters.reads_mismatched.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(value)
    }
}

/// A read transaction of ours; nothing where the caller has one.
struct View<'c>(Option<&'c Connection>);

impl<'c> View<'c> {
    fn of(conn: &'c Connection) -> rusqlite::Result<Self> {
        if !conn.is_autocommit() {
            return Ok(Self(None));
        }
        conn.prepare_cached("BEGIN")?.execute([])?;
        Ok(Self(Some(conn)))
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        // Nothing was written: to end it is all there is to do. Where SQLite has ended it itself, there is nothing left.
        if let Some(conn) = self.0.filter(|conn| !conn.is_autocommit())
            && conn.prepare_cached("COMMIT").and_then(|mut end| end.execute([])).is_err()
        {
            let _ = conn.execute_batch("ROLLBACK");
        }
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("View").field(&self.0.is_some()).finish()
    }
}
