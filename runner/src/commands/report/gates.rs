//! Gates and what they sampled, from the journal.

use std::collections::BTreeMap;

use cutover_core::journal::{Entry, PlanState, Probed, Record, TriggerAction};
use cutover_core::plan::Plan;
use jiff::Timestamp;
use serde::Serialize;

/// A gate, and what it saw.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Gate {
    pub step: String,
    /// Where the step stands.
    pub state: String,
    /// When it began to look.
    pub opened: Option<Timestamp>,
    /// Seconds of its window, where it has one.
    pub length: Option<f64>,
    pub series: Vec<Series>,
    /// What it did about what it saw, a line each.
    pub triggers: Vec<Trigger>,
}

/// The samples of one probe.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Series {
    pub probe: String,
    pub unit: Option<String>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub baseline: Option<f64>,
    /// When, and what; none where it could not be had.
    pub samples: Vec<(Timestamp, Option<f64>)>,
    /// The samples that broke a bound, by place, with why.
    pub broke: Vec<(usize, String)>,
}

/// A trigger that fired.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Trigger {
    pub at: Timestamp,
    pub probe: String,
    pub why: String,
    pub action: String,
}

impl Series {
    /// Least, median, 95th percentile and greatest of what could be had.
    pub(super) fn figures(&self) -> Option<[f64; 4]> {
        let mut values: Vec<f64> = self.samples.iter().filter_map(|(_, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        let at = |part: usize| values.get((values.len().saturating_sub(1) * part).div_ceil(100)).copied();
        Some([at(0)?, at(50)?, at(95)?, at(100)?])
    }

    /// Samples that could not be had.
    pub(super) fn missed(&self) -> usize {
        self.samples.iter().filter(|(_, value)| value.is_none()).count()
    }
}

/// The gates that looked in that time, in the plan's order. What a window saw before it was opened anew stays.
pub(super) fn read(
    plan: &Plan,
    entries: &[Entry],
    state: &PlanState,
    within: &dyn Fn(&Timestamp) -> bool,
) -> Vec<Gate> {
    let mut gates: BTreeMap<&str, Gate> = BTreeMap::new();
    for entry in entries {
        match &entry.record {
            Record::WindowOpened { step, window } => {
                let gate = gates.entry(step).or_default();
                (gate.opened, gate.length) = (Some(entry.at), window.length);
                let mut before = std::mem::take(&mut gate.series);
                let series = |probe: &Probed| {
                    let known = before.iter().position(|s| s.probe == probe.name).map(|at| before.swap_remove(at));
                    let (min, max, baseline) = (probe.min, probe.max, probe.baseline);
                    let unit = Some(probe.unit.clone()).filter(|unit| !unit.is_empty());
                    Series { probe: probe.name.clone(), unit, min, max, baseline, ..known.unwrap_or_default() }
                };
                gate.series = window.probes.iter().map(series).collect();
            }
            Record::StepSampled { step, sample } if within(&entry.at) => {
                let Some(gate) = gates.get_mut(step.as_str()) else { continue };
                for (series, reading) in gate.series.iter_mut().zip(&sample.readings) {
                    if let Some(why) = sample.broke.get(&series.probe) {
                        series.broke.push((series.samples.len(), why.clone()));
                    }
                    series.samples.push((entry.at, *reading));
                }
            }
            Record::StepTriggered { step, trigger } if within(&entry.at) => {
                let to = trigger.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
                let action = match trigger.action {
                    TriggerAction::Warn => "only a warning".to_owned(),
                    TriggerAction::Pause => "the run pauses".to_owned(),
                    TriggerAction::Rollback => format!("rolls back{to}"),
                };
                let (probe, why) = (trigger.probe.clone(), trigger.why.clone());
                gates.entry(step).or_default().triggers.push(Trigger { at: entry.at, probe, why, action });
            }
            _ => {}
        }
    }
    let looked = |gate: &Gate| !gate.triggers.is_empty() || gate.series.iter().any(|s| !s.samples.is_empty());
    let named = plan.steps().filter_map(|(_, step)| {
        let gate = gates.remove(step.id.as_str()).filter(looked)?;
        Some(Gate { step: step.id.clone(), state: state.state_of(&step.id).to_string(), ..gate })
    });
    named.collect()
}
