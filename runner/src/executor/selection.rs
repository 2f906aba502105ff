//! What a rollback takes back. Pure: the plan and the fold decide.

use std::collections::{BTreeMap, BTreeSet};

use cutover_core::journal::{PlanState, StepRecord, StepState, TriggerAction};
use cutover_core::plan::{OnFailure, Plan};
use cutover_core::{Access, Reversal, Use};

use crate::error::Result;
use crate::executor::unknown_point;
use crate::session::Session;

/// Steps to undo, the last first, and the step that cannot be undone and so ends the list early, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Where it leads to: "the end of phase schema", "the start".
    pub to: String,
    /// In the order of undoing.
    pub steps: Vec<String>,
    /// Skipped steps that are decided again afterwards.
    pub unskip: Vec<String>,
    /// An irreversible step that stands in the way of the rest.
    pub blocked_by: Option<String>,
}

impl Selection {
    /// Whether there is nothing to take back.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.unskip.is_empty()
    }

    /// Whether there is nothing, and nothing stands in the way of more.
    pub(super) fn finds_nothing(&self) -> bool {
        self.is_empty() && self.blocked_by.is_none()
    }
}

/// How far a rollback goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Point<'a> {
    /// The last phase that has effects; an unwinding that is open comes first, and is all that is left to do.
    LastPhase,
    /// What came after this step or phase; "start": everything.
    After(&'a str),
    /// Everything but these steps.
    Except(&'a BTreeSet<String>),
}

/// What a rollback to that point undoes.
pub(crate) fn selection(session: &Session, state: &PlanState, point: Point<'_>) -> Result<Selection> {
    let plan = &session.plan;
    let phases = Phases::of(plan);
    let open: BTreeSet<&str> =
        state.unwinding.iter().flat_map(|u| &u.steps).map(String::as_str).filter(|id| effects(state, id)).collect();
    let to = match point {
        Point::After(to) => to,
        Point::Except(kept) => {
            return Ok(undoing(plan, state, "where it began".to_owned(), &|id, _| !kept.contains(id)));
        }
        Point::LastPhase => return Ok(last_phase(plan, state, &phases, &open)),
    };
    if to == "start" {
        return Ok(undoing(plan, state, "the start".to_owned(), &|_, _| true));
    }
    if let Some(kept) = plan.phases.iter().position(|p| p.name == to) {
        return Ok(undoing(plan, state, format!("the end of phase {to}"), &|id, r| {
            open.contains(id) || phases.of_step(id, r) > kept
        }));
    }
    let places: BTreeMap<&str, usize> = plan.steps().enumerate().map(|(i, (_, s))| (s.id.as_str(), i)).collect();
    let Some(kept) = places.get(to) else { return Err(unknown_point(session, to)) };
    Ok(undoing(plan, state, format!("after step {to}"), &|id, _| {
        open.contains(id) || places.get(id).is_none_or(|p| p > kept)
    }))
}

/// The last phase that has effects, or what is left of an open unwinding.
fn last_phase(plan: &Plan, state: &PlanState, phases: &Phases<'_>, open: &BTreeSet<&str>) -> Selection {
    if let Some(unwinding) = &state.unwinding {
        let mut found = undoing(plan, state, unwinding.to.clone(), &|id, _| open.contains(id));
        found.unskip.clear();
        return found;
    }
    let with_effects = state.steps.iter().filter(|(_, r)| r.state.may_have_effects());
    let Some(last) = with_effects.map(|(id, r)| phases.of_step(id, r)).max() else {
        return undoing(plan, state, "the start".to_owned(), &|_, _| true);
    };
    let to = match plan.phases.get(last) {
        Some(phase) => format!("before phase {}", phase.name),
        None => "before what the plan no longer has".to_owned(),
    };
    undoing(plan, state, to, &|id, r| phases.of_step(id, r) >= last)
}

/// Whether a step is asked to be undone.
type Pick<'a> = &'a dyn Fn(&str, &StepRecord) -> bool;

/// What is undone after `step` failed.
pub(super) fn after_failure(plan: &Plan, state: &PlanState, step: &str) -> Selection {
    let phases = Phases::of(plan);
    if let Some(found) = after_trigger(plan, state, step, &phases) {
        return found;
    }
    let phase = phases.of_steps.get(step).copied();
    let name = phase.map_or("", |p| plan.phases[p].name.as_str());
    let (to, undo): (String, Pick<'_>) = match plan.on_failure {
        OnFailure::Pause => (String::new(), &|_, _| false),
        OnFailure::RollbackStep => (format!("before step {step}"), &|id, _| id == step),
        OnFailure::RollbackPhase => (format!("before phase {name}"), &|id, r| Some(phases.of_step(id, r)) == phase),
        OnFailure::RollbackAll => ("the start".to_owned(), &|_, _| true),
    };
    let mut found = undoing(plan, state, to, undo);
    if let Some(last) = &found.blocked_by {
        found.to = format!("the end of step {last}, which cannot be undone");
    }
    found
}

/// What is undone after a trigger of a gate made it fail: what that says, and not the plan.
fn after_trigger(plan: &Plan, state: &PlanState, step: &str, phases: &Phases<'_>) -> Option<Selection> {
    let fired = state.steps.get(step)?.fired.as_ref()?;
    let kept = match (fired.action, fired.to.as_deref()) {
        (TriggerAction::Rollback, Some(to)) => to,
        _ => return Some(undoing(plan, state, String::new(), &|_, _| false)),
    };
    if kept == "start" {
        return Some(undoing(plan, state, "the start".to_owned(), &|_, _| true));
    }
    if let Some(&phase) = phases.names.get(kept) {
        let to = format!("the end of phase {kept}");
        return Some(undoing(plan, state, to, &|id, r| phases.of_step(id, r) > phase));
    }
    let places: BTreeMap<&str, usize> = plan.steps().enumerate().map(|(i, (_, s))| (s.id.as_str(), i)).collect();
    let place = *places.get(kept)?;
    Some(undoing(plan, state, format!("after step {kept}"), &|id, _| places.get(id).is_none_or(|p| *p > place)))
}

/// What undoing everything that `undo` picks comes to. Units go as a whole; what builds on an undone step goes with it:
/// what needs it, and what came later on a target that one of the two writes.
fn undoing(plan: &Plan, state: &PlanState, to: String, undo: Pick<'_>) -> Selection {
    let order = state.unwinding_order();
    let mut picked: BTreeSet<&str> =
        order.iter().map(String::as_str).filter(|id| state.steps.get(*id).is_some_and(|r| undo(id, r))).collect();
    let needs: BTreeMap<&str, &[String]> = plan.steps().map(|(_, s)| (s.id.as_str(), s.needs.as_slice())).collect();
    // The first applied come last in `order`: a step is later than another when it stands before it.
    let uses: Vec<&[Use]> =
        order.iter().map(|id| state.steps.get(id).map_or(&[][..], |r| r.stored.uses.as_slice())).collect();
    loop {
        let before = picked.len();
        let units: BTreeSet<&str> =
            picked.iter().filter_map(|id| state.steps.get(*id)?.stored.unit.as_deref()).collect();
        let mut written: BTreeSet<&str> = BTreeSet::new();
        let mut touched: BTreeSet<&str> = BTreeSet::new();
        for (id, uses) in order.iter().zip(&uses).rev() {
            let in_unit = state.steps.get(id).and_then(|r| r.stored.unit.as_deref()).is_some_and(|u| units.contains(u));
            let needed = needs.get(id.as_str()).is_some_and(|n| n.iter().any(|n| picked.contains(n.as_str())));
            let later = uses.iter().any(|u| {
                written.contains(u.target.as_str()) || u.access == Access::Write && touched.contains(u.target.as_str())
            });
            if in_unit || needed || later {
                picked.insert(id);
            }
            if picked.contains(id.as_str()) {
                touched.extend(uses.iter().map(|u| u.target.as_str()));
                written.extend(uses.iter().filter(|u| u.access == Access::Write).map(|u| u.target.as_str()));
            }
        }
        if picked.len() == before {
            break;
        }
    }
    let irreversible = |id: &str| {
        let stored = state.steps.get(id).and_then(|s| s.stored.reversal.clone());
        stored.or_else(|| Some(plan.step(id)?.step.reversal())) == Some(Reversal::Irreversible)
    };
    let mut steps: Vec<String> = order.iter().filter(|id| picked.contains(id.as_str())).cloned().collect();
    let end = steps.iter().position(|id| irreversible(id));
    let blocked_by = end.map(|at| steps[at].clone());
    steps.truncate(end.unwrap_or(steps.len()));
    let skipped = state.steps.iter().filter(|(_, r)| r.state == StepState::Skipped);
    let unskip = skipped.filter(|(id, r)| blocked_by.is_none() && undo(id, r)).map(|(id, _)| id.clone()).collect();
    Selection { to, steps, unskip, blocked_by }
}

/// The phases of steps, by place.
struct Phases<'a> {
    of_steps: BTreeMap<&'a str, usize>,
    names: BTreeMap<&'a str, usize>,
}

impl<'a> Phases<'a> {
    fn of(plan: &'a Plan) -> Self {
        let of_steps = plan.steps().map(|(phase, s)| (s.id.as_str(), phase)).collect();
        Self { of_steps, names: plan.phases.iter().enumerate().map(|(i, p)| (p.name.as_str(), i)).collect() }
    }

    /// Where the plan has the step now, else where it was applied; behind all phases when that is gone too.
    fn of_step(&self, id: &str, record: &StepRecord) -> usize {
        let place = self.of_steps.get(id).or_else(|| self.names.get(record.stored.phase.as_str()));
        place.copied().unwrap_or(self.names.len())
    }
}

fn effects(state: &PlanState, id: &str) -> bool {
    state.state_of(id).may_have_effects()
}
