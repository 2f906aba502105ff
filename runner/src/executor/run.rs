//! One run: what its parts share, how it opens under its locks, and how it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use cutover_core::journal::{PlanState, Record, RunCommand, RunState, StoredStep};
use cutover_core::plan::PlanStep;
use cutover_core::{EventKind, Outcome, StepContext, StepError, StepErrorKind, StepInfo, TargetSeen};
use tracing::Span;

use super::notices::Notices;
use super::{Bound, Report, RunOptions, locks, order, survey_context};
use crate::clock;
use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::host::{JournalAccess, RunnerHost, Stop};
use crate::lock::{Lock, host_name};
use crate::recorder::{Recorder, journal_error};
use crate::report::Emitter;
use crate::secrets::Secrets;
use crate::session::{Session, open_journal_or_set_aside};
use crate::stored::{Objects, stored};

/// One run: everything that its parts share.
pub(crate) struct Run<'a> {
    pub(crate) session: &'a Session,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) emitter: Arc<Emitter>,
    pub(crate) host: Arc<RunnerHost>,
    pub(crate) options: RunOptions,
    pub(crate) stop: Stop,
    pub(super) command: RunCommand,
    /// The run before this one.
    previous: Option<RunState>,
    /// Where the plan's steps were applied up to when this run opened.
    frontier: OnceLock<usize>,
    /// Who is told of what.
    pub(super) notices: Notices,
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
        let locks = locks::take(session, &options)?;
        let (journal, aside) = open_journal_or_set_aside(session, command)?;
        if let Some(journal) = &journal {
            locks::refuse_unlocked_runner(session, journal, &options)?;
        }
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
        tracing::debug!(journalled, epoch, locks = locks.len(), "run opened");
        let run = format!("{}-{epoch}", clock::now().strftime("%Y%m%dT%H%M%SZ"));
        let opening = vec![Record::RunStarted {
            command,
            plan_digest: session.plan.digest.clone(),
            operator: operator(),
            host: host_name(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            to: options.to.clone(),
            bound_to: options.bound.iter().map(Bound::journalled).collect(),
        }];
        let previous = state.run.clone();
        let notices = Notices::new(&state);
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
        let frontier = OnceLock::new();
        let this = Run { session, recorder, emitter, host, options, stop, command, previous, frontier, notices };
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

    /// Refuses unless what the run is bound to still holds. A run that an earlier one of the same binding began, and did
    /// not finish, goes on: the targets moved by that one, but nothing moved what runs.
    pub(super) async fn refuse_moved(&self) -> Result<()> {
        let cx = self.context_of(StepInfo::default());
        for bound in &self.options.bound {
            let begun = self.previous.as_ref().is_some_and(|run| bound.binding.is_under_way(run));
            let now = bound.binding.now(self.session, &cx).await?;
            let moved = if begun { bound.binding.edited(&now) } else { bound.binding.moved(&now) };
            if !moved.is_empty() {
                let what = format!("{} does not hold any more: {}; nothing was changed", bound.what, moved.join("; "));
                let rollback = self.session.command_line("rollback");
                return Err(RunnerError::new(Exit::Drift, what).with_help(match begun {
                    true => format!(
                        "undo the edit, then the same command; or undo what was begun (`{rollback}`), and then {}",
                        bound.remedy
                    ),
                    false => bound.remedy.clone(),
                }));
            }
        }
        Ok(())
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
    pub(crate) async fn record_with(&self, records: Vec<Record>, objects: Objects) -> Result<()> {
        let (recorder, span) = (Arc::clone(&self.recorder), Span::current());
        tokio::task::spawn_blocking(move || span.in_scope(|| recorder.record_with(records, &objects)))
            .await
            .map_err(|e| RunnerError::internal(format!("the journal writer ended: {e}")))?
    }

    /// A step as it is stored when it begins, and its files.
    pub(crate) fn stored(&self, phase: usize, step: &PlanStep) -> (Arc<StoredStep>, Objects) {
        let plan = &self.session.plan;
        let overtaken = self.recorder.with_state(|state| {
            let frontier = *self.frontier.get_or_init(|| order::frontier(plan, state));
            order::overtaken(plan, state, frontier, step)
        });
        stored(self.session, phase, step, overtaken)
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
        let cx = self.context_of(StepInfo::default());
        let mut told = Vec::new();
        let measured = self.measured(outcome);
        if self.recorder.wrote() {
            self.tell_end(outcome, next.as_ref());
            let mut records = self.give_up(&cx).await;
            told = self.hear_back().await;
            records.extend(told.iter().cloned());
            records.extend(measured.clone());
            let mut objects = Objects::new();
            let mut seen = None;
            if self.command != RunCommand::Administer {
                let (hash, document) = self.seen_document().await?;
                objects.insert(hash.clone(), document);
                seen = Some(hash);
            }
            let outcome = outcome_name(outcome).to_owned();
            records.push(Record::RunFinished { outcome, seen });
            self.record_with(records, objects).await?;
        }
        for target in self.session.targets.values() {
            target.close(&cx).await?;
        }
        self.warn_of(told);
        self.tell_budget(measured.as_ref());
        self.emit(EventKind::RunFinished { outcome, next: next.clone() });
        Ok(Report { outcome, next })
    }

    /// How the operator goes on: this run's own command with all that was asked of it, or another one.
    pub(super) fn go_on_with(&self, command: RunCommand) -> String {
        let word = if command == RunCommand::Rollback { "rollback" } else { "apply" };
        if command == self.command {
            self.session.command_again(word, &self.options)
        } else {
            self.session.command_line(word)
        }
    }

    /// The command that goes on with what this run does.
    pub(super) fn go_on(&self) -> String {
        self.go_on_with(if self.command == RunCommand::Rollback { RunCommand::Rollback } else { RunCommand::Apply })
    }

    /// What to do about the error of a step that uses `targets`. Where the storage failed it, that is about file systems.
    pub(super) fn help_for(&self, error: &StepError, targets: &[String]) -> Option<String> {
        // A refusal for want of room knows best where it lacks.
        let refused = error.kind() == StepErrorKind::Storage && std::error::Error::source(error).is_none();
        if !error.is_of_storage() || refused {
            return error.help().map(str::to_owned);
        }
        let paths = targets.iter().filter_map(|name| self.session.targets.get(name)).map(|t| t.path());
        let paths: BTreeSet<&Path> =
            paths.chain([self.session.root.as_path(), self.session.state_dir.as_path()]).collect();
        let shown: Vec<String> = paths.into_iter().map(|path| format!("`{}`", path.display())).collect();
        Some(format!(
            "make room on the file systems of {}, or mend what fails there, then the same command again: {}",
            shown.join(", "),
            self.go_on()
        ))
    }

    /// What the targets are now, as an object of the journal: its hash and its bytes.
    pub(crate) async fn seen_document(&self) -> Result<(String, Arc<[u8]>)> {
        let document = serde_json::to_vec(&self.seen().await)
            .map_err(|e| RunnerError::internal(format!("what the targets are cannot be written as JSON: {e}")))?;
        Ok((cutover_core::blake3_hex(&document), document.into()))
    }

    /// What the targets are now. One that cannot be looked at is left out: the run's end is not the place to fail.
    async fn seen(&self) -> BTreeMap<String, TargetSeen> {
        let cx = self.context_of(StepInfo::default());
        let mut seen = BTreeMap::new();
        for (name, target) in self.session.targets.iter() {
            if let Ok(found) = TargetSeen::of(&**target, &cx).await {
                seen.insert(name.clone(), found);
            }
        }
        seen
    }

    /// Tells who watches what is about to run.
    pub(super) fn announce(&self, command: &str, resumed: bool) {
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

fn operator() -> String {
    std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown".to_owned())
}

pub(crate) fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::NothingToDo => "nothing-to-do",
        Outcome::FailedRolledBack => "failed-rolled-back",
        Outcome::FailedPaused => "failed-paused",
        Outcome::FailedBlocked => "failed-blocked",
        Outcome::Unwound => "unwound",
        Outcome::Stuck => "stuck",
        Outcome::Waiting => "waiting",
        Outcome::Interrupted => "interrupted",
    }
}
