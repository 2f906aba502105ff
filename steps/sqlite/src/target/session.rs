//! The two connections of a target, opened when first used: one that reads, one that writes.
//!
//! Owns who uses which connection, group transactions and savepoints. Knows nothing of ledger rows.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use cutover_core::StepError;
use rusqlite::Connection;

use super::connect;
use crate::sql::sqlite_error;

/// What a target shares with the closures that work on it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) path: PathBuf,
    pub(crate) ledger: String,
    reader: Mutex<Option<Connection>>,
    writer: Mutex<Option<Connection>>,
    group: AtomicBool,
}

/// Whether a transaction enforces foreign keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForeignKeys {
    On,
    Off,
}

impl Session {
    pub(crate) fn new(path: PathBuf, ledger: String) -> Self {
        Self { path, ledger, reader: Mutex::default(), writer: Mutex::default(), group: AtomicBool::new(false) }
    }

    /// Whether a group transaction is open.
    pub(crate) fn in_group(&self) -> bool {
        self.group.load(Ordering::SeqCst)
    }

    /// Runs `work` on the reader, or on the writer while a group is open.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StepError>) -> Result<T, StepError> {
        if self.in_group() {
            let slot = self.lock_writer();
            return work(opened(slot.as_ref())?);
        }
        let mut slot = lock(&self.reader);
        let conn = match slot.take() {
            Some(conn) => conn,
            None => connect::reader(&self.path)?,
        };
        work(slot.insert(conn))
    }

    /// Runs `work` in a transaction: a savepoint inside an open group.
    pub(crate) fn transaction<T>(
        &self,
        keys: ForeignKeys,
        work: impl FnOnce(&Connection) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        let mut slot = self.lock_writer();
        if self.in_group() {
            if keys == ForeignKeys::Off {
                return Err(StepError::internal("a reversal was asked for inside an open group"));
            }
            let conn = opened(slot.as_ref())?;
            return bracket(conn, "SAVEPOINT cutover_change", "RELEASE cutover_change", UNDO_CHANGE, work);
        }
        let conn = match slot.take() {
            Some(conn) => conn,
            None => connect::writer(&self.path)?,
        };
        let conn = slot.insert(conn);
        set_foreign_keys(conn, keys)?;
        let result = bracket(conn, "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK", work);
        if keys == ForeignKeys::Off {
            set_foreign_keys(conn, ForeignKeys::On)?;
        }
        result
    }

    /// Opens the group and runs `first` in it.
    pub(crate) fn begin(&self, first: impl FnOnce(&Connection) -> Result<(), StepError>) -> Result<(), StepError> {
        let mut slot = self.lock_writer();
        if self.in_group() {
            return Err(StepError::internal("a group is open already"));
        }
        let conn = match slot.take() {
            Some(conn) => conn,
            None => connect::writer(&self.path)?,
        };
        let conn = slot.insert(conn);
        set_foreign_keys(conn, ForeignKeys::On)?;
        run(conn, "BEGIN IMMEDIATE")?;
        if let Err(e) = first(conn) {
            run(conn, "ROLLBACK")?;
            return Err(e);
        }
        self.group.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Runs transaction control inside the open group.
    pub(crate) fn control(&self, sql: &str) -> Result<(), StepError> {
        let slot = self.lock_writer();
        if !self.in_group() {
            return Err(StepError::internal("no group is open"));
        }
        run(opened(slot.as_ref())?, sql)
    }

    /// Ends the group by `sql`. Without an open group it does nothing.
    pub(crate) fn end(&self, sql: &str) -> Result<(), StepError> {
        let slot = self.lock_writer();
        if !self.in_group() {
            return Ok(());
        }
        run(opened(slot.as_ref())?, sql)?;
        self.group.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Closes both connections; an open group is undone.
    pub(crate) fn close(&self) {
        let mut writer = self.lock_writer();
        *writer = None;
        self.group.store(false, Ordering::SeqCst);
        *lock(&self.reader) = None;
    }

    /// The writer's slot. A panic inside earlier work closed its transaction with its connection.
    fn lock_writer(&self) -> MutexGuard<'_, Option<Connection>> {
        match self.writer.lock() {
            Ok(slot) => slot,
            Err(poisoned) => {
                let mut slot = poisoned.into_inner();
                *slot = None;
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
        run(conn, undo)?;
    }
    result
}

fn run(conn: &Connection, sql: &str) -> Result<(), StepError> {
    conn.execute_batch(sql).map_err(|e| sqlite_error(e, &format!("while running `{sql}`")))
}

fn set_foreign_keys(conn: &Connection, keys: ForeignKeys) -> Result<(), StepError> {
    run(conn, if keys == ForeignKeys::On { "PRAGMA foreign_keys = ON" } else { "PRAGMA foreign_keys = OFF" })
}

fn opened(slot: Option<&Connection>) -> Result<&Connection, StepError> {
    slot.ok_or_else(|| StepError::internal("the group's connection is gone"))
}

fn lock(slot: &Mutex<Option<Connection>>) -> MutexGuard<'_, Option<Connection>> {
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
