//! The fold of a journal: every state that anybody asks for is made here, from records, and nowhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Approval, BoundTo, Entry, IllegalTransition, Observed, OpenIncident, Record, Resolution, RunCommand, StepState,
    StoredStep, StoredTarget, TriggerAction, Triggered, Window,
};
use crate::Receipt;

/// What a journal says of one plan.
#[derive(Debug, Clone, Default)]
pub struct PlanState {
    /// Every step that was ever begun, skipped or adopted, by id.
    pub steps: BTreeMap<String, StepRecord>,
    /// The last run, if there was one.
    pub run: Option<RunState>,
    /// The unwinding that has begun and not come to its end, if there is one. Nothing goes forward before it has.
    pub unwinding: Option<OpenUnwinding>,
    /// What went wrong and is neither rolled back nor mended.
    pub incident: Option<OpenIncident>,
    /// BLAKE3 of the object that says what the targets were at the end of the last run that changed any; none
    /// when something began since.
    pub seen: Option<String>,
    /// What persons said last of a step, by its id, and no rollback of it has come since.
    pub approvals: BTreeMap<String, Approval>,
    /// Number of the last record that was folded.
    pub last_seq: u64,
}

/// What a journal says of one step.
#[derive(Debug, Clone, Default)]
pub struct StepRecord {
    /// Where it stands.
    pub state: StepState,
    /// The step as it was when it last began.
    pub stored: Arc<StoredStep>,
    /// The deliberate edit of it that was accepted since.
    pub accepted: Option<Arc<StoredStep>>,
    /// What its rollback is made of in place of `stored`: an edit that was accepted while it was stuck.
    pub way_back: Option<Arc<StoredStep>>,
    /// What it made.
    pub receipt: Option<Receipt>,
    /// What it intended, while that is all that is known.
    pub intent: Option<Receipt>,
    /// Where it stands is an operator's word that nothing proved.
    pub unproven: bool,
    /// Number of the record that made it applied (0: never); the order of unwinding.
    pub applied_seq: u64,
    /// Number of the record with which it last began, and its place in it: the order of unwinding of what never got
    /// further.
    pub begun: (u64, usize),
    /// When it last changed its state.
    pub at: Option<Timestamp>,
    /// Seconds of its last apply.
    pub seconds: Option<f64>,
    /// The last error, or why it waits or was skipped.
    pub message: Option<String>,
    /// What to do about the error.
    pub help: Option<String>,
    /// What it has looked at since it began, or began again after a failure.
    pub window: Option<Window>,
    /// The trigger that made it fail: what is done then is said there, and not by the plan.
    pub fired: Option<Triggered>,
    /// Stuck, and not by the step itself: whichever command comes next tries again.
    pub again: bool,
}

/// What a journal says of the last run.
#[derive(Debug, Clone)]
pub struct RunState {
    /// Its id.
    pub id: String,
    /// Its epoch.
    pub epoch: u64,
    /// What it does.
    pub command: RunCommand,
    /// Digest of the plan that it runs.
    pub plan_digest: String,
    /// How far it was to go; none for all of it.
    pub to: Option<String>,
    /// What it was bound to.
    pub bound_to: Vec<BoundTo>,
    /// When it began.
    pub started: Timestamp,
    /// The steps that failed in it, or whose rollback did, in that order.
    pub failed: Vec<String>,
    /// How it ended; none while it is open (running, waiting for its resumption, or killed).
    pub outcome: Option<String>,
}

/// An unwinding that has not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUnwinding {
    /// Where to: "the end of phase schema", "the start".
    pub to: String,
    /// Whether a failure (and not the operator) asked for it.
    pub failure: bool,
    /// The irreversible step before which it has to end, if there is one.
    pub blocked_by: Option<String>,
    /// Step ids in the order of undoing; those that are undone already are among them.
    pub steps: Vec<String>,
    /// The run that began it or went on with it last.
    run: String,
}

impl PlanState {
    /// Folds the records of one plan. An illegal transition is an error that names the record.
    pub fn fold<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Self, (u64, IllegalTransition)> {
        let mut state = Self::default();
        for entry in entries {
            state.push(entry).map_err(|e| (entry.seq, e))?;
        }
        Ok(state)
    }

    /// Folds one more record. On an error nothing has changed.
    pub fn push(&mut self, entry: &Entry) -> Result<(), IllegalTransition> {
        let record = &entry.record;
        match record {
            Record::RunStarted { command, plan_digest, to, bound_to, .. } => {
                self.run = Some(RunState {
                    id: entry.run.clone(),
                    epoch: entry.epoch,
                    command: *command,
                    plan_digest: plan_digest.clone(),
                    to: to.clone(),
                    bound_to: bound_to.clone(),
                    started: entry.at,
                    failed: Vec::new(),
                    outcome: None,
                });
            }
            Record::UnwindStarted { to, failure, blocked_by, steps } => {
                self.unwinding = Some(OpenUnwinding {
                    to: to.clone(),
                    failure: *failure,
                    blocked_by: blocked_by.clone(),
                    steps: steps.clone(),
                    run: entry.run.clone(),
                });
            }
            Record::RunFinished { outcome, seen } => {
                if seen.is_some() {
                    self.seen.clone_from(seen);
                }
                if let Some(run) = &mut self.run {
                    run.outcome = Some(outcome.clone());
                }
                // Another run between (of `accept`, say) ends nothing.
                let ended = !matches!(outcome.as_str(), "stuck" | "interrupted");
                self.unwinding = self.unwinding.take().filter(|u| !ended || u.run != entry.run);
            }
            Record::StructureAccepted { seen, .. } => self.seen = Some(seen.clone()),
            Record::Notified { .. } | Record::BudgetMeasured { .. } => {}
            Record::UnwindFinished => self.unwinding = None,
            Record::SkipsForgotten { steps } => self.steps(steps, entry, |s| s.message = None)?,
            Record::GroupStarted { members, .. } => {
                for member in members {
                    self.state_of(&member.step.id).next(record)?;
                }
                for (place, member) in members.iter().enumerate() {
                    self.step(&member.step.id, entry, |s| s.begin(&member.step, (entry.seq, place)))?;
                }
            }
            Record::GroupAborted { steps } => self.steps(steps, entry, |_| {})?,
            Record::StepSkipped { step, why, digest } => self.step(step, entry, |s| {
                s.message = Some(why.clone());
                s.stored = Arc::new(StoredStep { id: step.clone(), digest: digest.clone(), ..StoredStep::default() });
            })?,
            Record::StepStarted { step } => self.step(&step.id, entry, |s| s.begin(step, (entry.seq, 0)))?,
            Record::StepIntent { step, receipt } => self.step(step, entry, |s| s.intent = Some(receipt.clone()))?,
            Record::StepApplied { step, receipt, seconds, .. } => self.step(step, entry, |s| {
                s.receipt = Some(receipt.clone());
                s.seconds = Some(*seconds);
                s.applied_seq = entry.seq;
                s.message = None;
                s.help = None;
            })?,
            Record::StepFailed { step, error, help, receipt } => self.step(step, entry, |s| {
                // What failed begins to look anew.
                s.window = None;
                s.message = Some(error.clone());
                s.help.clone_from(help);
                s.receipt = receipt.clone().or_else(|| s.receipt.take());
                s.applied_seq = entry.seq;
            })?,
            Record::StepWaiting { step, why } => self.step(step, entry, |s| s.message = Some(why.clone()))?,
            Record::StepStopped { step, at } => self.step(step, entry, |s| s.message = Some(at.clone()))?,
            Record::WindowOpened { step, window } => self.observe(step, entry, &Observed::Opened(window.clone()))?,
            Record::StepSampled { step, sample } => self.observe(step, entry, &Observed::Sampled(sample.clone()))?,
            Record::StepTriggered { step, trigger } => {
                self.observe(step, entry, &Observed::Triggered(trigger.clone()))?;
            }
            Record::StepApproved { step, approved, by, note, plan_digest } => {
                // A step that never began has no other record.
                self.state_of(step).next(record)?;
                let (by, note, plan_digest) = (by.clone(), note.clone(), plan_digest.clone());
                let approval = Approval { approved: *approved, by, note, plan_digest, at: entry.at };
                self.approvals.insert(step.clone(), approval);
            }
            Record::RollbackStarted { step } => {
                // What an earlier rollback failed for is no longer what this step is about.
                let again = matches!(self.state_of(step), StepState::Stuck | StepState::RollingBack);
                self.step(step, entry, |s| {
                    if again {
                        s.message = None;
                        s.help = None;
                    }
                })?;
            }
            Record::StepRolledBack { step, .. } => {
                self.step(step, entry, |s| {
                    s.receipt = None;
                    s.intent = None;
                    s.applied_seq = 0;
                    s.window = None;
                    s.fired = None;
                })?;
                self.approvals.remove(step);
            }
            Record::RollbackFailed { step, error, help, again } => self.step(step, entry, |s| {
                s.message = Some(error.clone());
                s.help.clone_from(help);
                s.again = *again;
            })?,
            Record::StepResolved { step, resolution, proven, note, receipt } => {
                let was_applied = self.state_of(step) == StepState::Applied;
                self.step(step, entry, |s| {
                    // It is still what it was, in its place in the order of unwinding; only its ledger row was missing.
                    if was_applied {
                        return;
                    }
                    s.message = Some(note.clone());
                    s.unproven = !proven;
                    s.help = None;
                    match resolution {
                        Resolution::Applied => {
                            s.receipt = receipt.clone().or_else(|| s.receipt.take()).or_else(|| s.intent.take());
                            s.applied_seq = entry.seq;
                        }
                        Resolution::RolledBack => {
                            s.receipt = None;
                            s.intent = None;
                            s.applied_seq = 0;
                        }
                    }
                })?;
                self.settle_unwinding(step, *resolution);
            }
            Record::StepAccepted { step, .. } => self.step(&step.id, entry, |s| {
                // Rollback still uses what ran, unless that is what failed; only what counts as unchanged moves.
                s.accepted = Some(Arc::clone(step));
                s.way_back = (s.state == StepState::Stuck).then(|| Arc::clone(step));
            })?,
            Record::StepAdopted { step, receipt, .. } => self.step(&step.id, entry, |s| {
                s.stored = Arc::clone(step);
                s.receipt = Some(receipt.clone());
                s.applied_seq = entry.seq;
                s.message = None;
            })?,
            Record::StepLost { step, why } => self.step(step, entry, |s| {
                s.receipt = None;
                s.intent = None;
                s.applied_seq = 0;
                s.message = Some(why.clone());
            })?,
        }
        if let (Record::StepFailed { step, .. } | Record::RollbackFailed { step, .. }, Some(run)) =
            (record, &mut self.run)
        {
            run.failed.push(step.clone());
        }
        // What began since has changed the targets: what they were is not known before the run ends.
        if matches!(record, Record::StepStarted { .. } | Record::GroupStarted { .. } | Record::RollbackStarted { .. }) {
            self.seen = None;
        }
        self.incident = OpenIncident::after(self.incident.take(), record, entry.at);
        self.last_seq = entry.seq;
        Ok(())
    }

    /// Where a step stands; pending when the journal does not know it.
    pub fn state_of(&self, step: &str) -> StepState {
        self.steps.get(step).map_or(StepState::Pending, |s| s.state)
    }

    /// Ids of the steps that may have effects, the one that was applied last first.
    pub fn unwinding_order(&self) -> Vec<String> {
        let mut steps: Vec<_> = self.steps.iter().filter(|(_, s)| s.state.may_have_effects()).collect();
        // What began but never became applied is the newest of all, in the order in which it began.
        let applied = |s: &StepRecord| if s.applied_seq == 0 { u64::MAX } else { s.applied_seq };
        steps.sort_by_key(|(_, s)| std::cmp::Reverse((applied(s), s.begun)));
        steps.into_iter().map(|(id, _)| id.clone()).collect()
    }

    /// What a gate observed. The step stays as it is, and so does the time of its last change.
    fn observe(&mut self, step: &str, entry: &Entry, observed: &Observed) -> Result<(), IllegalTransition> {
        let state = self.state_of(step).next(&entry.record)?;
        let refused = |record| IllegalTransition { state, record };
        let Some(known) = self.steps.get_mut(step) else { return Err(refused("window-opened")) };
        let taken = match (&mut known.window, observed) {
            (window @ None, Observed::Opened(spec)) => window.insert(Window::new(spec.clone(), entry.at)).is_empty(),
            (Some(window), observed) => window.add(observed, entry.at),
            (None, _) => false,
        };
        if !taken {
            return Err(refused("step-sampled"));
        }
        if let Observed::Triggered(trigger) = observed
            && trigger.action != TriggerAction::Warn
        {
            known.fired = Some(trigger.clone());
        }
        Ok(())
    }

    /// A person decided about a step of an open unwinding: that it stays ends the unwinding, and so does that nothing is
    /// left to undo.
    fn settle_unwinding(&mut self, step: &str, resolution: Resolution) {
        let Some(open) = &self.unwinding else { return };
        let member = open.steps.iter().any(|s| s == step);
        let left = open.steps.iter().any(|s| self.state_of(s).may_have_effects());
        if member && (resolution == Resolution::Applied || !left) {
            self.unwinding = None;
        }
    }

    /// The same for several steps: all of them, or none.
    fn steps(
        &mut self,
        ids: &[String],
        entry: &Entry,
        change: impl Fn(&mut StepRecord),
    ) -> Result<(), IllegalTransition> {
        for id in ids {
            self.state_of(id).next(&entry.record)?;
        }
        for id in ids {
            self.step(id, entry, &change)?;
        }
        Ok(())
    }

    fn step(&mut self, id: &str, entry: &Entry, change: impl FnOnce(&mut StepRecord)) -> Result<(), IllegalTransition> {
        let next = self.state_of(id).next(&entry.record)?;
        let record = self.steps.entry(id.to_owned()).or_default();
        record.state = next;
        record.at = Some(entry.at);
        change(record);
        Ok(())
    }
}

impl StepRecord {
    fn begin(&mut self, step: &Arc<StoredStep>, begun: (u64, usize)) {
        self.stored = Arc::clone(step);
        self.begun = begun;
        self.unproven = false;
        self.message = None;
        self.help = None;
        self.fired = self.fired.take().filter(|_| self.window.is_some());
        // The intent stays as long as its effects may: only a rollback ends it.
        self.receipt = None;
        self.applied_seq = 0;
        self.accepted = None;
        self.way_back = None;
    }

    /// The digest that counts as unchanged: what ran, or the edit of it that was accepted.
    pub fn known_digest(&self) -> &str {
        &self.known().digest
    }

    /// The target that counts as unchanged.
    pub fn known_target(&self, name: &str) -> Option<&StoredTarget> {
        self.known().targets.iter().find(|t| t.spec.name == name)
    }

    fn known(&self) -> &StoredStep {
        self.accepted.as_deref().unwrap_or(&self.stored)
    }
}

#[cfg(test)]
mod tests;
