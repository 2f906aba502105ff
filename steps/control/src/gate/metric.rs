//! The step kind `gate.metric`: lets a run pass when a figure is what it may be.
//!
//! Owns the taking of samples and the judgement. Where a figure comes from is the probe's; what it may be, the bounds'.
//! Writes nothing.

use std::time::Duration;

use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, MigrationStep, Receipt, Reference, StepContext,
    StepError, StepKind, Use, Verdict, async_trait, fault, fault::Faults, register_step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::baseline::Baseline;
use super::bounds::{Allowed, Bounds, Given};
use super::figures::{Figures, Statistic, shown};
use super::pause;
use super::sampling::{Sampling, Taken, probed};
use crate::probe::{Asked, ProbeConfig};

/// Holds a figure to its bounds.
#[derive(Debug, Clone)]
pub struct GateMetric {
    what: String,
    probe: Asked,
    bounds: Bounds,
    baseline: Option<String>,
    of: Statistic,
    samples: u32,
    every: Duration,
}

/// Configuration of `gate.metric`: `min`, `max`, or a distance from a baseline.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricConfig {
    /// What is measured, for people: "failed plugin executions".
    pub what: String,
    /// Where the figure comes from.
    pub probe: ProbeConfig,
    /// The figure may be this or more.
    pub min: Option<f64>,
    /// The figure may be this or less.
    pub max: Option<f64>,
    /// An earlier step that uses `gate.baseline`: the figure is compared with what that found of the same `what`, its p95
    /// where `of = "p95"`, its mean where `of = "mean"`, else its median.
    pub baseline: Option<String>,
    /// How far from the baseline on either side: "10%" of it, or "15" in the figure's unit.
    pub within: Option<String>,
    /// How far above the baseline.
    pub rise: Option<String>,
    /// How far below the baseline.
    pub fall: Option<String>,
    /// What of the samples is held to the bounds.
    #[serde(default)]
    pub of: Statistic,
    /// How many samples are taken.
    #[serde(default = "one")]
    pub samples: u32,
    /// Time between two samples.
    #[serde(default = "one_second")]
    pub every: String,
}

fn one() -> u32 {
    1
}

fn one_second() -> String {
    "1s".to_owned()
}

/// What a gate looked at and what it found.
#[derive(Debug, Serialize, Deserialize)]
struct Body {
    samples: Vec<f64>,
    figures: Figures,
    baseline: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
}

register_step!(GateMetric);

impl StepKind for GateMetric {
    const KIND: &'static str = "gate.metric";
    const SUMMARY: &'static str = "let the run pass when a figure is within its bounds, without writing";
    const EXAMPLE: &'static str = "id = \"few-failures\"\nuse = \"gate.metric\"\n\
        with.what = \"tables\"\n\
        with.probe = { use = \"measure\", target = \"main\", query = \"SELECT count(*) FROM sqlite_master\" }\n\
        with.min = 0\nwith.samples = 3\nwith.every = \"100ms\"\n";
    const TUNING: &'static [&'static str] = &["every"];
    const FAULTS: Faults = Faults { apply: &[fault::METRIC_SAMPLED, fault::METRIC_JUDGED], rollback: &[] };
    type Config = MetricConfig;

    fn build(config: MetricConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let (within, rise, fall) = (config.within.as_deref(), config.rise.as_deref(), config.fall.as_deref());
        let given = Given { min: config.min, max: config.max, within, rise, fall };
        let bounds = Bounds::of(given, "", config.baseline.is_some())?;
        let probe = config.probe.build("probe", cx)?;
        if config.samples == 0 {
            return Err(BuildError::at("samples", "a gate that looks at nothing holds nothing")
                .with_help("take 1 sample or more"));
        }
        let every = pause::parse("every", &config.every)?;
        let baseline = config.baseline;
        Ok(Self { what: config.what, probe, bounds, baseline, of: config.of, samples: config.samples, every })
    }
}

impl GateMetric {
    /// "sample 3 of 5 is 312 ms; allowed: at most 250 ms".
    fn judge(&self, samples: &[f64], allowed: &Allowed) -> Result<Figures, String> {
        let unit = self.probe.unit();
        let figures = Figures::of(samples).ok_or("no sample was taken")?;
        let allows = allowed.shown(unit);
        if self.of == Statistic::Each {
            let broken = samples.iter().zip(1..).find(|(figure, _)| !allowed.holds(**figure));
            return match broken {
                Some((figure, n)) => {
                    let (figure, all) = (shown(*figure, unit), samples.len());
                    Err(format!("sample {n} of {all} is {figure}, allowed is {allows}"))
                }
                None => Ok(figures),
            };
        }
        let figure = figures.by(self.of);
        if allowed.holds(figure) {
            return Ok(figures);
        }
        let worst = |n: &usize| {
            allowed.max.is_some_and(|max| samples[*n] > max) || allowed.min.is_some_and(|min| samples[*n] < min)
        };
        let breakers: Vec<String> =
            (0..samples.len()).filter(worst).map(|n| format!("{} ({})", n + 1, shown(samples[n], unit))).collect();
        let (name, figure, all) = (self.of.name(), shown(figure, unit), samples.len());
        let who =
            if breakers.is_empty() { String::new() } else { format!(", broken by sample {}", breakers.join(", ")) };
        Err(format!("the {name} of {all} samples is {figure}, allowed is {allows}{who}"))
    }
}

#[async_trait]
impl MigrationStep for GateMetric {
    fn describe(&self) -> Vec<Change> {
        let of = if self.of == Statistic::Each { String::new() } else { format!("{} ", self.of.name()) };
        let samples = if self.samples == 1 { String::new() } else { format!(", {} samples", self.samples) };
        let detail = format!("{of}{}{samples}: {}", self.bounds.shown(self.probe.unit()), self.probe.shown());
        vec![Change::new(Action::Check, self.what.clone()).with_detail(detail)]
    }

    fn uses(&self) -> Vec<Use> {
        self.probe.targets().iter().map(Use::read).collect()
    }

    fn refers(&self) -> Vec<Reference> {
        self.baseline.iter().cloned().map(Reference::Earlier).collect()
    }

    /// A copy has no users, and nobody is asked about it: a gate counts as passed.
    fn rehearsable(&self) -> bool {
        false
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let baseline = match &self.baseline {
            Some(id) => Some(Baseline::find(cx, id, &self.what).await?.by(self.of)),
            None => None,
        };
        let allowed = self.bounds.allowed(baseline);
        let sampling = Sampling {
            probes: vec![&self.probe],
            probed: vec![probed(&self.what, self.probe.unit(), allowed, baseline)],
            samples: self.samples,
            every: self.every,
        };
        let unit = self.probe.unit();
        let broken = |_, figure: f64| {
            (!allowed.holds(figure)).then(|| format!("{}, allowed is {}", shown(figure, unit), allowed.shown(unit)))
        };
        let taken = sampling.take(cx, &broken).await;
        let samples = match taken.map_err(|e| StepError::failed(self.what.clone()).caused_by(e))? {
            Taken::All(rounds) => rounds.concat(),
            Taken::Stopped(at) => return Ok(Applied::Stopped(Checkpoint { at: format!("{}: {at}", self.what) })),
        };
        fault::point(fault::METRIC_JUDGED);
        let figures = self.judge(&samples, &allowed).map_err(|why| {
            StepError::failed(format!("{}: {why}", self.what))
                .with_help("find out what the figure says of the system, then run the same command again")
        })?;
        let found = format!("{}: {}, allowed is {}", self.what, shown(figures.by(self.of), unit), allowed.shown(unit));
        let body = Body { samples, figures, baseline, min: allowed.min, max: allowed.max };
        Ok(Applied::Changed(Receipt::of(&body)?.with_note(found)))
    }

    /// What it found was true at that moment, and need not be later.
    async fn verify(&self, _cx: &StepContext) -> Result<Verdict, StepError> {
        Ok(Verdict::Holds)
    }

    async fn rollback(&self, _cx: &StepContext, _receipt: Option<&Receipt>) -> Result<(), StepError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
