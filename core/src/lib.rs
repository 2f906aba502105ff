//! The contract of Cutover: what a plan is, what a step promises, what a journal may say.
//!
//! This crate owns the words (plan, phase, step, target, receipt, journal, ledger), the plan compiler, the
//! registry that step crates add themselves to, and the state machine that every journal is folded through.
//! It knows no terminal, no store and no async runtime: those belong to the runner, which lends its services
//! to a step through [`StepContext`].
//!
//! A step author needs three things from here: [`MigrationStep`] (apply, verify, rollback), [`StepKind`]
//! (its persistent name and its typed configuration) and [`register_step!`].

mod context;
mod difference;
mod digest;
pub mod disk;
mod docs;
pub mod duration;
mod error;
mod event;
mod explained;
pub mod fault;
pub mod journal;
mod lint;
mod notify;
pub mod plan;
pub mod process;
mod registry;
pub mod room;
mod seen;
mod shell;
pub mod sql;
mod step;
mod suggest;
mod target;

pub use async_trait::async_trait;
#[doc(hidden)]
pub use inventory;

pub use context::{Host, Progress, StepContext, StepInfo, Targets};
pub use difference::{Difference, differences};
pub use digest::{blake3_hex, canonical_json, token_digest};
pub use docs::{Field, notifier_markdown, step_fields, step_markdown, steps_markdown, target_fields, target_markdown};
pub use error::{StepError, StepErrorKind};
pub use event::{Event, EventKind, Outcome, Reading, StepFigures};
pub use lint::{Finding, Later, Lint, Seen};
pub use notify::{Notice, Notifier, Occasion};
pub use registry::{
    BuildContext, BuildError, BuildNotifier, BuildStep, BuildTarget, ConfigSource, Layer, NotifierDescriptor,
    NotifierKind, Registry, RegistryError, StepDescriptor, StepKind, TargetDescriptor, TargetKind, TargetSpec,
};
pub use seen::TargetSeen;
pub use shell::shell_word;
pub use step::{
    Access, Action, Applied, Change, Checkpoint, Effects, Leftovers, MigrationStep, Receipt, Reference, Reversal,
    Standing, Use, Verdict, Watched,
};
pub use suggest::closest;
pub use target::{
    Assessment, Depth, Fingerprint, Ledger, LedgerEntry, PartPrint, RestoreOptions, Restored, SnapshotFile,
    SnapshotManifest, Target,
};
