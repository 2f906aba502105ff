//! What is doubtful about the steps to come, on their targets as they will be by then.

use std::collections::BTreeMap;

use cutover_core::journal::StepState;
use cutover_core::plan::Warning;
use cutover_core::{Access, StepContext, StepError};

use super::preflight::{Preview, info};
use crate::session::Session;

/// Every warning about steps that are to be applied, what the plan allows left out. Read-only.
pub(crate) async fn lints(session: &Session, cx: &StepContext, found: &Preview) -> Result<Vec<Warning>, StepError> {
    let mut warnings = Vec::new();
    let mut by_text: BTreeMap<&str, Vec<&Warning>> = BTreeMap::new();
    for warning in &session.plan.warnings {
        by_text.entry(&warning.step).or_default().push(warning);
    }
    for (_, step) in session.plan.steps() {
        let Some(look) = found.get(&step.id).filter(|look| look.state != StepState::Applied) else { continue };
        let asked = match look.skipped {
            None => step.step.lint_on(&cx.for_step(info(session, step))).await?,
            // What comes before it may change that.
            Some(_) => None,
        };
        if asked.is_none() {
            let written = step.step.uses().into_iter().filter(|used| used.access == Access::Write);
            for target in written.filter_map(|used| session.targets.get(&used.target)) {
                target.blur();
            }
        }
        if look.skipped.is_some() {
            continue;
        }
        warnings.extend(by_text.remove(step.id.as_str()).into_iter().flatten().cloned());
        let findings =
            asked.into_iter().flatten().filter(|finding| !step.allow.iter().any(|code| code == finding.code));
        let warning = |finding| Warning { step: step.id.clone(), in_plan: step.in_plan.clone(), finding };
        warnings.extend(findings.map(warning));
    }
    Ok(warnings)
}
