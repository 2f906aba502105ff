//! The time budget of a rollback: measured when the way back has ended, and told while it has not begun.

use cutover_core::journal::{PlanState, Record, Times};
use cutover_core::{EventKind, Outcome};
use jiff::Timestamp;

use super::Run;
use crate::clock;
use crate::style::duration;

impl Run<'_> {
    /// The record of how long it took from the failure to the end of this run's way back, if the plan has a budget.
    pub(super) fn measured(&self, outcome: Outcome) -> Option<Record> {
        let back =
            matches!(outcome, Outcome::Done | Outcome::FailedRolledBack | Outcome::FailedBlocked | Outcome::Unwound);
        let allowed = self.session.plan.budget.filter(|_| back && !self.session.place.rehearsal)?;
        self.recorder.with_state(|state| {
            state.unwinding.as_ref()?;
            let incident = state.incident.as_ref()?;
            let took = incident.times(clock::now())?;
            Some(Record::BudgetMeasured { step: incident.step.clone(), took, allowed })
        })
    }

    /// Tells who watches what was measured.
    pub(super) fn tell_budget(&self, measured: Option<&Record>) {
        if let Some(Record::BudgetMeasured { took, allowed, .. }) = measured {
            self.emit(EventKind::StepNote { step: "budget".to_owned(), text: in_words(*took, *allowed) });
        }
    }
}

/// "decided after 12 min 0 s of 30 min 0 s, rolled back after ...: kept".
pub(crate) fn in_words(took: Times, allowed: Times) -> String {
    let words = ["assessed", "decided", "rolled back"].into_iter();
    let each = words.zip(took.each()).zip(allowed.each()).filter_map(|((word, (_, took)), (_, most))| {
        let (took, most) = (took?, most?);
        let over = if took > most { " (exceeded)" } else { "" };
        Some(format!("{word} after {} of {}{over}", duration(took), duration(most)))
    });
    let kept = if took.exceeds(allowed).is_empty() { "kept" } else { "exceeded" };
    format!("{}: {kept}", each.collect::<Vec<_>>().join(", "))
}

/// How much of the budget is used, while something has gone wrong and the way back has not ended.
pub(crate) fn running(state: &PlanState, allowed: Times, now: Timestamp) -> Option<String> {
    let incident = state.incident.as_ref()?;
    let used = now.duration_since(incident.at).as_secs_f64().max(0.0);
    let done = [incident.assessed.or(incident.decided).is_some(), incident.decided.is_some(), false];
    let words = ["to be assessed", "to be decided", "to be rolled back"].into_iter();
    let left =
        words.zip(done).zip(allowed.each()).filter(|((_, done), _)| !done).filter_map(|((word, _), (_, most))| {
            let most = most?;
            let over = if used > most { " (exceeded)" } else { "" };
            Some(format!("{word} within {}{over}", duration(most)))
        });
    let left = left.collect::<Vec<_>>().join(", ");
    (!left.is_empty()).then(|| format!("budget: {} went wrong {} ago; {left}", incident.step, duration(used)))
}
