//! The step contract: what a step says of itself, and the three things it must do.
//!
//! Owns [`MigrationStep`] and the values that pass between a step and the runner. Knows nothing of how steps
//! are found (see `registry`) or run (the runner's business).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Finding, Later, StepContext, StepError};

/// One verified, reversible change.
///
/// `apply`, `verify` and `rollback` are required. The rest have defaults that promise nothing they cannot hold.
///
/// The rules that the testkit's conformance check holds every kind to:
/// - `describe` is pure: no I/O, the same answer each time.
/// - `apply` and `rollback` are idempotent: a crash may replay either of them.
/// - `rollback` also undoes a partial apply, and tolerates that nothing happened.
/// - a receipt lists only what *this* step made: a column that was there before is not ours to drop.
/// - `inspect` and `verify` are read-only.
#[async_trait]
pub trait MigrationStep: fmt::Debug + Send + Sync {
    /// What apply will change, as data. Plan output is made of it.
    fn describe(&self) -> Vec<Change>;

    /// The targets this step touches. Ordering, locks and rollback points follow from it.
    fn uses(&self) -> Vec<Use> {
        Vec::new()
    }

    /// How this step is undone.
    fn reversal(&self) -> Reversal {
        Reversal::Inverse
    }

    /// Whether all effects stay inside the targets and the root.
    fn effects(&self) -> Effects {
        Effects::Contained
    }

    /// Whether a rehearsal runs it on a copy of the system: by default where all effects stay inside.
    fn rehearsable(&self) -> bool {
        self.effects() == Effects::Contained
    }

    /// The target in whose single transaction the whole of apply happens, if there is one.
    ///
    /// Adjacent steps that name the same target run, and are verified, inside one transaction.
    fn transactional(&self) -> Option<&str> {
        None
    }

    /// The target in whose ledger this step has a row once it is applied; by default the one of
    /// [`transactional`](Self::transactional). A row that is missing tells that the target was put back.
    fn ledgered(&self) -> Option<&str> {
        self.transactional()
    }

    /// Ids of earlier steps whose effect this one undoes by design (thaw after freeze, contract after expand).
    fn supersedes(&self) -> Vec<String> {
        Vec::new()
    }

    /// What else of the plan this step goes by; compile refuses a reference to nothing.
    fn refers(&self) -> Vec<Reference> {
        Vec::new()
    }

    /// What a person is asked before it lets the run pass; `approve` answers. None: it asks nobody.
    fn asks(&self) -> Option<String> {
        None
    }

    /// Looks again at what it waits for, without the run that it holds up: `watch` calls it as long as the step waits. None:
    /// there is nothing to look at in the meantime. It may journal what it [observed](StepContext::observe), and nothing
    /// else.
    async fn watch(&self, cx: &StepContext) -> Result<Option<Watched>, StepError> {
        let _ = cx;
        Ok(None)
    }

    /// The targets that this step takes a snapshot of, which later steps are undone by restoring.
    fn snapshots(&self) -> Vec<String> {
        Vec::new()
    }

    /// Folders that are its own, relative to the root: what it keeps there is told by the folder alone, so no other step of
    /// the plan may keep anything in them, over them or below them.
    fn folders(&self) -> Vec<String> {
        Vec::new()
    }

    /// Bytes that the ledger's SHA-256 `checksum` is taken of: the script for scripts; by default the configuration.
    fn checksum_source(&self) -> Option<Vec<u8>> {
        None
    }

    /// What is doubtful about the step by its text and by those that come after it in the plan; `check` and `plan` show it.
    /// Pure.
    fn lint(&self, later: &[Later]) -> Vec<Finding> {
        let _ = later;
        Vec::new()
    }

    /// What is doubtful about it on its targets as they will be by then: asked in plan order of each step that is to be
    /// applied, on a copy of their structure that the step is to move on. None: the step does not know how. Read-only.
    async fn lint_on(&self, cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        let _ = cx;
        Ok(None)
    }

    /// What it would come to on the targets as they are at this moment, in lines for people; `plan` shows them. Read-only.
    async fn foresee(&self, cx: &StepContext) -> Result<Vec<String>, StepError> {
        let _ = cx;
        Ok(Vec::new())
    }

    /// Where the world stands with regard to this step. Read-only.
    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        let _ = cx;
        Ok(Standing::Unknown)
    }

    /// What apply made, found again in what it left behind (a manifest, say): for a journal that was lost. None where
    /// nothing tells; a rollback then undoes nothing. Read-only; asked only when inspection says that it is applied.
    async fn recover(&self, cx: &StepContext) -> Result<Option<Receipt>, StepError> {
        let _ = cx;
        Ok(None)
    }

    /// What earlier applies of the context's step left: `prune` offers what of it no rollback needs. Read-only.
    async fn leftovers(&self, cx: &StepContext) -> Result<Leftovers, StepError> {
        let _ = cx;
        Ok(Leftovers::default())
    }

    /// Makes the change. Idempotent.
    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError>;

    /// Proves that the change is there. Read-only.
    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError>;

    /// Undoes the change, given what apply said it made (or intended to make). Idempotent.
    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError>;
}

/// One line of a plan: an object and what happens to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What happens.
    pub action: Action,
    /// The object, in the target's own words: "table health_reports", "index idx_a on t(a, b)".
    pub object: String,
    /// More for the reader: columns, row counts, a command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Change {
    /// A change of `object`.
    pub fn new(action: Action, object: impl Into<String>) -> Self {
        Self { action, object: object.into(), detail: None }
    }

    /// Adds a detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is made: shown as `+`.
    Create,
    /// It is changed in place: shown as `~`.
    Alter,
    /// It is taken away or set aside: shown as `-`.
    Remove,
    /// It is only looked at: shown as `?`.
    Check,
    /// A program outside runs: shown as `!`.
    Run,
}

impl Action {
    /// The one-character mark in plan output.
    pub fn mark(self) -> char {
        match self {
            Action::Create => '+',
            Action::Alter => '~',
            Action::Remove => '-',
            Action::Check => '?',
            Action::Run => '!',
        }
    }
}

/// A target that a step touches, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Use {
    /// The target's name in the plan.
    pub target: String,
    /// Read or write.
    pub access: Access,
}

impl Use {
    /// The step only reads `target`.
    pub fn read(target: impl Into<String>) -> Self {
        Self { target: target.into(), access: Access::Read }
    }

    /// The step writes `target`.
    pub fn write(target: impl Into<String>) -> Self {
        Self { target: target.into(), access: Access::Write }
    }
}

/// How a target is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Only looked at.
    Read,
    /// Changed.
    Write,
}

/// How a step is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reversal {
    /// By the step's own rollback: what others wrote since stays.
    Inverse,
    /// By restoring the named target from the snapshot taken before the step.
    Restore(String),
    /// Not at all; the plan must say why that is accepted.
    Irreversible,
}

/// Where a step's effects end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effects {
    /// In the targets and the root.
    Contained,
    /// Beyond them: commands, mail, networks. A rehearsal does not run such a step.
    External,
}

/// Something of the plan that a step goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// An earlier step, by its id: its receipt is read.
    Earlier(String),
    /// A point that a rollback may go to: an earlier step, an earlier phase or `start`.
    Point(String),
}

/// What a look at a waiting step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// It waits still.
    Waits {
        /// For what, and how far it has come.
        why: String,
        /// When there is something to look at again.
        again: jiff::Timestamp,
    },
    /// It waits no longer: the run goes on, or fails, by `apply`.
    Settled(String),
}

/// Where the world stands with regard to a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The step cannot tell by looking.
    Unknown,
    /// Nothing of it is there.
    Pending,
    /// All of it is there.
    Applied,
    /// Some of it is there.
    Partial(String),
    /// Something is in its way; the text names the object and the remedy.
    Conflict(String),
}

/// What apply came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied {
    /// It changed something; the receipt says what.
    Changed(Receipt),
    /// All was there already; the receipt lists what of it is ours (often nothing).
    AlreadyApplied(Receipt),
    /// It cannot go on yet, for this reason. The run ends as *waiting* and the same command comes back.
    Waiting(String),
    /// It stopped at a checkpoint because a stop was requested; what is done so far is durable.
    Stopped(Checkpoint),
}

/// Where a stopped step will go on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// For people: "4500 of 12000 rows".
    pub at: String,
}

/// What verify found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The change is there.
    Holds,
    /// It is not, or not as declared: one line per difference.
    Broken(Vec<String>),
    /// A later step (named) has undone it by design.
    Superseded(String),
}

/// What earlier applies of a step left, and no rollback needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// What one of them is: "an earlier set of snapshots".
    pub what: &'static str,
    /// How many of them stay, the newest; none: as many as `prune --keep` says.
    pub keep: Option<usize>,
    /// Files and folders, each with a number that says which came later. What has the same number stays or goes together.
    pub found: Vec<(u64, PathBuf)>,
}

/// What apply made, and only that; what rollback is given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The step kind's own document.
    pub body: Value,
    /// Rows written, where that has a meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Bytes written, where that has a meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Lines for people: what was moved, defaulted, kept or dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What a program of the step wrote into targets, by target, as
    /// [`Target::changes_since`](crate::Target::changes_since) says it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wrote: BTreeMap<String, Value>,
}

impl Receipt {
    /// A receipt whose body is `value`.
    pub fn of(value: &impl Serialize) -> Result<Self, StepError> {
        let body = serde_json::to_value(value)
            .map_err(|e| StepError::internal("a receipt could not be written as JSON").caused_by(e))?;
        Ok(Self { body, ..Self::default() })
    }

    /// An empty receipt: this step made nothing.
    pub fn nothing() -> Self {
        Self { body: Value::Null, ..Self::default() }
    }

    /// Adds the number of rows written.
    #[must_use]
    pub fn with_rows(mut self, rows: u64) -> Self {
        self.rows = Some(rows);
        self
    }

    /// Adds the number of bytes written.
    #[must_use]
    pub fn with_bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// Adds a line for people.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The body as the kind's own type. A receipt of another shape is an internal error that says so.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        T::deserialize(&self.body).map_err(|e| StepError::internal("a receipt has an unknown shape").caused_by(e))
    }
}
