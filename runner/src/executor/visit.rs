//! A visit to the journal beside the runs: what a gate saw, what a person said.
//!
//! It holds the lock of the state folder alone, and only as long as it lasts: no target is written, so that no epoch is
//! raised and no run begins. What it records is about a step that a run left waiting, or has not come to.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cutover_core::StepContext;
use cutover_core::plan::PlanStep;

use super::{RunOptions, locks, preflight};
use crate::error::Result;
use crate::host::{JournalAccess, RunnerHost, Stop};
use crate::journal::Journal;
use crate::lock::Lock;
use crate::recorder::{Recorder, journal_error};
use crate::report::Emitter;
use crate::secrets::Secrets;
use crate::session::Session;

/// A visit; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) recorder: Arc<Recorder>,
    _locks: Vec<Lock>,
}

impl Visit {
    /// Takes the lock and folds the journal under it. `who` stands in the records where others have the id of their run.
    pub(crate) fn open(session: &Session, options: &RunOptions, who: &str) -> Result<Self> {
        let locks = locks::take_state(session, options)?;
        let journal = Journal::open_write(&session.state_dir).map_err(journal_error)?;
        locks::refuse_unlocked_runner(session, &journal, options)?;
        let plan = &session.plan.name;
        let (state, epoch) = (journal.state(plan).map_err(journal_error)?, journal.max_epoch());
        let folder = session.state_dir.clone();
        let recorder = Recorder::new(plan, who, epoch, folder, Some(journal), state, Vec::new());
        Ok(Self { recorder: Arc::new(recorder), _locks: locks })
    }

    /// A context for a look by `step`, which may journal what it observes.
    pub(crate) fn context(
        &self,
        session: &Session,
        step: &PlanStep,
        emitter: &Arc<Emitter>,
        stop: &Stop,
    ) -> StepContext {
        let host = RunnerHost {
            journal: JournalAccess::Write(Arc::clone(&self.recorder)),
            emitter: Arc::clone(emitter),
            stop: stop.clone(),
            secrets: Secrets::new(&session.plan.secrets),
            inline: AtomicBool::new(false),
        };
        session.context(preflight::info(session, step), Arc::new(host))
    }
}
