//! What an author of a step kind or target kind writes: its persistent name, its words for people, its typed
//! configuration. Knows nothing of how kinds are collected and found: that is `descriptor` and [`Registry`](crate::Registry).

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BuildContext, BuildError, Layer};
use crate::fault::Faults;
use crate::{Lint, MigrationStep, Notifier, Target};

/// A step type with its persistent name and its typed configuration. Register it with [`register_step!`](crate::register_step).
pub trait StepKind: MigrationStep + Sized + 'static {
    /// The persistent name: "sqlite.script". Alias it, never rename it.
    const KIND: &'static str;
    /// Older names under which plans may still use it.
    const ALIASES: &'static [&'static str] = &[];
    /// One sentence for listings.
    const SUMMARY: &'static str;
    /// The layers it serves.
    const LAYERS: &'static [Layer] = Layer::ALL;
    /// A whole `[[phase.step]]` table in TOML, without the header line; it must compile.
    const EXAMPLE: &'static str;
    /// Fields of the configuration that only tune (batch, timeout, window) and are not part of the digest.
    const TUNING: &'static [&'static str] = &[];
    /// The failpoints between its side effects; it calls [`point`](crate::fault::point) at each.
    const FAULTS: Faults = Faults::NONE;
    /// The warnings that its [`lint`](MigrationStep::lint) and [`lint_on`](MigrationStep::lint_on) may give.
    const LINTS: &'static [Lint] = &[];
    /// The `with` table. Use `#[serde(deny_unknown_fields)]`; field docs become the user's documentation.
    type Config: DeserializeOwned + JsonSchema;

    /// Makes the step. All that can be checked without a target is checked here.
    fn build(config: Self::Config, cx: &BuildContext<'_>) -> Result<Self, BuildError>;
}

/// A target type with its persistent name and its typed configuration. Register it with [`register_target!`](crate::register_target).
pub trait TargetKind: Target + Sized + 'static {
    /// The persistent name: "sqlite".
    const KIND: &'static str;
    /// One sentence for listings.
    const SUMMARY: &'static str;
    /// A whole `[targets.NAME]` table in TOML, without the header line.
    const EXAMPLE: &'static str;
    /// The facts that [`Target::holds`] answers: "table:NAME".
    const FACTS: &'static [&'static str];
    /// The failpoints of a snapshot and of a restore.
    const FAULTS: Faults = Faults::NONE;
    /// The target's `with` table.
    type Config: DeserializeOwned + JsonSchema;

    /// The paths (relative to the root) that belong to the target; no other target may claim one of them, a folder
    /// above or a file below. By default its `path`.
    fn claims(config: &Self::Config, spec: &TargetSpec) -> Vec<String> {
        let _ = config;
        vec![spec.path.clone()]
    }

    /// Makes the target. Opens nothing yet.
    fn build(config: Self::Config, spec: &TargetSpec, path: PathBuf) -> Result<Self, BuildError>;
}

/// A way to tell people, with its persistent name and its typed configuration. Register it with [`register_notifier!`](crate::register_notifier).
pub trait NotifierKind: Notifier + Sized + 'static {
    /// The persistent name: "notify.webhook".
    const KIND: &'static str;
    /// One sentence for listings.
    const SUMMARY: &'static str;
    /// A whole `[[notify]]` table in TOML, without the header line; it must compile.
    const EXAMPLE: &'static str;
    /// Fields of the configuration that hold a secret: a plan that writes one out, and does not take it from
    /// `${env.NAME}`, is refused.
    const SECRETS: &'static [&'static str] = &[];
    /// The `with` table. Use `#[serde(deny_unknown_fields)]`; field docs become the user's documentation.
    type Config: DeserializeOwned + JsonSchema;

    /// Makes the notifier. All that can be checked without telling anybody is checked here.
    fn build(config: Self::Config, cx: &BuildContext<'_>) -> Result<Self, BuildError>;
}

/// A target as the plan declares it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetSpec {
    /// Its name in the plan.
    pub name: String,
    /// Its registered kind.
    pub kind: String,
    /// Its path relative to the root, as written.
    pub path: String,
    /// The name of its ledger table, where the kind keeps one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<String>,
    /// The kind's own configuration.
    #[serde(default)]
    pub config: Value,
}
