//! A backfill from the plan's own query.
//!
//! Owns what the step asks and does in this form. The SQL is `query`'s, what is remembered between batches is `state`'s,
//! which rows were inserted is `kept`'s.

use cutover_core::{Receipt, Standing, StepContext, StepError, Verdict};
use rusqlite::Connection;

use super::kept;
use super::pace::{Batch, timed};
use super::query::Source;
use super::state::State;
use crate::SqliteTarget;
use crate::done;
use crate::target::{Batching, Held, bookkeeping};
use crate::value::to_json;

/// A table that is filled from a query.
#[derive(Debug, Clone)]
pub(super) struct Queried {
    pub(super) target: String,
    pub(super) source: Source,
}

impl Queried {
    async fn saved(&self, cx: &StepContext) -> Result<Option<State>, StepError> {
        let info = cx.info().clone();
        let read = move |conn: &Connection| bookkeeping::cursor(conn, &info);
        let text = cx.target::<SqliteTarget>(&self.target)?.read(cx, read).await?;
        text.as_deref().map(State::parse).transpose()
    }

    /// How it stands, when the ledger does not have it as done.
    pub(super) async fn standing(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let source = self.source.clone();
        if let Some(reason) = target.read(cx, move |conn| source.unfit(conn)).await? {
            return Ok(Standing::Conflict(reason));
        }
        Ok(match self.saved(cx).await? {
            Some(state) => Standing::Partial(format!("{} source rows are done", state.seen)),
            None => Standing::Pending,
        })
    }

    /// The columns that are inserted, the rows of the query, and how many of them are done.
    pub(super) async fn prepare(&self, cx: &StepContext) -> Result<(Vec<String>, u64, u64), StepError> {
        let (source, vars) = (self.source.clone(), cx.vars().clone());
        let read = move |conn: &Connection| Ok((source.columns(conn, &vars)?, source.total(conn, &vars)?));
        let (columns, total) = cx.target::<SqliteTarget>(&self.target)?.read(cx, read).await?;
        Ok((columns, total, self.saved(cx).await?.map_or(0, |s| s.seen)))
    }

    /// Does one batch in its own transaction, the cursor saved in it. How many rows are done then; none: nothing is left.
    pub(super) async fn step(
        &self,
        cx: &StepContext,
        columns: &[String],
        Batch { size, limit, alone, .. }: Batch,
    ) -> Result<(Option<u64>, Held), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let (source, vars, info) = (self.source.clone(), cx.vars().clone(), cx.info().clone());
        let columns = columns.to_vec();
        target
            .timed_batch(cx, Batching { memory: false, alone }, move |conn, recorder| {
                // The transaction knows best how far the step has come.
                let mut state = match bookkeeping::cursor(conn, &info)? {
                    Some(text) => State::parse(&text)?,
                    None => State { into: source.into.clone(), ..State::default() },
                };
                if state.batches == 0 {
                    kept::forget(conn, &info)?;
                }
                let filled = timed(conn, limit, || source.batch(conn, recorder, &vars, &columns, size, &mut state))?;
                let Some(filled) = filled else { return Ok(None) };
                kept::save(conn, &info, state.batches, &filled)?;
                bookkeeping::set_cursor(conn, &info, &state.text()?)?;
                Ok(Some(state.seen))
            })
            .await
    }

    /// Says in the ledger that all is filled.
    pub(super) async fn end(&self, cx: &StepContext) -> Result<Receipt, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let (info, into) = (cx.info().clone(), self.source.into.clone());
        target
            .change(cx, move |conn| {
                let state = match bookkeeping::cursor(conn, &info)? {
                    Some(text) => State::parse(&text)?,
                    None => State { into, ..State::default() },
                };
                bookkeeping::clear_cursor(conn, &info)?;
                kept::save_end(conn, &info, &state.text()?)?;
                let receipt = Receipt::of(&state.without_values())?.with_rows(state.rows);
                let there = state.seen.saturating_sub(state.rows);
                Ok(if there == 0 {
                    receipt
                } else {
                    receipt.with_note(format!("{there} rows were there before: skipped"))
                })
            })
            .await
    }

    pub(super) async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let Some(receipt) = target.done(cx).await? else {
            return Ok(Verdict::Broken(vec![format!(
                "table {}: the ledger does not say that it was filled",
                self.source.into
            )]));
        };
        let state: State = done::body(&receipt)?;
        let (source, vars, info) = (self.source.clone(), cx.vars().clone(), cx.info().clone());
        target
            .read(cx, move |conn| {
                source.columns(conn, &vars)?;
                let mut lines = Vec::new();
                let mut found = 0;
                kept::each(conn, &info, |filled| {
                    found += source.count(conn, &filled.runs)?;
                    Ok(())
                })?;
                let last =
                    kept::end(conn, &info)?.map(|text| State::parse(&text)).transpose()?.unwrap_or_default().last;
                if u64::try_from(found) != Ok(state.rows) {
                    lines.push(format!("table {}: expected {} filled rows, found {found}", source.into, state.rows));
                }
                if let Some((count, first)) =
                    source.without_counterpart(conn, &vars, last.as_ref())?.filter(|(n, _)| *n > 0)
                {
                    lines.push(format!(
                        "table {}: expected a row for each of the source's, found none for {count} (first {} = {})",
                        source.into,
                        source.key,
                        to_json(&first)
                    ));
                }
                Ok(done::verdict(lines))
            })
            .await
    }

    pub(super) async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        let state = match target.to_undo(cx, receipt).await? {
            Some(receipt) => Some(done::body::<State>(&receipt)?),
            None => self.saved(cx).await?,
        };
        let Some(state) = state else { return Ok(()) };
        let (source, info, notes) = (self.source.clone(), cx.info().clone(), cx.clone());
        target
            .reverse(cx, move |conn| {
                source.undo(conn, &info, &state)?.iter().for_each(|line| notes.note(line));
                kept::forget(conn, &info)
            })
            .await
    }
}
