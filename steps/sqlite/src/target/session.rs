//! The two connections of a target, opened when first used: one that reads, one that writes.
//!
//! Owns who uses which connection, group transactions and savepoints. Knows nothing of ledger rows.

mod group;

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use cutover_core::disk::io_error;
use cutover_core::{StepError, StepErrorKind, fault};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::commits::{Batching, Commits};
use super::connect;
use super::frozen;
use super::keeper::Keeper;
use super::place::OpenFile;
use super::recorder::Recorder;
use super::turns::Series;
use super::watch::Watch;
use crate::sql::sqlite_error;

/// What a target shares with the closures that work on it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) path: PathBuf,
    pub(crate) ledger: String,
    reader: Mutex<Option<Connection>>,
    writer: Mutex<Option<Connection>>,
    group: AtomicBool,
    file: OpenFile,
    watch: Mutex<Watch>,
    commits: Commits,
    series: Mutex<Series>,
    pub(crate) recorder: Recorder,
    pub(crate) keeper: Keeper,
    /// Whether a restore may have to know which rows a change wrote.
    pub(crate) records: OnceLock<bool>,
    /// The main file, open as a plain file. Closing it drops every lock that SQLite has on it in this process, so it is
    /// closed after the connections: it stays the last field.
    main_file: Mutex<Option<Arc<File>>>,
}

/// How long a renewal of a lease waits for others.
const RENEWAL_PATIENCE: Duration = Duration::from_millis(100);

/// Whether a transaction enforces foreign keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForeignKeys {
    On,
    Off,
}

impl Session {
    pub(crate) fn new(path: PathBuf, ledger: String) -> Self {
        Self {
            path,
            ledger,
            reader: Mutex::default(),
            writer: Mutex::default(),
            group: AtomicBool::new(false),
            file: OpenFile::default(),
            watch: Mutex::default(),
            commits: Commits::default(),
            series: Mutex::default(),
            recorder: Recorder::default(),
            keeper: Keeper::default(),
            records: OnceLock::new(),
            main_file: Mutex::default(),
        }
    }

    /// Whether a group transaction is open.
    pub(crate) fn in_group(&self) -> bool {
        self.group.load(Ordering::SeqCst)
    }

    /// Runs `work` on the reader, or on the writer while a group is open.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StepError>) -> Result<T, StepError> {
        if self.in_group() {
            let slot = self.lock_writer();
            self.unmoved()?;
            return work(self.group_connection(slot.as_ref())?);
        }
        self.read_committed(work)
    }

    /// Runs `work` on the reader: an open group's changes are not seen.
    pub(crate) fn read_committed<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        let mut slot = lock(&self.reader);
        let conn = match slot.take() {
            Some(conn) => conn,
            None => self.file.open(&self.path, connect::reader)?,
        };
        let conn = slot.insert(conn);
        self.unmoved()?;
        work(conn).map_err(|e| self.named(e))
    }

    /// Refuses when the path does not lead to the open file any more.
    pub(crate) fn unmoved(&self) -> Result<(), StepError> {
        self.file.unmoved(&self.path)
    }

    /// The same error, naming the database if that is what is wrong.
    fn named(&self, error: StepError) -> StepError {
        let path = self.path.display().to_string();
        let text = error.chain();
        if error.kind() != StepErrorKind::Unavailable || text.contains(&path) {
            return error;
        }
        let named = StepError::unavailable(format!("`{path}`: {text}"));
        match error.help() {
            Some(help) => named.with_help(help),
            None => named,
        }
    }

    /// Runs `work` in a transaction: a savepoint inside an open group. `patience`: how long it waits for others' locks.
    /// `lightly`: its commit alone need not be durable.
    pub(crate) fn transaction<T>(
        &self,
        (keys, patience, lightly): (ForeignKeys, Duration, bool),
        work: impl FnOnce(&Connection) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        let mut slot = self.lock_writer();
        if self.in_group() {
            if keys == ForeignKeys::Off {
                return Err(StepError::internal("a reversal was asked for inside an open group"));
            }
            let conn = self.group_connection(slot.as_ref())?;
            return bracket(conn, "SAVEPOINT cutover_change", "RELEASE cutover_change", UNDO_CHANGE, work);
        }
        let conn = self.open_writer(&mut slot)?;
        self.unmoved()?;
        set_foreign_keys(conn, keys)?;
        load_schema(conn)?;
        let waits = |time| conn.busy_timeout(time).map_err(|e| sqlite_error(e, "while configuring the connection"));
        waits(patience)?;
        let asked = Instant::now();
        let mut waited = None;
        let all = || {
            bracket(conn, "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK", |conn| {
                waited = Some(asked.elapsed());
                let result = work(conn);
                self.recorder.release(conn)?;
                let value = result?;
                fault::point(fault::SQLITE_COMMIT);
                self.unmoved()?;
                Ok(value)
            })
        };
        let result = if lightly { self.commits.lightly(conn, all) } else { all() };
        waits(connect::BUSY_TIMEOUT)?;
        let ended = self.commits.since(asked).unwrap_or_else(Instant::now);
        let whole = ended.saturating_duration_since(asked);
        let waited = waited.unwrap_or(whole);
        let held = whole.saturating_sub(waited);
        tracing::debug!(
            waited = waited.as_secs_f64(),
            held = held.as_secs_f64(),
            kept = result.is_ok(),
            "transaction ended"
        );
        if result.is_ok() {
            fault::point(fault::SQLITE_COMMITTED);
            connect::checkpoint_on_close(conn)?;
            self.unmoved()?;
        }
        result
    }

    /// How long others are to have the database after a transaction that held it for so long.
    pub(crate) fn gap(&self, held: Duration) -> Duration {
        self.series.lock().unwrap_or_else(PoisonError::into_inner).after(held)
    }

    /// Runs `ready` on the writer in one read transaction, before a transaction with those keys; not inside an open group.
    /// What it prepares is compiled, whatever the connection has kept of an earlier schema.
    pub(crate) fn ready(
        &self,
        keys: ForeignKeys,
        ready: impl FnOnce(&Connection) -> Result<(), StepError>,
    ) -> Result<(), StepError> {
        let mut slot = self.lock_writer();
        if self.in_group() {
            return Ok(());
        }
        let conn = self.open_writer(&mut slot)?;
        self.unmoved()?;
        set_foreign_keys(conn, keys)?;
        conn.flush_prepared_statement_cache();
        moment(conn, ready)
    }

    /// Runs `work` in a transaction that may be lost when the power fails, together with all that was committed since
    /// the last other transaction; never without them. Before, while everybody may write, `ready` gets the connection as it
    /// will be then. Returns when it gave the database back, too.
    pub(crate) fn batch<T>(
        &self,
        batching: Batching,
        ready: impl FnOnce(&Connection) -> Result<(), StepError>,
        work: impl FnOnce(&Connection) -> Result<T, StepError>,
    ) -> Result<(T, Instant), StepError> {
        let grouped = self.in_group();
        if !grouped {
            let mut slot = self.lock_writer();
            let another = || self.file.open(&self.path, connect::writer);
            let conn = self.open_writer(&mut slot)?;
            let ready = self
                .commits
                .relax(conn, batching, another)
                .and_then(|()| set_foreign_keys(conn, ForeignKeys::On))
                .and_then(|()| ready(conn));
            if let Err(e) = ready {
                self.commits.tighten(conn)?;
                return Err(e);
            }
        }
        let result = self.transaction((ForeignKeys::On, connect::BUSY_TIMEOUT, false), work);
        let ended = self.commits.last();
        if !grouped && let Some(conn) = self.lock_writer().as_ref() {
            self.commits.tighten(conn)?;
        }
        Ok((result?, ended))
    }

    /// Runs `work` on the writer, outside any transaction.
    pub(crate) fn exclusive<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        let mut slot = self.lock_writer();
        if self.in_group() {
            return Err(StepError::internal("a restore was asked for inside an open group"));
        }
        let conn = self.open_writer(&mut slot)?;
        self.unmoved()?;
        let value = work(conn)?;
        self.unmoved()?;
        Ok(value)
    }

    /// Runs `work` on the reader inside one read transaction: all that it reads is of one moment.
    pub(crate) fn read_moment<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        self.read_committed(|conn| moment(conn, work))
    }

    /// The main file as a plain file, until the session closes.
    pub(crate) fn main_file(&self) -> Result<Arc<File>, StepError> {
        let mut slot = lock(&self.main_file);
        if let Some(file) = slot.as_ref() {
            return Ok(Arc::clone(file));
        }
        let file = File::open(&self.path).map_err(|e| io_error("cannot read", &self.path, e))?;
        Ok(Arc::clone(slot.insert(Arc::new(file))))
    }

    /// A number that moves when another connection commits. Our own commits do not move it.
    pub(crate) fn change_counter(&self) -> Result<u64, StepError> {
        let writer = self.lock_writer();
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        match writer.as_ref() {
            Some(conn) => watch.look(true, conn),
            None => self.read_committed(|conn| watch.look(false, conn)),
        }
    }

    /// Renews the lease of that run's freeze. False: there is none any more, or nothing is open to renew it by.
    pub(crate) fn renew(&self, plan: &str, name: &str) -> Result<bool, StepError> {
        let slot = self.lock_writer();
        let Some(conn) = slot.as_ref() else { return Ok(false) };
        // Whoever is in a transaction of its own keeps others out until its end, and renews the lease with it.
        if self.in_group() || !conn.is_autocommit() {
            return Ok(true);
        }
        let waits = |time| conn.busy_timeout(time).map_err(|e| sqlite_error(e, "while configuring the connection"));
        // Readers of a rollback-journal database are not to wait behind us.
        waits(RENEWAL_PATIENCE)?;
        let renewed = bracket(conn, "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK", |conn| frozen::renew(conn, plan, name));
        waits(connect::BUSY_TIMEOUT)?;
        renewed
    }

    /// Closes both connections; an open group is undone.
    pub(crate) fn close(&self) {
        self.keeper.stop();
        let mut writer = self.lock_writer();
        self.recorder.close();
        self.commits.close();
        *writer = None;
        self.group.store(false, Ordering::SeqCst);
        *lock(&self.reader) = None;
        *lock(&self.main_file) = None;
        self.file.closed();
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).closed();
    }

    fn open_writer<'a>(&self, slot: &'a mut Option<Connection>) -> Result<&'a mut Connection, StepError> {
        let conn = match slot.take() {
            Some(conn) => conn,
            None => {
                let mut conn = self.file.open(&self.path, connect::writer)?;
                self.recorder.attach(&mut conn)?;
                self.commits.attach(&mut conn)?;
                let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
                watch.look(true, &conn)?;
                if let Some(reader) = lock(&self.reader).as_ref() {
                    watch.hand_over(reader)?;
                }
                conn
            }
        };
        Ok(slot.insert(conn))
    }

    /// The writer's slot. A panic inside earlier work closed its transaction with its connection.
    fn lock_writer(&self) -> MutexGuard<'_, Option<Connection>> {
        match self.writer.lock() {
            Ok(slot) => slot,
            Err(poisoned) => {
                let mut slot = poisoned.into_inner();
                *slot = None;
                self.recorder.close();
                self.group.store(false, Ordering::SeqCst);
                self.writer.clear_poison();
                slot
            }
        }
    }
}

const UNDO_CHANGE: &str = "ROLLBACK TO cutover_change; RELEASE cutover_change";

fn bracket<T>(
    conn: &Connection,
    open: &str,
    keep: &str,
    undo: &str,
    work: impl FnOnce(&Connection) -> Result<T, StepError>,
) -> Result<T, StepError> {
    run(conn, open)?;
    let result = work(conn).and_then(|value| run(conn, keep).map(|()| value));
    if result.is_err() && !conn.is_autocommit() {
        // What went wrong first is what matters; a failed undo shows again at the next use of the connection.
        run(conn, undo).or_else(|e| if conn.is_autocommit() { Ok(()) } else { Err(e) })?;
    }
    result
}

fn run(conn: &Connection, sql: &str) -> Result<(), StepError> {
    conn.execute_batch(sql).map_err(|e| sqlite_error(e, &format!("while running `{sql}`")))
}

/// At the beginning of each transaction, and only then: a change has every statement compiled anew. Not by the pragma, which
/// has them compiled anew also when it changes nothing.
fn set_foreign_keys(conn: &Connection, keys: ForeignKeys) -> Result<(), StepError> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, keys == ForeignKeys::On)
        .map(|_| ())
        .map_err(|e| sqlite_error(e, "setting whether foreign keys are checked"))
}

/// SQLite reads a schema that it does not know yet with the first statement: not while others wait.
fn load_schema(conn: &Connection) -> Result<(), StepError> {
    conn.prepare_cached("SELECT 1 FROM main.sqlite_schema LIMIT 0")
        .and_then(|mut s| s.exists([]))
        .map(drop)
        .map_err(|e| sqlite_error(e, "while reading the schema"))
}

/// Runs `work` in one read transaction of `conn`, or in the transaction that it is in already.
pub(crate) fn moment<T>(
    conn: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StepError>,
) -> Result<T, StepError> {
    if conn.is_autocommit() { bracket(conn, "BEGIN", "COMMIT", "ROLLBACK", work) } else { work(conn) }
}

fn lock<T>(slot: &Mutex<Option<T>>) -> MutexGuard<'_, Option<T>> {
    match slot.lock() {
        Ok(slot) => slot,
        Err(poisoned) => {
            let mut inner = poisoned.into_inner();
            *inner = None;
            slot.clear_poison();
            inner
        }
    }
}
