//! What `target.assess` is asked to do.
//!
//! Owns the keys of its configuration and what is refused about them before anything runs.

use std::collections::BTreeMap;

use cutover_core::{BuildContext, BuildError};
use schemars::JsonSchema;
use serde::Deserialize;

/// What is assessed, and where the artifact goes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AssessConfig {
    /// The targets, by name.
    pub targets: Vec<String>,
    /// Counts that the artifact will show, by what they count.
    #[serde(default)]
    pub counts: BTreeMap<String, CountConfig>,
    /// Free space needed on the root's file system, as a multiple of the targets' size.
    #[serde(default = "twice")]
    pub free_space: f64,
    /// Commands that print a version, as argument lists; no shell. The first line of output is kept.
    #[serde(default)]
    pub versions: BTreeMap<String, Vec<String>>,
    /// Folder of the artifact, relative to the root. The artifact also estimates the seconds of each step of the plan,
    /// says what each figure rests on (`basis`, explained in its `legend`), and gives none for a program.
    #[serde(default = "here")]
    pub into: String,
}

/// A number measured in a target.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CountConfig {
    /// The target, by name.
    pub target: String,
    /// A scalar in the target's own language: an SQL query, say.
    pub measure: String,
    /// A fact without which the count is left out: "table:conversations".
    pub has: Option<String>,
}

fn twice() -> f64 {
    2.0
}

fn here() -> String {
    ".".to_owned()
}

impl AssessConfig {
    /// Refuses what can be known to be wrong from the plan alone.
    pub(super) fn check(&self, cx: &BuildContext<'_>) -> Result<(), BuildError> {
        if self.targets.is_empty() {
            return Err(BuildError::at("targets", "no target is named").with_help("name at least one target"));
        }
        for (i, name) in self.targets.iter().enumerate() {
            cx.known_target(name, None, &format!("targets[{i}]"))?;
        }
        for (what, count) in &self.counts {
            cx.known_target(&count.target, None, &format!("counts.{what}.target"))?;
        }
        if !(self.free_space.is_finite() && self.free_space >= 0.0) {
            return Err(BuildError::at("free-space", "a multiple of the targets' size is a number from 0 on"));
        }
        for (name, argv) in &self.versions {
            if argv.first().is_none_or(String::is_empty) {
                return Err(BuildError::at(format!("versions.{name}"), "an empty command")
                    .with_help("a command is a list: [\"python3\", \"--version\"]"));
            }
        }
        Ok(())
    }
}
