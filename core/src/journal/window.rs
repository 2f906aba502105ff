//! What gates look at, as a journal keeps it: the probes of a window, one round of readings after another, the triggers
//! that fired; and what a person said of a step. Knows no bound and no probe: those are the gates'.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A figure that a gate looks at, and what it may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Probed {
    /// What it is, for people; no two of one window are the same.
    pub name: String,
    /// Its unit; empty for a bare number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// It may be this or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// It may be this or less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// What it is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
}

/// What a gate is going to look at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct WindowSpec {
    /// In the order of the readings.
    pub probes: Vec<Probed>,
    /// Seconds from the beginning of a slot to that of the next one; none where samples have no slots of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<f64>,
    /// Seconds from its opening to its end; none where the number of samples ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<f64>,
}

/// One round of readings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sample {
    /// Which slot of the window, from 0. Each has one sample at the most; one that has none was missed.
    pub slot: u64,
    /// In the order of the window's probes; none where a probe gave no figure.
    pub readings: Vec<Option<f64>>,
    /// Why a probe gave none, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, String>,
    /// The probes whose figure (or its absence) is not what it may be, and why, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub broke: BTreeMap<String, String>,
}

/// A trigger that fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Triggered {
    /// The probe.
    pub probe: String,
    /// "sample 12 is 6 %, allowed is at most 5 %".
    pub why: String,
    /// What the plan does then.
    pub action: TriggerAction,
    /// How far back, where it rolls back: a step, a phase or `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What a plan does when a trigger fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TriggerAction {
    /// It says so, and goes on.
    Warn,
    /// It stops there; nothing is undone.
    #[default]
    Pause,
    /// It rolls back to a point.
    Rollback,
}

/// What a gate has to have journalled.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// It begins to look.
    Opened(WindowSpec),
    /// A round of readings.
    Sampled(Sample),
    /// A trigger fired.
    Triggered(Triggered),
}

/// A round of readings with its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// Which slot of the window.
    pub slot: u64,
    /// When.
    pub at: Timestamp,
    /// In the order of the probes; not a number where there is none. A week has ten thousand rounds: an `Option` each
    /// would take twice the room.
    readings: Box<[f64]>,
    /// The probes that broke it, by name, and why.
    pub broke: BTreeMap<String, String>,
}

impl Round {
    /// The figure of that probe of the window, if it gave one.
    pub fn reading(&self, probe: usize) -> Option<f64> {
        self.readings.get(probe).copied().filter(|figure| !figure.is_nan())
    }
}

/// A gate's window as the journal has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// When it was opened.
    pub opened: Timestamp,
    /// What it looks at.
    pub spec: WindowSpec,
    /// All rounds, oldest first; their slots only grow.
    pub rounds: Arc<Vec<Round>>,
    /// The triggers that fired, oldest first, with the slot of the last sample then.
    pub triggered: Vec<(u64, Triggered)>,
}

impl Window {
    /// A window that is opened at `at`.
    pub fn new(spec: WindowSpec, at: Timestamp) -> Self {
        Self { opened: at, spec, rounds: Arc::default(), triggered: Vec::new() }
    }

    /// Adds what was observed at `at`. False: that slot has a sample, or a later one has; nothing is changed.
    pub fn add(&mut self, observed: &Observed, at: Timestamp) -> bool {
        match observed {
            Observed::Opened(spec) => *self = Self::new(spec.clone(), at),
            Observed::Sampled(sample) => {
                if self.last_slot().is_some_and(|last| sample.slot <= last) {
                    return false;
                }
                let readings = sample.readings.iter().map(|figure| figure.unwrap_or(f64::NAN)).collect();
                let (slot, broke) = (sample.slot, sample.broke.clone());
                Arc::make_mut(&mut self.rounds).push(Round { slot, at, readings, broke });
            }
            Observed::Triggered(fired) => {
                let slot = self.last_slot().unwrap_or_default();
                self.triggered.push((slot, fired.clone()));
            }
        }
        true
    }

    /// Whether no sample was taken.
    pub fn is_empty(&self) -> bool {
        self.rounds.is_empty()
    }

    /// The slot of the last sample.
    pub fn last_slot(&self) -> Option<u64> {
        self.rounds.last().map(|round| round.slot)
    }
}

/// What a person said of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Whether it may go on; else it was rejected.
    pub approved: bool,
    /// Who says so.
    pub by: String,
    /// Why.
    pub note: String,
    /// Digest of the plan that they looked at; of another plan nothing is said.
    pub plan_digest: String,
    /// When.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_slot_is_sampled_twice_and_none_comes_before_an_earlier_one() {
        let at = Timestamp::UNIX_EPOCH;
        let sample = |slot| Observed::Sampled(Sample { slot, readings: vec![Some(1.0), None], ..Sample::default() });
        let mut window = Window::new(WindowSpec::default(), at);
        assert_eq!(
            [0, 0, 3, 2, 3, 4].map(|slot| window.add(&sample(slot), at)),
            [true, false, true, false, false, true]
        );
        assert_eq!(window.rounds.iter().map(|round| round.slot).collect::<Vec<_>>(), [0, 3, 4]);
        assert_eq!([0, 1, 2].map(|probe| window.rounds[0].reading(probe)), [Some(1.0), None, None]);
    }

    #[test]
    fn a_sample_is_short() {
        let readings = (0..20).map(|n| Some(f64::from(n) * 1.5)).collect();
        let sample = Sample { slot: 10_079, readings, ..Sample::default() };
        assert!(serde_json::to_string(&sample).unwrap().len() < 150);
    }
}
