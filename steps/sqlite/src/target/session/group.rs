//! The open group of a session: one transaction that several steps share.

use std::sync::atomic::Ordering;

use cutover_core::{StepError, fault};
use rusqlite::Connection;

use super::{ForeignKeys, Session, run, set_foreign_keys};
use crate::target::connect;

impl Session {
    /// Opens the group and runs `first` in it.
    pub(crate) fn begin(&self, first: impl FnOnce(&Connection) -> Result<(), StepError>) -> Result<(), StepError> {
        let mut slot = self.lock_writer();
        if self.in_group() {
            return Err(StepError::internal("a group is open already"));
        }
        let conn = self.open_writer(&mut slot)?;
        self.unmoved()?;
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
        run(self.group_connection(slot.as_ref())?, sql)
    }

    /// Runs `last` and makes the open group durable. When that fails the group stays open, to be undone.
    pub(crate) fn commit(&self, last: impl FnOnce(&Connection) -> Result<(), StepError>) -> Result<(), StepError> {
        let slot = self.lock_writer();
        if !self.in_group() {
            return Err(StepError::internal("no group is open"));
        }
        let conn = self.group_connection(slot.as_ref())?;
        self.recorder.release(conn)?;
        last(conn)?;
        fault::point(fault::SQLITE_COMMIT);
        self.unmoved()?;
        run(conn, "COMMIT")?;
        tracing::debug!("group committed");
        fault::point(fault::SQLITE_COMMITTED);
        self.group.store(false, Ordering::SeqCst);
        // Whether it is in the file that others find is for the caller to ask: it is committed.
        connect::checkpoint_on_close(conn)
    }

    /// Undoes the open group. Without one it does nothing.
    pub(crate) fn abort(&self) -> Result<(), StepError> {
        let slot = self.lock_writer();
        let open = self.group.swap(false, Ordering::SeqCst);
        if let Some(conn) = slot.as_ref() {
            self.recorder.release(conn)?;
        }
        match slot.as_ref() {
            Some(conn) if open && !conn.is_autocommit() => run(conn, "ROLLBACK"),
            _ => Ok(()),
        }
    }

    /// The connection of the open group. SQLite itself undoes a transaction on some errors (disk full, I/O).
    pub(super) fn group_connection<'a>(&self, slot: Option<&'a Connection>) -> Result<&'a Connection, StepError> {
        match slot {
            Some(conn) if !conn.is_autocommit() => Ok(conn),
            _ => Err(StepError::failed("the group's transaction was undone by an earlier error")
                .with_help("nothing of the group was kept; run the same command again")),
        }
    }
}
