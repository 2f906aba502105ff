//! `baseline`: adopts a system that already has the plan's first steps, each proven by inspection.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover_core::journal::{PlanState, Record, RunCommand, StepState};
use cutover_core::plan::{Plan, PlanStep};
use cutover_core::{Outcome, Receipt, Standing, StepInfo, Verdict};
use serde_json::json;

use crate::cli::{Format, Out};
use crate::error::{Result, RunnerError};
use crate::executor::{Run, RunOptions, preview, unknown_point};
use crate::exit::Exit;
use crate::host::Stop;
use crate::session::{Place, Session};
use crate::style::count;

pub(crate) async fn run(place: Place, to: &str, options: RunOptions, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let session = Session::open(place)?;
    let plan = &session.plan;
    let last = last_of(plan, to).ok_or_else(|| unknown_point(&session, to))?;
    let emitter = Arc::new(crate::report::Emitter::new(Box::new(crate::report::Silent)));
    let (run, _locks) = Run::open(&session, emitter, Stop::default(), options, RunCommand::Administer).await?;
    // What a ledger knows is not adopted anew: its receipt would be lost.
    run.reconcile().await?;
    refuse_unfinished(&session, &run)?;
    let mut adopt = Vec::new();
    let mut refused = Vec::new();
    let looked =
        preview(&session, &run.context_of(StepInfo::default()), &run.recorder.with_state(PlanState::clone)).await?;
    for (phase, step) in plan.steps().take(last + 1) {
        // A step whose condition does not hold has nothing to adopt; it is skipped when its turn comes.
        let not_here = looked.get(&step.id).is_some_and(|look| look.skipped.is_some());
        if not_here || matches!(run.recorder.state_of(&step.id), StepState::Applied | StepState::Skipped) {
            continue;
        }
        // What a later one of them undoes by design is not there any more, and need not be.
        if plan.steps().take(last + 1).any(|(_, later)| later.supersedes.contains(&step.id)) {
            adopt.push((phase, step, Receipt::nothing()));
            continue;
        }
        let cx = run.context(step);
        let found = match step.step.inspect(&cx).await? {
            Standing::Applied => None,
            Standing::Unknown => match step.step.verify(&cx).await? {
                Verdict::Holds | Verdict::Superseded(_) => None,
                Verdict::Broken(lines) => Some(lines.join("; ")),
            },
            Standing::Pending => Some("nothing of it is there".to_owned()),
            Standing::Partial(what) | Standing::Conflict(what) => Some(what),
        };
        if let Some(why) = found {
            refused.push(format!("step `{}`: {why}", step.id));
            continue;
        }
        let receipt = step.step.recover(&cx).await?.unwrap_or_else(Receipt::nothing);
        adopt.push((phase, step, receipt));
    }
    if !refused.is_empty() {
        return Err(RunnerError::new(
            Exit::Failed,
            run.host
                .secrets
                .mask(&format!("inspection does not find all of it: {}; nothing was recorded", refused.join("; "))),
        )
        .with_help("baseline to an earlier step, and apply the rest"));
    }
    if adopt.is_empty() {
        say(out, plan, &[]);
        return Ok(Exit::Done);
    }
    record_adopted(&session, &run, &adopt, "inspection").await?;
    run.finish(Outcome::Done, None).await?;
    let adopted: Vec<_> = adopt.into_iter().map(|(_, step, _)| step).collect();
    say(out, plan, &adopted);
    Ok(Exit::Done)
}

/// Refuses while a run of the plan has not come to its end.
pub(super) fn refuse_unfinished(session: &Session, run: &Run<'_>) -> Result<()> {
    let begun = |s: StepState| s.may_have_effects() && s != StepState::Applied;
    if run.recorder.with_state(|state| state.unwinding.is_some() || state.steps.values().any(|r| begun(r.state))) {
        return Err(RunnerError::new(Exit::Failed, "a run of this plan has not come to its end; nothing was adopted")
            .with_help(format!("`{}` says how to go on", session.command_line("explain"))));
    }
    Ok(())
}

/// A step to be adopted: the index of its phase, itself, and the receipt that it gets.
pub(super) type Adopted<'p> = (usize, &'p PlanStep, Receipt);

/// Records the steps as applied. `source` says what told so.
pub(super) async fn record_adopted(
    session: &Session,
    run: &Run<'_>,
    adopted: &[Adopted<'_>],
    source: &str,
) -> Result<()> {
    let mut records = Vec::new();
    let mut objects = BTreeMap::new();
    for (phase, step, receipt) in adopted {
        let (known, files) = run.stored(*phase, step);
        objects.extend(files);
        records.push(Record::StepAdopted { step: known, receipt: receipt.clone(), source: source.to_owned() });
    }
    // Ledgers first: after a crash between the two the journal follows them.
    for (_, step, receipt) in adopted {
        if let Some(target) = step.step.ledgered().and_then(|t| session.targets.get(t))
            && let Some(ledger) = target.ledger()
        {
            ledger.adopt(&run.context(step), receipt).await?;
        }
    }
    run.record_with(records, objects).await
}

/// Where the step `to`, or the last one of the phase `to`, is among all steps.
fn last_of(plan: &Plan, to: &str) -> Option<usize> {
    let phase = plan.phases.iter().position(|p| p.name == to);
    plan.steps()
        .enumerate()
        .filter(|(_, (p, s))| phase.map_or(s.id == to, |phase| *p == phase))
        .map(|(at, _)| at)
        .last()
}

fn say(out: &Out, plan: &Plan, adopted: &[&PlanStep]) {
    let ids: Vec<&str> = adopted.iter().map(|s| s.id.as_str()).collect();
    match out.format {
        Format::Json => out.json(&json!({ "version": 1, "plan": plan.name, "adopted": ids })),
        _ if ids.is_empty() => out.print("nothing to adopt\n"),
        _ => {
            let steps = count(ids.len(), "step");
            out.print(&format!("adopted {steps}; a rollback leaves what was there before\n"));
        }
    }
}
