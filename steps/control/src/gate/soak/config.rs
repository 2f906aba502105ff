//! What `gate.soak` is asked to do.

use cutover_core::journal::TriggerAction;
use cutover_core::{BuildContext, BuildError};
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::bounds::{Bounds, Given};
use super::super::monitor::Monitor;
use crate::probe::ProbeConfig;

/// Configuration of `gate.soak`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SoakConfig {
    /// How long the figures have to hold: "7d".
    pub window: String,
    /// How often they are looked at.
    #[serde(default = "one_hour")]
    pub every: String,
    /// How many percent of the samples must have been taken when it passes; it goes on until they are.
    #[serde(default = "most")]
    pub coverage: f64,
    /// `apply` itself waits for a window that is no longer than this; for others it comes back as waiting (103).
    #[serde(default = "ten_seconds")]
    pub patience: String,
    /// An earlier step that uses `gate.baseline`, for monitors that compare with one.
    pub baseline: Option<String>,
    /// What is looked at.
    pub monitors: Vec<MonitorConfig>,
}

/// A figure that is watched, and what happens when it is not what it may be.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MonitorConfig {
    /// What is measured, for people: "failed plugin executions".
    pub what: String,
    /// Where the figure comes from.
    pub probe: ProbeConfig,
    /// The figure may be this or more.
    pub min: Option<f64>,
    /// The figure may be this or less.
    pub max: Option<f64>,
    /// How far from the baseline's median on either side: "10%" of it, or "15" in the figure's unit.
    pub within: Option<String>,
    /// How far above the baseline's median.
    pub rise: Option<String>,
    /// How far below the baseline's median.
    pub fall: Option<String>,
    /// How many samples in a row have to break it; a probe that gives no figure breaks it too.
    #[serde(default = "one")]
    pub strikes: u32,
    /// What happens then: the operator is told, the run pauses, or it rolls back to the point `to`.
    #[serde(default)]
    pub then: Then,
    /// The step, phase or `start` that `then = "rollback"` goes back to; what came after it is undone.
    pub to: Option<String>,
}

/// What happens when a figure is not what it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// The operator is told, and the window goes on.
    Warn,
    /// The run stops there; nothing is undone.
    #[default]
    Pause,
    /// The run rolls back to a point.
    Rollback,
}

fn one_hour() -> String {
    "1h".to_owned()
}

fn ten_seconds() -> String {
    "10s".to_owned()
}

fn most() -> f64 {
    90.0
}

fn one() -> u32 {
    1
}

impl SoakConfig {
    /// The monitors, each with its probe.
    pub(super) fn monitors(&self, cx: &BuildContext<'_>) -> Result<Vec<Monitor>, BuildError> {
        if self.monitors.is_empty() {
            return Err(BuildError::at("monitors", "nothing is watched").with_help("add one monitor or more"));
        }
        let mut monitors: Vec<Monitor> = Vec::new();
        for (i, config) in self.monitors.iter().enumerate() {
            let at = |field: &str| format!("monitors[{i}].{field}");
            if monitors.iter().any(|monitor| monitor.what == config.what) {
                return Err(BuildError::at(at("what"), format!("`{}` is there twice", config.what))
                    .with_help("monitors are told apart by their `what`"));
            }
            if config.strikes == 0 {
                return Err(
                    BuildError::at(at("strikes"), "it would fire without a sample").with_help("take 1 sample or more")
                );
            }
            if (config.then == Then::Rollback) != config.to.is_some() {
                return Err(BuildError::at(at("then"), "`then = \"rollback\"` and `to` go together")
                    .with_help("name the point that it goes back to: a step, a phase or `start`"));
            }
            let (within, rise, fall) = (config.within.as_deref(), config.rise.as_deref(), config.fall.as_deref());
            let given = Given { min: config.min, max: config.max, within, rise, fall };
            let then = match config.then {
                Then::Warn => TriggerAction::Warn,
                Then::Pause => TriggerAction::Pause,
                Then::Rollback => TriggerAction::Rollback,
            };
            monitors.push(Monitor {
                what: config.what.clone(),
                probe: config.probe.build(&at("probe"), cx)?,
                bounds: Bounds::of(given, &at(""), self.baseline.is_some())?,
                strikes: config.strikes,
                then,
                to: config.to.clone(),
            });
        }
        Ok(monitors)
    }
}
