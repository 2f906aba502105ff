//! The state of one step, and the one function through which every journal is folded.

use serde::Serialize;
use thiserror::Error;

use super::{Record, Resolution};

/// Where a step stands according to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Never begun.
    #[default]
    Pending,
    /// Its condition did not hold.
    Skipped,
    /// Begun; whether it wrote is not known from here.
    Started,
    /// Begun, and it said what it would write.
    Intended,
    /// Applied and verified.
    Applied,
    /// Apply or verify failed; not undone yet.
    Failed,
    /// Waits for something outside.
    Waiting,
    /// Stopped at a checkpoint.
    Stopped,
    /// Its rollback began.
    RollingBack,
    /// Its effects are gone.
    RolledBack,
    /// Its rollback failed.
    Stuck,
}

/// A record that cannot follow.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("record `{record}` cannot follow for a step that is {state}")]
pub struct IllegalTransition {
    /// The state before.
    pub state: StepState,
    /// The record's name.
    pub record: &'static str,
}

impl StepState {
    /// The state after `record`, which must be about this step. Exhaustive: there is no other transition function.
    ///
    /// Records about a run as a whole leave a step where it is.
    pub fn next(self, record: &Record) -> Result<StepState, IllegalTransition> {
        use StepState as S;
        let (name, next) = match (record, self) {
            (
                Record::RunStarted { .. }
                | Record::UnwindStarted { .. }
                | Record::UnwindFinished
                | Record::BudgetMeasured { .. }
                | Record::StructureAccepted { .. }
                | Record::Notified { .. }
                | Record::RunFinished { .. },
                state,
            ) => ("run", Some(state)),

            (Record::StepSkipped { .. }, S::Pending | S::Skipped | S::RolledBack) => ("step-skipped", Some(S::Skipped)),
            (Record::StepSkipped { .. }, _) => ("step-skipped", None),

            (Record::SkipsForgotten { .. }, S::Skipped) => ("skips-forgotten", Some(S::Pending)),
            (Record::SkipsForgotten { .. }, _) => ("skips-forgotten", None),

            (
                Record::StepStarted { .. },
                S::Pending | S::Skipped | S::Started | S::Failed | S::Waiting | S::Stopped | S::RolledBack,
            ) => ("step-started", Some(S::Started)),
            // A retry after a crash keeps the intent: it says what was there before.
            (Record::StepStarted { .. }, S::Intended) => ("step-started", Some(S::Intended)),
            (Record::StepStarted { .. }, S::Applied | S::RollingBack | S::Stuck) => ("step-started", None),

            (
                Record::GroupStarted { .. },
                S::Pending | S::Skipped | S::Started | S::Failed | S::Waiting | S::Stopped | S::RolledBack,
            ) => ("group-started", Some(S::Started)),
            (Record::GroupStarted { .. }, S::Intended | S::Applied | S::RollingBack | S::Stuck) => {
                ("group-started", None)
            }

            (Record::GroupAborted { .. }, S::Started | S::Failed) => ("group-aborted", Some(S::RolledBack)),
            (Record::GroupAborted { .. }, _) => ("group-aborted", None),

            (Record::StepIntent { .. }, S::Started | S::Intended) => ("step-intent", Some(S::Intended)),
            (Record::StepIntent { .. }, _) => ("step-intent", None),

            (Record::StepApplied { .. }, S::Started | S::Intended) => ("step-applied", Some(S::Applied)),
            (Record::StepApplied { .. }, _) => ("step-applied", None),

            (Record::StepFailed { .. }, S::Started | S::Intended) => ("step-failed", Some(S::Failed)),
            (Record::StepFailed { .. }, _) => ("step-failed", None),

            (Record::StepWaiting { .. }, S::Started | S::Intended) => ("step-waiting", Some(S::Waiting)),
            (Record::StepWaiting { .. }, _) => ("step-waiting", None),

            (Record::StepStopped { .. }, S::Started | S::Intended) => ("step-stopped", Some(S::Stopped)),
            (Record::StepStopped { .. }, _) => ("step-stopped", None),

            // A gate looks while it is applied, and while it waits.
            (Record::WindowOpened { .. }, S::Started | S::Intended | S::Waiting) => ("window-opened", Some(self)),
            (Record::WindowOpened { .. }, _) => ("window-opened", None),
            (Record::StepSampled { .. }, S::Started | S::Intended | S::Waiting) => ("step-sampled", Some(self)),
            (Record::StepSampled { .. }, _) => ("step-sampled", None),
            (Record::StepTriggered { .. }, S::Started | S::Intended | S::Waiting) => ("step-triggered", Some(self)),
            (Record::StepTriggered { .. }, _) => ("step-triggered", None),

            // What is applied needs no approval any more, and what is being undone has none.
            (Record::StepApproved { .. }, S::Applied | S::RollingBack | S::Stuck) => ("step-approved", None),
            (Record::StepApproved { .. }, state) => ("step-approved", Some(state)),

            (
                Record::RollbackStarted { .. },
                S::Started | S::Intended | S::Applied | S::Failed | S::Waiting | S::Stopped | S::RollingBack | S::Stuck,
            ) => ("rollback-started", Some(S::RollingBack)),
            (Record::RollbackStarted { .. }, S::Pending | S::Skipped | S::RolledBack) => ("rollback-started", None),

            (Record::StepRolledBack { .. }, S::RollingBack) => ("step-rolled-back", Some(S::RolledBack)),
            (Record::StepRolledBack { .. }, _) => ("step-rolled-back", None),

            (Record::RollbackFailed { .. }, S::RollingBack) => ("rollback-failed", Some(S::Stuck)),
            (Record::RollbackFailed { .. }, _) => ("rollback-failed", None),

            // Its ledger row was deleted, and it was proven that the change is there.
            (Record::StepResolved { resolution: Resolution::Applied, .. }, S::Applied) => {
                ("step-resolved", Some(S::Applied))
            }
            (Record::StepResolved { .. }, S::Pending | S::Skipped | S::RolledBack | S::Applied) => {
                ("step-resolved", None)
            }
            (Record::StepResolved { resolution, .. }, _) => (
                "step-resolved",
                Some(match resolution {
                    Resolution::Applied => S::Applied,
                    Resolution::RolledBack => S::RolledBack,
                }),
            ),

            (Record::StepAccepted { .. }, S::Pending | S::Skipped | S::RolledBack) => ("step-accepted", None),
            (Record::StepAccepted { .. }, state) => ("step-accepted", Some(state)),

            (Record::StepAdopted { .. }, S::Pending | S::Skipped | S::RolledBack) => ("step-adopted", Some(S::Applied)),
            (Record::StepAdopted { .. }, _) => ("step-adopted", None),

            (Record::StepLost { .. }, S::Applied) => ("step-lost", Some(S::RolledBack)),
            (Record::StepLost { .. }, _) => ("step-lost", None),
        };
        next.ok_or(IllegalTransition { state: self, record: name })
    }

    /// Whether the step may have effects in the world.
    pub fn may_have_effects(self) -> bool {
        !matches!(self, Self::Pending | Self::Skipped | Self::RolledBack)
    }
}

impl std::fmt::Display for StepState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Skipped => "skipped",
            Self::Started => "started",
            Self::Intended => "intended",
            Self::Applied => "applied",
            Self::Failed => "failed",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
            Self::RollingBack => "rolling back",
            Self::RolledBack => "rolled back",
            Self::Stuck => "stuck",
        })
    }
}
