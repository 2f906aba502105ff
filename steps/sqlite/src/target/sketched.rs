//! Lints work on a copy of the structure, which each step's lint leaves as the step would.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use cutover_core::{Finding, Receipt, StepContext, StepError};
use rusqlite::Connection;

use super::SqliteTarget;
use crate::lint::Sketch;

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

    /// A step whose `work` makes structure by itself is followed on the copy; one that cannot be made there blurs it.
    pub(crate) async fn followed<F>(&self, cx: &StepContext, work: F) -> Result<Option<Vec<Finding>>, StepError>
    where
        F: FnOnce(&Connection) -> Result<Receipt, StepError> + Send + 'static,
    {
        self.sketched(cx, move |sketch| {
            if work(&sketch.conn).is_err() {
                sketch.blur();
            }
            Ok(Some(Vec::new()))
        })
        .await
    }
}
