//! Notices: what people elsewhere are told of a run, and the trait of whoever brings it to them.
//!
//! Owns the contract. A notifier is told after the journal, and only told: what becomes of it never changes a run.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::StepError;

/// Why somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    /// A phase came to its end: all its steps are applied.
    Milestone,
    /// The run waits for something outside; it is told once, not at each look.
    Waiting,
    /// A step failed, or its rollback did.
    Failed,
    /// What was applied was undone.
    RolledBack,
}

impl Occasion {
    /// All, by the name used in plans.
    pub const ALL: &'static [(&'static str, Occasion)] = &[
        ("milestone", Occasion::Milestone),
        ("waiting", Occasion::Waiting),
        ("failed", Occasion::Failed),
        ("rolled-back", Occasion::RolledBack),
    ];

    /// The name used in plans.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, occasion)| *occasion == self).map_or("", |(name, _)| name)
    }
}

/// What is told. No secret of the plan is in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Notice {
    /// Of this document: 1.
    pub version: u32,
    /// Why it is told.
    pub on: Occasion,
    /// When, RFC 3339, UTC.
    pub at: String,
    /// The plan's name.
    pub plan: String,
    /// The run's id.
    pub run: String,
    /// Where it runs.
    pub host: String,
    /// All of it in one sentence.
    pub text: String,
    /// The phase that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The steps that it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    /// What is wrong, or what is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The next command, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Brings notices to people. It is called on a thread of its own, may block, and has to end by its own time limit.
pub trait Notifier: fmt::Debug + Send + Sync {
    /// Brings this notice; `root` is where relative paths begin.
    fn tell(&self, notice: &Notice, root: &Path) -> Result<(), StepError>;
}
