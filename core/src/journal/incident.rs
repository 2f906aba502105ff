//! Something that went wrong and is not over: since when, and what people said and decided since. And how long that took.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Record, TriggerAction};

/// Seconds from a failure, or from the trigger that fired, until something was done about it: those that it took, or those
/// that it may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Times {
    /// Until somebody had looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assess: Option<f64>,
    /// Until the way back was decided upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide: Option<f64>,
    /// Until it was rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execute: Option<f64>,
}

impl Times {
    /// Each by its name, in order.
    pub fn each(self) -> [(&'static str, Option<f64>); 3] {
        [("assess", self.assess), ("decide", self.decide), ("execute", self.execute)]
    }

    /// The names of those that took longer than `allowed`.
    pub fn exceeds(self, allowed: Times) -> Vec<&'static str> {
        let over = |((name, took), (_, most)): ((&'static str, Option<f64>), (_, Option<f64>))| {
            (took? > most?).then_some(name)
        };
        self.each().into_iter().zip(allowed.each()).filter_map(over).collect()
    }
}

/// Something that went wrong, until it is rolled back or mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenIncident {
    /// The step that failed, or whose trigger fired.
    pub step: String,
    /// When.
    pub at: Timestamp,
    /// When a person first said something in the journal since.
    pub assessed: Option<Timestamp>,
    /// When the way back began.
    pub decided: Option<Timestamp>,
}

impl OpenIncident {
    /// What `record`, of `at`, makes of it.
    pub(super) fn after(open: Option<Self>, record: &Record, at: Timestamp) -> Option<Self> {
        match record {
            Record::StepFailed { step, .. } | Record::RollbackFailed { step, .. } => Some(Self::begin(open, step, at)),
            Record::StepTriggered { step, trigger } if trigger.action != TriggerAction::Warn => {
                Some(Self::begin(open, step, at))
            }
            Record::StepApproved { .. }
            | Record::StepAccepted { .. }
            | Record::StepResolved { .. }
            | Record::StructureAccepted { .. } => open.map(|mut open| {
                open.assessed.get_or_insert(at);
                open
            }),
            Record::UnwindStarted { .. } => open.map(|mut open| {
                open.decided.get_or_insert(at);
                open
            }),
            Record::StepApplied { step, .. } => open.filter(|open| open.step != *step),
            Record::RunFinished { outcome, .. } => {
                open.filter(|_| matches!(outcome.as_str(), "failed-paused" | "stuck" | "interrupted" | "waiting"))
            }
            _ => open,
        }
    }

    fn begin(open: Option<Self>, step: &str, at: Timestamp) -> Self {
        open.unwrap_or_else(|| Self { step: step.to_owned(), at, assessed: None, decided: None })
    }

    /// How long it took, if the way back ended at `now`. Who decides has looked.
    pub fn times(&self, now: Timestamp) -> Option<Times> {
        let decided = self.decided?;
        let since = |at: Timestamp| Some(at.duration_since(self.at).as_secs_f64().max(0.0));
        let assessed = self.assessed.map_or(decided, |at| at.min(decided));
        Some(Times { assess: since(assessed), decide: since(decided), execute: since(now) })
    }
}
