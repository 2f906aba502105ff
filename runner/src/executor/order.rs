//! The order of application against the order of the plan: what a step that was put in later has overtaken. Pure.

use cutover_core::Access;
use cutover_core::journal::PlanState;
use cutover_core::plan::{Plan, PlanStep};

/// One more than the place in the plan of the last step that is applied; 0 when none is.
pub(super) fn frontier(plan: &Plan, state: &PlanState) -> usize {
    let applied = |step: &PlanStep| state.steps.get(&step.id).is_some_and(|r| r.applied_seq > 0);
    plan.steps().enumerate().filter(|(_, (_, s))| applied(s)).map(|(i, _)| i + 1).last().unwrap_or(0)
}

/// The steps of the same targets that are applied already and come after `step` in the plan. `frontier` is that of the
/// state when the run opened: in a run, steps of one target keep the plan's order.
pub(super) fn overtaken(plan: &Plan, state: &PlanState, frontier: usize, step: &PlanStep) -> Vec<String> {
    let later = plan.steps().map(|(_, s)| s).take(frontier).skip_while(|s| !std::ptr::eq(*s, step)).skip(1);
    let mine = writes(step);
    later
        .filter(|s| state.steps.get(&s.id).is_some_and(|r| r.applied_seq > 0))
        .filter(|s| writes(s).iter().any(|t| mine.contains(t)))
        .map(|s| s.id.clone())
        .collect()
}

fn writes(step: &PlanStep) -> Vec<String> {
    step.step.uses().into_iter().filter(|u| u.access == Access::Write).map(|u| u.target).collect()
}
