//! The step kind `sqlite.retain`: rows that are too old or too many go, and a rollback brings them back exactly.
//!
//! Owns the step's face; what it does is `leave`'s.

use std::time::Duration;

use cutover_core::{
    Applied, BuildContext, BuildError, Change, Finding, Layer, MigrationStep, Receipt, Standing, StepContext,
    StepError, StepKind, Use, Verdict, async_trait, fault::Faults, register_step,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::leave::{FAULTS, Leave, RuleConfig, Tuning};

/// Enforces how long rows are kept.
#[derive(Debug, Clone)]
pub(crate) struct Retain(Leave);

/// Configuration of `sqlite.retain`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RetainConfig {
    /// Which rows go, one rule after the other. Each row is written into a file of the state folder and read back before
    /// it is deleted; a rollback puts the file's rows back.
    tables: Vec<RuleConfig>,
    /// When ages are counted from: a date or a time (UTC without an offset). Without it, or with "now", from when the step
    /// begins.
    #[serde(default)]
    as_of: Option<String>,
    /// Rows a batch at most. How many it takes follows from `hold-ms`.
    #[serde(default = "default_batch")]
    #[schemars(range(min = 1))]
    batch: u64,
    /// Milliseconds for which a batch should keep other writers out.
    #[serde(default = "default_hold")]
    #[schemars(range(min = 1))]
    hold_ms: u64,
    /// Seconds that a batch may take; one that takes longer is undone and ends the step for review.
    #[serde(default = "default_seconds")]
    #[schemars(range(min = 1))]
    seconds: u64,
    /// A file, relative to the root, that slows it down, as for `sqlite.backfill`.
    #[serde(default)]
    throttle: Option<String>,
}

pub(crate) fn default_batch() -> u64 {
    10_000
}

pub(crate) fn default_hold() -> u64 {
    25
}

pub(crate) fn default_seconds() -> u64 {
    5
}

/// The tuning of such a step; none of its figures may be 0.
pub(crate) fn tuning(batch: u64, hold: u64, limit: u64, throttle: Option<String>) -> Result<Tuning, BuildError> {
    for (field, value) in [("batch", batch), ("hold-ms", hold), ("seconds", limit)] {
        if value == 0 {
            return Err(
                BuildError::at(field, format!("`{field}` is 0")).with_help("give it at least 1, or leave it out")
            );
        }
    }
    if let Some(path) = &throttle {
        crate::backfill::throttle::check(path)?;
    }
    Ok(Tuning { batch, hold: Duration::from_millis(hold), limit: Duration::from_secs(limit), throttle })
}

register_step!(Retain);

impl StepKind for Retain {
    const KIND: &'static str = "sqlite.retain";
    const SUMMARY: &'static str = "delete rows that are too old or too many, each kept for a rollback first";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"retention\"\nuse = \"sqlite.retain\"\ntarget = \"tier1\"\nwith.tables = [\n  \
        { table = \"health_reports\", by = \"created_at\", older-than = \"180d\", cascade = [\"health_issues\"] },\n  \
        { table = \"conversation_state_snapshots\", by = \"turn_number\", keep = 5, per = [\"session_id\"] },\n]\n";
    const TUNING: &'static [&'static str] = &["batch", "hold-ms", "seconds", "throttle"];
    const FAULTS: Faults = FAULTS;
    type Config = RetainConfig;

    fn build(config: RetainConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        let rules = RuleConfig::all(config.tables, config.as_of.as_deref())?;
        let tuning = tuning(config.batch, config.hold_ms, config.seconds, config.throttle)?;
        Ok(Self(Leave { target, rules, into: None, tuning }))
    }
}

#[async_trait]
impl MigrationStep for Retain {
    fn describe(&self) -> Vec<Change> {
        self.0.describe()
    }

    fn uses(&self) -> Vec<Use> {
        vec![Use::write(&self.0.target)]
    }

    fn ledgered(&self) -> Option<&str> {
        Some(&self.0.target)
    }

    /// It changes no structure.
    async fn lint_on(&self, _cx: &StepContext) -> Result<Option<Vec<Finding>>, StepError> {
        Ok(Some(Vec::new()))
    }

    async fn foresee(&self, cx: &StepContext) -> Result<Vec<String>, StepError> {
        self.0.foresee(cx).await
    }

    async fn inspect(&self, cx: &StepContext) -> Result<Standing, StepError> {
        self.0.inspect(cx).await
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        self.0.apply(cx).await
    }

    async fn verify(&self, cx: &StepContext) -> Result<Verdict, StepError> {
        self.0.verify(cx).await
    }

    async fn rollback(&self, cx: &StepContext, receipt: Option<&Receipt>) -> Result<(), StepError> {
        self.0.rollback(cx, receipt).await
    }
}
