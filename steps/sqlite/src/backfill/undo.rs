//! Deleting what a backfill inserted, and only that.
//!
//! Owns the way back: every row is looked at before the first is deleted, for the table's own triggers may change
//! others then.

use std::collections::BTreeMap;

use cutover_core::{StepError, StepInfo};
use rusqlite::Connection;

use super::kept::{self, Filled};
use super::query::Source;
use super::state::State;
use crate::declared;
use crate::identity::{Identity, Run, Search, changed_note, lost_note};

impl Source {
    /// Deletes the inserted rows that are unchanged. Returns a line about those that are kept.
    pub(super) fn undo(&self, conn: &Connection, step: &StepInfo, state: &State) -> Result<Option<String>, StepError> {
        if declared::object(conn, &self.into)?.is_none_or(|o| o.kind != "table") || state.rows == 0 {
            return Ok(None);
        }
        let Some(shape) = Identity::read(conn, &self.into)? else { return Ok(None) };
        let lost = shape.lost(&state.columns);
        if !lost.is_empty() {
            return Ok(Some(lost_note(&self.into, &lost, state.rows)));
        }
        let mut changes: BTreeMap<i64, Vec<(u64, u64)>> = BTreeMap::new();
        kept::each(conn, step, |filled| {
            let all = filled.changes.into_iter();
            all.for_each(|(rowid, before, after)| changes.entry(rowid).or_default().push((before, after)));
            Ok(())
        })?;
        let mut search = Search::new(conn, shape, self.rowid(conn)?, state.columns.clone());
        let mut rows = 0;
        kept::each(conn, step, |Filled { runs, .. }| {
            for mut run in runs {
                rows += run.digests.len() as u64;
                follow(&mut run, &changes);
                search.run(&run)?;
            }
            Ok(())
        })?;
        if rows != state.rows {
            return Err(kept::unreadable());
        }
        // A row with the same unique columns would not have been inserted: none of others was the same before.
        if !self.unique.is_empty() {
            search.elsewhere()?;
        }
        let changed = search.delete()?;
        if changed == 0 {
            state.counter.put_back(conn, &self.into)?;
            return Ok(None);
        }
        Ok(Some(changed_note(&self.into, changed)))
    }
}

/// What later batches' triggers made of the rows of a run.
fn follow(run: &mut Run, changes: &BTreeMap<i64, Vec<(u64, u64)>>) {
    for (rowid, steps) in changes.range(run.start..=run.end()) {
        let at = usize::try_from(rowid.wrapping_sub(run.start)).ok();
        let Some(digest) = at.and_then(|at| run.digests.get_mut(at)) else { continue };
        for (before, after) in steps {
            if digest == before {
                *digest = *after;
            }
        }
    }
}
