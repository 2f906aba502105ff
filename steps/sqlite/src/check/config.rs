//! The configuration of `sqlite.check`, and what of it can be judged without a database.

use std::collections::BTreeMap;

use cutover_core::{BuildError, TargetKind};
use schemars::JsonSchema;
use serde::Deserialize;

use super::health::Scope;
use super::measure::{Latency, Scalar};
use crate::SqliteTarget;

/// Configuration of `sqlite.check`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct CheckConfig {
    /// Tables that must be there, each with columns that it must have.
    pub(super) tables: BTreeMap<String, Vec<String>>,
    /// A file of CREATE TABLE and CREATE INDEX statements, relative to the plan: each object must be there as defined.
    pub(super) schema: Option<String>,
    /// Indexes that must be there.
    pub(super) indexes: Vec<String>,
    /// Queries whose value must be as expected.
    pub(super) scalars: Vec<Scalar>,
    /// Whether SQLite's integrity check must find nothing.
    pub(super) integrity: bool,
    /// Whether there must be no foreign-key violation.
    pub(super) foreign_keys: bool,
    /// Full-text tables whose index must fit their content.
    pub(super) fts: Vec<String>,
    /// Queries that must be fast.
    pub(super) latency: Vec<Latency>,
    /// Seconds that one run of a query of `scalars` or `latency` may take; it is stopped then, and the check fails.
    #[serde(default = "default_seconds")]
    #[schemars(range(min = 1))]
    pub(super) seconds: u64,
    /// Records what `integrity`, `foreign-keys` and `fts` find, and fails on none of it.
    pub(super) take_baseline: bool,
    /// The id of an earlier step with `take-baseline`: only what it did not record is a failure.
    pub(super) baseline: Option<String>,
    /// Sets of facts ("table:NAME", "column:TABLE.NAME", "empty"), one of which must hold before the plan writes
    /// anything: the schemas that the plan knows.
    pub(super) any_of: Vec<Vec<String>>,
}

fn default_seconds() -> u64 {
    60
}

/// What becomes of the things that may be wrong already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Baseline {
    /// Each is a failure.
    None,
    /// They are recorded and never a failure.
    Take,
    /// Only what the named step did not record is a failure.
    Since(String),
}

impl CheckConfig {
    /// What becomes of a baseline, after all that contradicts itself was refused.
    pub(super) fn judged(&self, scope: &Scope) -> Result<Baseline, BuildError> {
        let (field, baseline) = match (self.take_baseline, &self.baseline) {
            (true, Some(_)) => {
                return Err(BuildError::at("baseline", "`take-baseline` and `baseline` are both given")
                    .with_help("keep one of them"));
            }
            (true, None) => ("take-baseline", Baseline::Take),
            (false, Some(step)) => ("baseline", Baseline::Since(step.clone())),
            (false, None) => ("", Baseline::None),
        };
        if baseline != Baseline::None && scope.is_empty() {
            return Err(BuildError::at(field, "a baseline is of nothing here")
                .with_help("add `integrity = true`, `foreign-keys = true` or `fts = [...]`"));
        }
        if self.seconds == 0 {
            return Err(BuildError::at("seconds", "`seconds` is 0").with_help("give it at least 1"));
        }
        for (i, scalar) in self.scalars.iter().enumerate() {
            scalar.check_config(&format!("scalars[{i}]"))?;
        }
        for (i, latency) in self.latency.iter().enumerate() {
            latency.check_config(&format!("latency[{i}]"))?;
        }
        for (i, facts) in self.any_of.iter().enumerate() {
            known_facts(&format!("any-of[{i}]"), facts)?;
        }
        Ok(baseline)
    }
}

fn known_facts(field: &str, facts: &[String]) -> Result<(), BuildError> {
    let forms = <SqliteTarget as TargetKind>::FACTS;
    let form = |f: &str| f.split_once(':').map_or(f.to_owned(), |(kind, _)| format!("{kind}:"));
    match facts.iter().find(|fact| !forms.iter().any(|known| form(known) == form(fact))) {
        Some(fact) => Err(BuildError::at(field, format!("`{fact}` is no fact of a SQLite target"))
            .with_help(format!("one of {}", forms.join(", ")))),
        None if facts.is_empty() => {
            Err(BuildError::at(field, "a set without facts holds always").with_help("name a fact, or remove the set"))
        }
        None => Ok(()),
    }
}
