//! `accept`: journals a deliberate edit of an applied step, or what others did to the structure of targets.

use std::sync::Arc;

use cutover_core::journal::{Record, RunCommand, StepState};
use serde_json::json;

use super::verify::{broken, foreign};
use crate::cli::{Format, Out};
use crate::error::{Result, RunnerError};
use crate::executor::{Run, RunOptions, reader_context, unknown_point};
use crate::exit::Exit;
use crate::host::Stop;
use crate::session::{Place, Session};
use crate::style::plain;

pub(crate) async fn run(place: Place, id: &str, note: &str, options: RunOptions, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let session = Session::look(place)?;
    let (phase, step) = session.plan.steps().find(|(_, s)| s.id == id).ok_or_else(|| unknown_point(&session, id))?;
    let emitter = Arc::new(crate::report::Emitter::new(Box::new(crate::report::Silent)));
    let (run, _locks) = Run::open(&session, emitter, Stop::default(), options, RunCommand::Administer).await?;
    run.learn(phase, step).await?;
    let known = run.recorder.with_state(|s| s.steps.get(id).cloned());
    if let Some(begun) = known
        .as_ref()
        .map(|r| r.state)
        .filter(|s| s.may_have_effects() && !matches!(s, StepState::Applied | StepState::Stuck))
    {
        let rollback = session.command_line("rollback");
        return Err(RunnerError::usage(format!(
            "step `{id}` is {begun}: only an edit of an applied step can be accepted"
        ))
        .with_help(format!("undo the edit and let the step end, or roll it back: `{rollback}`")));
    }
    let Some(known) = known.filter(|r| r.state.may_have_effects()) else {
        return Err(RunnerError::usage(format!("step `{id}` is not applied: it may change freely"))
            .with_help("only an edit of an applied step has to be accepted"));
    };
    let same_target = |name: &String| known.known_target(name) == session.stored_target(name).as_ref();
    if known.known_digest() == step.digest && step.step.uses().iter().all(|u| same_target(&u.target)) {
        say(out, &session, id, false, &format!("step `{id}` has not changed: nothing to accept"));
        return Ok(Exit::Done);
    }
    run.refuse_other_ledger(&known, step).await?;
    let (now, objects) = run.stored(phase, step);
    run.record_with(vec![Record::StepAccepted { step: now, note: note.to_owned() }], objects).await?;
    run.finish(cutover_core::Outcome::Done, None).await?;
    say(
        out,
        &session,
        id,
        true,
        &match known.state {
            StepState::Stuck => format!("accepted: step `{id}` as it is now; its rollback is made of that"),
            _ => format!("accepted: step `{id}` as it is now; a rollback still uses what was applied"),
        },
    );
    Ok(Exit::Done)
}

/// Takes what others did to the structure of the targets for what is there from now on.
pub(crate) async fn structure(place: Place, note: &str, options: RunOptions, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let session = Session::look(place)?;
    let emitter = Arc::new(crate::report::Emitter::new(Box::new(crate::report::Silent)));
    let (run, _locks) =
        Run::open(&session, Arc::clone(&emitter), Stop::default(), options, RunCommand::Administer).await?;
    let state = run.recorder.with_state(Clone::clone);
    let cx = reader_context(&session, &emitter, &Stop::default(), &state);
    let changes = foreign(&session, &cx, &state).await?.structure;
    let told = |accepted: bool, text: &str| match out.format {
        Format::Json => {
            out.json(&json!({ "version": 1, "plan": session.plan.name, "structure": changes, "accepted": accepted }));
        }
        _ => out.print(&format!("{text}\n")),
    };
    if changes.is_empty() {
        told(false, "others changed no structure that is known: nothing to accept");
        return Ok(Exit::Done);
    }
    if let Some((step, what)) = broken(&session, &cx, &state).await.into_iter().next() {
        let explain = session.command_line("explain");
        let why = format!("applied step `{step}` does not hold any more: {}; nothing was accepted", what.join("; "));
        return Err(RunnerError::new(Exit::Drift, why)
            .with_help(format!("put back what it made, or roll it back: `{explain}` names the command")));
    }
    let (seen, document) = run.seen_document().await?;
    let record = Record::StructureAccepted { note: note.to_owned(), changes: changes.clone(), seen: seen.clone() };
    run.record_with(vec![record], [(seen, document)].into()).await?;
    run.finish(cutover_core::Outcome::Done, None).await?;
    told(true, &format!("accepted as it is now:\n  {}", plain(&changes.join("\n  "))));
    Ok(Exit::Done)
}

fn say(out: &Out, session: &Session, id: &str, accepted: bool, text: &str) {
    match out.format {
        Format::Json => {
            out.json(&json!({ "version": 1, "plan": session.plan.name, "step": id, "accepted": accepted }));
        }
        _ => out.print(&format!("{text}\n")),
    }
}
