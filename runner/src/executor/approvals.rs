//! Which steps a person has to approve, and what they said. Pure: the plan and the fold decide.

use std::collections::BTreeSet;

use cutover_core::Reversal;
use cutover_core::journal::{Approval, PlanState};
use cutover_core::plan::PlanStep;

use super::schedule::is_done;
use crate::session::Session;

/// What a person said of a step that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word<'a> {
    /// Nothing yet.
    None,
    /// It may go on.
    Approved(&'a Approval),
    /// It may not.
    Rejected(&'a Approval),
    /// Something about another plan.
    Void(&'a Approval),
}

/// What a person is asked about a step, if anything: what it asks itself, or that it cannot be undone.
pub(crate) fn asked(step: &PlanStep) -> Option<String> {
    let irreversible = || {
        let why = step.irreversible.as_deref().unwrap_or("the plan does not say why");
        (step.step.reversal() == Reversal::Irreversible).then(|| format!("it cannot be undone ({why})"))
    };
    step.step.asks().or_else(irreversible)
}

/// What was said of `step` so far.
pub(crate) fn word<'a>(session: &Session, state: &'a PlanState, step: &str) -> Word<'a> {
    match state.approvals.get(step) {
        None => Word::None,
        Some(said) if said.plan_digest != session.plan.digest => Word::Void(said),
        Some(said) if said.approved => Word::Approved(said),
        Some(said) => Word::Rejected(said),
    }
}

/// The steps among `steps` that cannot be undone and that nobody approved. A gate asks by itself, when its turn comes.
pub(super) fn held(session: &Session, state: &PlanState, steps: &[PlanStep]) -> BTreeSet<String> {
    let holds = |step: &&PlanStep| {
        step.step.asks().is_none()
            && asked(step).is_some()
            && !is_done(state.state_of(&step.id))
            && !matches!(word(session, state, &step.id), Word::Approved(_))
    };
    if session.place.rehearsal {
        return BTreeSet::new();
    }
    steps.iter().filter(holds).map(|step| step.id.clone()).collect()
}

/// Why a step waits that nobody approved, and the command that approves it.
pub(super) fn waits(session: &Session, state: &PlanState, step: &PlanStep) -> String {
    let ask = asked(step).unwrap_or_default();
    let said = match word(session, state, &step.id) {
        Word::Void(said) => format!(" (that of {} of {} is void: the plan has changed since)", said.by, said.at),
        Word::Rejected(said) => format!(" (rejected by {} at {}: {})", said.by, said.at, said.note),
        Word::None | Word::Approved(_) => String::new(),
    };
    format!("asks for an approval: {ask}{said}")
}

/// A step that asks for an approval which it has not got.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) step: String,
    /// What it asks for.
    pub(crate) why: String,
    /// The command that answers.
    pub(crate) command: String,
}

/// The steps of the phase that is on that ask for an approval.
pub(crate) fn asking(session: &Session, state: &PlanState) -> Vec<Asking> {
    let open = |step: &PlanStep| !is_done(state.state_of(&step.id));
    let Some(phase) = session.plan.phases.iter().find(|phase| phase.steps.iter().any(open)) else { return Vec::new() };
    let asks = |step: &&PlanStep| {
        open(step) && asked(step).is_some() && !matches!(word(session, state, &step.id), Word::Approved(_))
    };
    let asking = |step: &PlanStep| {
        let (why, command) = (waits(session, state, step), session.approve_line(&step.id));
        Asking { step: step.id.clone(), why, command }
    };
    phase.steps.iter().filter(asks).map(asking).collect()
}

impl Session {
    /// The command with which a person approves a step.
    pub(crate) fn approve_line(&self, step: &str) -> String {
        format!("{} {step} --as NAME --note TEXT", self.command_line("approve"))
    }
}
