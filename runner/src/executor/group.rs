//! A group: adjacent steps of one target inside one transaction, verified before it commits, a savepoint each.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cutover_core::journal::{GroupMember, Record};
use cutover_core::plan::{OnFailure, PlanStep};
use cutover_core::{EventKind, Ledger, StepError, StepErrorKind, StepInfo};

use super::Run;
use super::forward::{Ended, StepEnd, figures, skip};
use crate::error::{Result, RunnerError};
use crate::exit::Exit;

/// A group commits when it has held its transaction this long; the rest goes into the next one.
const GROUP_HOLD: Duration = Duration::from_secs(2);

impl Run<'_> {
    /// Runs adjacent steps of one target inside one transaction: verified before the commit, a savepoint each.
    pub(super) async fn group(&self, phase: usize, target: &str, steps: &[&PlanStep]) -> Result<Ended> {
        let holder = self.session.targets.get(target).cloned();
        let Some((ledger, holder)) = holder.as_ref().and_then(|t| Some((t.ledger()?, t))) else {
            return Err(RunnerError::internal(format!("target `{target}` keeps no ledger, yet a step wants a group")));
        };
        let mut members = Vec::new();
        let mut objects = BTreeMap::new();
        for step in steps {
            let (known, files) = self.stored(phase, step);
            members.push(GroupMember { step: known });
            objects.extend(files);
        }
        let target_name = holder.name().to_owned();
        self.record_with(vec![Record::GroupStarted { target: target_name, members }], objects).await?;
        if let Some(error) = self.recorder.short_of_room() {
            return self.group_failed(steps, 0, error, Vec::new()).await;
        }
        let began = Instant::now();
        let cx = self.context_of(StepInfo::default());
        if let Err(error) = ledger.begin(&cx).await {
            return self.group_failed(steps, 0, error, Vec::new()).await;
        }
        let mut done: Vec<(usize, StepEnd, f64)> = Vec::new();
        let mut rest = steps.len();
        let mut end = None;
        for (i, step) in steps.iter().enumerate() {
            if i > 0 && (began.elapsed() > GROUP_HOLD || self.stop.requested()) {
                rest = i;
                break;
            }
            let step_began = Instant::now();
            self.emit(EventKind::StepStarted { step: step.id.clone() });
            match self.member(ledger, step).await {
                StepEnd::Failed { error, .. } => {
                    end = Some((i, error));
                    break;
                }
                other => {
                    let over = matches!(other, StepEnd::Waiting(_) | StepEnd::Stopped(_));
                    if let StepEnd::Applied { receipt, .. } = &other {
                        self.recorder.set_fresh(&step.id, Some(receipt.clone()));
                    }
                    done.push((i, other, step_began.elapsed().as_secs_f64()));
                    if over {
                        rest = i + 1;
                        break;
                    }
                }
            }
        }
        for step in steps {
            self.recorder.set_fresh(&step.id, None);
        }
        if let Some((failed, error)) = end {
            let keep = error.is_interruption()
                || matches!(self.session.plan.on_failure, OnFailure::RollbackStep | OnFailure::Pause)
                    && error.kind() != StepErrorKind::Fenced;
            if !keep {
                ledger.abort(&cx).await?;
                return self.group_failed(steps, failed, error, Vec::new()).await;
            }
            // A statement that undid the whole transaction by itself (`OR ROLLBACK`) left nothing to keep.
            let kept = match ledger.undo(&cx).await {
                Ok(()) => ledger.commit(&cx).await.is_ok(),
                Err(_) => false,
            };
            if kept {
                self.refuse_vanished().await?;
                return self.group_failed(steps, failed, error, done).await;
            }
            ledger.abort(&cx).await?;
            return self.group_failed(steps, failed, error, Vec::new()).await;
        }
        if let Err(error) = ledger.commit(&cx).await {
            ledger.abort(&cx).await?;
            return self.group_failed(steps, 0, error, Vec::new()).await;
        }
        self.refuse_vanished().await?;
        self.group_done(steps, done, rest).await
    }

    /// What was committed into a file that is not in its place counts neither as applied nor as failed: the ledger says it
    /// when the file is back.
    async fn refuse_vanished(&self) -> Result<()> {
        let Some(error) = self.vanished().await else { return Ok(()) };
        let stopped = RunnerError::new(Exit::Paused, format!("{}; the run stops where it stands", error.chain()));
        Err(error.help().into_iter().fold(stopped, |stopped, help| stopped.with_help(help.to_owned())))
    }

    async fn member(&self, ledger: &dyn Ledger, step: &PlanStep) -> StepEnd {
        let cx = self.context(step);
        if let Some(why) = self.skipped(&cx, step).await {
            return StepEnd::Skipped(why);
        }
        if let Err(error) = ledger.savepoint(&cx).await {
            return StepEnd::Failed { error, receipt: None };
        }
        self.apply_and_verify(step, &cx).await
    }

    /// The transaction is committed: record the outcome of every member in one journal transaction.
    async fn group_done(&self, steps: &[&PlanStep], done: Vec<(usize, StepEnd, f64)>, rest: usize) -> Result<Ended> {
        let mut records = Vec::new();
        let mut events = Vec::new();
        let mut ended = Ended::Done;
        let mut undone: Vec<String> = steps[rest..].iter().map(|s| s.id.clone()).collect();
        let mut skips = Vec::new();
        for (i, end, seconds) in done {
            let step = steps[i].id.clone();
            match end {
                StepEnd::Applied { receipt, already, verified } => {
                    let figures = figures(&receipt, already, seconds, verified);
                    records.push(Record::StepApplied { step: step.clone(), receipt, already, seconds });
                    events.push(EventKind::StepDone { step, figures });
                }
                StepEnd::Skipped(why) => {
                    undone.push(step.clone());
                    skips.push(skip(steps[i], &why));
                    events.push(EventKind::StepSkipped { step, why });
                }
                StepEnd::Waiting(why) => {
                    records.push(Record::StepWaiting { step: step.clone(), why: why.clone() });
                    events.push(EventKind::StepWaiting { step, why });
                    ended = Ended::Waiting;
                }
                StepEnd::Stopped(at) => {
                    records.push(Record::StepStopped { step: step.clone(), at: at.clone() });
                    events.push(EventKind::StepStopped { step, at });
                    ended = Ended::Stopped;
                }
                StepEnd::Failed { .. } => {}
            }
        }
        if !undone.is_empty() {
            records.push(Record::GroupAborted { steps: undone });
        }
        records.extend(skips);
        self.record(records).await?;
        for event in events {
            self.emit(event);
        }
        Ok(ended)
    }

    /// Records the failure of member `failed`; `kept` are members whose work was committed before it. All that the
    /// failed member did is undone by then.
    async fn group_failed(
        &self,
        steps: &[&PlanStep],
        failed: usize,
        error: StepError,
        kept: Vec<(usize, StepEnd, f64)>,
    ) -> Result<Ended> {
        let step = steps[failed];
        let all_undone = kept.is_empty();
        if !all_undone {
            let rest = steps.len();
            self.group_done(steps, kept, rest).await?;
        }
        // What is undone with the group never happened; the failed step itself stays failed for the unwinding to see.
        let others: Vec<String> = steps
            .iter()
            .enumerate()
            .filter(|(i, s)| {
                *i != failed && (all_undone || *i > failed) && self.recorder.state_of(&s.id).may_have_effects()
            })
            .map(|(_, s)| s.id.clone())
            .collect();
        let more = if others.is_empty() { Vec::new() } else { vec![Record::GroupAborted { steps: others }] };
        self.step_failed(step, &error, None, more).await
    }
}
