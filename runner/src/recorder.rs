//! The recorder: the journal first, then the fold that everybody reads.
//!
//! Nothing is written before the first record of substance: what only opens a run waits for it, so that a run with
//! nothing to do leaves no trace.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use cutover_core::disk::is_of_storage;
use cutover_core::journal::{Entry, PlanState, Record, StepState};
use cutover_core::{Receipt, StepError, StepErrorKind};

use crate::clock::now;
use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::journal::{Journal, JournalError};

/// Appends to the journal and keeps its fold up to date.
#[derive(Debug)]
pub struct Recorder {
    plan: String,
    run: String,
    epoch: u64,
    state_dir: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    journal: Option<Journal>,
    state: PlanState,
    opening: Vec<Record>,
    broken: Option<String>,
    /// Receipts of steps that are applied in a group which is not committed yet.
    fresh: BTreeMap<String, Receipt>,
}

impl Inner {
    /// How a run ends whose journal cannot be written any more: where it stands.
    fn stop(&self) -> Exit {
        if self.state.unwinding.is_some() { Exit::Stuck } else { Exit::Paused }
    }

    /// What ends a run whose journal failed it; `first`: before anything was written.
    fn stopped_by(&self, error: JournalError, first: bool) -> RunnerError {
        let of_storage =
            !matches!(error, JournalError::Newer { .. } | JournalError::Fenced { .. } | JournalError::Damaged { .. });
        let mut error = journal_error(error);
        if of_storage && first {
            error.message.push_str("; nothing was changed");
        } else if of_storage {
            error.exit = self.stop();
            error.message.push_str("; the run stops where it stands, and its end is not recorded");
        }
        error
    }
}

/// After the journal failed a run.
const GO_ON: &str = "make room on its file system, or mend it, then run the same command again";

impl Recorder {
    /// A recorder for one run; `opening` is written together with its first other record.
    pub fn new(
        plan: &str,
        run: &str,
        epoch: u64,
        state_dir: PathBuf,
        journal: Option<Journal>,
        state: PlanState,
        opening: Vec<Record>,
    ) -> Self {
        let inner = Inner { journal, state, opening, broken: None, fresh: BTreeMap::new() };
        Self { plan: plan.to_owned(), run: run.to_owned(), epoch, state_dir, inner: Mutex::new(inner) }
    }

    /// The run's id.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The run's epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Makes records durable, then folds them. Blocking.
    pub fn record(&self, records: Vec<Record>) -> Result<()> {
        self.record_with(records, &BTreeMap::new())
    }

    /// The same, with plan files that the records refer to.
    pub fn record_with(&self, records: Vec<Record>, objects: &BTreeMap<String, Arc<[u8]>>) -> Result<()> {
        let mut inner = self.lock();
        let first = !inner.opening.is_empty();
        if inner.journal.is_none() {
            let opened = Journal::open_write(&self.state_dir);
            inner.journal = Some(opened.map_err(|e| inner.stopped_by(e, first))?);
        }
        if let Some(broken) = &inner.broken {
            let message = format!("the journal could not be written before: {broken}");
            return Err(RunnerError::new(inner.stop(), message).with_help(GO_ON));
        }
        let mut all = std::mem::take(&mut inner.opening);
        all.extend(records);
        // The fold refuses what is illegal before it can become durable. Should the write then fail, the fold is
        // ahead of the journal: nobody may record on top of it.
        let at = now();
        for (record, seq) in all.iter().zip(inner.state.last_seq + 1..) {
            let (run, plan) = (self.run.clone(), self.plan.clone());
            let entry = Entry { seq, at, run, epoch: self.epoch, plan, record: record.clone() };
            inner
                .state
                .push(&entry)
                .map_err(|e| RunnerError::internal(format!("the journal refused a record: {e}")))?;
        }
        let Some(journal) = inner.journal.as_mut() else { return Ok(()) };
        match journal.append(&self.plan, &self.run, self.epoch, at, &all, objects) {
            Ok(last) => {
                inner.state.last_seq = last;
                Ok(())
            }
            Err(error) => {
                inner.broken = Some(error.to_string());
                Err(inner.stopped_by(error, first))
            }
        }
    }

    /// Why nothing more may be begun: the room that is kept for the end of a run is in use.
    pub fn short_of_room(&self) -> Option<StepError> {
        let short = self.lock().journal.as_ref().is_some_and(Journal::is_short);
        let state = self.state_dir.display();
        let error = || StepError::new(StepErrorKind::Storage, format!("no room left for the journal in `{state}`"));
        short.then(|| error().with_help("make room on that file system, then run the same command again"))
    }

    /// Whether anything was written by this run.
    pub fn wrote(&self) -> bool {
        self.lock().opening.is_empty()
    }

    /// Looks at the fold.
    pub fn with_state<T>(&self, look: impl FnOnce(&PlanState) -> T) -> T {
        look(&self.lock().state)
    }

    /// Where a step stands.
    pub fn state_of(&self, step: &str) -> StepState {
        self.with_state(|s| s.state_of(step))
    }

    /// What an interrupted try of this step intended.
    pub fn intent_of(&self, step: &str) -> Option<Receipt> {
        self.with_state(|s| s.steps.get(step).and_then(|s| s.intent.clone()))
    }

    /// The receipt of a step, also while its group is not committed.
    pub fn receipt_of(&self, step: &str) -> Option<Receipt> {
        let inner = self.lock();
        inner.fresh.get(step).cloned().or_else(|| inner.state.steps.get(step).and_then(|s| s.receipt.clone()))
    }

    /// Remembers (or forgets) the receipt of a step whose group is not committed.
    pub fn set_fresh(&self, step: &str, receipt: Option<Receipt>) {
        let mut inner = self.lock();
        match receipt {
            Some(receipt) => inner.fresh.insert(step.to_owned(), receipt),
            None => inner.fresh.remove(step),
        };
    }

    /// A stored plan file.
    pub fn object(&self, hash: &str) -> Result<Option<Arc<[u8]>>> {
        match &self.lock().journal {
            Some(journal) => journal.object(hash).map_err(journal_error),
            None => Ok(None),
        }
    }
}

/// A journal error as a runner error, with its remedy.
pub(crate) fn journal_error(error: JournalError) -> RunnerError {
    let message = error.to_string();
    match error {
        JournalError::Newer { .. } => {
            RunnerError::new(Exit::Internal, message).with_help("use the newer version of this program")
        }
        JournalError::Fenced { .. } => {
            RunnerError::new(Exit::Locked, message).with_help("`cutover status` shows what the other run does")
        }
        JournalError::Damaged { .. } => RunnerError::new(Exit::Stuck, message).with_help(
            "the next `cutover apply` or `cutover rollback` sets it aside (nothing is deleted) and rebuilds it from the targets' ledgers, manifests and inspection",
        ),
        JournalError::Gone { .. } => RunnerError::new(Exit::NoTarget, message).with_help(
            "put it back, with its `-wal`, if it still exists; in any case the same command goes on: what the journal lacks is taken from the targets' ledgers, manifests and inspection",
        ),
        JournalError::NoRoom { .. } => RunnerError::new(Exit::NoTarget, message)
            .with_help("make room on that file system, then run the same command again"),
        JournalError::NoFolder { .. } => RunnerError::new(Exit::NoTarget, message).with_help(
            "look at what lies there and move it away, or name another folder with `--state DIR`; then run the same command again",
        ),
        JournalError::File { source, .. } if is_of_storage(&source) => {
            RunnerError::new(Exit::NoTarget, message).with_help(GO_ON)
        }
        JournalError::File { .. } => no_access(message),
        JournalError::Store { source, .. } if is_access(&source) => no_access(message),
        JournalError::Store { .. } => RunnerError::new(Exit::NoTarget, message).with_help(GO_ON),
    }
}

/// Whether the file is kept from us, rather than broken.
fn is_access(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, PermissionDenied, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | PermissionDenied | ReadOnly))
}

fn no_access(message: String) -> RunnerError {
    RunnerError::new(Exit::NoTarget, message)
        .with_help("check owner and mode of the state folder and of what is in it; it holds no symbolic links")
}
