//! Unwinding: what is undone after a failure or on request, in reverse of the journalled order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use cutover_core::journal::{PlanState, Record, StepRecord};
use cutover_core::plan::{OnFailure, Plan};
use cutover_core::{
    EventKind, MigrationStep, Outcome, RestoreOptions, Reversal, SnapshotManifest, StepContext, StepError, StepInfo,
};

use super::{Report, Run};
use crate::error::Result;
use crate::session::Session;
use crate::style::count;

/// Steps to undo, the last first, and the step that cannot be undone and so ends the list early, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unwinding {
    /// In the order of undoing.
    pub steps: Vec<String>,
    /// An irreversible step that stands in the way of the rest.
    pub blocked_by: Option<String>,
}

/// What undoing everything that `undo` selects comes to. Units go as a whole. Pure.
pub(crate) fn unwinding(plan: &Plan, state: &PlanState, undo: &dyn Fn(&str, &StepRecord) -> bool) -> Unwinding {
    let selected: BTreeSet<&str> =
        state.steps.iter().filter(|(id, r)| undo(id, r)).map(|(id, _)| id.as_str()).collect();
    let units: BTreeSet<&str> = selected.iter().filter_map(|id| state.steps.get(*id)?.stored.unit.as_deref()).collect();
    let mut found = Unwinding { steps: Vec::new(), blocked_by: None };
    for id in state.unwinding_order() {
        let in_unit = state.steps.get(&id).and_then(|s| s.stored.unit.as_deref()).is_some_and(|u| units.contains(u));
        if !selected.contains(id.as_str()) && !in_unit {
            continue;
        }
        let stored = state.steps.get(&id).and_then(|s| s.stored.reversal.clone());
        if stored.or_else(|| Some(plan.step(&id)?.step.reversal())) == Some(Reversal::Irreversible) {
            found.blocked_by = Some(id);
            break;
        }
        found.steps.push(id);
    }
    found
}

impl Run<'_> {
    /// After a failed step: undoes what the plan says.
    pub(super) async fn failed(&self, step: &str) -> Result<Report> {
        let plan = &self.session.plan;
        let policy = plan.on_failure;
        if policy == OnFailure::Pause {
            let next = format!(
                "{} (after mending), or {}",
                self.session.command_line("apply"),
                self.session.command_line("rollback")
            );
            return self.finish(Outcome::FailedPaused, Some(next)).await;
        }
        let phase = plan.phases.iter().find(|p| p.steps.iter().any(|s| s.id == step)).map(|p| p.name.clone());
        let phase = phase.unwrap_or_default();
        let found = self.recorder.with_state(|state| {
            unwinding(plan, state, &|id, record| match policy {
                OnFailure::RollbackStep => id == step,
                OnFailure::RollbackPhase => record.stored.phase == phase,
                OnFailure::RollbackAll => true,
                OnFailure::Pause => false,
            })
        });
        let to = match (&found.blocked_by, policy) {
            (Some(last), _) => format!("the end of step {last}, which cannot be undone"),
            (None, OnFailure::RollbackStep) => format!("before step {step}"),
            (None, OnFailure::RollbackPhase) => format!("before phase {phase}"),
            (None, _) => "the start".to_owned(),
        };
        self.unwind(&to, true, &found.steps).await
    }

    /// Undoes `steps` on the operator's request.
    pub(super) async fn roll_back(&self, to: &str, steps: &[String]) -> Result<Report> {
        if steps.is_empty() {
            return self.finish(Outcome::NothingToDo, None).await;
        }
        self.unwind(to, false, steps).await
    }

    /// Goes on with an unwinding that was interrupted.
    pub(super) async fn resume_unwinding(&self, to: &str, failure: bool, steps: &[String]) -> Result<Report> {
        let left: Vec<String> =
            steps.iter().filter(|s| self.recorder.state_of(s).may_have_effects()).cloned().collect();
        self.unwind(to, failure, &left).await
    }

    async fn unwind(&self, to: &str, failure: bool, steps: &[String]) -> Result<Report> {
        self.record(vec![Record::UnwindStarted { to: to.to_owned(), failure, steps: steps.to_vec() }]).await?;
        self.host.inline.store(true, Ordering::Relaxed);
        self.emit(EventKind::UnwindStarted { to: to.to_owned(), steps: steps.to_vec() });
        for id in steps {
            let began = Instant::now();
            self.record(vec![Record::RollbackStarted { step: id.clone() }]).await?;
            match self.undo(id).await {
                Ok(()) => {
                    let seconds = began.elapsed().as_secs_f64();
                    self.record(vec![Record::StepRolledBack { step: id.clone(), seconds }]).await?;
                    self.emit(EventKind::StepRolledBack { step: id.clone(), seconds });
                }
                Err(error) => return self.stuck(id, &error).await,
            }
        }
        if failure {
            let next = Some(format!("{} (after mending)", self.session.command_line("apply")));
            self.finish(Outcome::FailedRolledBack, next).await
        } else {
            self.finish(Outcome::Done, None).await
        }
    }

    async fn stuck(&self, id: &str, error: &StepError) -> Result<Report> {
        let text = self.host.secrets.mask(&error.chain());
        let help = error.help().map(str::to_owned);
        self.record(vec![Record::RollbackFailed { step: id.to_owned(), error: text.clone(), help }]).await?;
        let shown = match error.help() {
            Some(help) => format!("{text} (help: {help})"),
            None => text,
        };
        self.emit(EventKind::StepStuck { step: id.to_owned(), error: shown });
        let next = format!(
            "{} (says what is committed and what is not), mend the cause, then {}",
            self.session.command_line("explain"),
            self.session.command_line("rollback")
        );
        self.finish(Outcome::Stuck, Some(next)).await
    }

    /// Undoes one step with the configuration and files that it was applied with.
    async fn undo(&self, id: &str) -> Result<(), StepError> {
        let Some(record) = self.recorder.with_state(|s| s.steps.get(id).cloned()) else {
            return Err(StepError::internal(format!("the journal does not know step `{id}`")));
        };
        let step = self.as_applied(id, &record)?;
        let cx = self.context_of(StepInfo {
            id: id.to_owned(),
            kind: record.stored.kind.clone(),
            digest: record.stored.digest.clone(),
            checksum: record.stored.checksum.clone(),
            intent: record.intent.clone(),
            ..StepInfo::default()
        });
        match step.reversal() {
            Reversal::Inverse => step.rollback(&cx, record.receipt.as_ref().or(record.intent.as_ref())).await,
            Reversal::Restore(target) => self.restore(&cx, &record, &target).await,
            Reversal::Irreversible => Err(StepError::failed(format!("step `{id}` cannot be undone"))
                .with_help("its plan says `irreversible`: go forward instead")),
        }
    }

    fn as_applied(&self, id: &str, record: &StepRecord) -> Result<Arc<dyn MigrationStep>, StepError> {
        match self.session.plan.step(id) {
            Some(step) if step.digest == record.stored.digest && step.checksum == record.stored.checksum => {
                Ok(Arc::clone(&step.step))
            }
            _ => self.session.rebuild(&record.stored, &self.recorder).map_err(|e| {
                let error = StepError::failed(e.message.clone());
                match &e.help {
                    Some(help) => error.with_help(help.clone()),
                    None => error,
                }
            }),
        }
    }

    /// Puts a target back from the last snapshot before the step.
    async fn restore(&self, cx: &StepContext, record: &StepRecord, target: &str) -> Result<(), StepError> {
        // A step that never got as far as a ledger row has nothing to restore.
        let holder = cx.any_target(target)?;
        if let Some(ledger) = holder.ledger()
            && record.receipt.is_none()
        {
            let rows = ledger.entries(cx, &cx.info().plan).await?;
            if !rows.iter().any(|r| r.success && r.step == cx.info().id) {
                return Ok(());
            }
        }
        let manifest =
            self.recorder.with_state(|state| last_snapshot(state, target, record.applied_seq)).ok_or_else(|| {
                StepError::failed(format!("no snapshot of `{target}` from before this step is known")).with_help(
                    "restore the target by hand, then `cutover resolve PLAN STEP --as rolled-back --note WHY`",
                )
            })?;
        let aside = self.session.state_dir.join("aside").join(format!("{}-{}", cx.info().run, cx.info().id));
        let options = RestoreOptions { aside, accept_loss: self.options.accept_loss };
        let restored = holder.restore(cx, &manifest, &options).await?;
        cx.note(&format!(
            "restored from the snapshot; the state before is in {}",
            shown(self.session, &restored.aside)
        ));
        for (table, rows) in &restored.lost {
            let rows = count(usize::try_from(*rows).unwrap_or(usize::MAX), "row");
            cx.note(&format!("{rows} of {table}, written since the snapshot, set aside there"));
        }
        Ok(())
    }
}

fn shown(session: &Session, path: &std::path::Path) -> String {
    path.strip_prefix(&session.root).unwrap_or(path).display().to_string()
}

/// The newest snapshot of `target` that an applied step took before record `before` (0: any).
fn last_snapshot(state: &PlanState, target: &str, before: u64) -> Option<SnapshotManifest> {
    let mut found: Vec<(u64, SnapshotManifest)> = Vec::new();
    for record in state.steps.values() {
        let Some(receipt) = &record.receipt else { continue };
        let Some(manifests) = receipt.body.get("manifests") else { continue };
        let Ok(manifests) = serde_json::from_value::<Vec<SnapshotManifest>>(manifests.clone()) else { continue };
        let earlier = before == 0 || record.applied_seq < before;
        found.extend(manifests.into_iter().filter(|m| earlier && m.target == target).map(|m| (record.applied_seq, m)));
    }
    found.into_iter().max_by_key(|(seq, _)| *seq).map(|(_, m)| m)
}
