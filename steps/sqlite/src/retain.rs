//! The step kind `sqlite.retain`: rows that are too old or too many go, and a rollback brings them back exactly.
//!
//! Owns the step's face; what it does is `leave`'s.

use cutover_core::{BuildContext, BuildError, Layer, StepKind, fault::Faults, register_step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::backfill::rhythm::Tuning;
use crate::leave::{FAULTS, Face, Leave, Leaving, RuleConfig};

/// Enforces how long rows are kept.
#[derive(Debug)]
pub(crate) struct Retain;

impl Face for Retain {}

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

register_step!(Leaving<Retain>);

impl StepKind for Leaving<Retain> {
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
        let tuning = Tuning::of(config.batch, config.hold_ms, config.seconds, config.throttle)?;
        Ok(Self::new(Leave { target, rules, into: None, tuning }))
    }
}
