//! A rehearsal: the plan run on a copy of the system, there and back and there again, with the proof that the way back
//! leads to where it began.
//!
//! The real system is only read, but for the proof that is kept in state. Owns the order; the copy is `scratch`'s, what happens on it is
//! `stage`'s.

mod copying;
mod links;
mod needs;
mod proof;
mod scratch;
mod stage;
mod still;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use cutover_core::journal::StepState;
use cutover_core::room::{same_file_system, shares_blocks};
use cutover_core::{Depth, EventKind, StepContext, fault};

pub(crate) use proof::{Figures, Proof, StepFigure};
use scratch::Scratch;
pub(crate) use scratch::in_use;
use stage::Stage;
use still::Still;

use crate::binding::Binding;
use crate::error::{Result, RunnerError};
use crate::executor::{self, drift, estranged, ledger_rows, patient_context, reconciled};
use crate::exit::Exit;
use crate::host::Stop;
use crate::recorder::journal_error;
use crate::report::Emitter;
use crate::secrets::Secrets;
use crate::session::Session;

/// How to rehearse.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// Up to and including this step or phase.
    pub to: Option<String>,
    /// Leave the copy where it is.
    pub keep: bool,
    /// Where to make the copy; by default inside the state folder.
    pub scratch: Option<PathBuf>,
    /// Steps at once.
    pub jobs: usize,
}

/// How a rehearsal went.
#[derive(Debug)]
pub(crate) struct Rehearsal {
    /// What it measured, as far as it came.
    pub figures: Figures,
    /// What did not go as it must, a line each; empty when it passed.
    pub failures: Vec<String>,
    /// The copy, when it was kept.
    pub kept: Option<PathBuf>,
    /// Why the copy is there still, when it could not be removed.
    pub left: Option<String>,
    /// The proof, when it passed.
    pub proof: Option<PathBuf>,
}

/// Rehearses the plan of `session`.
pub(crate) async fn rehearse(
    session: &Session,
    emitter: Arc<Emitter>,
    stop: &Stop,
    asked: &Asked,
) -> Result<Rehearsal> {
    let survey = patient_context(session, &emitter, stop);
    let still = Still::begin(session)?;
    let binding = still.unless_moved(settled(session, &survey).await)?;
    let mut scratch = Scratch::new(session, asked.scratch.as_deref(), asked.keep)?;
    let mut figures = Figures::default();

    needs::check(session, &scratch, &survey).await?;
    tell(&emitter, "copying the system");
    let began = Instant::now();
    let out = still.unless_moved(scratch.fill(session, &survey).await)?;
    figures.leading_out = out.into_iter().map(|(link, end)| (session.shown(&link), end)).collect();
    figures.bytes = scratch.bytes();
    let mut copied = session.targets.values().map(|t| t.path()).chain([session.root.as_path()]);
    figures.shared = copied.all(|path| shares_blocks(path, scratch.folder()));
    figures.elsewhere = !same_file_system(&session.root, scratch.folder());
    figures.copy = began.elapsed().as_secs_f64();
    for target in session.targets.values() {
        target.close(&survey).await?;
    }
    fault::point(fault::REHEARSAL_COPIED);

    let mut stage = Stage { session, emitter: &emitter, stop, asked, scratch: &scratch, figures, failures: Vec::new() };
    stage.refuse_other(&binding).await?;
    stage.run().await?;
    let Stage { mut figures, failures, .. } = stage;
    // Rows of the copy are shown where they differ: a plan may have put a secret there.
    let secrets = Secrets::new(&session.plan.secrets);
    let failures: Vec<String> = failures.into_iter().map(|line| secrets.mask(&line)).collect();
    figures.space = figures.space.saturating_sub(figures.bytes);
    let mut proof = None;
    if failures.is_empty() {
        proof = Some(Proof::new(binding, asked.to.clone(), figures.clone()).write(session)?);
        fault::point(fault::REHEARSAL_PROVEN);
    }
    let kept = asked.keep.then(|| scratch.root());
    let left = scratch.end();
    Ok(Rehearsal { figures, failures, kept, left, proof })
}

/// What is there to rehearse on, if that can be.
async fn settled(session: &Session, cx: &StepContext) -> Result<Binding> {
    executor::check_targets(session, cx).await?;
    refuse_unsettled(session, cx).await?;
    Binding::of(session, cx, Depth::Schema, None).await
}

/// Only what stands still can be rehearsed: a run that was interrupted has to end first, and drift to be settled.
async fn refuse_unsettled(session: &Session, cx: &StepContext) -> Result<()> {
    let (state, _) = session.journalled().map_err(journal_error)?;
    let settled = |s: StepState| {
        matches!(s, StepState::Applied | StepState::Pending | StepState::Skipped | StepState::RolledBack)
    };
    let open = state.unwinding.is_some() || state.steps.values().any(|s| !settled(s.state));
    if !open {
        let rows = ledger_rows(session, cx).await?;
        estranged(session, &state, &rows).into_error(session)?;
        return drift(session, &reconciled(session, &state, &rows), &rows).into_error(session);
    }
    Err(RunnerError::new(Exit::Failed, "a run of this plan has not come to its end; there is nothing to rehearse yet")
        .with_help(format!("`{}` says how to go on", session.command_line("explain"))))
}

fn tell(emitter: &Emitter, text: &str) {
    emitter.emit(EventKind::StepNote { step: "rehearsal".to_owned(), text: text.to_owned() });
}
