//! Forward: phases in order, in each whatever is ready, alone or grouped in one transaction of its target.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Instant;

use cutover_core::journal::{PlanState, Record, RunCommand, StepState};
use cutover_core::plan::PlanStep;
use cutover_core::{
    Action, Applied, EventKind, Outcome, Receipt, StepContext, StepError, StepErrorKind, StepFigures, StepInfo, Verdict,
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tracing::{Instrument, info_span};

use super::approvals::{held, waits};
use super::preflight::condition;
use super::schedule::{Work, is_done, next_work};
use super::{Report, Run};
use crate::error::{Result, RunnerError};

/// How one piece of work ended.
pub(super) enum Ended {
    /// All of it is recorded as done.
    Done,
    /// A step failed; it is recorded.
    Failed(String),
    /// A step waits; the phase cannot end.
    Waiting,
    /// A stop was requested.
    Stopped,
    /// The run itself cannot go on (the journal cannot be written, another runner took over).
    Broken(RunnerError),
}

/// How a step ended inside its own transaction or alone.
pub(super) enum StepEnd {
    /// `verified`: the seconds that verifying took.
    Applied {
        receipt: Receipt,
        already: bool,
        verified: f64,
    },
    Skipped(String),
    Waiting(String),
    Stopped(String),
    Failed {
        error: StepError,
        receipt: Option<Receipt>,
    },
}

impl Run<'_> {
    /// Runs every wanted step; unwinds on failure as the plan says.
    pub(super) async fn forward(&self, wanted: &BTreeSet<String>) -> Result<Report> {
        for (index, phase) in self.session.plan.phases.iter().enumerate() {
            let open = self.recorder.with_state(|state| {
                phase.steps.iter().any(|s| wanted.contains(&s.id) && !is_done(state.state_of(&s.id)))
            });
            if !open {
                continue;
            }
            self.emit(EventKind::PhaseStarted { phase: phase.name.clone() });
            match self.phase(index, wanted).await {
                Ended::Done => self.tell_milestone(index),
                Ended::Failed(step) => {
                    self.tell_failure(&step);
                    return self.failed(&step).await;
                }
                Ended::Waiting => {
                    // A window is looked at again and again; for all else the same command comes back.
                    let watched = self.recorder.with_state(|state| {
                        state.steps.values().any(|s| s.state == StepState::Waiting && s.window.is_some())
                    });
                    let next =
                        if watched { self.session.command_line("watch") } else { self.go_on_with(RunCommand::Apply) };
                    return self.finish(Outcome::Waiting, Some(next)).await;
                }
                Ended::Stopped => {
                    let next = Some(self.go_on_with(RunCommand::Apply));
                    return self.finish(Outcome::Interrupted, next).await;
                }
                Ended::Broken(error) => return Err(error),
            }
        }
        self.finish(Outcome::Done, None).await
    }

    /// One phase: starts whatever is ready, up to `--jobs` at once, until nothing is left or something failed.
    async fn phase(&self, index: usize, wanted: &BTreeSet<String>) -> Ended {
        let steps = &self.session.plan.phases[index].steps;
        let in_phase: BTreeSet<&str> = steps.iter().map(|s| s.id.as_str()).collect();
        let held = self.recorder.with_state(|state| held(self.session, state, steps));
        let mut busy: BTreeSet<String> = BTreeSet::new();
        let mut flying = FuturesUnordered::new();
        let mut end = Ended::Done;
        let mut grouped = false;
        loop {
            let may_start = matches!(end, Ended::Done | Ended::Waiting) && !self.stop.requested();
            while may_start && flying.len() < self.options.jobs.max(1) {
                let next = |state: &PlanState| next_work(steps, state, &busy, wanted, &in_phase, &held);
                let Some(work) = self.recorder.with_state(next) else { break };
                let members = match &work {
                    Work::Single(i) => vec![*i],
                    Work::Group(_, members) => members.clone(),
                };
                grouped = matches!(work, Work::Group(..));
                busy.extend(members.iter().map(|i| steps[*i].id.clone()));
                let held = &held;
                let of = match &work {
                    Work::Single(i) => info_span!("step", id = steps[*i].id, kind = steps[*i].kind),
                    Work::Group(target, members) => info_span!("group", on = target, steps = members.len()),
                };
                let piece = async move {
                    let ended = match work {
                        Work::Single(i) => self.single(index, &steps[i], held.contains(&steps[i].id)).await,
                        Work::Group(target, members) => {
                            let members: Vec<&PlanStep> = members.iter().map(|i| &steps[*i]).collect();
                            self.group(index, &target, &members).await
                        }
                    };
                    (members, ended.unwrap_or_else(Ended::Broken))
                };
                flying.push(piece.instrument(of));
            }
            // A group by itself is many short pieces of work; anything else may take its time on another thread.
            self.host.inline.store(grouped && flying.len() == 1, Ordering::Relaxed);
            match flying.next().await {
                None if self.stop.requested() && matches!(end, Ended::Done) => {
                    let open = self
                        .recorder
                        .with_state(|s| steps.iter().any(|x| wanted.contains(&x.id) && !is_done(s.state_of(&x.id))));
                    return if open { Ended::Stopped } else { Ended::Done };
                }
                None => return end,
                Some((members, ended)) => {
                    // What waits stays busy: it must not be tried again in this run.
                    if !matches!(ended, Ended::Waiting) {
                        for i in members {
                            busy.remove(&steps[i].id);
                        }
                    }
                    end = worse(end, ended);
                }
            }
        }
    }

    /// A step by itself. `held`: it cannot be undone, and nobody approved it.
    async fn single(&self, phase: usize, step: &PlanStep, held: bool) -> Result<Ended> {
        // Whether it applies is decided once: a step that had begun may itself have changed what its condition asks.
        if !self.recorder.state_of(&step.id).may_have_effects()
            && let Some(why) = self.skipped(&self.context(step), step).await
        {
            return self.record_skip(step, why).await;
        }
        if self.session.place.rehearsal
            && let Some(why) = not_rehearsed(step)
        {
            return self.record_skip(step, why).await;
        }
        if held {
            // It has not begun, and stays what it is.
            let why = self.recorder.with_state(|state| waits(self.session, state, step));
            let why = format!("{why}: {}", self.session.approve_line(&step.id));
            self.emit(EventKind::StepWaiting { step: step.id.clone(), why });
            return Ok(Ended::Waiting);
        }
        let (known, objects) = self.stored(phase, step);
        let began = Instant::now();
        self.record_with(vec![Record::StepStarted { step: known }], objects).await?;
        self.emit(EventKind::StepStarted { step: step.id.clone() });
        // A retry finds what its interrupted try intended.
        let cx = self.context(step);
        let end = match self.recorder.short_of_room() {
            Some(error) => StepEnd::Failed { error, receipt: None },
            None => self.apply_and_verify(step, &cx).await,
        };
        self.settle(step, end, began.elapsed().as_secs_f64()).await
    }

    pub(super) async fn skipped(&self, cx: &StepContext, step: &PlanStep) -> Option<String> {
        match &step.when {
            // An unreadable condition is not a reason to skip: the step itself will fail and say why.
            Some(when) => condition(cx, when).await.unwrap_or(None),
            None => None,
        }
    }

    async fn record_skip(&self, step: &PlanStep, why: String) -> Result<Ended> {
        self.record(vec![skip(step, &why)]).await?;
        self.emit(EventKind::StepSkipped { step: step.id.clone(), why });
        Ok(Ended::Done)
    }

    /// Applies and verifies; nothing is a success during which a target vanished.
    pub(super) async fn apply_and_verify(&self, step: &PlanStep, cx: &StepContext) -> StepEnd {
        match self.try_step(step, cx).await {
            StepEnd::Applied { receipt, already, verified } => match self.vanished().await {
                Some(error) => StepEnd::Failed { error, receipt: Some(receipt) },
                None => StepEnd::Applied { receipt, already, verified },
            },
            other => other,
        }
    }

    /// A target whose path leads to nothing by now, or to something else than what is open.
    pub(super) async fn vanished(&self) -> Option<StepError> {
        let cx = self.context_of(StepInfo::default());
        for target in self.session.targets.values() {
            if let Err(error) = target.unmoved(&cx).await {
                return Some(error);
            }
        }
        None
    }

    async fn try_step(&self, step: &PlanStep, cx: &StepContext) -> StepEnd {
        let (receipt, already) = match step.step.apply(cx).await {
            Ok(Applied::Changed(receipt)) => (receipt, false),
            Ok(Applied::AlreadyApplied(receipt)) => (receipt, true),
            Ok(Applied::Waiting(why)) => return StepEnd::Waiting(why),
            Ok(Applied::Stopped(at)) => return StepEnd::Stopped(at.at),
            Err(error) => return StepEnd::Failed { error, receipt: None },
        };
        let receipt = self.host.secrets.mask_notes(receipt);
        self.recorder.set_fresh(&step.id, Some(receipt.clone()));
        let began = Instant::now();
        let verdict = step.step.verify(cx).await;
        let verified = began.elapsed().as_secs_f64();
        self.recorder.set_fresh(&step.id, None);
        match verdict {
            Ok(Verdict::Holds | Verdict::Superseded(_)) => StepEnd::Applied { receipt, already, verified },
            Ok(Verdict::Broken(lines)) => {
                let error = StepError::failed(format!("applied, but verify says: {}", lines.join("; ")));
                StepEnd::Failed { error, receipt: Some(receipt) }
            }
            Err(error) => {
                let error = StepError::failed("applied, but could not be verified").caused_by(error);
                StepEnd::Failed { error, receipt: Some(receipt) }
            }
        }
    }

    /// Records how a step ended, then tells it.
    async fn settle(&self, step: &PlanStep, end: StepEnd, seconds: f64) -> Result<Ended> {
        let id = step.id.clone();
        match end {
            StepEnd::Applied { receipt, already, verified } => {
                let figures = figures(&receipt, already, seconds, verified);
                self.record(vec![Record::StepApplied { step: id.clone(), receipt, already, seconds }]).await?;
                self.emit(EventKind::StepDone { step: id, figures });
                Ok(Ended::Done)
            }
            StepEnd::Skipped(why) => self.record_skip(step, why).await,
            StepEnd::Waiting(why) => {
                self.record(vec![Record::StepWaiting { step: id.clone(), why: why.clone() }]).await?;
                let why = match step.step.asks() {
                    Some(_) => format!("{why}: {}", self.session.approve_line(&id)),
                    None => why,
                };
                self.emit(EventKind::StepWaiting { step: id, why });
                Ok(Ended::Waiting)
            }
            StepEnd::Stopped(at) => {
                self.record(vec![Record::StepStopped { step: id.clone(), at: at.clone() }]).await?;
                self.emit(EventKind::StepStopped { step: id, at });
                Ok(Ended::Stopped)
            }
            StepEnd::Failed { error, receipt } => self.step_failed(step, &error, receipt, Vec::new()).await,
        }
    }

    /// Journals a failure (with `more` records in the same transaction), writes it into the ledger, tells it. What was
    /// broken off on request ends the run as a stop does: nothing else is undone.
    pub(super) async fn step_failed(
        &self,
        step: &PlanStep,
        error: &StepError,
        receipt: Option<Receipt>,
        more: Vec<Record>,
    ) -> Result<Ended> {
        if error.kind() == StepErrorKind::Fenced {
            return Err(RunnerError::new(crate::exit::Exit::Locked, error.chain())
                .with_help("another runner took over; it goes on, this one must not"));
        }
        let text = self.host.secrets.mask(&error.chain());
        let targets: Vec<String> = step.step.uses().into_iter().map(|u| u.target).collect();
        let help = self.help_for(error, &targets);
        let mut records =
            vec![Record::StepFailed { step: step.id.clone(), error: text.clone(), help: help.clone(), receipt }];
        records.extend(more);
        self.record(records).await?;
        if let Some(target) = step.step.transactional().and_then(|t| self.session.targets.get(t))
            && let Some(ledger) = target.ledger()
            // What is left of the room is the journal's.
            && self.recorder.short_of_room().is_none()
        {
            // The journal has it already; a ledger that cannot take it must not hide the error itself.
            if let Err(e) = ledger.record_failure(&self.context(step), &text).await {
                let text = format!("the failure could not be recorded in the ledger: {}", e.chain());
                self.emit(EventKind::StepNote { step: step.id.clone(), text });
            }
        }
        self.emit(EventKind::StepFailed { step: step.id.clone(), error: text, help });
        Ok(if error.is_interruption() { Ended::Stopped } else { Ended::Failed(step.id.clone()) })
    }
}

/// Why a rehearsal does not run a step, if it does not.
pub(crate) fn not_rehearsed(step: &PlanStep) -> Option<String> {
    let looks = step.step.describe().iter().all(|change| change.action == Action::Check);
    let why = if looks { "it only looks, and counts as passed" } else { "it has effects outside of the copy" };
    (!step.step.rehearsable()).then(|| why.to_owned())
}

/// The record of a step whose condition does not hold.
pub(super) fn skip(step: &PlanStep, why: &str) -> Record {
    Record::StepSkipped { step: step.id.clone(), why: why.to_owned(), digest: step.digest.clone() }
}

pub(super) fn figures(receipt: &Receipt, already: bool, seconds: f64, verified: f64) -> StepFigures {
    StepFigures { seconds, verified, rows: receipt.rows, bytes: receipt.bytes, already, notes: receipt.notes.clone() }
}

/// Of two endings the one that decides about the run.
fn worse(a: Ended, b: Ended) -> Ended {
    let rank = |e: &Ended| match e {
        Ended::Done => 0,
        Ended::Waiting => 1,
        Ended::Stopped => 2,
        Ended::Failed(_) => 3,
        Ended::Broken(_) => 4,
    };
    if rank(&b) > rank(&a) { b } else { a }
}
