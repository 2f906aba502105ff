//! Reads: the schema that the stage says, and the old one where the new has nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rusqlite::Connection;

use crate::counters::Counters;
use crate::latency::Answer;
use crate::plans::Plans;
use crate::stage::{Follow, Stage};

/// Reads a database of two schemas. Shared by the connections of a program as it likes.
#[derive(Debug)]
pub struct DualReader {
    stage: Follow,
    counters: Arc<Counters>,
    compare_every: u64,
    turn: AtomicU64,
    plans: Plans,
}

impl DualReader {
    /// For the mapping of that name.
    pub fn new(mapping: impl Into<String>, counters: Arc<Counters>) -> Self {
        Self {
            stage: Follow::new(mapping.into()),
            counters,
            compare_every: 0,
            turn: AtomicU64::new(0),
            plans: Plans::default(),
        }
    }

    /// Every so many reads by [`DualReader::read_compared`], both schemas are read and compared; 0: never.
    #[must_use]
    pub fn compare_every(self, reads: u64) -> Self {
        Self { compare_every: reads, ..self }
    }

    /// Whether the connections that it reads by are set to keep their plans ([the crate](crate#what-it-costs) says why),
    /// which is so unless it is told otherwise.
    #[must_use]
    pub fn keep_plans(self, keep: bool) -> Self {
        Self { plans: Plans { kept: keep }, ..self }
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
        self.told_if_failed(Instant::now(), |began| {
            self.plans.keep(conn)?;
            self.stage.at(conn, |stage| self.read_at((stage, began), conn, new, old, found))
        })
    }

    /// A read that fails is counted as failed, wherever it did.
    fn told_if_failed<T, E>(&self, began: Instant, read: impl FnOnce(Instant) -> Result<T, E>) -> Result<T, E> {
        let result = read(began);
        if result.is_err() {
            self.counters.reads.count(Answer::Failed, began);
        }
        result
    }

    /// Reads, and counts the read where it was answered.
    fn read_at<T, E>(
        &self,
        (stage, began): (Stage, Instant),
        conn: &Connection,
        new: impl FnOnce(&Connection) -> Result<T, E>,
        old: impl FnOnce(&Connection) -> Result<T, E>,
        found: impl FnOnce(&T) -> bool,
    ) -> Result<T, E> {
        let (value, answer) = match stage {
            Stage::OldOnly | Stage::DualWrite => (old(conn)?, Answer::Old),
            Stage::NewOnly | Stage::Contracted | Stage::Retired => (new(conn)?, Answer::New),
            Stage::PreferNew => match new(conn) {
                Ok(value) if found(&value) => (value, Answer::New),
                other => {
                    let value = old(conn)?;
                    if other.is_err() {
                        self.counters.reads_failed_new.fetch_add(1, Ordering::Relaxed);
                    }
                    (value, Answer::Fallback)
                }
            },
        };
        self.counters.reads.count(answer, began);
        Ok(value)
    }

    /// As [`DualReader::read`]; and every so many times, from prefer-new on and while there are both schemas, both are read
    /// and compared: before, old rows may wait for the backfill. What differs is counted, and what the stage says is returned.
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
        self.told_if_failed(Instant::now(), |began| {
            self.plans.keep(conn)?;
            // Both of one state, else what others write in between were a difference.
            self.stage.at(conn, |stage| {
                let value = self.read_at((stage, began), conn, &new, &old, &found)?;
                if turn && matches!(stage, Stage::PreferNew | Stage::NewOnly) {
                    self.counters.reads_compared.fetch_add(1, Ordering::Relaxed);
                    if !matches!((new(conn), old(conn)), (Ok(new), Ok(old)) if new == old) {
                        self.counters.reads_mismatched.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok(value)
            })
        })
    }
}
