//! The taking of samples: one round of all probes after another, each journalled as it is taken.
//!
//! Owns the order and the pauses. What a figure may be, its caller says.

use std::time::Duration;

use cutover_core::journal::{Observed, Probed, Sample, WindowSpec};
use cutover_core::{StepContext, StepError, fault};

use super::pause::{self, Pause};
use crate::probe::Asked;

/// What is sampled, how often.
#[derive(Debug)]
pub(crate) struct Sampling<'a> {
    pub(crate) probes: Vec<&'a Asked>,
    /// The same, as the journal has them.
    pub(crate) probed: Vec<Probed>,
    pub(crate) samples: u32,
    pub(crate) every: Duration,
}

/// How sampling ended.
#[derive(Debug)]
pub(crate) enum Taken {
    /// A row of readings for each round.
    All(Vec<Vec<f64>>),
    /// A stop was requested; how far it had come.
    Stopped(String),
}

impl Sampling<'_> {
    /// Takes all samples in one go. `broken` says of a reading of the probe of that index why it may not be that. A probe
    /// that gives no figure ends it.
    pub(crate) async fn take(
        &self,
        cx: &StepContext,
        broken: &(dyn Fn(usize, f64) -> Option<String> + Sync),
    ) -> Result<Taken, StepError> {
        let spec = WindowSpec { probes: self.probed.clone(), every: None, length: None };
        cx.observe(Observed::Opened(spec)).await?;
        let mut rounds = Vec::new();
        for n in 1..=self.samples {
            if n > 1 && pause::pause(cx, self.every).await? == Pause::Stopped {
                return Ok(Taken::Stopped(format!("{} of {} samples taken", n - 1, self.samples)));
            }
            let (sample, first) = round(cx, &self.probes, &self.probed, u64::from(n - 1), broken).await;
            let readings: Vec<f64> = sample.readings.iter().flatten().copied().collect();
            cx.observe(Observed::Sampled(sample)).await?;
            fault::point(fault::METRIC_SAMPLED);
            if let Some(error) = first {
                return Err(
                    StepError::failed(format!("sample {n} of {} could not be taken", self.samples)).caused_by(error)
                );
            }
            cx.progress(u64::from(n), Some(u64::from(self.samples)), "samples");
            rounds.push(readings);
        }
        Ok(Taken::All(rounds))
    }
}

/// One round of all probes, and the error of the first that gave no figure.
pub(crate) async fn round(
    cx: &StepContext,
    probes: &[&Asked],
    probed: &[Probed],
    slot: u64,
    broken: &(dyn Fn(usize, f64) -> Option<String> + Sync),
) -> (Sample, Option<StepError>) {
    let mut sample = Sample { slot, ..Sample::default() };
    let mut first = None;
    for (i, (probe, what)) in probes.iter().zip(probed).enumerate() {
        let reading = match probe.read(cx).await {
            Ok(figure) => {
                sample.broke.extend(broken(i, figure).map(|why| (what.name.clone(), why)));
                Some(figure)
            }
            Err(error) => {
                let why = cx.mask(&error.chain());
                sample.failures.insert(what.name.clone(), why.clone());
                sample.broke.insert(what.name.clone(), why);
                first = first.or(Some(error));
                None
            }
        };
        sample.readings.push(reading);
    }
    (sample, first)
}

/// The unit and the allowed range of a figure, as the journal has them.
pub(crate) fn probed(name: &str, unit: &str, allowed: super::bounds::Allowed, baseline: Option<f64>) -> Probed {
    Probed { name: name.to_owned(), unit: unit.to_owned(), min: allowed.min, max: allowed.max, baseline }
}
