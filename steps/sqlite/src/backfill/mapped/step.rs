//! What the step asks and does when it has a mapping.

use std::sync::Arc;
use std::time::Instant;

use cutover_core::{Receipt, Standing, StepContext, StepError, Verdict};
use rusqlite::Connection;

use super::super::pace::{Batch, timed};
use super::super::throttle;
use super::{Come, Mapped, come, kept};
use crate::SqliteTarget;
use crate::done;
use crate::expand::Weave;
use crate::target::{Batching, Held, Turns, bookkeeping};

impl Mapped {
    async fn saved(&self, cx: &StepContext) -> Result<Option<Come>, StepError> {
        let info = cx.info().clone();
        cx.target::<SqliteTarget>(&self.target)?.read(cx, move |conn| come(conn, &info)).await
    }

    /// How it stands, when the ledger does not have it as done.
    pub(in super::super) async fn standing(&self, cx: &StepContext) -> Result<Standing, StepError> {
        Ok(match self.saved(cx).await? {
            Some(come) if come.undoing => Standing::Partial("its rows are being taken back".to_owned()),
            Some(come) => Standing::Partial(format!("{} old rows are done", come.seen)),
            None => Standing::Pending,
        })
    }

    /// The pairs with their tables, the rows of all old tables, and how many of them are done.
    pub(in super::super) async fn prepare(&self, cx: &StepContext) -> Result<(Arc<Vec<Weave>>, u64, u64), StepError> {
        let (this, info) = (self.clone(), cx.info().clone());
        let read = move |conn: &Connection| {
            let weaves = this.weaves(conn)?;
            let total = this.total(conn, &weaves)?;
            let seen = come(conn, &info)?.filter(|come| !come.undoing).map_or(0, |come| come.seen);
            Ok((Arc::new(weaves), total, seen))
        };
        cx.target::<SqliteTarget>(&self.target)?.read(cx, read).await
    }

    /// Does one batch in its own transaction, the cursor saved in it. How many rows are done then; none: nothing is left.
    pub(in super::super) async fn step(
        &self,
        cx: &StepContext,
        weaves: &Arc<Vec<Weave>>,
        Batch { size, limit, alone, cold }: Batch,
    ) -> Result<(Option<u64>, Held), StepError> {
        let (this, info, weaves) = (self.clone(), cx.info().clone(), Arc::clone(weaves));
        let (step, pairs) = (info.clone(), Arc::clone(&weaves));
        let ready = move |conn: &Connection| Self::ready(conn, &step, &pairs, cold);
        let work = move |conn: &Connection, recorder: &crate::target::Recorder| {
            let come = timed(conn, limit, || this.batch(conn, recorder, &info, &weaves, size))?;
            Ok(come.map(|come| come.seen))
        };
        cx.target::<SqliteTarget>(&self.target)?.readied_batch(cx, Batching { memory: true, alone }, ready, work).await
    }

    /// Says in the ledger that all is filled.
    pub(in super::super) async fn end(&self, cx: &StepContext) -> Result<Receipt, StepError> {
        let info = cx.info().clone();
        let change = move |conn: &Connection| {
            let come = come(conn, &info)?.unwrap_or_default();
            bookkeeping::clear_cursor(conn, &info)?;
            let mut receipt = Receipt::of(&come.without_values())?.with_rows(come.rows);
            let there = come.seen.saturating_sub(come.rows + come.aside);
            if there > 0 {
                let rows = if there == 1 { "1 old row" } else { &format!("{there} old rows") };
                let verb = if there == 1 { "is" } else { "are" };
                receipt = receipt.with_note(format!("{rows} had a new row, or {verb} not mapped: skipped"));
            }
            if come.aside > 0 {
                receipt = receipt.with_note(match come.aside {
                    1 => "1 old row does not fit and is in quarantine".to_owned(),
                    rows => format!("{rows} old rows do not fit and are in quarantine"),
                });
            }
            Ok(receipt)
        };
        cx.target::<SqliteTarget>(&self.target)?.change(cx, change).await
    }

    pub(in super::super) async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if target.done(cx).await?.is_none() {
            let name = &self.mapping.name;
            return Ok(Verdict::Broken(vec![format!(
                "mapping {name}: the ledger does not say that its tables are filled"
            )]));
        }
        let this = self.clone();
        target.read(cx, move |conn| this.missing(conn)).await.map(done::verdict)
    }

    /// Takes batch after batch back, the last first, each in a transaction of its own.
    pub(in super::super) async fn rollback(
        &self,
        cx: &StepContext,
        receipt: Option<&Receipt>,
    ) -> Result<(), StepError> {
        let target = cx.target::<SqliteTarget>(&self.target)?;
        if !target.has_traces(cx).await? {
            return Ok(());
        }
        let state = match self.saved(cx).await? {
            Some(come) => come,
            None => target.to_undo(cx, receipt).await?.map(|r| done::body::<Come>(&r)).transpose()?.unwrap_or_default(),
        };
        let began = Instant::now();
        let mut turns = Turns::default();
        loop {
            let (this, info, state) = (self.clone(), cx.info().clone(), state.clone());
            let batch = Instant::now();
            if !target.reverse_part(cx, move |conn| this.undo_batch(conn, &info, &state)).await? {
                break;
            }
            throttle::rest(cx, turns.after(batch.elapsed())).await?;
        }
        let info = cx.info().clone();
        target.reverse(cx, move |conn| kept::forget(conn, &info)).await?;
        cx.note(&format!(
            "{}: what was filled in is taken back in {:.3} s (RTO), with 0 rows lost (RPO): the old tables have all of it",
            self.mapping.name,
            began.elapsed().as_secs_f64()
        ));
        Ok(())
    }
}
