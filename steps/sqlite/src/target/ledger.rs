//! The ledger of a SQLite target: rows of what was applied, and the group transaction around several steps.

use cutover_core::{Ledger, LedgerEntry, Receipt, StepContext, StepError, StepInfo, async_trait};

use super::bookkeeping::{self, Outcome};
use super::writing::{How, admit, leave};
use super::{SqliteTarget, frozen};

#[async_trait]
impl Ledger for SqliteTarget {
    async fn entries(&self, cx: &StepContext, plan: &str) -> Result<Vec<LedgerEntry>, StepError> {
        let (ledger, plan) = (self.session.ledger.clone(), plan.to_owned());
        self.read(cx, move |conn| bookkeeping::entries(conn, &ledger, &plan)).await
    }

    async fn epoch(&self, cx: &StepContext) -> Result<u64, StepError> {
        self.read(cx, bookkeeping::epoch).await
    }

    async fn fence(&self, cx: &StepContext) -> Result<(), StepError> {
        self.transaction(cx, How::RECORDS, |_, _| Ok(())).await
    }

    async fn settle(&self, cx: &StepContext) -> Result<Vec<(String, String)>, StepError> {
        let Some(freeze) = self.read(cx, frozen::read).await?.filter(|freeze| !freeze.is_of(cx.info())) else {
            return Ok(Vec::new());
        };
        self.transaction(cx, How::RECORDS, |_, _| Ok(())).await?;
        let said = format!("the run that froze {} is over: others may write there again", self.name);
        Ok(vec![(freeze.step, said)])
    }

    async fn release(&self, cx: &StepContext) -> Result<Vec<(String, String)>, StepError> {
        let Some(freeze) = self.read(cx, frozen::read).await?.filter(|freeze| freeze.is_of(cx.info())) else {
            return Ok(Vec::new());
        };
        let made = StepInfo { plan: freeze.plan, id: freeze.step.clone(), ..StepInfo::default() };
        self.transaction(cx, How::RECORDS, move |conn, at| {
            frozen::remove(conn)?;
            bookkeeping::erase(conn, &at.ledger, &made).map(drop)
        })
        .await?;
        let said =
            format!("others may write to {} again: a freeze ends with its run, the next one makes it anew", self.name);
        Ok(vec![(freeze.step, said)])
    }

    async fn begin(&self, cx: &StepContext) -> Result<(), StepError> {
        let (session, step) = (self.session(), cx.info().clone());
        cx.blocking(move || session.begin(|conn| admit(&session, conn, &step, true))).await
    }

    async fn savepoint(&self, cx: &StepContext) -> Result<(), StepError> {
        let session = self.session();
        cx.blocking(move || session.control("SAVEPOINT cutover_step")).await
    }

    async fn undo(&self, cx: &StepContext) -> Result<(), StepError> {
        let session = self.session();
        cx.blocking(move || session.control("ROLLBACK TO cutover_step; RELEASE cutover_step")).await
    }

    async fn commit(&self, cx: &StepContext) -> Result<(), StepError> {
        let (session, step) = (self.session(), cx.info().clone());
        cx.blocking(move || {
            let mut left = None;
            session.commit(|conn| {
                left = leave(conn, &session.ledger)?;
                Ok(())
            })?;
            session.keeper.follow(&session, &step, left)
        })
        .await
    }

    async fn abort(&self, cx: &StepContext) -> Result<(), StepError> {
        let session = self.session();
        cx.blocking(move || session.abort()).await
    }

    async fn record_failure(&self, cx: &StepContext, message: &str) -> Result<(), StepError> {
        let message = message.to_owned();
        self.transaction(cx, How::RECORDS, move |conn, at| {
            // It was committed and then failed (its verification, say): it is to be undone by what its row says.
            if bookkeeping::entry(conn, &at.ledger, &at.step)?.is_some_and(|row| row.success) {
                return Ok(());
            }
            bookkeeping::record(conn, &at.ledger, &at.step, at.now, Outcome::Failure(&message))
        })
        .await
    }

    async fn adopt(&self, cx: &StepContext, receipt: &Receipt) -> Result<(), StepError> {
        let receipt = receipt.clone();
        self.transaction(cx, How::RECORDS, move |conn, at| {
            bookkeeping::record(conn, &at.ledger, &at.step, at.now, Outcome::Success(&receipt))
        })
        .await
    }

    async fn forget(&self, cx: &StepContext) -> Result<(), StepError> {
        if self.recorded_row(cx).await?.is_none() {
            return Ok(());
        }
        self.transaction(cx, How::RECORDS, |conn, at| bookkeeping::erase(conn, &at.ledger, &at.step).map(|_| ())).await
    }
}
