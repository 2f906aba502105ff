//! `plan`: what apply would change, from the plan and a read-only look at the targets. Stable byte for byte.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use cutover_core::journal::StepState;
use cutover_core::plan::{OnFailure, PlanStep};
use cutover_core::{Depth, Effects, Reversal, Standing, StepContext};
use serde_json::json;

use crate::binding::Binding;
use crate::cli::{Format, Out};
use crate::commands::check::deny;
use crate::error::Result;
use crate::executor::{Look, Preview, drift, estranged, info, ledger_rows, lints, preview, reader_context, reconciled};
use crate::exit::Exit;
use crate::host::Stop;
use crate::recorder::journal_error;
use crate::saved::{SavedPlan, folder_of};
use crate::secrets::Secrets;
use crate::session::{Place, Session, shell_words};
use crate::style::{Style, count, plain};
use crate::warned::Warned;

/// What was asked for besides the output.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// End with 3 when changes are pending.
    pub exit_code: bool,
    /// Where to save the plan.
    pub file: Option<PathBuf>,
    /// Bind the saved plan to content too.
    pub exact: bool,
    /// Fail when there are warnings.
    pub deny_warnings: bool,
}

pub(crate) async fn run(place: Place, asked: &Asked, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json, Format::Markdown])?;
    let session = Session::open(place)?;
    if let Some(file) = &asked.file {
        SavedPlan::refuse_overwriting(&session, file)?;
    }
    let (state, _) = session.journalled().map_err(journal_error)?;
    let emitter = Arc::new(crate::report::Emitter::new(Box::new(crate::report::Silent)));
    let cx = reader_context(&session, &emitter, &Stop::default(), &state);
    let rows = ledger_rows(&session, &cx).await?;
    estranged(&session, &state, &rows).into_error(&session)?;
    let state = reconciled(&session, &state, &rows);
    drift(&session, &state, &rows).into_error(&session)?;
    let found = preview(&session, &cx, &state).await?;
    let warnings = lints(&session, &cx, &found).await?;
    let warned = Warned::of(&session.plan, &session.plan_file, &session.plan_text, warnings);
    let secrets = Secrets::new(&session.plan.secrets);
    let open = state.unwinding.as_ref().map(|u| u.to.as_str());
    let foreseen = foreseen(&session, &cx, &found).await?;
    let text = |style| secrets.mask(&text(&session, &found, &foreseen, &warned, open, style));
    let denied = asked.deny_warnings && !warned.is_empty();
    let saving = asked.file.as_ref().filter(|_| !denied);
    if let Some(file) = saving {
        let depth = if asked.exact { Depth::Content } else { Depth::Schema };
        let binding = Binding::of(&session, &cx, depth, Some(folder_of(file)?)).await?;
        SavedPlan::new(&session, file, binding, text(Style { color: false }))?.write(file)?;
    }
    match out.format {
        Format::Json => out.json(&secrets.mask_json(as_json(&session, &found, &foreseen, &warned, open))),
        Format::Markdown => out.print(&format!("```text\n{}```\n", text(Style { color: false }))),
        _ => out.print(&text(out.style)),
    }
    if let (Some(file), Format::Text) = (saving, out.format) {
        out.print(&format!("saved: cutover apply {}\n", shell_words([file.display().to_string()])));
    }
    if denied {
        return deny(&warned);
    }
    let pending = found.values().any(|l| matches!(word(l), "to apply" | "in progress" | "conflict"));
    Ok(if asked.exit_code && pending { Exit::Pending } else { Exit::Done })
}

/// What steps would come to on the targets as they are, by id.
type Foreseen = BTreeMap<String, Vec<String>>;

/// Asks each step that is to be applied and has nothing in its way.
async fn foreseen(session: &Session, cx: &StepContext, found: &Preview) -> Result<Foreseen> {
    let mut foreseen = Foreseen::new();
    for (_, step) in session.plan.steps() {
        let Some(look) = found.get(&step.id) else { continue };
        if matches!(word(look), "to apply" | "in progress") {
            let lines = step.step.foresee(&cx.for_step(info(session, step))).await?;
            foreseen.extend((!lines.is_empty()).then(|| (step.id.clone(), lines)));
        }
    }
    Ok(foreseen)
}

/// One word for where a step stands.
fn word(look: &Look) -> &'static str {
    if look.skipped.is_some() {
        return "not here";
    }
    match (look.state, &look.standing) {
        (StepState::Applied, _) => "applied",
        (StepState::Skipped, _) => "not here",
        (_, Some(Standing::Conflict(_))) => "conflict",
        (StepState::Pending | StepState::RolledBack, Some(Standing::Applied)) => "there already",
        (StepState::Pending | StepState::RolledBack, _) => "to apply",
        _ => "in progress",
    }
}

fn text(
    session: &Session,
    found: &Preview,
    foreseen: &Foreseen,
    warned: &Warned,
    open: Option<&str>,
    style: Style,
) -> String {
    let plan = &session.plan;
    let mut text = style.bold(&format!("plan {}", plan.name));
    if let Some(summary) = &plan.summary {
        text.push_str(&format!(": {summary}"));
    }
    if let Some(to) = open {
        let line = format!(
            "an unwinding to {to} has not ended: the next apply goes on with it, and nothing below runs before"
        );
        text.push_str(&format!("\n{}", style.warn(&line)));
    }
    text.push_str(if plan.targets.is_empty() { "\n" } else { "\n\ntargets\n" });
    let widest = plan.targets.keys().map(String::len).max().unwrap_or(0);
    for target in plan.targets.values() {
        let bound = if session.place.binds.contains_key(&target.name) { " (bound elsewhere)" } else { "" };
        text.push_str(&format!("  {:widest$}  {:7} {}{bound}\n", target.name, target.kind, target.path));
    }
    let mut counts = BTreeMap::new();
    for phase in &plan.phases {
        text.push('\n');
        text.push_str(&style.bold(&format!("phase {} ({})", phase.name, phase.layer)));
        if let Some(summary) = &phase.summary {
            text.push_str(&format!(": {summary}"));
        }
        text.push('\n');
        for step in &phase.steps {
            let Some(look) = found.get(&step.id) else { continue };
            *counts.entry(word(look)).or_insert(0usize) += 1;
            step_text(step, look, style, &mut text);
            for line in foreseen.get(&step.id).into_iter().flatten() {
                text.push_str(&format!("      = {}\n", plain(line)));
            }
        }
    }
    risks(session, found, style, &mut text);
    let counts: Vec<String> = counts.iter().map(|(word, n)| format!("{n} {word}")).collect();
    let steps = count(found.len(), "step");
    text.push('\n');
    text.push_str(&warned.render(style.color));
    text.push_str(&format!("{steps}: {}\non failure: {}\n", counts.join(", "), policy(plan.on_failure)));
    if !warned.is_empty() {
        text.push_str(&format!("{}\n", style.warn(&count(warned.len(), "warning"))));
    }
    text
}

fn risks(session: &Session, found: &Preview, style: Style, text: &mut String) {
    let risks = &session.plan.risks;
    text.push_str(if risks.is_empty() { "" } else { "\nrisks\n" });
    for risk in risks {
        let likelihood = risk.likelihood.name();
        text.push_str(&format!("  {} ({likelihood}): {}\n", plain(&risk.risk), plain(&risk.impact)));
        text.push_str(&format!("      {}\n", style.dim(&plain(&risk.mitigation))));
        let watched = |id: &String| format!("{id} ({})", found.get(id).map_or("not here", word));
        let watched: Vec<String> = risk.watched_by.iter().map(watched).collect();
        if !watched.is_empty() {
            text.push_str(&format!("      watched by {}\n", watched.join(", ")));
        }
    }
}

fn step_text(step: &PlanStep, look: &Look, style: Style, text: &mut String) {
    let target = step.target.as_deref().map(|t| format!(" on {t}")).unwrap_or_default();
    let state = word(look);
    let state = match state {
        "conflict" => style.bad(state),
        "to apply" => style.good(state),
        other => style.dim(other),
    };
    text.push_str(&format!("  {} [{}{target}] {state}{}\n", step.id, step.kind, how_undone(step)));
    if let Some(why) = &look.skipped {
        text.push_str(&format!("      because {}\n", plain(why)));
        return;
    }
    if let Some(Standing::Conflict(why) | Standing::Partial(why)) = &look.standing {
        text.push_str(&format!("      {}\n", plain(why)));
    }
    if look.state == StepState::Applied {
        return;
    }
    if let Some(summary) = &step.summary {
        text.push_str(&format!("      {}\n", style.dim(summary)));
    }
    for change in step.step.describe() {
        let detail = change.detail.map(|d| format!("  {d}")).unwrap_or_default();
        let line = format!("{} {}{detail}", change.action.mark(), change.object);
        text.push_str(&format!("      {}\n", plain(&line)));
    }
}

fn how_undone(step: &PlanStep) -> String {
    let mut parts = Vec::new();
    match step.step.reversal() {
        Reversal::Inverse => {}
        Reversal::Restore(target) => parts.push(format!("undone by restoring {target}")),
        Reversal::Irreversible => {
            parts.push(format!("cannot be undone: {}", step.irreversible.as_deref().unwrap_or("no reason given")));
        }
    }
    if step.step.effects() == Effects::External {
        parts.push("runs a program".to_owned());
    }
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) }
}

fn policy(policy: OnFailure) -> &'static str {
    match policy {
        OnFailure::RollbackStep => "the failed step is rolled back",
        OnFailure::RollbackPhase => "the phase is rolled back",
        OnFailure::RollbackAll => "everything is rolled back",
        OnFailure::Pause => "nothing is undone; the run pauses",
    }
}

fn as_json(
    session: &Session,
    found: &Preview,
    foreseen: &Foreseen,
    warned: &Warned,
    open: Option<&str>,
) -> serde_json::Value {
    let plan = &session.plan;
    let phases: Vec<_> = plan
        .phases
        .iter()
        .map(|phase| {
            let steps: Vec<_> = phase
                .steps
                .iter()
                .map(|step| {
                    let look = found.get(&step.id);
                    json!({
                        "id": step.id,
                        "kind": step.kind,
                        "target": step.target,
                        "summary": step.summary,
                        "state": look.map(word),
                        "skipped": look.and_then(|l| l.skipped.clone()),
                        "standing": look.and_then(|l| l.standing.clone()),
                        "changes": step.step.describe(),
                        "foreseen": foreseen.get(&step.id).map(Vec::as_slice).unwrap_or_default(),
                        "reversal": step.step.reversal(),
                        "effects": step.step.effects(),
                        "needs": step.needs,
                        "digest": step.digest,
                    })
                })
                .collect();
            json!({ "name": phase.name, "layer": phase.layer, "summary": phase.summary, "steps": steps })
        })
        .collect();
    json!({
        "version": 1,
        "plan": plan.name,
        "summary": plan.summary,
        "digest": plan.digest,
        "unwinding": open,
        "on-failure": plan.on_failure,
        "targets": plan.targets,
        "phases": phases,
        "risks": plan.risks,
        "warnings": warned.as_json(),
    })
}
