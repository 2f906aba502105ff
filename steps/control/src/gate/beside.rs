//! Figures that a step of any kind holds to their bounds while it works.
//!
//! Owns what such a step is asked for, the samples, which are journalled as a gate's are, and the judgement. When one is
//! taken its step says; what comes of a figure that is not what it may be, the plan's `on-failure`.

use cutover_core::journal::{Observed, TriggerAction, Window, WindowSpec};
use cutover_core::{Action, BuildContext, BuildError, Change, Reference, StepContext, StepError};
use schemars::JsonSchema;
use serde::Deserialize;

use super::bounds::{Bounds, Given};
use super::monitor::Monitor;
use super::sampling::{probed, round};
use crate::probe::ProbeConfig;

/// Figures that are looked at while a step works.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BesideConfig {
    /// An earlier step that uses `gate.baseline`, for figures that are compared with one.
    pub baseline: Option<String>,
    /// What is looked at.
    pub figures: Vec<HeldConfig>,
}

/// A figure that is held to its bounds.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldConfig {
    /// What is measured, for people: "thoughts written in a second".
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
}

fn one() -> u32 {
    1
}

/// Holds figures to their bounds while a step works.
#[derive(Debug, Clone)]
pub struct Beside {
    monitors: Vec<Monitor>,
    baseline: Option<String>,
}

impl Beside {
    /// What the table `field` of a step says.
    pub fn build(config: &BesideConfig, field: &str, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let at = |i: usize, key: &str| format!("{field}.figures[{i}].{key}");
        if config.figures.is_empty() {
            return Err(
                BuildError::at(format!("{field}.figures"), "nothing is looked at").with_help("add one figure or more")
            );
        }
        let mut monitors: Vec<Monitor> = Vec::new();
        for (i, held) in config.figures.iter().enumerate() {
            if monitors.iter().any(|monitor| monitor.what == held.what) {
                return Err(BuildError::at(at(i, "what"), format!("`{}` is there twice", held.what))
                    .with_help("figures are told apart by their `what`"));
            }
            if held.strikes == 0 {
                return Err(BuildError::at(at(i, "strikes"), "it would break without a sample")
                    .with_help("take 1 sample or more"));
            }
            let (within, rise, fall) = (held.within.as_deref(), held.rise.as_deref(), held.fall.as_deref());
            let given = Given { min: held.min, max: held.max, within, rise, fall };
            monitors.push(Monitor {
                what: held.what.clone(),
                probe: held.probe.build(&at(i, "probe"), cx)?,
                bounds: Bounds::of(given, &at(i, ""), config.baseline.is_some())?,
                strikes: held.strikes,
                then: TriggerAction::Pause,
                to: None,
            });
        }
        Ok(Self { monitors, baseline: config.baseline.clone() })
    }

    /// What a plan shows of it.
    pub fn describe(&self) -> Vec<Change> {
        let change = |monitor: &Monitor| {
            let bounds = monitor.bounds.shown(monitor.probe.unit());
            Change::new(Action::Check, monitor.what.clone())
                .with_detail(format!("meanwhile: {bounds}: {}", monitor.probe.shown()))
        };
        self.monitors.iter().map(change).collect()
    }

    /// The targets that are read.
    pub fn targets(&self) -> Vec<String> {
        let mut targets: Vec<String> = self.monitors.iter().flat_map(|monitor| monitor.probe.targets()).collect();
        targets.sort();
        targets.dedup();
        targets
    }

    /// The steps that it goes by.
    pub fn refers(&self) -> Vec<Reference> {
        self.baseline.iter().cloned().map(Reference::Earlier).collect()
    }

    /// Takes one sample of everything; an error where a figure is not what it may be, as often in a row as it takes.
    pub async fn sample(&self, cx: &StepContext) -> Result<(), StepError> {
        let window = self.window(cx).await?;
        let (slot, spec) = (window.last_slot().map_or(0, |last| last + 1), window.spec.probes.clone());
        drop(window);
        let probes: Vec<_> = self.monitors.iter().map(|monitor| &monitor.probe).collect();
        let broken = |i: usize, figure: f64| spec.get(i).and_then(|probed| Monitor::broken(probed, figure));
        let (sample, _) = round(cx, &probes, &spec, slot, &broken).await;
        cx.observe(Observed::Sampled(sample)).await?;
        let window = self.window(cx).await?;
        match self.monitors.iter().find_map(|monitor| Some((monitor, monitor.fires(&window)?))) {
            Some((monitor, why)) => Err(StepError::failed(format!("{}: {why}", monitor.what))
                .with_help("find out what the figure says of the system, then run the same command again")),
            None => Ok(()),
        }
    }

    /// The window of the step's samples, opened if it is not yet, with what the figures may be.
    async fn window(&self, cx: &StepContext) -> Result<Window, StepError> {
        if let Some(window) = cx.window().await? {
            return Ok(window);
        }
        let mut probes = Vec::new();
        for monitor in &self.monitors {
            let baseline = monitor.baseline(cx, self.baseline.as_deref()).await?;
            probes.push(probed(&monitor.what, monitor.probe.unit(), monitor.bounds.allowed(baseline), baseline));
        }
        cx.observe(Observed::Opened(WindowSpec { probes, every: None, length: None })).await?;
        // What the journal has counts.
        cx.window().await?.ok_or_else(|| StepError::internal("a window that was opened is not in the journal"))
    }
}
