//! Writes: into the schema that the stage says; the triggers keep the other one in step.

use std::sync::Arc;
use std::time::Instant;

use rusqlite::Connection;

use crate::ahead::Statements;
use crate::counters::Counters;
use crate::latency::Answer;
use crate::plans::Plans;
use crate::stage::{Follow, Stage};

/// Writes a database of two schemas. Shared by the connections of a program as it likes.
#[derive(Debug)]
pub struct DualWriter {
    stage: Follow,
    counters: Arc<Counters>,
    plans: Plans,
}

impl DualWriter {
    /// For the mapping of that name.
    pub fn new(mapping: impl Into<String>, counters: Arc<Counters>) -> Self {
        Self { stage: Follow::new(mapping.into()), counters, plans: Plans::default() }
    }

    /// Whether the connections that it writes by are set to keep their plans ([the crate](crate#what-it-costs) says why),
    /// which is so unless it is told otherwise.
    #[must_use]
    pub fn keep_plans(self, keep: bool) -> Self {
        Self { plans: Plans { kept: keep }, ..self }
    }

    /// Writes by `new` or by `old`, as the stage says, in one transaction with reading the stage: `BEGIN IMMEDIATE`, or
    /// a savepoint in the caller's where `conn` has one open. While the new schema is preferred and `new` fails, what it
    /// wrote is undone and `old` writes.
    ///
    /// Which way it was is not told: the ids of both schemas that `new` and `old` return may differ.
    ///
    /// # Errors
    /// What `new` or `old` returns, and those of SQLite: `SQLITE_BUSY` when another connection writes for longer than
    /// the busy timeout. Nothing was written then.
    pub fn write<T, E>(
        &self,
        conn: &Connection,
        new: impl FnOnce(&Connection) -> Result<T, E>,
        old: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<rusqlite::Error>,
    {
        self.write_compiled(conn, Statements::default(), new, old)
    }

    /// The same by `statements`: where the schema has been changed since, they are compiled before the transaction begins,
    /// while others can write. What is not among them is compiled inside it, and all of them where the caller has a transaction
    /// open. The connection must keep as many as the program runs and eight more
    /// ([`Connection::set_prepared_statement_cache_capacity`], 16 by default): with fewer, each write compiles anew.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use cutover_dual::{Counters, DualWriter, Statements};
    /// # fn main() -> rusqlite::Result<()> {
    /// # let conn = rusqlite::Connection::open_in_memory()?;
    /// # conn.execute_batch("CREATE TABLE artifacts (content TEXT)")?;
    /// # let writer = DualWriter::new("consensus", Arc::new(Counters::default()));
    /// const NEW: &str = "INSERT INTO outputs (body) VALUES (?1)";
    /// const OLD: &str = "INSERT INTO artifacts (content) VALUES (?1)";
    /// writer.write_compiled(
    ///     &conn,
    ///     Statements { new: &[NEW], old: &[OLD] },
    ///     |new| new.prepare_cached(NEW)?.execute(["{}"]),
    ///     |old| old.prepare_cached(OLD)?.execute(["{}"]),
    /// )?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`DualWriter::write`]; that a statement cannot be compiled is for `new` or `old` to find out.
    pub fn write_compiled<T, E>(
        &self,
        conn: &Connection,
        statements: Statements<'_>,
        new: impl FnOnce(&Connection) -> Result<T, E>,
        old: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<rusqlite::Error>,
    {
        let began = Instant::now();
        let written = self.transaction(conn, statements, new, old);
        let answer = written.as_ref().map_or(Answer::Failed, |(_, answer)| *answer);
        self.counters.writes.count(answer, began);
        written.map(|(value, _)| value)
    }

    /// The write with its transaction, and which way it was.
    fn transaction<T, E>(
        &self,
        conn: &Connection,
        statements: Statements<'_>,
        new: impl FnOnce(&Connection) -> Result<T, E>,
        old: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<(T, Answer), E>
    where
        E: From<rusqlite::Error>,
    {
        self.plans.keep(conn)?;
        let outer = if conn.is_autocommit() {
            // Where the schema has just been changed SQLite reads it anew, which takes milliseconds: not while all other
            // writers wait. What is read here counts for nothing else.
            let _ = self.stage.at(conn, |stage| statements.compile(conn, stage));
            Transaction::begin(conn)
        } else {
            Transaction::savepoint(conn)
        }?;
        let written = self.as_the_stage_says(conn, new, old)?;
        let mut due = if outer.is_whole() { self.counters.due() } else { None };
        // Counters are worth no write: what hinders them does not hinder it.
        let flushed = due.as_ref().and_then(|flushed| {
            let inner = Transaction::savepoint(conn).ok()?;
            let now = self.counters.flush_within(flushed, conn, self.stage.mapping()).ok()?;
            inner.end().ok().and(now)
        });
        outer.end()?;
        if let (Some(due), Some(flushed)) = (&mut due, flushed) {
            **due = flushed;
        }
        Ok(written)
    }

    fn as_the_stage_says<T, E>(
        &self,
        conn: &Connection,
        new: impl FnOnce(&Connection) -> Result<T, E>,
        old: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<(T, Answer), E>
    where
        E: From<rusqlite::Error>,
    {
        match self.stage.at(conn, Ok::<_, rusqlite::Error>)? {
            Stage::OldOnly | Stage::DualWrite => Ok((old(conn)?, Answer::Old)),
            Stage::NewOnly | Stage::Contracted | Stage::Retired => Ok((new(conn)?, Answer::New)),
            Stage::PreferNew => {
                let inner = Transaction::savepoint(conn)?;
                match new(conn).and_then(|value| inner.end().map(|()| value).map_err(E::from)) {
                    Ok(value) => Ok((value, Answer::New)),
                    // SQLite has undone the whole transaction: what `old` wrote now would be committed at once.
                    Err(error) if conn.is_autocommit() => Err(error),
                    Err(_) => Ok((old(conn)?, Answer::Fallback)),
                }
            }
        }
    }
}

/// A transaction or a savepoint that is undone unless it is ended.
#[derive(Debug)]
struct Transaction<'c> {
    conn: &'c Connection,
    whole: bool,
    open: bool,
}

impl<'c> Transaction<'c> {
    fn begin(conn: &'c Connection) -> rusqlite::Result<Self> {
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self { conn, whole: true, open: true })
    }

    fn savepoint(conn: &'c Connection) -> rusqlite::Result<Self> {
        conn.prepare_cached("SAVEPOINT _cutover_dual")?.execute([])?;
        Ok(Self { conn, whole: false, open: true })
    }

    fn is_whole(&self) -> bool {
        self.whole
    }

    fn end(mut self) -> rusqlite::Result<()> {
        let end = if self.whole { "COMMIT" } else { "RELEASE _cutover_dual" };
        self.conn.prepare_cached(end)?.execute([])?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // SQLite ends a transaction itself on some errors.
        if self.open && !self.conn.is_autocommit() {
            let undo = if self.whole { "ROLLBACK" } else { "ROLLBACK TO _cutover_dual; RELEASE _cutover_dual" };
            let _ = self.conn.execute_batch(undo);
        }
    }
}
