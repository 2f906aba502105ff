//! The step kind `gate.baseline`: remembers what figures were, for the gates that come later to compare with.
//!
//! The figures are in its receipt. Writes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use cutover_core::journal::Probed;
use cutover_core::{
    Action, Applied, BuildContext, BuildError, Change, Checkpoint, MigrationStep, Receipt, StepContext, StepError,
    StepKind, Use, Verdict, async_trait, fault, fault::Faults, register_step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::figures::{Figures, shown};
use super::pause;
use super::sampling::{Sampling, Taken};
use crate::probe::{Asked, ProbeConfig};

/// Remembers figures.
#[derive(Debug, Clone)]
pub struct GateBaseline {
    figures: Vec<(String, Asked)>,
    samples: u32,
    every: Duration,
}

/// Configuration of `gate.baseline`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BaselineConfig {
    /// The figures that are remembered.
    pub figures: Vec<FigureConfig>,
    /// How many samples of each are taken.
    #[serde(default = "five")]
    pub samples: u32,
    /// Time between two samples.
    #[serde(default = "one_second")]
    pub every: String,
}

/// A figure that is remembered.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FigureConfig {
    /// What it is, for people; gates that compare with it say the same in their `what`.
    pub what: String,
    /// Where it comes from.
    pub probe: ProbeConfig,
}

fn five() -> u32 {
    5
}

fn one_second() -> String {
    "1s".to_owned()
}

/// What was found, by what it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Baseline {
    probes: BTreeMap<String, Figures>,
}

impl Baseline {
    /// The figures of `what`, as the step `id` of this plan found them; where it looked at one thing only, of that.
    pub(crate) async fn find(cx: &StepContext, id: &str, what: &str) -> Result<Figures, StepError> {
        let missing = |why: String| {
            StepError::failed(why).with_help("name an applied step that uses `gate.baseline`, and one of its figures")
        };
        let receipt = cx.receipt_of(id).await?.ok_or_else(|| missing(format!("step `{id}` took no baseline")))?;
        let Self { probes } =
            receipt.read().map_err(|e| missing(format!("step `{id}` took no baseline")).caused_by(e))?;
        let only = probes.values().next().filter(|_| probes.len() == 1);
        probes.get(what).or(only).copied().ok_or_else(|| missing(format!("the baseline `{id}` has no `{what}`")))
    }
}

register_step!(GateBaseline);

impl StepKind for GateBaseline {
    const KIND: &'static str = "gate.baseline";
    const SUMMARY: &'static str = "remember what figures are, for later gates to compare with, without writing";
    const EXAMPLE: &'static str = "id = \"before\"\nuse = \"gate.baseline\"\n\
        with.samples = 3\nwith.every = \"10ms\"\n\
        [[phase.step.with.figures]]\nwhat = \"tables\"\n\
        probe = { use = \"measure\", target = \"main\", query = \"SELECT count(*) FROM sqlite_master\" }\n";
    const TUNING: &'static [&'static str] = &["every"];
    const FAULTS: Faults = Faults { apply: &[fault::BASELINE_SAMPLED], rollback: &[] };
    type Config = BaselineConfig;

    fn build(config: BaselineConfig, cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        if config.figures.is_empty() || config.samples == 0 {
            return Err(BuildError::at("figures", "nothing is remembered")
                .with_help("name one figure or more, and take 1 sample or more"));
        }
        let mut figures: Vec<(String, Asked)> = Vec::new();
        for (i, figure) in config.figures.iter().enumerate() {
            if figures.iter().any(|(what, _)| *what == figure.what) {
                let field = format!("figures[{i}].what");
                return Err(BuildError::at(field, format!("`{}` is there twice", figure.what))
                    .with_help("gates tell figures by their `what`"));
            }
            figures.push((figure.what.clone(), figure.probe.build(&format!("figures[{i}].probe"), cx)?));
        }
        Ok(Self { figures, samples: config.samples, every: pause::parse("every", &config.every)? })
    }
}

#[async_trait]
impl MigrationStep for GateBaseline {
    fn describe(&self) -> Vec<Change> {
        let change = |(what, probe): &(String, Asked)| {
            let detail = format!("{} samples are remembered: {}", self.samples, probe.shown());
            Change::new(Action::Check, what.clone()).with_detail(detail)
        };
        self.figures.iter().map(change).collect()
    }

    fn uses(&self) -> Vec<Use> {
        let mut targets: Vec<String> = self.figures.iter().flat_map(|(_, probe)| probe.targets()).collect();
        targets.sort();
        targets.dedup();
        targets.into_iter().map(Use::read).collect()
    }

    /// A copy has no users, and nobody is asked about it: a gate counts as passed.
    fn rehearsable(&self) -> bool {
        false
    }

    async fn apply(&self, cx: &StepContext) -> Result<Applied, StepError> {
        let probed = |(what, probe): &(String, Asked)| Probed {
            name: what.clone(),
            unit: probe.unit().to_owned(),
            min: None,
            max: None,
            baseline: None,
        };
        let sampling = Sampling {
            probes: self.figures.iter().map(|(_, probe)| probe).collect(),
            probed: self.figures.iter().map(probed).collect(),
            samples: self.samples,
            every: self.every,
        };
        let rounds = match sampling.take(cx, &|_, _| None).await? {
            Taken::All(rounds) => rounds,
            Taken::Stopped(at) => return Ok(Applied::Stopped(Checkpoint { at })),
        };
        fault::point(fault::BASELINE_SAMPLED);
        let (mut probes, mut receipt_notes) = (BTreeMap::new(), Vec::new());
        for (i, (what, probe)) in self.figures.iter().enumerate() {
            let readings: Vec<f64> = rounds.iter().filter_map(|round| round.get(i).copied()).collect();
            let figures = Figures::of(&readings).ok_or_else(|| StepError::internal("no sample was taken"))?;
            let (p50, p95) = (shown(figures.p50, probe.unit()), shown(figures.p95, probe.unit()));
            receipt_notes.push(format!("{what}: p50 {p50}, p95 {p95}"));
            probes.insert(what.clone(), figures);
        }
        let receipt = Receipt::of(&Baseline { probes })?;
        Ok(Applied::Changed(receipt_notes.into_iter().fold(receipt, Receipt::with_note)))
    }

    /// What it found was true at that moment; it is there to be compared with.
    async fn verify(&self, _cx: &StepContext) -> Result<Verdict, StepError> {
        Ok(Verdict::Holds)
    }

    async fn rollback(&self, _cx: &StepContext, _receipt: Option<&Receipt>) -> Result<(), StepError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cutover_core::Applied;
    use cutover_tests::Fixture;

    use super::Baseline;

    fn plan(samples: u32) -> String {
        format!(
            "name = \"p\"\n[[phase]]\nname = \"look\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"it\"\nuse = \"gate.baseline\"\n\
             with.samples = {samples}\nwith.every = \"1ms\"\n\
             with.figures = [{{ what = \"marks\", probe = {{ use = \"command\", run = [\"sh\", \"next.sh\"], unit = \"ms\" }} }}]\n"
        )
    }

    /// Prints 1, 2, 3 … from one call to the next.
    const NEXT: &str = "echo x >> seen; wc -l < seen";

    #[test]
    fn it_remembers_what_the_samples_were() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("next.sh"), NEXT).unwrap();
        let bench = Fixture::new(plan(5)).open(root.path());
        let Applied::Changed(receipt) = bench.apply("it").unwrap() else { panic!("it passes") };
        assert_eq!(receipt.notes, ["marks: p50 3 ms, p95 5 ms"]);
        let found = receipt.read::<Baseline>().unwrap();
        let marks = &found.probes["marks"];
        assert_eq!((marks.least, marks.greatest, marks.mean, marks.p50), (1.0, 5.0, 3.0, 3.0));
    }

    #[test]
    fn a_figure_that_cannot_be_had_is_a_failure_and_nothing_is_remembered() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("next.sh"), "echo x >> seen; [ $(wc -l < seen) -lt 3 ] && echo 1").unwrap();
        let error = Fixture::new(plan(5)).open(root.path()).apply("it").unwrap_err();
        assert!(error.to_string().contains("sample 3 of 5 could not be taken"), "{error}");
    }
}
