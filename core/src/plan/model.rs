//! The compiled plan: what the executor walks and what `plan` prints.
//!
//! Owns data only; made by the compiler, never changed afterwards.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{PlanNotifier, Risk};
use crate::journal::Times;
use crate::{Finding, Layer, MigrationStep, TargetSpec};

/// A plan that passed all three passes of the compiler.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its persistent name; with a step's id it is the identity in journals and ledgers.
    pub name: String,
    /// One sentence.
    pub summary: Option<String>,
    /// What happens when a step fails.
    pub on_failure: OnFailure,
    /// Variables, overrides applied.
    pub vars: BTreeMap<String, Value>,
    /// Targets by name.
    pub targets: BTreeMap<String, TargetSpec>,
    /// What may go wrong, in the plan's order.
    pub risks: Vec<Risk>,
    /// How long people and the way back may take when something goes wrong.
    pub budget: Option<Times>,
    /// Who is told of what.
    pub notify: Vec<PlanNotifier>,
    /// Phases in order.
    pub phases: Vec<Phase>,
    /// What is doubtful by the text alone and not allowed, in plan order.
    pub warnings: Vec<Warning>,
    /// Values that must never be shown (from `${env.NAME}`).
    pub secrets: Vec<String>,
    /// Token-wise digest of the whole plan.
    pub digest: String,
}

/// An ordered part of a plan; its end is a rollback point.
#[derive(Debug, Clone)]
pub struct Phase {
    /// Its name, unique in the plan.
    pub name: String,
    /// One sentence.
    pub summary: Option<String>,
    /// The layer that it works on.
    pub layer: Layer,
    /// Its steps in file order.
    pub steps: Vec<PlanStep>,
}

/// What is doubtful about a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The step's id.
    pub step: String,
    /// Where the plan file names the step's kind: the place of a finding that has none of its own.
    pub in_plan: Range<usize>,
    /// What it is.
    pub finding: Finding,
}

/// One step of a plan, built.
#[derive(Debug, Clone)]
pub struct PlanStep {
    /// Its id, unique in the plan.
    pub id: String,
    /// The registered kind (never an alias).
    pub kind: String,
    /// One sentence from the plan's author.
    pub summary: Option<String>,
    /// Its `target`, if it has one.
    pub target: Option<String>,
    /// When it applies at all.
    pub when: Option<Condition>,
    /// Ids that must be done before: declared ones and those that follow from shared targets. Sorted.
    pub needs: Vec<String>,
    /// Steps of one unit unwind only as a whole.
    pub unit: Option<String>,
    /// False: not inside a transaction shared with other steps.
    pub atomic: bool,
    /// Why it is accepted that this step cannot be undone.
    pub irreversible: Option<String>,
    /// Ids of earlier steps that this one undoes by design.
    pub supersedes: Vec<String>,
    /// Codes of warnings that are accepted here.
    pub allow: Vec<String>,
    /// Where the plan file names its kind, in bytes.
    pub in_plan: Range<usize>,
    /// Its configuration: variables resolved, secrets not.
    pub config: Value,
    /// The plan's files that it reads.
    pub files: BTreeMap<String, Arc<[u8]>>,
    /// Token-wise digest of kind, target, configuration (without tuning) and files; BLAKE3, hex.
    pub digest: String,
    /// SHA-256 of the script or of the configuration, hex.
    pub checksum: String,
    /// The step itself.
    pub step: Arc<dyn MigrationStep>,
}

/// When a step applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The target that is looked at.
    pub target: String,
    /// All of these facts hold.
    pub has: Vec<String>,
    /// None of these facts holds.
    pub lacks: Vec<String>,
}

/// What happens when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Only the failed step (with its unit) is undone.
    RollbackStep,
    /// Its phase is undone.
    #[default]
    RollbackPhase,
    /// Everything is undone.
    RollbackAll,
    /// Nothing is undone; the next command is printed.
    Pause,
}

impl OnFailure {
    /// All, by the name used in plans.
    pub const ALL: &'static [(&'static str, OnFailure)] = &[
        ("rollback-step", OnFailure::RollbackStep),
        ("rollback-phase", OnFailure::RollbackPhase),
        ("rollback-all", OnFailure::RollbackAll),
        ("pause", OnFailure::Pause),
    ];

    /// The name used in plans.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, policy)| *policy == self).map_or("", |(name, _)| name)
    }
}

impl Plan {
    /// Every step in plan order, with the index of its phase.
    pub fn steps(&self) -> impl Iterator<Item = (usize, &PlanStep)> {
        self.phases.iter().enumerate().flat_map(|(i, p)| p.steps.iter().map(move |s| (i, s)))
    }

    /// The step of that id.
    pub fn step(&self, id: &str) -> Option<&PlanStep> {
        self.steps().map(|(_, s)| s).find(|s| s.id == id)
    }
}
