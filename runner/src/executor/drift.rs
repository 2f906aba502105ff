//! Drift: what is applied no longer matches the plan. Pure.

use std::collections::BTreeMap;

use cutover_core::journal::{PlanState, StepState};
use cutover_core::plan::Plan;

use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::session::Session;

/// One difference between what is applied and what the plan says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Drift {
    /// An applied or started step changed.
    Changed(String),
    /// It is no longer in the plan.
    Disappeared(String),
    /// It moved against another applied step of the same target.
    Moved {
        /// The step.
        step: String,
        /// The one that it now comes before, and came after when both were applied.
        before: String,
    },
}

/// All drift of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Drifts(pub Vec<Drift>);

/// Compares a plan with the journal's fold. Pending and rolled-back steps may change freely; steps may be added.
pub(crate) fn drift(plan: &Plan, state: &PlanState) -> Drifts {
    let mut found = Vec::new();
    let present: BTreeMap<&str, _> = plan.steps().map(|(_, s)| (s.id.as_str(), s)).collect();
    for (id, record) in state.steps.iter().filter(|(_, r)| r.state.may_have_effects()) {
        match present.get(id.as_str()) {
            None => found.push(Drift::Disappeared(id.clone())),
            // A failed step may be mended: that is what its operator is asked to do.
            Some(step) if record.state != StepState::Failed && step.digest != record.known_digest() => {
                found.push(Drift::Changed(id.clone()));
            }
            Some(_) => {}
        }
    }
    // In plan order, the order of application per target must only rise.
    let mut highest: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for (_, step) in plan.steps() {
        let Some(record) = state.steps.get(&step.id).filter(|r| r.applied_seq > 0) else { continue };
        for used in step.step.uses().iter().filter(|u| u.access == cutover_core::Access::Write) {
            let Some((name, _)) = plan.targets.get_key_value(&used.target) else { continue };
            let last = highest.entry(name.as_str()).or_insert((0, ""));
            if record.applied_seq < last.0 {
                found.push(Drift::Moved { step: last.1.to_owned(), before: step.id.clone() });
            } else {
                *last = (record.applied_seq, step.id.as_str());
            }
        }
    }
    Drifts(found)
}

impl Drifts {
    /// An error (exit 102) that names every step, unless there is none.
    pub(crate) fn into_error(self, session: &Session) -> Result<()> {
        let Some(first) = self.0.first() else { return Ok(()) };
        let step = match first {
            Drift::Changed(step) | Drift::Disappeared(step) | Drift::Moved { step, .. } => step.clone(),
        };
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        let accept = session.command_line("accept");
        let help = match first {
            Drift::Changed(_) => format!(
                "undo the edit and put the change into a new step; or, if it is deliberate, `{accept} {step} --note WHY`"
            ),
            Drift::Disappeared(_) => {
                format!("put it back, or roll it back first: `{}`", session.command_line("rollback"))
            }
            Drift::Moved { .. } => "put the steps back into the order in which they were applied".to_owned(),
        };
        Err(RunnerError::new(Exit::Drift, lines.join("; ")).with_help(help))
    }
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Drift::Changed(step) => write!(f, "step `{step}` was applied and has changed since"),
            Drift::Disappeared(step) => write!(f, "step `{step}` was applied and is no longer in the plan"),
            Drift::Moved { step, before } => {
                write!(f, "step `{step}` was applied after `{before}` and now comes before it")
            }
        }
    }
}
