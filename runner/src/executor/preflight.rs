//! Before the first write: are the targets usable, and is nothing in the way of any step?

use std::collections::{BTreeMap, BTreeSet};

use cutover_core::journal::{PlanState, StepState};
use cutover_core::plan::{Condition, PlanStep};
use cutover_core::{Access, Action, Standing, StepContext, StepError, StepInfo};

use super::Run;
use super::schedule::is_done;
use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::session::Session;

/// What a look at one step found.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// Where the journal has it.
    pub state: StepState,
    /// Why it does not apply here, if it does not.
    pub skipped: Option<String>,
    /// What inspection found; none for steps that are done or do not apply.
    pub standing: Option<Standing>,
}

/// What a look at all steps found, by id.
pub(crate) type Preview = BTreeMap<String, Look>;

/// Every target that is used must be there, readable and whole. All that are not are named.
pub(crate) async fn check_targets(session: &Session, cx: &StepContext) -> Result<()> {
    let errors: Vec<StepError> = target_problems(session, cx).await.into_iter().map(|(_, error)| error).collect();
    let Some(first) = errors.first() else { return Ok(()) };
    let help = first.help().map(str::to_owned);
    let exit = RunnerError::from(StepError::new(first.kind(), "")).exit;
    let text: Vec<String> = errors.iter().map(StepError::chain).collect();
    let mut error = RunnerError::new(exit, format!("{}; nothing was changed", text.join("; ")));
    error.help = help;
    Err(error)
}

/// The targets that steps use and that cannot be used, by name, and why. Read-only.
pub(crate) async fn target_problems(session: &Session, cx: &StepContext) -> Vec<(String, StepError)> {
    let mut written = BTreeMap::new();
    for (_, step) in session.plan.steps() {
        for used in step.step.uses() {
            let write = used.access == Access::Write;
            written.entry(used.target).and_modify(|w| *w |= write).or_insert(write);
        }
    }
    let mut errors = Vec::new();
    for (name, write) in written {
        let Some(target) = session.targets.get(&name) else { continue };
        match target.assess(cx).await {
            Ok(found) => {
                if let Some(no) = found.facts.get("writable").and_then(|w| w.strip_prefix("no: ")).filter(|_| write) {
                    let shown = session.shown(target.path());
                    let error = StepError::unavailable(format!("target `{name}` (`{shown}`) cannot be written: {no}"))
                        .with_help("make it writable, or bind the target to a copy with `--bind`");
                    errors.push((name, error));
                }
            }
            Err(error) => errors.push((name, error)),
        }
    }
    errors
}

/// Whether a condition holds, and if not, why in words.
pub(super) async fn condition(cx: &StepContext, when: &Condition) -> Result<Option<String>, StepError> {
    let target = cx.any_target(&when.target)?;
    for fact in &when.has {
        if !target.holds(cx, fact).await? {
            return Ok(Some(format!("{} has no {fact}", when.target)));
        }
    }
    for fact in &when.lacks {
        if target.holds(cx, fact).await? {
            return Ok(Some(format!("{} has {fact}", when.target)));
        }
    }
    Ok(None)
}

/// Looks at every step that is not done: its condition and its standing. Read-only.
pub(crate) async fn preview(session: &Session, cx: &StepContext, state: &PlanState) -> Result<Preview, StepError> {
    let mut found = Preview::new();
    for (_, step) in session.plan.steps() {
        let journalled = state.state_of(&step.id);
        let mut look = Look { state: journalled, skipped: None, standing: None };
        if !is_done(journalled) {
            let cx = cx.for_step(info(session, step));
            // As apply does it: a step that had begun is not asked again, unless it failed and was edited since.
            let edited = journalled == StepState::Failed
                && state.steps.get(&step.id).is_some_and(|r| r.stored.digest != step.digest);
            look.skipped = match &step.when {
                Some(when) if edited || !journalled.may_have_effects() => condition(&cx, when).await?,
                _ => None,
            };
            if look.skipped.is_none() {
                look.standing = Some(step.step.inspect(&cx).await?);
            }
        } else if journalled == StepState::Skipped {
            look.skipped = state.steps.get(&step.id).and_then(|s| s.message.clone());
        }
        found.insert(step.id.clone(), look);
    }
    Ok(found)
}

pub(crate) fn info(session: &Session, step: &PlanStep) -> StepInfo {
    StepInfo {
        plan: session.plan.name.clone(),
        id: step.id.clone(),
        kind: step.kind.clone(),
        digest: step.digest.clone(),
        checksum: step.checksum.clone(),
        ..StepInfo::default()
    }
}

impl Run<'_> {
    /// Refuses before the first write when something is in the way of a step.
    ///
    /// A conflict that an earlier pending step of the same target may clear (it removes something, or runs SQL of
    /// its author's) is left to its own time.
    pub(super) async fn preflight(&self, wanted: &BTreeSet<String>) -> Result<()> {
        let cx = self.context_of(StepInfo::default());
        let state = self.recorder.with_state(PlanState::clone);
        let found = preview(self.session, &cx, &state).await?;
        let mut may_clear: BTreeSet<String> = BTreeSet::new();
        let mut conflicts = Vec::new();
        for (_, step) in self.session.plan.steps().filter(|(_, s)| wanted.contains(&s.id)) {
            let Some(look) = found.get(&step.id) else { continue };
            let uses = step.step.uses();
            let cleared = uses.iter().any(|u| may_clear.contains(&u.target));
            if let Some(Standing::Conflict(why)) = &look.standing
                && !cleared
            {
                conflicts.push(format!("step `{}`: {why}", step.id));
            }
            let removes = |a: Action| matches!(a, Action::Remove | Action::Run);
            if look.standing.is_some() && step.step.describe().iter().any(|c| removes(c.action)) {
                may_clear.extend(uses.into_iter().filter(|u| u.access == Access::Write).map(|u| u.target));
            }
        }
        if conflicts.is_empty() {
            return Ok(());
        }
        Err(RunnerError::new(
            Exit::Failed,
            self.host.secrets.mask(&format!("{}; nothing was changed", conflicts.join("; "))),
        )
        .with_help("settle what is in the way, then run the same command again"))
    }
}
