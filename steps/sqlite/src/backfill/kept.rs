//! The digests of filled rows, kept in the target's `cutover_state`: a blob for each batch, written in its transaction.
//!
//! Owns the keys and the format of these rows (version 1, little-endian). They are there until the step is rolled
//! back, and hold no values but one: `filled:PLAN/STEP` holds the state at the end with the last key worked on, for verify
//! must not ask for rows that came later. `filled:PLAN/STEP/N` holds what batch N did.

use cutover_core::{StepError, StepInfo};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::identity::Run;
use crate::sql::sqlite_error;
use crate::target::bookkeeping::{STATE_TABLE, has_table};

const VERSION: u8 = 1;

/// What one batch did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Filled {
    /// The rows that it inserted.
    pub(super) runs: Vec<Run>,
    /// Rows that were there and that triggers changed meanwhile: rowid, digest before and after.
    pub(super) changes: Vec<(i64, u64, u64)>,
}

fn prefix(step: &StepInfo) -> String {
    format!("filled:{}/{}", step.plan, step.id)
}

/// The keys of all batches are from the first up to the second.
fn bounds(step: &StepInfo) -> [String; 2] {
    let prefix = prefix(step);
    [format!("{prefix}/"), format!("{prefix}0")]
}

/// Keeps what batch `n` did.
pub(super) fn save(conn: &Connection, step: &StepInfo, n: u64, filled: &Filled) -> Result<(), StepError> {
    conn.prepare_cached(&format!("INSERT OR REPLACE INTO {STATE_TABLE} (key, value) VALUES (?1, ?2)"))
        .and_then(|mut s| s.execute(params![format!("{}/{n:012}", prefix(step)), filled.bytes()]))
        .map(|_| ())
        .map_err(|e| sqlite_error(e, "keeping the digests of a batch"))
}

/// Keeps the state at the end.
pub(super) fn save_end(conn: &Connection, step: &StepInfo, text: &str) -> Result<(), StepError> {
    conn.prepare_cached(&format!("INSERT OR REPLACE INTO {STATE_TABLE} (key, value) VALUES (?1, ?2)"))
        .and_then(|mut s| s.execute([prefix(step).as_str(), text]))
        .map(|_| ())
        .map_err(|e| sqlite_error(e, "keeping the end of a backfill"))
}

/// The state at the end, where the backfill came to it.
pub(super) fn end(conn: &Connection, step: &StepInfo) -> Result<Option<String>, StepError> {
    if !has_table(conn, STATE_TABLE)? {
        return Ok(None);
    }
    conn.prepare_cached(&format!("SELECT value FROM {STATE_TABLE} WHERE key = ?1"))
        .and_then(|mut s| s.query_row([prefix(step)], |row| row.get(0)).optional())
        .map_err(|e| sqlite_error(e, "reading the end of a backfill"))
}

/// Hands over what each batch did, in order.
pub(super) fn each(
    conn: &Connection,
    step: &StepInfo,
    mut work: impl FnMut(Filled) -> Result<(), StepError>,
) -> Result<(), StepError> {
    let failed = |e| sqlite_error(e, "reading the digests of filled rows");
    if !has_table(conn, STATE_TABLE)? {
        return Ok(());
    }
    let mut statement = conn
        .prepare_cached(&format!("SELECT value FROM {STATE_TABLE} WHERE key >= ?1 AND key < ?2 ORDER BY key"))
        .map_err(failed)?;
    let mut rows = statement.query(bounds(step)).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let bytes = row.get_ref(0).and_then(|v| Ok(v.as_bytes()?)).map_err(failed)?;
        work(Filled::parse(bytes).ok_or_else(unreadable)?)?;
    }
    Ok(())
}

/// Forgets all of it.
pub(super) fn forget(conn: &Connection, step: &StepInfo) -> Result<(), StepError> {
    let [from, to] = bounds(step);
    conn.prepare_cached(&format!("DELETE FROM {STATE_TABLE} WHERE key = ?1 OR (key >= ?2 AND key < ?3)"))
        .and_then(|mut s| s.execute([prefix(step), from, to]))
        .map(|_| ())
        .map_err(|e| sqlite_error(e, "forgetting the digests of filled rows"))
}

/// The error for digests that are not as they were written.
pub(super) fn unreadable() -> StepError {
    StepError::failed(format!("`{STATE_TABLE}` no longer says which rows this step filled in"))
        .with_help("restore the snapshot taken before it, or use the cutover that applied it. Nothing was deleted")
}

impl Filled {
    fn bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend((self.changes.len() as u64).to_le_bytes());
        for (rowid, before, after) in &self.changes {
            out.extend(rowid.to_le_bytes());
            out.extend(before.to_le_bytes());
            out.extend(after.to_le_bytes());
        }
        for run in &self.runs {
            out.extend(run.start.to_le_bytes());
            out.extend((run.digests.len() as u64).to_le_bytes());
            run.digests.iter().for_each(|d| out.extend(d.to_le_bytes()));
        }
        out
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (words, []) = rest.as_chunks::<8>() else { return None };
        if *version != VERSION {
            return None;
        }
        let mut words = words.iter().map(|w| u64::from_le_bytes(*w));
        let mut filled = Self::default();
        for _ in 0..words.next()? {
            filled.changes.push((words.next()?.cast_signed(), words.next()?, words.next()?));
        }
        while let Some(start) = words.next() {
            let count = usize::try_from(words.next()?).ok().filter(|n| *n <= words.len())?;
            filled.runs.push(Run { start: start.cast_signed(), digests: words.by_ref().take(count).collect() });
        }
        Some(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_what_is_cut_short_does_not() {
        let runs = vec![Run { start: -3, digests: vec![1, u64::MAX] }, Run { start: 7, digests: vec![9] }];
        let filled = Filled { runs, changes: vec![(-1, 2, 3)] };
        let bytes = filled.bytes();
        assert_eq!(Filled::parse(&bytes), Some(filled));
        assert_eq!(Filled::parse(&bytes[..bytes.len() - 8]), None);
        assert_eq!(Filled::parse(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Filled::parse(&[&[2], &bytes[1..]].concat()), None);
    }
}
