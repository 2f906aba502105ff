//! What readers and writers did, in memory and in the database.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::latency::{Histogram, Latencies, upper_bound};
use crate::stage::STAGE_TABLE;

/// The table with the sums of all programs: `name` of the mapping, `counter`, `value`.
pub const COUNTERS_TABLE: &str = "_cutover_counters";

/// How often a writer writes its counters, at most.
pub(crate) const PACE: Duration = Duration::from_secs(5);

/// What the readers and writers of a program did. They share one behind an [`std::sync::Arc`].
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) reads_new: AtomicU64,
    pub(crate) reads_old: AtomicU64,
    pub(crate) reads_fallback: AtomicU64,
    pub(crate) reads_failed_new: AtomicU64,
    pub(crate) reads_compared: AtomicU64,
    pub(crate) reads_mismatched: AtomicU64,
    pub(crate) writes_new: AtomicU64,
    pub(crate) writes_old: AtomicU64,
    pub(crate) writes_fallback: AtomicU64,
    pub(crate) writes_failed: AtomicU64,
    pub(crate) read_times: Histogram,
    pub(crate) write_times: Histogram,
    /// What the database has of ours, and since when.
    flushed: Mutex<Flushed>,
}

#[derive(Debug, Default)]
struct Flushed {
    counts: Counts,
    at: Option<Instant>,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads that the new schema served.
    pub reads_new: u64,
    /// Reads that the old schema served because the stage says so.
    pub reads_old: u64,
    /// Reads that the old schema served because the new one had nothing or failed.
    pub reads_fallback: u64,
    /// Reads of the new schema that failed and were served by the old one.
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
    /// How long reads took, both schemas together.
    pub read_times: Latencies,
    /// How long writes took, with the time for which they waited and the commit.
    pub write_times: Latencies,
}

impl Counters {
    /// What was counted since the program began.
    pub fn counts(&self) -> Counts {
        let seen = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            reads_new: seen(&self.reads_new),
            reads_old: seen(&self.reads_old),
            reads_fallback: seen(&self.reads_fallback),
            reads_failed_new: seen(&self.reads_failed_new),
            reads_compared: seen(&self.reads_compared),
            reads_mismatched: seen(&self.reads_mismatched),
            writes_new: seen(&self.writes_new),
            writes_old: seen(&self.writes_old),
            writes_fallback: seen(&self.writes_fallback),
            writes_failed: seen(&self.writes_failed),
            read_times: self.read_times.seen(),
            write_times: self.write_times.seen(),
        }
    }

    /// Adds what was counted since the last time to the sums of all programs in the database, in a transaction of its
    /// own or in the one that `conn` has open. Does nothing when no migration is under way.
    ///
    /// A [`crate::DualWriter`] does this with one of its writes every few seconds. A program that only reads does it
    /// itself, on a connection that may write: a read never writes by itself.
    ///
    /// # Errors
    /// Those of SQLite. What could not be written is written the next time. Where the caller's transaction is rolled
    /// back after all, these counts are lost.
    pub fn flush(&self, conn: &Connection, mapping: &str) -> rusqlite::Result<()> {
        let mut flushed = self.flushed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = self.counts();
        let under_way = conn
            .prepare_cached("SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?1")?
            .exists([STAGE_TABLE])?;
        if !under_way {
            return Ok(());
        }
        if conn.is_autocommit() {
            conn.execute_batch("BEGIN IMMEDIATE")?;
            let wrote = add(conn, mapping, &flushed.counts, &now).and_then(|()| conn.execute_batch("COMMIT"));
            if wrote.is_err() {
                let _ = conn.execute_batch("ROLLBACK");
            }
            wrote?;
        } else {
            add(conn, mapping, &flushed.counts, &now)?;
        }
        *flushed = Flushed { counts: now, at: Some(Instant::now()) };
        Ok(())
    }

    /// Whether it is time to write them.
    pub(crate) fn due(&self) -> bool {
        let flushed = self.flushed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        flushed.at.is_none_or(|at| at.elapsed() >= PACE)
    }
}

impl Counts {
    /// The counters by their names in the database.
    pub fn named(&self) -> [(&'static str, u64); 10] {
        [
            ("reads.new", self.reads_new),
            ("reads.old", self.reads_old),
            ("reads.fallback", self.reads_fallback),
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
    let times = [("reads", &before.read_times, &now.read_times), ("writes", &before.write_times, &now.write_times)];
    for (what, before, now) in times {
        for (bucket, (before, now)) in before.buckets.iter().zip(now.buckets).enumerate() {
            if now > *before {
                let bound = upper_bound(bucket).map_or_else(|| "more".to_owned(), |bound| bound.to_string());
                sum.execute(params![mapping, format!("{what}.below-us.{bound}"), stored(now - before)])?;
            }
        }
        conn.prepare_cached(
            "INSERT INTO main._cutover_counters (name, counter, value) VALUES (?1, ?2, ?3) \
             ON CONFLICT (name, counter) DO UPDATE SET value = max(value, excluded.value)",
        )?
        .execute(params![mapping, format!("{what}.longest-us"), stored(now.longest)])?;
    }
    Ok(())
}

/// As SQLite stores whole numbers.
fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
