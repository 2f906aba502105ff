//! The records of a journal: intents and outcomes, in the order they became durable.
//!
//! A record is written as JSON: `record` names the variant, `data` holds its fields (adjacent and not internal:
//! numbers of arbitrary precision do not survive the buffering that an internal tag needs).
//!
//! Adding a variant or an optional field keeps the version;
//! anything else raises the journal's version (the store upgrades older ones and refuses newer ones).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Sample, Times, Triggered, WindowSpec};
use crate::{Occasion, Receipt, Reversal, TargetSpec, Use};

/// One record as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// The run that wrote it.
    pub run: String,
    /// That run's epoch.
    pub epoch: u64,
    /// The plan it is about.
    pub plan: String,
    /// What it says.
    pub record: Record,
}

/// What became durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", content = "data", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Record {
    /// A command that writes began.
    RunStarted {
        /// Which.
        command: RunCommand,
        /// Digest of the plan as it was then.
        plan_digest: String,
        /// Login name of the operator.
        operator: String,
        /// Host name.
        host: String,
        /// Process id.
        pid: u32,
        /// Version of this program.
        version: String,
        /// How far it was to go: a step or a phase; none for all of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// What it was bound to: it held when the run began.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        bound_to: Vec<BoundTo>,
    },
    /// A step's condition did not hold.
    StepSkipped {
        /// Step id.
        step: String,
        /// The condition, in words.
        why: String,
        /// Digest of the step whose condition it was: a step that is edited is decided again.
        digest: String,
    },
    /// These skipped steps are decided again when their turn comes: the run was unwound to a point before them, or they
    /// were edited.
    SkipsForgotten {
        /// Step ids.
        steps: Vec<String>,
    },
    /// Durable before the step's first side effect.
    StepStarted {
        /// The step as it is about to run; rollback is made of this.
        step: Arc<StoredStep>,
    },
    /// Durable before the first side effect of any of them: one transaction for all.
    GroupStarted {
        /// The target whose transaction it is.
        target: String,
        /// The members in order.
        members: Vec<GroupMember>,
    },
    /// The group's transaction was undone whole: nothing of it ever happened.
    GroupAborted {
        /// The members that had begun or waited.
        steps: Vec<String>,
    },
    /// What the step is about to write, with what was there before.
    StepIntent {
        /// Step id.
        step: String,
        /// Good enough for a rollback.
        receipt: Receipt,
    },
    /// Applied and verified.
    StepApplied {
        /// Step id.
        step: String,
        /// What it made.
        receipt: Receipt,
        /// True when all was there already.
        already: bool,
        /// Seconds from start to here.
        seconds: f64,
    },
    /// Apply or verify failed.
    StepFailed {
        /// Step id.
        step: String,
        /// What is wrong.
        error: String,
        /// What to do.
        help: Option<String>,
        /// What apply had made, when verify failed.
        receipt: Option<Receipt>,
    },
    /// The step waits for something outside.
    StepWaiting {
        /// Step id.
        step: String,
        /// For what.
        why: String,
    },
    /// The step stopped at a checkpoint on request.
    StepStopped {
        /// Step id.
        step: String,
        /// Where.
        at: String,
    },
    /// A gate begins to look. The step stays what it is.
    WindowOpened {
        /// Step id.
        step: String,
        /// At what, and for how long.
        window: WindowSpec,
    },
    /// A gate looked. The step stays what it is.
    StepSampled {
        /// Step id.
        step: String,
        /// What it saw.
        sample: Sample,
    },
    /// A trigger of a gate fired. The step stays what it is; what follows from it has records of its own.
    StepTriggered {
        /// Step id.
        step: String,
        /// Which, and what the plan does then.
        trigger: Triggered,
    },
    /// A person said that a step may go on, or that it may not. The step stays what it is.
    StepApproved {
        /// Step id.
        step: String,
        /// False: it was rejected.
        approved: bool,
        /// Who says so.
        by: String,
        /// Why.
        note: String,
        /// Digest of the plan that they looked at: of another plan nothing is said.
        plan_digest: String,
    },
    /// Unwinding began, or goes on: these steps, in this order. It stays open, whatever runs come between, until a run
    /// that records this ends otherwise than stuck or interrupted, or until a person decides that one of its steps
    /// stays applied.
    UnwindStarted {
        /// "phase schema", "step x", "start".
        to: String,
        /// Whether a failure (and not the operator) asked for it.
        failure: bool,
        /// The irreversible step before which it has to end, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blocked_by: Option<String>,
        /// Step ids in the order of undoing.
        steps: Vec<String>,
    },
    /// How long it took from a failure, or a trigger, to the end of the way back, and how long the plan allowed.
    BudgetMeasured {
        /// The step that failed, or whose trigger fired.
        step: String,
        /// What it took.
        took: Times,
        /// What the plan allowed then.
        allowed: Times,
    },
    /// The unwinding came to its end and the run goes on: what a failed try of an edited step left is undone.
    UnwindFinished,
    /// Durable before a rollback's first side effect.
    RollbackStarted {
        /// Step id.
        step: String,
    },
    /// The step's effects are gone.
    StepRolledBack {
        /// Step id.
        step: String,
        /// Seconds it took.
        seconds: f64,
    },
    /// The rollback failed: a person is needed.
    RollbackFailed {
        /// Step id.
        step: String,
        /// What is wrong.
        error: String,
        /// What to do.
        help: Option<String>,
        /// What failed it is not the step but the storage, or that its target cannot be used: whichever command comes
        /// next tries again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        again: bool,
    },
    /// A person's claim about a step.
    StepResolved {
        /// Step id.
        step: String,
        /// The claim.
        resolution: Resolution,
        /// Whether inspection and verify proved it; if not, it rests on the operator's word.
        proven: bool,
        /// Why.
        note: String,
        /// What a later rollback gets.
        receipt: Option<Receipt>,
    },
    /// A deliberate edit of an applied step; of a stuck one its rollback is made from then on.
    StepAccepted {
        /// The step as it is now.
        step: Arc<StoredStep>,
        /// Why.
        note: String,
    },
    /// What others did to the structure of targets was accepted: from then on it is what is there.
    StructureAccepted {
        /// Why.
        note: String,
        /// What that was, a line each.
        changes: Vec<String>,
        /// BLAKE3 of the object that says what the targets were then.
        seen: String,
    },
    /// Taken as applied without running: adopted by inspection, or known from a ledger after the journal was lost.
    StepAdopted {
        /// The step.
        step: Arc<StoredStep>,
        /// What a later rollback gets.
        receipt: Receipt,
        /// "inspection" or "ledger".
        source: String,
    },
    /// The store's ledger does not have a step that the journal had as applied: the ledger is the truth.
    StepLost {
        /// Step id.
        step: String,
        /// In words.
        why: String,
    },
    /// Somebody was told of the run, or was not reached. It changes nothing.
    Notified {
        /// The registered kind of the notifier.
        notifier: String,
        /// Of what.
        on: Occasion,
        /// Why it was not reached.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// The command ended.
    RunFinished {
        /// How: the kebab-case name of an outcome.
        outcome: String,
        /// BLAKE3 of the object that says what its targets were then; of a run that changed any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen: Option<String>,
    },
}

/// Commands that write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunCommand {
    /// Forward.
    Apply,
    /// Back.
    Rollback,
    /// `accept`, `resolve`, `baseline`.
    Administer,
}

/// What a run is bound to: a saved plan, or a rehearsal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BoundTo {
    /// Digest of what had to hold.
    pub digest: String,
    /// The saved plan (absolute); none for a rehearsal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<PathBuf>,
}

/// What a person claims of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// It is there.
    Applied,
    /// It is gone.
    RolledBack,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupMember {
    /// The step as it is about to run.
    pub step: Arc<StoredStep>,
}

/// A step as it was when it ran: enough to build it again without the plan file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StoredStep {
    /// Step id.
    pub id: String,
    /// Registered kind.
    pub kind: String,
    /// Phase name.
    pub phase: String,
    /// Its target, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Its unit, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The targets that it touches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<Use>,
    /// What those targets were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<StoredTarget>,
    /// Steps of the same targets that were applied before it although the plan has them after it: it was put in later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overtaken: Vec<String>,
    /// Configuration: variables resolved, secrets not.
    pub config: Value,
    /// The plan's variables then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, Value>,
    /// Plan files by path: BLAKE3 of their stored content.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// How it is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reversal: Option<Reversal>,
    /// Token-wise digest.
    pub digest: String,
    /// SHA-256 of script or configuration.
    pub checksum: String,
}

/// A target as it was when a step ran on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StoredTarget {
    /// As the plan had it.
    pub spec: TargetSpec,
    /// Where the operator had placed it instead, if so (absolute).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<PathBuf>,
}
