//! Which rows a change wrote, by table and rowid.
//!
//! Owns the recording (SQLite's update hook) and its compact form in a receipt. A restore needs it to tell the rows of
//! a step that it takes back from the rows that others wrote. Rows of WITHOUT ROWID tables are not seen by the hook.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cutover_core::StepError;
use rusqlite::Connection;
use rusqlite::hooks::Action;
use serde::{Deserialize, Serialize};

use crate::sql::sqlite_error;

/// A table whose rows make more ranges than this is recorded as one range that covers them all.
const MOST_RANGES: usize = 4096;

type Ranges = BTreeMap<String, Vec<(i64, i64)>>;

/// Rowids written, by table: inclusive ranges, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Written(Ranges);

/// Listens to a connection's row changes while asked to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorder {
    listening: Arc<AtomicBool>,
    rows: Arc<Mutex<Ranges>>,
}

impl Recorder {
    /// Listens to `conn` from now on; nothing is kept until [`record`](Self::record).
    pub(crate) fn attach(&self, conn: &mut Connection) -> Result<(), StepError> {
        let Self { listening, rows } = self.clone();
        conn.update_hook(Some(move |_: Action, _: &str, table: &str, rowid: i64| {
            if listening.load(Ordering::Relaxed) {
                let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
                match rows.get_mut(table) {
                    Some(ranges) => push(ranges, rowid),
                    None => {
                        rows.insert(table.to_owned(), vec![(rowid, rowid)]);
                    }
                }
            }
        }))
        .map_err(|e| sqlite_error(e, "while watching the rows that are written"))
    }

    /// Runs `work` and says which rows it inserted, updated or deleted.
    pub(crate) fn record<T>(&self, work: impl FnOnce() -> Result<T, StepError>) -> Result<(T, Written), StepError> {
        self.take();
        self.listening.store(true, Ordering::Relaxed);
        let result = work();
        self.listening.store(false, Ordering::Relaxed);
        let mut tables = self.take();
        tables.values_mut().for_each(settle);
        Ok((result?, Written(tables)))
    }

    fn take(&self) -> Ranges {
        std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Written {
    /// Whether `rowid` of `table` is among them.
    pub(crate) fn contains(&self, table: &str, rowid: i64) -> bool {
        self.0.get(table).is_some_and(|ranges| {
            let at = ranges.partition_point(|(low, _)| *low <= rowid);
            at > 0 && ranges[at - 1].1 >= rowid
        })
    }

    /// Adds those of `other`.
    pub(crate) fn extend(&mut self, other: Self) {
        for (table, ranges) in other.0 {
            let mine = self.0.entry(table).or_default();
            mine.extend(ranges);
            settle(mine);
        }
    }
}

fn push(ranges: &mut Vec<(i64, i64)>, rowid: i64) {
    match ranges.last_mut() {
        Some((low, high)) if *low <= rowid && rowid <= high.saturating_add(1) => *high = rowid.max(*high),
        _ => {
            ranges.push((rowid, rowid));
            if ranges.len() > 16 * MOST_RANGES {
                settle(ranges);
            }
        }
    }
}

/// Sorts and joins; too many ranges become one.
fn settle(ranges: &mut Vec<(i64, i64)>) {
    ranges.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for &(low, high) in ranges.iter() {
        match joined.last_mut() {
            Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
            _ => joined.push((low, high)),
        }
    }
    if let (true, Some(first), Some(last)) = (joined.len() > MOST_RANGES, joined.first(), joined.last()) {
        joined = vec![(first.0, last.1)];
    }
    *ranges = joined;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_recorded_as_ranges_and_found_again() {
        let mut conn = Connection::open_in_memory().unwrap();
        let recorder = Recorder::default();
        recorder.attach(&mut conn).unwrap();
        conn.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (1), (2)").unwrap();
        let ((), written) = recorder
            .record(|| {
                conn.execute_batch(
                "INSERT INTO t VALUES (3), (4); UPDATE t SET a = 0 WHERE rowid = 1; INSERT INTO t(rowid) VALUES (-9)",
            )
            .map_err(|e| sqlite_error(e, "test"))
            })
            .unwrap();
        assert_eq!(serde_json::to_string(&written).unwrap(), r#"{"t":[[-9,-9],[1,1],[3,4]]}"#);
        let found: Vec<i64> = (-10..6).filter(|id| written.contains("t", *id)).collect();
        assert_eq!(found, [-9, 1, 3, 4]);
    }
}
