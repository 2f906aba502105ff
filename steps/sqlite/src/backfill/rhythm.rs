//! The rhythm of a step that works in batches: how fast its plan lets it go, and one batch after the other at that pace.
//!
//! Owns the settings that such steps share, and what happens between two batches: the throttle file is read, a stop is
//! obeyed, others have their turn.

use std::time::Duration;

use cutover_core::{BuildError, StepContext, StepError, Target as _};

use super::pace::{Batch, Others, Pace};
use super::throttle::{self, Brake, Throttle};
use crate::SqliteTarget;
use crate::target::Held;

/// How fast it may go; none of it changes what is done.
#[derive(Debug, Clone)]
pub(crate) struct Tuning {
    /// Rows a batch at most.
    pub(crate) batch: u64,
    hold: Duration,
    limit: Duration,
    throttle: Option<String>,
}

impl Tuning {
    /// The settings `batch`, `hold-ms`, `seconds` and `throttle` of a plan; none of the figures may be 0.
    pub(crate) fn of(batch: u64, hold_ms: u64, seconds: u64, throttle: Option<String>) -> Result<Self, BuildError> {
        for (field, value) in [("batch", batch), ("hold-ms", hold_ms), ("seconds", seconds)] {
            if value == 0 {
                return Err(
                    BuildError::at(field, format!("`{field}` is 0")).with_help("give it at least 1, or leave it out")
                );
            }
        }
        if let Some(path) = &throttle {
            throttle::check(path)?;
        }
        Ok(Self { batch, hold: Duration::from_millis(hold_ms), limit: Duration::from_secs(seconds), throttle })
    }

    /// Batches that are bounded by how long they keep others out, and by nothing else.
    pub(crate) fn of_hold(hold: Duration) -> Self {
        Self { batch: u64::from(u32::MAX), hold, limit: Duration::MAX, throttle: None }
    }
}

/// The batches of a running step.
pub(crate) struct Rhythm<'a> {
    cx: &'a StepContext,
    target: &'a SqliteTarget,
    limit: Duration,
    brake: Brake,
    pace: Pace,
    /// The database's count of commits of others, as it was when a batch was last over.
    counter: Option<u64>,
    /// What the file asked for before this batch.
    throttle: Throttle,
}

impl<'a> Rhythm<'a> {
    /// Before the first batch.
    pub(crate) async fn begin(
        cx: &'a StepContext,
        target: &'a SqliteTarget,
        tuning: &Tuning,
    ) -> Result<Self, StepError> {
        let brake = Brake::new(cx, tuning.throttle.as_deref())?;
        let counter = target.change_counter(cx).await?;
        let others = if target.has_company(cx).await? { Others::Silent } else { Others::Absent };
        let pace = Pace::new(tuning.batch, tuning.hold, others);
        Ok(Self { cx, target, limit: tuning.limit, brake, pace, counter, throttle: Throttle::default() })
    }

    /// What the next batch may take; none: the step has to stop. Waits while the throttle file asks for a pause.
    pub(crate) async fn next(&mut self) -> Result<Option<Batch>, StepError> {
        self.throttle = self.brake.look(self.cx).await?;
        Ok((!self.cx.stop_requested()).then(|| self.pace.batch(&self.throttle, self.limit)))
    }

    /// After a batch that looked at `rows` and held the database so long: others have their turn.
    pub(crate) async fn rest(&mut self, rows: u64, held: Held) -> Result<(), StepError> {
        let before = std::mem::replace(&mut self.counter, self.target.change_counter(self.cx).await?);
        let others = match self.target.has_company(self.cx).await? {
            _ if self.counter != before => Others::Writing,
            true => Others::Silent,
            false => Others::Absent,
        };
        let pause = self.pace.after(rows, held, others, &self.throttle);
        throttle::rest(self.cx, pause).await
    }
}
