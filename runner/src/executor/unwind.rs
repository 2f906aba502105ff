//! Unwinding: what is undone after a failure or on request, in reverse of the journalled order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use cutover_core::journal::{OpenUnwinding, PlanState, Record, RunCommand, StepRecord, StepState};
use cutover_core::{
    EventKind, MigrationStep, Outcome, Receipt, RestoreOptions, Reversal, SnapshotManifest, StepContext, StepError,
    StepErrorKind, StepInfo,
};

use tracing::{Instrument, info_span};

use super::selection::{Selection, after_failure};
use super::{Report, Run};
use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::session::needs_env;
use crate::style::count;

impl Run<'_> {
    /// After a failed step: undoes what the plan says.
    pub(super) async fn failed(&self, step: &str) -> Result<Report> {
        let plan = &self.session.plan;
        // To undo is to write: there is no room for it, or not the place.
        if self.recorder.short_of_room().is_some() || self.vanished().await.is_some() {
            return self.finish(Outcome::FailedPaused, Some(self.after_mending())).await;
        }
        let found = self.recorder.with_state(|state| after_failure(plan, state, step));
        if found.steps.is_empty() {
            return self.finish(Outcome::FailedPaused, Some(self.after_mending())).await;
        }
        self.unwind(found, true).await
    }

    /// Goes on with an unwinding that was interrupted: the run that began it stays unwinding.
    pub(super) async fn resume_unwinding(&self, open: OpenUnwinding) -> Result<Report> {
        let left = |id: &String| self.recorder.state_of(id).may_have_effects();
        let steps: Vec<String> = open.steps.into_iter().filter(left).collect();
        self.recorder.with_state(|state| self.refuse_missing_targets(state, &steps))?;
        let found = Selection { to: open.to, steps, unskip: Vec::new(), blocked_by: open.blocked_by };
        self.unwind(found, open.failure).await
    }

    /// `apply` has the plan's targets only; `rollback` makes those that the plan had, too.
    fn refuse_missing_targets(&self, state: &PlanState, steps: &[String]) -> Result<()> {
        let used =
            |id: &String| state.steps.get(id).into_iter().flat_map(|r| r.stored.targets.iter().map(|t| &t.spec.name));
        let Some(gone) = steps.iter().flat_map(used).find(|name| !self.session.targets.contains_key(*name)) else {
            return Ok(());
        };
        Err(RunnerError::new(
            Exit::Drift,
            format!("an unwinding has not ended, and the plan no longer has its target `{gone}`"),
        )
        .with_help(format!("`{}` goes on with it all the same", self.session.command_line("rollback"))))
    }

    /// Undoes what was selected. Where a run only follows an earlier one, `failure` is what that one was.
    pub(super) async fn unwind(&self, found: Selection, failure: bool) -> Result<Report> {
        let blocked_by = found.blocked_by.clone();
        if let Some(early) = self.undo_all(found, failure).await? {
            return Ok(early);
        }
        match (failure, blocked_by) {
            (true, Some(_)) => self.finish(Outcome::FailedBlocked, Some(self.after_mending())).await,
            (true, None) => {
                let next = format!("{} (after mending)", self.go_on_with(RunCommand::Apply));
                self.finish(Outcome::FailedRolledBack, Some(next)).await
            }
            // Who asked to apply must not take a finished rollback for it.
            (false, _) if self.command == RunCommand::Apply => {
                self.finish(Outcome::Unwound, Some(self.session.command_line("apply"))).await
            }
            (false, _) => self.finish(Outcome::Done, None).await,
        }
    }

    /// A failed step may be edited. What its failed try left (batches that were committed, say) is undone as it was then,
    /// before the edited step begins. The report when that ends the run.
    pub(super) async fn take_back_edited(&self) -> Result<Option<Report>> {
        let plan = &self.session.plan;
        let steps: Vec<String> = self.recorder.with_state(|state| {
            let edited = |id: &String| {
                let known = state.steps.get(id).filter(|r| r.state == StepState::Failed);
                let reversible = |r: &&StepRecord| r.stored.reversal != Some(Reversal::Irreversible);
                known.filter(reversible).is_some_and(|r| plan.step(id).is_some_and(|s| s.digest != r.stored.digest))
            };
            state.unwinding_order().into_iter().filter(edited).collect()
        });
        let Some(first) = steps.first() else { return Ok(None) };
        let to = format!("before step {first}, which failed and was edited since");
        let found = Selection { to, steps, unskip: Vec::new(), blocked_by: None };
        let early = self.undo_all(found, true).await?;
        if early.is_none() {
            self.record(vec![Record::UnwindFinished]).await?;
        }
        Ok(early)
    }

    /// Undoes what was selected; the report when that stops early.
    async fn undo_all(&self, found: Selection, failure: bool) -> Result<Option<Report>> {
        let Selection { to, steps, unskip, blocked_by } = found;
        let begun = Record::UnwindStarted { to: to.clone(), failure, blocked_by, steps: steps.clone() };
        let forgotten = (!unskip.is_empty()).then_some(Record::SkipsForgotten { steps: unskip });
        self.record(std::iter::once(begun).chain(forgotten).collect()).await?;
        self.host.inline.store(true, Ordering::Relaxed);
        self.emit(EventKind::UnwindStarted { to, steps: steps.clone() });
        for id in &steps {
            if self.stop.requested() {
                let next = if failure { RunCommand::Apply } else { RunCommand::Rollback };
                return self.finish(Outcome::Interrupted, Some(self.go_on_with(next))).await.map(Some);
            }
            let began = Instant::now();
            self.record(vec![Record::RollbackStarted { step: id.clone() }]).await?;
            let undone = match self.recorder.short_of_room() {
                Some(short) => Err(short),
                None => self.undo(id).instrument(info_span!("rollback", id)).await,
            };
            match undone {
                Ok(()) => {
                    let seconds = began.elapsed().as_secs_f64();
                    self.record(vec![Record::StepRolledBack { step: id.clone(), seconds }]).await?;
                    self.emit(EventKind::StepRolledBack { step: id.clone(), seconds });
                }
                Err(error) => return self.stuck(id, &error).await.map(Some),
            }
        }
        Ok(None)
    }

    fn after_mending(&self) -> String {
        let (apply, rollback) = (self.go_on_with(RunCommand::Apply), self.go_on_with(RunCommand::Rollback));
        format!("{apply} (after mending), or {rollback}")
    }

    async fn stuck(&self, id: &str, error: &StepError) -> Result<Report> {
        let text = self.host.secrets.mask(&error.chain());
        // SQLite calls a page that cannot be read a damaged one.
        let again = error.is_of_storage() || error.kind() == StepErrorKind::Unavailable || error.is_interruption();
        let help = self.help_for(error, &self.recorder.with_state(|s| targets_of(s, id)));
        let record = Record::RollbackFailed { step: id.to_owned(), error: text.clone(), help: help.clone(), again };
        self.record(vec![record]).await?;
        let shown = match help {
            Some(help) => format!("{text} (help: {help})"),
            None => text,
        };
        self.emit(EventKind::StepStuck { step: id.to_owned(), error: shown });
        if error.is_interruption() {
            return self.finish(Outcome::Interrupted, Some(self.go_on())).await;
        }
        let explain = self.session.command_line("explain");
        let next = if again {
            format!("{} (after making room or mending the cause; {explain} says what is committed)", self.go_on())
        } else {
            let rollback = self.go_on_with(RunCommand::Rollback);
            format!("{explain} (says what is committed and what is not), mend the cause, then {rollback}")
        };
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
        let cx = cx.with_vars(record.way_back.as_ref().unwrap_or(&record.stored).vars.clone());
        match step.reversal() {
            Reversal::Inverse => step.rollback(&cx, record.receipt.as_ref().or(record.intent.as_ref())).await,
            Reversal::Restore(target) => self.restore(&cx, &*step, &record, &target).await,
            Reversal::Irreversible => Err(StepError::failed(format!("step `{id}` cannot be undone"))
                .with_help("its plan says `irreversible`: go forward instead")),
        }
    }

    fn as_applied(&self, id: &str, record: &StepRecord) -> Result<Arc<dyn MigrationStep>, StepError> {
        let stored = record.way_back.as_ref().unwrap_or(&record.stored);
        match self.session.plan.step(id) {
            Some(step)
                if step.digest == stored.digest
                    && step.checksum == stored.checksum
                    && needs_env(id, &step.config).is_ok() =>
            {
                Ok(Arc::clone(&step.step))
            }
            _ => self.session.rebuild(stored, &self.recorder).map_err(|e| {
                let error = StepError::failed(e.message.clone());
                match &e.help {
                    Some(help) => error.with_help(help.clone()),
                    None => error,
                }
            }),
        }
    }

    /// Puts a target back from the last snapshot before the step.
    async fn restore(
        &self,
        cx: &StepContext,
        step: &dyn MigrationStep,
        record: &StepRecord,
        target: &str,
    ) -> Result<(), StepError> {
        // What left no ledger row, or lost it to the restore of an earlier member of its unit, has nothing to put back.
        let holder = cx.any_target(target)?;
        if let Some(ledger) = holder.ledger()
            && ((record.receipt.is_none() && record.intent.is_none()) || step.ledgered() == Some(target))
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
        let options =
            RestoreOptions { aside, accept_loss: self.options.accept_loss, undone: self.undone_with(&cx.info().id) };
        let restored = holder.restore(cx, &manifest, &options).await?;
        cx.note(&format!("restored from the snapshot; the state before is in {}", self.session.shown(&restored.aside)));
        for (table, rows) in &restored.lost {
            let rows = count(usize::try_from(*rows).unwrap_or(usize::MAX), "row");
            cx.note(&format!("{rows} of {table}, written since the snapshot, set aside there"));
        }
        Ok(())
    }

    /// The steps of the unwinding that a restore of step `id` is part of, and what is known that they made.
    fn undone_with(&self, id: &str) -> BTreeMap<String, Option<Receipt>> {
        self.recorder.with_state(|state| {
            let open = state.unwinding.iter().flat_map(|open| &open.steps).map(String::as_str);
            let made = |id: &str| state.steps.get(id).and_then(|s| s.receipt.clone().or_else(|| s.intent.clone()));
            open.chain([id]).map(|id| (id.to_owned(), made(id))).collect()
        })
    }
}

/// The targets that step `id` was applied to.
fn targets_of(state: &PlanState, id: &str) -> Vec<String> {
    let stored = state.steps.get(id).map(|r| r.stored.targets.iter().map(|t| t.spec.name.clone()).collect());
    stored.unwrap_or_default()
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
