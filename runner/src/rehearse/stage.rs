//! What happens on the copy: apply, verify, rollback, the comparison with the original, and apply again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use cutover_core::journal::{PlanState, Record, StepState};
use cutover_core::{Depth, Fingerprint, Outcome, Verdict, fault};

use super::scratch::{self, Scratch};
use super::{Asked, Figures, StepFigure, tell};
use crate::binding::Binding;
use crate::commands::verify::verdicts;
use crate::error::{Result, RunnerError};
use crate::executor::{self, RunOptions, patient_context, reader_context, survey_context};
use crate::exit::Exit;
use crate::host::Stop;
use crate::journal::Journal;
use crate::recorder::journal_error;
use crate::report::Emitter;
use crate::session::Session;

/// What happens on the copy.
pub(super) struct Stage<'a> {
    pub session: &'a Session,
    pub emitter: &'a Arc<Emitter>,
    pub stop: &'a Stop,
    pub asked: &'a Asked,
    pub scratch: &'a Scratch,
    /// What it measured so far.
    pub figures: Figures,
    /// What did not go as it must so far.
    pub failures: Vec<String>,
}

impl Stage<'_> {
    /// There and back and there again; what fails is kept, and what cannot go on ends it.
    pub(super) async fn run(&mut self) -> Result<()> {
        let before = self.fingerprints().await?;
        let (was, _) = self.open()?.journalled().map_err(journal_error)?;

        tell(self.emitter, "apply");
        let (seconds, outcome) = self.apply().await?;
        self.figures.apply = seconds;
        self.note_space();
        self.take_steps(&was)?;
        if !self.ended_well("apply", outcome)? {
            return Ok(());
        }
        tell(self.emitter, "verify");
        let began = Instant::now();
        let lines = self.verify().await?;
        self.figures.verify = began.elapsed().as_secs_f64();
        self.failures.extend(lines);
        fault::point(fault::REHEARSAL_APPLIED);

        tell(self.emitter, "rollback");
        let (seconds, outcome) = self.rollback(&was).await?;
        self.figures.rollback = seconds;
        self.note_space();
        if !self.ended_well("rollback", outcome)? {
            return Ok(());
        }
        self.take_ways_back()?;
        fault::point(fault::REHEARSAL_BACK);
        tell(self.emitter, "comparing with the original");
        let after = self.fingerprints().await?;
        self.compare(&before, &after).await?;

        tell(self.emitter, "apply again");
        let (seconds, outcome) = self.apply().await?;
        self.figures.again = seconds;
        if self.ended_well("the second apply", outcome)? {
            fault::point(fault::REHEARSAL_AGAIN);
            let lines = self.verify().await?;
            self.failures.extend(lines.into_iter().map(|l| format!("after the second apply: {l}")));
        }
        Ok(())
    }

    /// What was copied must be what the proof will be about: others may have changed a target meanwhile.
    pub(super) async fn refuse_other(&self, binding: &Binding) -> Result<()> {
        let session = self.open()?;
        let cx = patient_context(&session, self.emitter, self.stop);
        let mut copied = binding.now(&session, &cx).await?;
        // In the copy of a folder links lead elsewhere: the folder itself is asked whether it still is what it was.
        let real = binding.now(self.session, &patient_context(self.session, self.emitter, self.stop)).await?;
        for (name, target) in self.session.targets.iter().filter(|(_, target)| target.ledger().is_none()) {
            copied.targets.extend(real.targets.get(name).map(|now| (name.clone(), now.clone())));
            target.close(&cx).await?;
        }
        for target in session.targets.values() {
            target.close(&cx).await?;
        }
        let moved = binding.targets_moved(&copied);
        if moved.is_empty() {
            return Ok(());
        }
        let why = format!("the system changed while it was copied: {}; it was only read", moved.join("; "));
        let again = self.session.command_line("rehearse");
        Err(RunnerError::new(Exit::Locked, why).with_help(format!("rehearse again when it stands still: `{again}`")))
    }

    fn open(&self) -> Result<Session> {
        Session::open(self.scratch.place(self.session))
    }

    fn options(&self) -> RunOptions {
        RunOptions {
            jobs: self.asked.jobs,
            to: self.asked.to.clone(),
            command: "cutover rehearse".to_owned(),
            ..RunOptions::default()
        }
    }

    async fn apply(&self) -> Result<(f64, Outcome)> {
        let session = self.open()?;
        let began = Instant::now();
        let report = executor::apply(&session, Arc::clone(self.emitter), self.stop.clone(), self.options()).await?;
        Ok((began.elapsed().as_secs_f64(), report.outcome))
    }

    /// Takes back what the rehearsal applied, and nothing from before it.
    async fn rollback(&self, was: &PlanState) -> Result<(f64, Outcome)> {
        let session = self.open()?;
        let began = Instant::now();
        let mut options = self.options();
        options.except =
            Some(was.steps.iter().filter(|(_, r)| r.state == StepState::Applied).map(|(id, _)| id.clone()).collect());
        let report =
            executor::rollback(&session, Arc::clone(self.emitter), self.stop.clone(), options, |_| Ok(true)).await?;
        Ok((began.elapsed().as_secs_f64(), report.outcome))
    }

    async fn verify(&self) -> Result<Vec<String>> {
        let session = self.open()?;
        let (state, _) = session.journalled().map_err(journal_error)?;
        let cx = reader_context(&session, self.emitter, self.stop, &state);
        let mut lines = Vec::new();
        for (step, verdict) in verdicts(&session, &cx, &state).await {
            if let Verdict::Broken(what) = verdict {
                lines.push(format!("verify of step {step}: {}", what.join("; ")));
            }
        }
        for target in session.targets.values() {
            target.close(&cx).await?;
        }
        Ok(lines)
    }

    async fn fingerprints(&self) -> Result<BTreeMap<String, Fingerprint>> {
        let session = self.open()?;
        let cx = patient_context(&session, self.emitter, self.stop);
        let mut found = BTreeMap::new();
        for (name, target) in session.targets.iter() {
            if self.stop.requested() {
                return Err(scratch::stopped());
            }
            found.insert(name.clone(), target.fingerprint(&cx, Depth::Content).await?);
            target.close(&cx).await?;
        }
        Ok(found)
    }

    /// Every target must be what it was. What differs is named, by object and, where the target can tell, by row.
    async fn compare(
        &mut self,
        before: &BTreeMap<String, Fingerprint>,
        after: &BTreeMap<String, Fingerprint>,
    ) -> Result<()> {
        let session = self.open()?;
        let cx = survey_context(&session, self.emitter, self.stop);
        for (name, was) in before {
            let Some(is) = after.get(name).filter(|is| *is != was) else { continue };
            let lines = was.changes(is);
            self.failures.extend(lines.into_iter().map(|l| format!("after the rollback: {name}: {l}")));
            if let (Some(real), Some(copy)) = (self.session.targets.get(name), session.targets.get(name)) {
                let rows = copy.differing(&cx, real.path()).await?;
                self.failures.extend(rows.into_iter().map(|l| format!("  {name}: {l}")));
                copy.close(&cx).await?;
            }
        }
        Ok(())
    }

    fn ended_well(&mut self, what: &str, outcome: Outcome) -> Result<bool> {
        if outcome == Outcome::Interrupted {
            return Err(scratch::stopped());
        }
        let well = matches!(outcome, Outcome::Done | Outcome::NothingToDo);
        if !well {
            self.failures
                .push(format!("{what} ended: {}", crate::commands::status::ended(executor::outcome_name(outcome))));
        }
        Ok(well)
    }

    fn note_space(&mut self) {
        self.figures.space = self.figures.space.max(self.scratch.bytes());
    }

    /// How long the rollback of each step took.
    fn take_ways_back(&mut self) -> Result<()> {
        let session = self.open()?;
        let Some(journal) = Journal::open_read(&session.state_dir).map_err(journal_error)? else {
            return Ok(());
        };
        for entry in journal.entries(&session.plan.name).map_err(journal_error)? {
            let Record::StepRolledBack { step, seconds } = entry.record else { continue };
            if let Some(figure) = self.figures.steps.iter_mut().find(|f| f.step == step) {
                figure.back = Some(seconds);
            }
        }
        Ok(())
    }

    /// What each step came to, and which were left out.
    fn take_steps(&mut self, was: &PlanState) -> Result<()> {
        let session = self.open()?;
        let (state, _) = session.journalled().map_err(journal_error)?;
        for (phase, step) in session.plan.steps() {
            if let Some(why) = executor::not_rehearsed(step)
                && was.state_of(&step.id) != StepState::Applied
            {
                self.figures.not_rehearsed.insert(step.id.clone(), why);
            }
            let Some(record) = state.steps.get(&step.id) else { continue };
            if was.state_of(&step.id) == record.state {
                continue;
            }
            if record.state == StepState::Applied {
                self.figures.steps.push(StepFigure {
                    step: step.id.clone(),
                    phase: session.plan.phases[phase].name.clone(),
                    seconds: record.seconds.unwrap_or_default(),
                    back: None,
                    rows: record.receipt.as_ref().and_then(|r| r.rows),
                    bytes: record.receipt.as_ref().and_then(|r| r.bytes),
                });
            }
        }
        Ok(())
    }
}
