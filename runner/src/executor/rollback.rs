//! Rollback on request: what it will undo is decided under the locks, shown, and undone.

use std::sync::Arc;

use cutover_core::Outcome;
use cutover_core::journal::RunCommand;

use super::selection::{Point, Selection, selection};
use super::{Report, Run, RunOptions, ledger_rows, nothing, preflight, reconcile, survey_context};
use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::host::Stop;
use crate::report::Emitter;
use crate::session::{Session, needs_env};

/// Rolls back to `options.to`; without it the last phase, or what is left of an unwinding that was interrupted.
/// `confirmed` is shown what will be undone; unless it agrees nothing is.
pub async fn rollback(
    session: &Session,
    emitter: Arc<Emitter>,
    stop: Stop,
    options: RunOptions,
    confirmed: impl FnOnce(&Selection) -> Result<bool>,
) -> Result<Report> {
    let (to, except) = (options.to.clone(), options.except.clone());
    let point = match (&except, &to) {
        (Some(kept), _) => Point::Except(kept),
        (None, Some(to)) => Point::After(to),
        (None, None) => Point::LastPhase,
    };
    let survey = survey_context(session, &emitter, &stop);
    preflight::check_targets(session, &survey).await?;
    // Without locks and without writing: is there anything to do at all?
    if let Ok((state, _)) = session.journalled()
        && state.unwinding.is_none()
        && selection(session, &state, point)?.finds_nothing()
        && reconcile(session, &state, &ledger_rows(session, &survey).await?).is_empty()
    {
        return nothing(session, &emitter, &stop).await;
    }
    let (run, _locks) = Run::open(session, Arc::clone(&emitter), stop.clone(), options, RunCommand::Rollback).await?;
    run.reconcile().await?;
    let open = run.recorder.with_state(|state| state.unwinding.clone());
    let found = run.recorder.with_state(|state| selection(session, state, point))?;
    if let Some(step) = &found.blocked_by {
        let why = session.plan.step(step).and_then(|s| s.irreversible.clone()).unwrap_or_default();
        return Err(RunnerError::new(
            Exit::Failed,
            format!("step `{step}` cannot be undone ({why}); nothing was changed"),
        )
        .with_help("name a point after it with `--to`, or go forward"));
    }
    // A step is undone with the configuration that it was applied with: what that names has to be there.
    run.recorder.with_state(|state| {
        let stored = found.steps.iter().filter_map(|id| Some((id, &state.steps.get(id)?.stored.config)));
        stored.into_iter().try_for_each(|(id, config)| needs_env(id, config))
    })?;
    if found.is_empty() && open.is_none() {
        return run.finish(Outcome::NothingToDo, None).await;
    }
    if !found.is_empty() && !confirmed(&found)? {
        return run.finish(Outcome::NothingToDo, None).await;
    }
    run.announce("rollback", open.is_some());
    run.unwind(found, false).await
}
