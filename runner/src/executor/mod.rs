//! The executor: order, groups, failure, unwinding, resumption.
//!
//! Data flows one way: the plan and the fold decide what is next (`schedule`), a step or a group runs (`forward`),
//! its outcome becomes a record, and the fold moves on. Nothing here knows a store or a terminal.

mod drift;
mod forward;
mod preflight;
mod reconcile;
mod schedule;
mod unwind;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cutover_core::journal::{PlanState, Record, RunCommand, StepState};
use cutover_core::plan::PlanStep;
use cutover_core::{EventKind, Outcome, StepContext, StepInfo};

use crate::clock;
use crate::error::{Result, RunnerError};
use crate::host::{JournalAccess, RunnerHost, Stop};
use crate::lock::{Holder, Lock, LockError, host_name, process_exists};
use crate::recorder::{Recorder, journal_error};
use crate::report::Emitter;
use crate::secrets::Secrets;
use crate::session::{Session, open_journal_or_set_aside};

pub(crate) use drift::{Drift, drift};
pub(crate) use preflight::{Look, Preview, preview};
pub(crate) use reconcile::{LedgerRows, ledger_rows, reconcile};
pub(crate) use unwind::{Unwinding, unwinding};

/// How a run is to go.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Apply: up to and including this step or phase. Rollback: what comes after it is undone ("start": all).
    pub to: Option<String>,
    /// Steps at once.
    pub jobs: usize,
    /// How long to wait for another runner.
    pub lock_timeout: Duration,
    /// Take the locks of a holder that is alive but frozen.
    pub take_over: bool,
    /// A restore may drop rows that others wrote since the snapshot (they are exported first).
    pub accept_loss: bool,
    /// The command, for lock files and printed remedies.
    pub command: String,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            to: None,
            jobs: 4,
            lock_timeout: Duration::ZERO,
            take_over: false,
            accept_loss: false,
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

/// One run: everything that its parts share.
pub(crate) struct Run<'a> {
    pub(crate) session: &'a Session,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) emitter: Arc<Emitter>,
    pub(crate) host: Arc<RunnerHost>,
    pub(crate) options: RunOptions,
    pub(crate) stop: Stop,
}

impl<'a> Run<'a> {
    /// Takes the locks, folds the journal again under them, and decides the epoch. Writes only lock files.
    pub(crate) async fn open(
        session: &'a Session,
        emitter: Arc<Emitter>,
        stop: Stop,
        options: RunOptions,
        command: RunCommand,
    ) -> Result<(Run<'a>, Vec<Lock>)> {
        let locks = take_locks(session, &options)?;
        let (journal, aside) = open_journal_or_set_aside(session)?;
        let state = match &journal {
            Some(journal) => journal.state(&session.plan.name).map_err(journal_error)?,
            None => PlanState::default(),
        };
        let journalled = journal.as_ref().map_or(0, crate::journal::Journal::max_epoch);
        let survey = survey_context(session, &emitter, &stop);
        let mut highest = journalled;
        for target in session.targets.values() {
            if let Some(ledger) = target.ledger() {
                highest = highest.max(ledger.epoch(&survey).await?);
            }
        }
        let epoch = highest + 1;
        let run = format!("{}-{epoch}", clock::now().strftime("%Y%m%dT%H%M%SZ"));
        let opening = vec![Record::RunStarted {
            command,
            plan_digest: session.plan.digest.clone(),
            operator: operator(),
            host: host_name(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }];
        let recorder = Arc::new(Recorder::new(
            &session.plan.name,
            &run,
            epoch,
            session.state_dir.clone(),
            journal,
            state,
            opening,
        ));
        let host = Arc::new(RunnerHost {
            journal: JournalAccess::Write(Arc::clone(&recorder)),
            emitter: Arc::clone(&emitter),
            stop: stop.clone(),
            secrets: Secrets::new(&session.plan.secrets),
            inline: AtomicBool::new(true),
        });
        let this = Run { session, recorder, emitter, host, options, stop };
        if let Some(aside) = aside {
            this.emitter.emit(EventKind::StepNote {
                step: "journal".to_owned(),
                text: format!("damaged; set aside as `{}` and rebuilt from ledgers and by inspection", aside.display()),
            });
        }
        if this.options.take_over {
            this.fence().await?;
        }
        Ok((this, locks))
    }

    /// Raises the epoch in every target, so that the holder we replaced can never write again.
    async fn fence(&self) -> Result<()> {
        let cx = self.context_of(StepInfo::default());
        for target in self.session.targets.values() {
            if let Some(ledger) = target.ledger() {
                ledger.fence(&cx).await?;
            }
        }
        self.record(Vec::new()).await
    }

    /// Makes records durable off the async threads.
    pub(crate) async fn record(&self, records: Vec<Record>) -> Result<()> {
        self.record_with(records, BTreeMap::new()).await
    }

    /// The same, with plan files.
    pub(crate) async fn record_with(&self, records: Vec<Record>, objects: BTreeMap<String, Arc<[u8]>>) -> Result<()> {
        let recorder = Arc::clone(&self.recorder);
        tokio::task::spawn_blocking(move || recorder.record_with(records, &objects))
            .await
            .map_err(|e| RunnerError::internal(format!("the journal writer ended: {e}")))?
    }

    /// The context of a step.
    pub(crate) fn context(&self, step: &PlanStep) -> StepContext {
        self.context_of(StepInfo {
            id: step.id.clone(),
            kind: step.kind.clone(),
            digest: step.digest.clone(),
            checksum: step.checksum.clone(),
            intent: self.recorder.intent_of(&step.id),
            ..StepInfo::default()
        })
    }

    pub(crate) fn context_of(&self, info: StepInfo) -> StepContext {
        let info = StepInfo {
            plan: self.session.plan.name.clone(),
            run: self.recorder.run().to_owned(),
            epoch: self.recorder.epoch(),
            ..info
        };
        self.session.context(info, Arc::clone(&self.host) as Arc<dyn cutover_core::Host>)
    }

    pub(crate) fn emit(&self, kind: EventKind) {
        self.emitter.emit(kind);
    }

    /// Ends the run: the outcome is journalled (if the run wrote at all) and told.
    pub(crate) async fn finish(&self, outcome: Outcome, next: Option<String>) -> Result<Report> {
        if self.recorder.wrote() {
            self.record(vec![Record::RunFinished { outcome: outcome_name(outcome).to_owned() }]).await?;
        }
        let cx = self.context_of(StepInfo::default());
        for target in self.session.targets.values() {
            target.close(&cx).await?;
        }
        self.emit(EventKind::RunFinished { outcome, next: next.clone() });
        Ok(Report { outcome, next })
    }

    fn announce(&self, command: &str, resumed: bool) {
        let plan = &self.session.plan;
        let steps =
            plan.phases.iter().flat_map(|p| p.steps.iter().map(|s| (p.name.clone(), s.id.clone(), s.kind.clone())));
        self.emit(EventKind::RunStarted {
            command: command.to_owned(),
            plan: plan.name.clone(),
            run: self.recorder.run().to_owned(),
            steps: steps.collect(),
            resumed,
        });
    }
}

/// Runs the plan forward. The same call again resumes.
pub async fn apply(session: &Session, emitter: Arc<Emitter>, stop: Stop, options: RunOptions) -> Result<Report> {
    let wanted = wanted_steps(session, options.to.as_deref())?;
    // Without locks and without writing: is there anything to do at all?
    if !options.take_over && nothing_to_do(session, &emitter, &stop, &wanted).await? {
        let survey = survey_context(session, &emitter, &stop);
        for target in session.targets.values() {
            target.close(&survey).await?;
        }
        emitter.emit(EventKind::RunFinished { outcome: Outcome::NothingToDo, next: None });
        return Ok(Report { outcome: Outcome::NothingToDo, next: None });
    }
    preflight::check_targets(session, &survey_context(session, &emitter, &stop)).await?;
    let (run, _locks) = Run::open(session, emitter, stop, options, RunCommand::Apply).await?;
    let reconciled = run.reconcile().await?;
    let unwinding =
        run.recorder.with_state(|s| s.run.as_ref().filter(|r| r.outcome.is_none()).and_then(|r| r.unwinding.clone()));
    if let Some((to, failure, steps)) = unwinding {
        run.announce(if failure { "apply" } else { "rollback" }, true);
        return run.resume_unwinding(&to, failure, &steps).await;
    }
    run.recorder.with_state(|state| refuse_stuck(session, state))?;
    run.recorder.with_state(|state| drift(&session.plan, state)).into_error(session)?;
    let resumed = reconciled
        || run.recorder.with_state(|s| {
            s.run.as_ref().is_some_and(|r| r.outcome.is_none())
                || s.steps.values().any(|s| matches!(s.state, StepState::Started | StepState::Intended))
        });
    run.announce("apply", resumed);
    run.preflight(&wanted).await?;
    run.forward(&wanted).await
}

/// Nothing goes forward over a step whose rollback failed.
fn refuse_stuck(session: &Session, state: &PlanState) -> Result<()> {
    let Some((id, record)) = state.steps.iter().find(|(_, s)| s.state == StepState::Stuck) else { return Ok(()) };
    let why = record.message.as_deref().unwrap_or("no message");
    let (explain, rollback) = (session.command_line("explain"), session.command_line("rollback"));
    Err(RunnerError::new(
        crate::exit::Exit::Stuck,
        format!("step `{id}` is stuck: its rollback failed: {why}; nothing was changed"),
    )
    .with_help(format!("`{explain}` says where things stand; mend the cause, then `{rollback}`")))
}

/// Rolls back to a point. With no point: the last phase.
pub async fn rollback(
    session: &Session,
    emitter: Arc<Emitter>,
    stop: Stop,
    options: RunOptions,
    steps: &[String],
    to: &str,
) -> Result<Report> {
    preflight::check_targets(session, &survey_context(session, &emitter, &stop)).await?;
    let (run, _locks) = Run::open(session, emitter, stop, options, RunCommand::Rollback).await?;
    run.reconcile().await?;
    let resumed =
        run.recorder.with_state(|s| s.run.as_ref().filter(|r| r.outcome.is_none()).and_then(|r| r.unwinding.clone()));
    run.announce("rollback", resumed.is_some());
    if let Some((to, failure, steps)) = resumed {
        run.resume_unwinding(&to, failure, &steps).await?;
    }
    let steps: Vec<String> = steps.iter().filter(|s| run.recorder.state_of(s).may_have_effects()).cloned().collect();
    run.roll_back(to, &steps).await
}

async fn nothing_to_do(
    session: &Session,
    emitter: &Arc<Emitter>,
    stop: &Stop,
    wanted: &BTreeSet<String>,
) -> Result<bool> {
    let Ok((state, _)) = session.journalled() else { return Ok(false) };
    if state.run.as_ref().is_some_and(|r| r.outcome.is_none() && r.unwinding.is_some()) {
        return Ok(false);
    }
    drift(&session.plan, &state).into_error(session)?;
    if !wanted.iter().all(|id| matches!(state.state_of(id), StepState::Applied | StepState::Skipped)) {
        return Ok(false);
    }
    let cx = survey_context(session, emitter, stop);
    let rows = ledger_rows(session, &cx).await?;
    Ok(reconcile(&session.plan, &state, &rows).is_empty())
}

/// A context for looking around: no step, no epoch, nothing may be journalled through it.
pub(crate) fn survey_context(session: &Session, emitter: &Arc<Emitter>, stop: &Stop) -> StepContext {
    reader_context(session, emitter, stop, &PlanState::default())
}

/// The same, where steps may look at the receipts of applied steps.
pub(crate) fn reader_context(session: &Session, emitter: &Arc<Emitter>, stop: &Stop, state: &PlanState) -> StepContext {
    let receipts = state.steps.iter().filter_map(|(id, s)| Some((id.clone(), s.receipt.clone()?))).collect();
    let host = Arc::new(RunnerHost {
        journal: JournalAccess::Read(receipts),
        emitter: Arc::clone(emitter),
        stop: stop.clone(),
        secrets: Secrets::new(&session.plan.secrets),
        inline: AtomicBool::new(true),
    });
    session.context(StepInfo { plan: session.plan.name.clone(), ..StepInfo::default() }, host)
}

/// Steps up to and including `to` (a step or a phase); all of them without one.
fn wanted_steps(session: &Session, to: Option<&str>) -> Result<BTreeSet<String>> {
    let plan = &session.plan;
    let Some(to) = to else {
        return Ok(plan.steps().map(|(_, s)| s.id.clone()).collect());
    };
    if let Some(last) = plan.phases.iter().position(|p| p.name == to) {
        return Ok(plan.steps().filter(|(i, _)| *i <= last).map(|(_, s)| s.id.clone()).collect());
    }
    let mut wanted = BTreeSet::new();
    for (_, step) in plan.steps() {
        wanted.insert(step.id.clone());
        if step.id == to {
            return Ok(wanted);
        }
    }
    Err(unknown_point(session, to))
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

fn take_locks(session: &Session, options: &RunOptions) -> Result<Vec<Lock>> {
    crate::journal::make_private_folder(&session.state_dir).map_err(journal_error)?;
    let holder = Holder {
        pid: std::process::id(),
        host: host_name(),
        since: clock::now().to_string(),
        command: options.command.clone(),
    };
    let mut locks = Vec::new();
    for file in session.lock_files() {
        let taken = match Lock::acquire(&file, &holder, options.lock_timeout) {
            Err(LockError::Held { holder: theirs, .. }) if options.take_over => {
                refuse_unfenced_take_over(session, theirs.as_ref())?;
                Lock::take_over(&file, &holder)
            }
            other => other,
        };
        locks.push(taken.map_err(|e| lock_error(session, &e))?);
    }
    Ok(locks)
}

/// Where a target has no transactions, nothing can stop a woken holder from writing: refuse while it exists.
fn refuse_unfenced_take_over(session: &Session, holder: Option<&Holder>) -> Result<()> {
    let Some(open) = session.targets.values().find(|t| t.ledger().is_none()) else { return Ok(()) };
    let alive = holder.is_none_or(|h| h.host != host_name() || process_exists(h.pid));
    if !alive {
        return Ok(());
    }
    let who = holder.map_or_else(|| "the holder".to_owned(), |h| format!("process {} on {}", h.pid, h.host));
    Err(RunnerError::new(
        crate::exit::Exit::Locked,
        format!("cannot take over: target `{}` has no transactions, and {who} may still write to it", open.name()),
    )
    .with_help("end that process first; its locks are freed by the kernel, and the same command goes on"))
}

fn lock_error(session: &Session, error: &LockError) -> RunnerError {
    match error {
        LockError::Held { .. } => RunnerError::new(crate::exit::Exit::Locked, error.to_string()).with_help(format!(
            "wait with `--lock-timeout 60s`, look with `{}`, or, if that process is frozen, `--take-over`",
            session.command_line("status")
        )),
        LockError::File { .. } => RunnerError::new(crate::exit::Exit::NoTarget, error.to_string())
            .with_help("the folder of every target and the state folder must be writable"),
    }
}

fn operator() -> String {
    std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown".to_owned())
}

fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::NothingToDo => "nothing-to-do",
        Outcome::FailedRolledBack => "failed-rolled-back",
        Outcome::FailedPaused => "failed-paused",
        Outcome::Stuck => "stuck",
        Outcome::Waiting => "waiting",
        Outcome::Interrupted => "interrupted",
    }
}
