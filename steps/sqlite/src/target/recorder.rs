//! Listens to a connection while a change runs, and says what it wrote.
//!
//! Owns the two ways to hear of a row: SQLite's update hook, and for WITHOUT ROWID tables, which the hook does not see,
//! temporary triggers that call a function of ours. When the change is done, [`left`](super::left) reads each row heard
//! of as it was before the transaction and as it was left.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cutover_core::StepError;
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::hooks::Action;
use rusqlite::types::{Null, Value};

use super::before::Before;
use super::heard::{Earlier, Heard, Ranges};
use super::keyed::{self, FUNCTION};
use super::left::{self, Start};
use crate::sql::sqlite_error;
use crate::written::Written;

/// Listens to a connection's row changes while asked to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorder {
    listening: Arc<AtomicBool>,
    heard: Arc<Mutex<Heard>>,
    earlier: Arc<Mutex<Earlier>>,
    before: Arc<Before>,
    /// Tables, each with the rows that were inserted into it since somebody asked.
    noted: Arc<Mutex<Vec<(String, Ranges)>>>,
}

impl Recorder {
    /// Listens to `conn` from now on; nothing is kept until [`record`](Self::record).
    pub(crate) fn attach(&self, conn: &mut Connection) -> Result<(), StepError> {
        let Self { listening, heard, noted, .. } = self.clone();
        let hook = move |action: Action, schema: &str, table: &str, rowid: i64| {
            if action == Action::SQLITE_INSERT
                && schema == "main"
                && let Some((_, ranges)) = lock(&noted).iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(table))
            {
                ranges.push(rowid);
            }
            if listening.load(Ordering::Relaxed) && schema == "main" && action != Action::SQLITE_DELETE {
                let mut heard = lock(&heard);
                let Heard { inserted, updated, .. } = &mut *heard;
                let rowids = if action == Action::SQLITE_INSERT { inserted } else { updated };
                match rowids.get_mut(table) {
                    Some(ranges) => ranges.push(rowid),
                    None => {
                        let mut ranges = Ranges::default();
                        ranges.push(rowid);
                        rowids.insert(table.to_owned(), ranges);
                    }
                }
            }
        };
        let Self { listening, heard, .. } = self.clone();
        let function = move |call: &Context<'_>| -> rusqlite::Result<Null> {
            if listening.load(Ordering::Relaxed) {
                let (table, event): (String, String) = (call.get(0)?, call.get(1)?);
                let mut old: Vec<Value> = (2..call.len()).map(|i| call.get(i)).collect::<rusqlite::Result<_>>()?;
                let new = if event == "update" { old.split_off(old.len() / 2) } else { std::mem::take(&mut old) };
                let old = (event == "update").then_some(old);
                lock(&heard).moves.entry(table).or_default().push((old, new));
            }
            Ok(Null)
        };
        conn.update_hook(Some(hook))
            .and_then(|()| conn.create_scalar_function(FUNCTION, -1, FunctionFlags::SQLITE_UTF8, function))
            .map_err(|e| sqlite_error(e, "while watching the rows that are written"))
    }

    /// Runs `work` and says which rows it inserted into each of `tables`, in the order of their insertion.
    pub(crate) fn inserted<T, E>(
        &self,
        tables: &[&str],
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<(T, Vec<Ranges>), E> {
        *lock(&self.noted) = tables.iter().map(|table| ((*table).to_owned(), Ranges::default())).collect();
        let result = work();
        let noted = std::mem::take(&mut *lock(&self.noted));
        Ok((result?, noted.into_iter().map(|(_, ranges)| ranges).collect()))
    }

    /// Runs `work` inside the open transaction and says what it wrote.
    pub(crate) fn record<T>(
        &self,
        conn: &Connection,
        ledger: &str,
        work: impl FnOnce() -> Result<T, StepError>,
    ) -> Result<(T, Written), StepError> {
        self.before.hold(conn)?;
        let start = Start::of(conn, ledger)?;
        for (number, table) in start.watched.iter().enumerate() {
            keyed::watch(conn, number, table)?;
        }
        self.take();
        self.listening.store(true, Ordering::Relaxed);
        let result = work();
        self.listening.store(false, Ordering::Relaxed);
        let heard = self.take();
        let value = result?;
        let mut earlier = lock(&self.earlier);
        earlier.insert(&heard);
        Ok((value, left::left(conn, ledger, &start, heard, &mut earlier, &self.before)?))
    }

    /// The transaction is about to end.
    pub(crate) fn release(&self, conn: &Connection) -> Result<(), StepError> {
        *lock(&self.earlier) = Earlier::default();
        self.before.release(conn)
    }

    /// The connection is closed.
    pub(crate) fn close(&self) {
        *lock(&self.earlier) = Earlier::default();
        self.before.close();
    }

    fn take(&self) -> Heard {
        std::mem::take(&mut *lock(&self.heard))
    }
}

fn lock<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
