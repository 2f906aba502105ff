//! What may run next. Pure: the plan, the fold and what is in flight decide.

use std::collections::{BTreeMap, BTreeSet};

use cutover_core::journal::{PlanState, StepState};
use cutover_core::plan::PlanStep;

/// Members of a group at the most; the time cap usually comes first.
const GROUP_CAP: usize = 500;

/// One thing to run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// A step by itself.
    Single(usize),
    /// Adjacent transactional steps of one target, by index in their phase.
    Group(String, Vec<usize>),
}

/// Whether a step needs no more work.
pub(super) fn is_done(state: StepState) -> bool {
    matches!(state, StepState::Applied | StepState::Skipped)
}

/// The first work of a phase whose needs are met; none when all is done, in flight or held up.
///
/// `busy` holds ids in flight and ids that wait; `wanted` limits the run. Those of `held` run alone: they may have to wait.
pub(super) fn next_work(
    steps: &[PlanStep],
    state: &PlanState,
    busy: &BTreeSet<String>,
    wanted: &BTreeSet<String>,
    in_phase: &BTreeSet<&str>,
    held: &BTreeSet<String>,
) -> Option<Work> {
    let groupable =
        |step: &'_ PlanStep| if held.contains(&step.id) { None } else { groupable(step).map(str::to_owned) };
    let open = |s: &PlanStep| !is_done(state.state_of(&s.id)) && !busy.contains(&s.id) && wanted.contains(&s.id);
    // A need outside this phase is met: phases run in order.
    let met = |need: &String, group: &BTreeSet<&str>| {
        group.contains(need.as_str()) || !in_phase.contains(need.as_str()) || is_done(state.state_of(need))
    };
    let none = BTreeSet::new();
    let mut passed_one = false;
    for (i, step) in steps.iter().enumerate() {
        let done = is_done(state.state_of(&step.id));
        if !open(step) || !step.needs.iter().all(|n| met(n, &none)) || (passed_one && waits_behind(steps, state, step))
        {
            passed_one |= !done;
            continue;
        }
        let Some(target) = groupable(step) else { return Some(Work::Single(i)) };
        let mut members = vec![i];
        let mut ids = BTreeSet::from([step.id.as_str()]);
        for (j, next) in steps.iter().enumerate().skip(i + 1) {
            if members.len() == GROUP_CAP {
                break;
            }
            if !touches(next, &target) || is_done(state.state_of(&next.id)) {
                continue;
            }
            let eligible =
                groupable(next).as_ref() == Some(&target) && open(next) && next.needs.iter().all(|n| met(n, &ids));
            if !eligible {
                break;
            }
            members.push(j);
            ids.insert(next.id.as_str());
        }
        return Some(Work::Group(target, members));
    }
    None
}

/// Whether a need of its needs is not done, though those are: it was lost since (another put a target back), and is to
/// be done again before what comes after it.
fn waits_behind(steps: &[PlanStep], state: &PlanState, step: &PlanStep) -> bool {
    let by_id: BTreeMap<&str, &PlanStep> = steps.iter().map(|s| (s.id.as_str(), s)).collect();
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = step.needs.iter().map(String::as_str).collect();
    while let Some(id) = open.pop() {
        let Some(need) = by_id.get(id).filter(|_| seen.insert(id)) else { continue };
        if !is_done(state.state_of(id)) {
            return true;
        }
        open.extend(need.needs.iter().map(String::as_str));
    }
    false
}

/// The target in whose transaction a step may share, if it may.
fn groupable(step: &PlanStep) -> Option<&str> {
    let target = step.step.transactional()?;
    let alone = step.step.uses().iter().all(|u| u.target == target);
    (alone && step.atomic).then_some(target)
}

fn touches(step: &PlanStep, target: &str) -> bool {
    step.step.uses().iter().any(|u| u.target == target) || step.when.as_ref().is_some_and(|w| w.target == target)
}
