//! The step that `sqlite.retain` and `sqlite.archive` both are: rows leave, and a rollback brings them back.
//!
//! Owns the contract's methods. What tells the two kinds apart, their configuration, is in `retain` and `archive`.

use std::fmt;
use std::marker::PhantomData;

use cutover_core::{
    Applied, Change, Finding, MigrationStep, Receipt, Standing, StepContext, StepError, Use, Verdict, async_trait,
};

use super::Leave;

/// One of the kinds.
pub(crate) trait Face: fmt::Debug + Send + Sync + 'static {}

/// Rows that leave, as a step of the kind `F`.
#[derive(Debug)]
pub(crate) struct Leaving<F> {
    leave: Leave,
    face: PhantomData<F>,
}

impl<F: Face> Leaving<F> {
    pub(crate) fn new(leave: Leave) -> Self {
        Self { leave, face: PhantomData }
    }
}

#[async_trait]
impl<F: Face> MigrationStep for Leaving<F> {
    fn describe(&self) -> Vec<Change> {
        self.leave.describe()
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.leave.target)]
    }

    fn ledgered(&self) -> Option<&str> {
        Some(&self.leave.target)
    }

    /// It changes no structure.
    async fn lint_on(&self, _cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        Ok(Some(Vec::new()))
    }

    async fn foresee(&self, cx: &StepContext) -> Result<Vec<String>, StepError> {
        self.leave.foresee(cx).await
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        self.leave.inspect(cx).await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        self.leave.apply(cx).await
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        self.leave.verify(cx).await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        self.leave.rollback(cx, receipt).await
    }
}
