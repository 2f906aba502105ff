//! The executor: order, groups, failure, unwinding, resumption.
//!
//! Data flows one way: the plan and the fold decide what is next (`schedule`), a step or a group runs (`forward`),
//! its outcome becomes a record, and the fold moves on. Nothing here knows a store or a terminal.

mod approvals;
mod budget;
mod drift;
mod forward;
mod group;
mod lints;
mod locks;
mod notices;
mod order;
mod preflight;
mod reconcile;
mod rollback;
mod run;
mod schedule;
mod selection;
mod unwind;
mod visit;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cutover_core::journal::{PlanState, RunCommand, StepState};
use cutover_core::plan::PlanStep;
use cutover_core::{EventKind, Outcome, StepContext, StepInfo};

use crate::binding::Binding;
use crate::error::{Result, RunnerError};
use crate::host::{JournalAccess, Readings, RunnerHost, Stop};
use crate::report::Emitter;
use crate::secrets::Secrets;
use crate::session::Session;

pub(crate) use approvals::{Asking, Word, asked, asking, word};
pub(crate) use budget::{in_words, running};
use drift::altered;
pub(crate) use drift::{WayOut, drift, estranged};
pub(crate) use forward::not_rehearsed;
pub(crate) use lints::lints;
pub(crate) use locks::{left_running, refuse_unfenced_take_over};
pub(crate) use preflight::{Look, Preview, check_targets, info, preview, target_problems};
pub(crate) use reconcile::{
    LedgerRows, ledger_rows, ledger_rows_of, ledger_rows_to_look, reconcile, reconciled, unreadable,
};
pub use rollback::rollback;
pub(crate) use run::{Run, outcome_name};
pub use selection::Selection;
pub(crate) use visit::Visit;
pub(crate) use watch::{WatchEnd, watch};

/// How a run is to go. Made from [`RunOptions::default`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunOptions {
    /// Apply: up to and including this step or phase. Rollback: what comes after it is undone ("start": all).
    pub to: Option<String>,
    /// Nobody asked for `to`: a printed command does not repeat it.
    pub(crate) to_unsaid: bool,
    /// Steps at once.
    pub jobs: usize,
    /// How long to wait for another runner.
    pub lock_timeout: Duration,
    /// Take the locks of a holder that is alive but frozen.
    pub take_over: bool,
    /// A restore may drop rows that others wrote since the snapshot (they are exported first).
    pub accept_loss: bool,
    /// Steps that a rollback leaves, in place of `to`.
    pub(crate) except: Option<BTreeSet<String>>,
    /// What must hold before the first write.
    pub(crate) bound: Vec<Bound>,
    /// The command, for lock files and printed remedies.
    pub command: String,
}

/// Something that a run is bound to: a saved plan, a rehearsal.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    /// It, in words.
    pub what: String,
    /// The saved plan (absolute); none for a rehearsal.
    pub saved: Option<PathBuf>,
    /// What it holds for.
    pub binding: Binding,
    /// What to do when that moved.
    pub remedy: String,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            to: None,
            to_unsaid: false,
            jobs: 4,
            lock_timeout: Duration::ZERO,
            take_over: false,
            accept_loss: false,
            except: None,
            bound: Vec::new(),
            command: "cutover".to_owned(),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// The outcome.
    pub outcome: Outcome,
    /// The next command for a person, where there is one.
    pub next: Option<String>,
}

/// Runs the plan forward. The same call again resumes.
pub async fn apply(session: &Session, emitter: Arc<Emitter>, stop: Stop, options: RunOptions) -> Result<Report> {
    let wanted = wanted_steps(session, options.to.as_deref())?;
    // Without locks and without writing: is there anything to do at all?
    if !options.take_over && nothing_to_do(session, &emitter, &stop, &wanted).await? {
        return nothing(session, &emitter, &stop).await;
    }
    preflight::check_targets(session, &survey_context(session, &emitter, &stop)).await?;
    let (run, _locks) = Run::open(session, emitter, stop, options, RunCommand::Apply).await?;
    run.refuse_moved().await?;
    let reconciled = run.reconcile().await?;
    run.recorder.with_state(|state| refuse_stuck(session, state))?;
    if let Some(open) = run.recorder.with_state(|state| state.unwinding.clone()) {
        run.announce(if open.failure { "apply" } else { "rollback" }, true);
        return run.resume_unwinding(open).await;
    }
    run.refuse_drift().await?;
    let resumed = reconciled
        || run.recorder.with_state(|s| {
            s.run.as_ref().is_some_and(|r| r.outcome.is_none())
                || s.steps.values().any(|s| matches!(s.state, StepState::Started | StepState::Intended))
        });
    run.announce("apply", resumed);
    if let Some(early) = run.take_back_edited().await? {
        return Ok(early);
    }
    run.preflight(&wanted).await?;
    run.forward(&wanted).await
}

/// Nothing goes forward over a step whose rollback failed, unless the storage was what failed: then it is tried again.
fn refuse_stuck(session: &Session, state: &PlanState) -> Result<()> {
    let Some((id, record)) = state.steps.iter().find(|(_, s)| s.state == StepState::Stuck && !s.again) else {
        return Ok(());
    };
    let why = record.message.as_deref().unwrap_or("no message");
    let (explain, rollback) = (session.command_line("explain"), session.command_line("rollback"));
    let help = record.help.as_ref().map(|help| format!("{help}; ")).unwrap_or_default();
    Err(RunnerError::new(
        crate::exit::Exit::Stuck,
        format!("step `{id}` is stuck: its rollback failed: {why}; nothing was changed"),
    )
    .with_help(format!("{help}`{explain}` says where things stand; mend the cause, then `{rollback}`")))
}

/// The end of a run that found nothing to do: it took no lock and left no trace.
async fn nothing(session: &Session, emitter: &Arc<Emitter>, stop: &Stop) -> Result<Report> {
    let survey = survey_context(session, emitter, stop);
    for target in session.targets.values() {
        target.close(&survey).await?;
    }
    emitter.emit(EventKind::RunFinished { outcome: Outcome::NothingToDo, next: None });
    Ok(Report { outcome: Outcome::NothingToDo, next: None })
}

async fn nothing_to_do(
    session: &Session,
    emitter: &Arc<Emitter>,
    stop: &Stop,
    wanted: &BTreeSet<String>,
) -> Result<bool> {
    let Ok((state, _)) = session.journalled() else { return Ok(false) };
    if state.unwinding.is_some() {
        return Ok(false);
    }
    let cx = survey_context(session, emitter, stop);
    let rows = ledger_rows(session, &cx).await?;
    estranged(session, &state, &rows).into_error(session)?;
    if !reconcile(session, &state, &rows).is_empty() {
        return Ok(false);
    }
    altered(session, &state).into_error(session)?;
    Ok(wanted.iter().all(|id| matches!(state.state_of(id), StepState::Applied | StepState::Skipped)))
}

/// A context for looking around: no step, no epoch, nothing may be journalled through it.
pub(crate) fn survey_context(session: &Session, emitter: &Arc<Emitter>, stop: &Stop) -> StepContext {
    reader_context(session, emitter, stop, &PlanState::default())
}

/// The same for work that takes its time: a request to stop is heard while it lasts.
pub(crate) fn patient_context(session: &Session, emitter: &Arc<Emitter>, stop: &Stop) -> StepContext {
    looking_context(session, emitter, stop, &PlanState::default(), false)
}

/// The same, where steps may look at the receipts of applied steps.
pub(crate) fn reader_context(session: &Session, emitter: &Arc<Emitter>, stop: &Stop, state: &PlanState) -> StepContext {
    looking_context(session, emitter, stop, state, true)
}

fn looking_context(
    session: &Session,
    emitter: &Arc<Emitter>,
    stop: &Stop,
    state: &PlanState,
    inline: bool,
) -> StepContext {
    let host = Arc::new(RunnerHost {
        journal: JournalAccess::Read(Box::new(Readings::of(state))),
        emitter: Arc::clone(emitter),
        stop: stop.clone(),
        secrets: Secrets::new(&session.plan.secrets),
        inline: AtomicBool::new(inline),
    });
    session.context(StepInfo { plan: session.plan.name.clone(), ..StepInfo::default() }, host)
}

/// Steps up to and including `to` (a step or a phase) with all that they need; all of the plan's without one.
pub(crate) fn wanted_steps(session: &Session, to: Option<&str>) -> Result<BTreeSet<String>> {
    let plan = &session.plan;
    let steps: BTreeMap<&str, &PlanStep> = plan.steps().map(|(_, s)| (s.id.as_str(), s)).collect();
    let mut open: Vec<&PlanStep> = match to {
        None => plan.steps().map(|(_, s)| s).collect(),
        Some(to) => match plan.phases.iter().position(|p| p.name == to) {
            Some(last) => plan.steps().filter(|(phase, _)| *phase <= last).map(|(_, s)| s).collect(),
            None if !steps.contains_key(to) => return Err(unknown_point(session, to)),
            None => {
                let before = plan.steps().map(|(_, s)| s).take_while(|s| s.id != to);
                before.chain(steps.get(to).copied()).collect()
            }
        },
    };
    let mut wanted = BTreeSet::new();
    while let Some(step) = open.pop() {
        if wanted.insert(step.id.clone()) {
            open.extend(step.needs.iter().filter_map(|need| steps.get(need.as_str()).copied()));
        }
    }
    Ok(wanted)
}

/// The error for a `--to` that names nothing.
pub(crate) fn unknown_point(session: &Session, to: &str) -> RunnerError {
    let plan = &session.plan;
    let names = plan.phases.iter().map(|p| p.name.as_str()).chain(plan.steps().map(|(_, s)| s.id.as_str()));
    let error = RunnerError::usage(format!("the plan has no step or phase `{to}`"));
    match cutover_core::closest(to, names) {
        Some(near) => error.with_help(format!("did you mean `{near}`?")),
        None => error.with_help("`cutover status PLAN` lists its phases and steps"),
    }
}
