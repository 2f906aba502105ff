//! What readers and writers did, in memory and in the database.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::latency::{Histograms, Times, upper_bound};
use crate::stage::STAGE_TABLE;

/// The table with the sums of all programs: `name` of the mapping, `counter`, `value`.
pub const COUNTERS_TABLE: &str = "_cutover_counters";

/// How often a writer writes its counters, at most.
pub(crate) const PACE: Duration = Duration::from_secs(5);

/// What the readers and writers of a program did. They share one behind an [`std::sync::Arc`].
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) reads: Histograms,
    pub(crate) writes: Histograms,
    pub(crate) reads_failed_new: AtomicU64,
    pub(crate) reads_compared: AtomicU64,
    pub(crate) reads_mismatched: AtomicU64,
    flushed: Mutex<Flushed>,
}

/// What the database has of ours, and when it was tried last to write there.
#[derive(Debug, Default)]
pub(crate) struct Flushed {
    counts: Counts,
    tried: Option<Instant>,
}

/// What was counted. A read or a write is counted once, when it has ended, by where it was answered or as failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads that the new schema answered.
    pub reads_new: u64,
    /// Reads that the old schema answered because the stage says so.
    pub reads_old: u64,
    /// Reads that the old schema answered because the new one had nothing or failed; also those for which neither had
    /// anything.
    pub reads_fallback: u64,
    /// Reads that failed: the application was told.
    pub reads_failed: u64,
    /// Of those that the old schema answered after the new one, those for which the new one failed.
    pub reads_failed_new: u64,
    /// Reads of both schemas that were compared.
    pub reads_compared: u64,
    /// Of these, those that differed.
    pub reads_mismatched: u64,
    /// Writes into the new schema.
    pub writes_new: u64,
    /// Writes into the old schema because the stage says so.
    pub writes_old: u64,
    /// Writes into the old schema because the new one failed.
    pub writes_fallback: u64,
    /// Writes that failed: the application was told.
    pub writes_failed: u64,
    /// How long reads took, without what is read only to be compared.
    pub read_times: Times,
    /// How long writes took, with the time for which they waited and the commit.
    pub write_times: Times,
}

impl Counters {
    /// What was counted since the program began.
    pub fn counts(&self) -> Counts {
        let seen = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (read_times, write_times) = (self.reads.seen(), self.writes.seen());
        Counts {
            reads_new: read_times.new.count(),
            reads_old: read_times.old.count(),
            reads_fallback: read_times.fallback.count(),
            reads_failed: read_times.failed.count(),
            reads_failed_new: seen(&self.reads_failed_new),
            reads_compared: seen(&self.reads_compared),
            reads_mismatched: seen(&self.reads_mismatched),
            writes_new: write_times.new.count(),
            writes_old: write_times.old.count(),
            writes_fallback: write_times.fallback.count(),
            writes_failed: write_times.failed.count(),
            read_times,
            write_times,
        }
    }

    /// Adds what was counted since the last time to the sums of all programs in the database, in a transaction of its
    /// own or in the one that `conn` has open. Does nothing when no migration is under way.
    ///
    /// A [`crate::DualWriter`] does this with one of its writes every few seconds. A program that only reads does it
    /// itself, on a connection that may write: a read never writes by itself. A program that ends does it once more.
    ///
    /// # Errors
    /// Those of SQLite. What could not be written is written the next time. Where the caller's transaction is rolled
    /// back after all, these counts are lost.
    pub fn flush(&self, conn: &Connection, mapping: &str) -> rusqlite::Result<()> {
        let lock = || self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        if !conn.is_autocommit() {
            let mut flushed = lock();
            if let Some(now) = self.flush_within(&flushed, conn, mapping)? {
                *flushed = now;
            }
            return Ok(());
        }
        if !under_way(conn)? {
            return Ok(());
        }
        // First the database's lock, then ours: a writer that has the one looks whether it can have the other.
        conn.execute_batch("BEGIN IMMEDIATE")?;
        let mut flushed = lock();
        let now = self.counts();
        let wrote = add(conn, mapping, &flushed.counts, &now).and_then(|()| conn.execute_batch("COMMIT"));
        if wrote.is_err() {
            let _ = conn.execute_batch("ROLLBACK");
        }
        wrote?;
        *flushed = Flushed { counts: now, tried: Some(Instant::now()) };
        Ok(())
    }

    /// The same in the transaction that `conn` has open: what the database has when that is committed.
    pub(crate) fn flush_within(
        &self,
        flushed: &Flushed,
        conn: &Connection,
        mapping: &str,
    ) -> rusqlite::Result<Option<Flushed>> {
        if !under_way(conn)? {
            return Ok(None);
        }
        let now = self.counts();
        add(conn, mapping, &flushed.counts, &now)?;
        Ok(Some(Flushed { counts: now, tried: Some(Instant::now()) }))
    }

    /// Whether a writer is to write them: where that was not tried for a while, and nobody else is at it.
    pub(crate) fn due(&self) -> Option<MutexGuard<'_, Flushed>> {
        let mut flushed = match self.flushed.try_lock() {
            Ok(flushed) => flushed,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let now = Instant::now();
        let due = flushed.tried.is_none_or(|at| now.duration_since(at) >= PACE);
        due.then(|| {
            flushed.tried = Some(now);
            flushed
        })
    }
}

/// Whether there is a stage in the database.
fn under_way(conn: &Connection) -> rusqlite::Result<bool> {
    conn.prepare_cached("SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?1")?.exists([STAGE_TABLE])
}

impl Counts {
    /// The counters by their names in the database.
    pub fn named(&self) -> [(&'static str, u64); 11] {
        [
            ("reads.new", self.reads_new),
            ("reads.old", self.reads_old),
            ("reads.fallback", self.reads_fallback),
            ("reads.failed", self.reads_failed),
            ("reads.failed-new", self.reads_failed_new),
            ("reads.compared", self.reads_compared),
            ("reads.mismatched", self.reads_mismatched),
            ("writes.new", self.writes_new),
            ("writes.old", self.writes_old),
            ("writes.fallback", self.writes_fallback),
            ("writes.failed", self.writes_failed),
        ]
    }
}

/// The statement that makes the table of the sums, where it is not there: best by whoever makes the stage's, since every
/// change of the schema has all programs compile their statements anew.
pub fn create_counters() -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS main.{COUNTERS_TABLE} (\n  name TEXT NOT NULL,\n  counter TEXT NOT NULL,\n  \
         value INTEGER NOT NULL,\n  PRIMARY KEY (name, counter)\n) WITHOUT ROWID"
    )
}

fn add(conn: &Connection, mapping: &str, before: &Counts, now: &Counts) -> rusqlite::Result<()> {
    conn.execute_batch(&create_counters())?;
    let mut sum = conn.prepare_cached(
        "INSERT INTO main._cutover_counters (name, counter, value) VALUES (?1, ?2, ?3) \
         ON CONFLICT (name, counter) DO UPDATE SET value = value + excluded.value",
    )?;
    for ((counter, before), (_, now)) in before.named().into_iter().zip(now.named()) {
        if now > before {
            sum.execute(params![mapping, counter, stored(now - before)])?;
        }
    }
    let mut longest = conn.prepare_cached(
        "INSERT INTO main._cutover_counters (name, counter, value) VALUES (?1, ?2, ?3) \
         ON CONFLICT (name, counter) DO UPDATE SET value = max(value, excluded.value)",
    )?;
    let times = [("reads", &before.read_times, &now.read_times), ("writes", &before.write_times, &now.write_times)];
    for (what, before, now) in times {
        for ((answer, before), (_, now)) in before.named().into_iter().zip(now.named()) {
            for (bucket, (before, now)) in before.buckets.iter().zip(now.buckets).enumerate() {
                if now > *before {
                    sum.execute(params![mapping, below(what, answer, bucket), stored(now - before)])?;
                }
            }
            // Also where it did not grow: somebody may have deleted the sums since.
            if now.buckets != before.buckets {
                longest.execute(params![mapping, format!("{what}.{answer}.longest-us"), stored(now.longest)])?;
            }
        }
    }
    Ok(())
}

/// The name of a bucket: `reads.new.below-us.16`.
fn below(what: &str, answer: &str, bucket: usize) -> String {
    let bound = upper_bound(bucket).map_or_else(|| "more".to_owned(), |bound| bound.to_string());
    format!("{what}.{answer}.below-us.{bound}")
}

/// As SQLite stores whole numbers.
fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
