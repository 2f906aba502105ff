//! The step kind `sqlite.archive`: rows that are too old or too many move into a packed file, from which they load again.
//!
//! Owns the step's face; what it does is `leave`'s.

use std::path::{Component, Path};

use cutover_core::{BuildContext, BuildError, Layer, StepKind, fault::Faults, register_step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::backfill::rhythm::Tuning;
use crate::leave::{FAULTS, Face, Leave, Leaving, RuleConfig};
use crate::retain::{default_batch, default_hold, default_seconds};

/// Archives rows.
#[derive(Debug)]
pub(crate) struct Archive;

impl Face for Archive {}

/// Configuration of `sqlite.archive`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ArchiveConfig {
    /// The file, relative to the root: SQL packed with zstd. `zstd -dc FILE | sqlite3 DATABASE` puts its rows back by
    /// hand. A file of another origin there is a conflict; an older archive of this very step is kept as
    /// `NAME.earlier`. A rollback puts the rows back and keeps the file as `NAME.rolled-back`.
    into: String,
    /// Which rows go, one rule after the other. Each row is written into the file and read back before it is deleted.
    tables: Vec<RuleConfig>,
    /// When ages are counted from: a date or a time (UTC without an offset). Without it, or with "now", from when the step
    /// begins.
    #[serde(default)]
    as_of: Option<String>,
    /// Rows a batch at most, of which each is packed by itself. How many it takes follows from `hold-ms`.
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

register_step!(Leaving<Archive>);

impl StepKind for Leaving<Archive> {
    const KIND: &'static str = "sqlite.archive";
    const SUMMARY: &'static str = "move old rows into a zstd file, read back before anything is deleted";
    const LAYERS: &'static [Layer] = &[Layer::Storage];
    const EXAMPLE: &'static str = "id = \"archive\"\nuse = \"sqlite.archive\"\ntarget = \"tier1\"\n\
        with.into = \"archive/denied.sql.zst\"\nwith.tables = [\n  \
        { table = \"boundary_events\", by = \"occurred_at\", older-than = \"90d\", where = \"allowed = 0\" },\n]\n";
    const TUNING: &'static [&'static str] = &["batch", "hold-ms", "seconds", "throttle"];
    const FAULTS: Faults = FAULTS;
    type Config = ArchiveConfig;

    fn build(config: ArchiveConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target_of("sqlite")?;
        let path = Path::new(&config.into);
        let plain = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !plain || path.file_name().is_none() {
            return Err(BuildError::at("into", format!("`{}` is not a path inside the root", config.into))
                .with_help("write it relative to the root and without `..`"));
        }
        let rules = RuleConfig::all(config.tables, config.as_of.as_deref())?;
        let tuning = Tuning::of(config.batch, config.hold_ms, config.seconds, config.throttle)?;
        Ok(Self::new(Leave { target, rules, into: Some(config.into), tuning }))
    }
}
