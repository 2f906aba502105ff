//! Pass after pass out of a Badger that a program has open, until little is missing; then the rest.
//!
//! Owns their order, and that the plan's probes are asked beside each pass that the program lives through: a figure that
//! is not what it may be ends the copy behind that pass, while the program still runs. What one pass is, `live` says.

use cutover_core::{StepContext, StepError};
use futures_util::future::join;

use super::KvCopy;
use super::live::Brought;
use super::programs::Stage;
use crate::copy::Cursor;

impl KvCopy {
    /// Copies until the lag is small, ends the program that writes, copies the rest, and counts what is there; or says
    /// where a stop was asked for.
    pub(super) async fn copy_living(&self, cx: &StepContext) -> Result<Result<Cursor, String>, StepError> {
        let done = self.all_passes(cx).await;
        let shut = self.on(cx, |job| Ok(job.into.shut()?)).await;
        let done = done?;
        match (&done, shut) {
            // All is there and durable: what could not be put into tables is in the store's log.
            (Some(_), Err(why)) => cx.note(&format!("the store was not left at rest: {}", why.chain())),
            (_, shut) => shut?,
        }
        Ok(done.ok_or_else(|| "a pass".to_owned()))
    }

    async fn all_passes(&self, cx: &StepContext) -> Result<Option<Cursor>, StepError> {
        let (cursor, stage) = self.on(cx, |job| Ok((job.cursor()?, job.stage()?))).await?;
        if let Some(cursor) = cursor.filter(|cursor| cursor.done) {
            return Ok(Some(cursor));
        }
        if stage < Stage::Stopping && !self.catch_up(cx).await? {
            return Ok(None);
        }
        self.on(cx, |job| job.take_over()).await.map(Some)
    }

    /// False: a stop was asked for.
    async fn catch_up(&self, cx: &StepContext) -> Result<bool, StepError> {
        let bound = (self.config.lag_records, self.config.lag());
        let mut last = None;
        for _ in 0..self.config.passes {
            let small = |brought: &Brought| brought.fresh <= bound.0 && brought.took <= bound.1;
            let mut brought = self.pass_watched(cx).await?;
            if self.beside.is_some() && small(&brought) {
                // A probe takes its time, in which the program wrote on: what is missing now, a pass without one tells.
                brought = self.on(cx, |job| job.pass_beside()).await?;
            }
            if small(&brought) {
                return Ok(true);
            }
            if cx.stop_requested() {
                return Ok(false);
            }
            last = Some(brought);
        }
        let last = last.map_or_else(String::new, |brought| {
            format!(": the last brought {} records in {:.1} s", brought.fresh, brought.took.as_secs_f64())
        });
        let text = format!("the lag does not fall under its bound in {} passes{last}", self.config.passes);
        Err(StepError::failed(text)
            .with_help("let the program write less, or raise `lag-records`, `lag` or `passes`; what is copied stays"))
    }

    /// One pass, and a sample beside it.
    async fn pass_watched(&self, cx: &StepContext) -> Result<Brought, StepError> {
        let pass = self.on(cx, |job| job.pass_beside());
        let Some(beside) = &self.beside else { return pass.await };
        let (brought, held) = join(pass, beside.sample(cx)).await;
        held.and(brought)
    }
}
