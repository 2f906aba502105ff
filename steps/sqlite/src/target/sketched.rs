//! Lints work on a copy of the structure, which each step's lint leaves as the step would.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use cutover_core::{Finding, Receipt, StepContext, StepError};
use rusqlite::Connection;

use super::SqliteTarget;
use crate::lint::{FAILS, Sketch};

impl SqliteTarget {
    /// Work on a copy of the structure, which is as the lints of earlier steps left it. Read-only for the database.
    pub(crate) async fn sketched<T, F>(&self, cx: &StepContext, work: F) -> Result<T, StepError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Sketch) -> Result<T, StepError> + Send + 'static,
    {
        let (sketch, ledger) = (Arc::clone(&self.sketch), self.session.ledger.clone());
        let blurred = self.blurred.load(Ordering::Relaxed);
        self.read_moment(cx, move |conn| {
            let mut slot = sketch.lock().unwrap_or_else(PoisonError::into_inner);
            let made = match slot.take() {
                Some(made) => made,
                None => Sketch::of(conn, &ledger)?,
            };
            let sketch = slot.insert(made);
            if blurred {
                sketch.blur();
            }
            work(sketch)
        })
        .await
    }

    /// A step whose `work` makes structure by itself is followed on the copy; one that cannot be made there blurs it. Its
    /// inspection says what is in the way.
    pub(crate) async fn followed<F>(&self, cx: &StepContext, work: F) -> Result<Option<Vec<Finding>>, StepError>
    where
        F: FnOnce(&Connection) -> Result<Receipt, StepError> + Send + 'static,
    {
        self.tried(cx, |conn| work(conn).map(drop)).await.map(|_| Some(Vec::new()))
    }

    /// The same for a step whose inspection cannot say what is in the way before its turn comes.
    pub(crate) async fn tried<F>(&self, cx: &StepContext, work: F) -> Result<Option<Vec<Finding>>, StepError>
    where
        F: FnOnce(&Connection) -> Result<(), StepError> + Send + 'static,
    {
        self.sketched(cx, move |sketch| {
            let Err(error) = work(&sketch.conn) else { return Ok(Some(Vec::new())) };
            let sure = sketch.is_sure();
            sketch.blur();
            let finding = Finding::new(&FAILS, format!("this fails on a copy of the structure: {error}"));
            let help =
                error.help().unwrap_or("it was tried after the steps before it: apply will most likely fail here too");
            Ok(Some(if sure { vec![finding.help(help)] } else { Vec::new() }))
        })
        .await
    }
}
