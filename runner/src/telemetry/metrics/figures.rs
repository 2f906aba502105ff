//! What has been counted so far: a fold of the events. Knows no format.

use std::collections::{BTreeMap, BTreeSet};

use cutover_core::{Event, EventKind, Reading};
use jiff::Timestamp;

use crate::executor::outcome_name;

/// Upper bounds of the classes of durations, in seconds.
pub(super) const BOUNDS: [f64; 11] = [0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0];

/// What has been counted so far.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// The run that is on, or the last one.
    pub(super) run: Option<Run>,
    /// Whether it is on, and with it its locks are held.
    pub(super) on: bool,
    /// The phase that is on.
    pub(super) phase: Option<String>,
    /// Kinds of the plan's steps, by id.
    kinds: BTreeMap<String, String>,
    /// How far the steps have come that are under way, by id.
    pub(super) under_way: BTreeMap<String, Option<Progress>>,
    /// The steps that wait.
    pub(super) waiting: BTreeSet<String>,
    /// How often a step came to a state.
    pub(super) states: BTreeMap<&'static str, u64>,
    /// How long things took, by the step's kind and what was done.
    pub(super) durations: BTreeMap<(String, &'static str), Durations>,
    /// Rows that applied steps wrote.
    pub(super) rows: u64,
    /// Bytes that they wrote.
    pub(super) bytes: u64,
    /// The last reading, by step and probe, and when it was taken.
    pub(super) readings: BTreeMap<(String, String), (Reading, f64)>,
    /// Readings so far, by step and whether they were what they may be.
    pub(super) looked: BTreeMap<(String, bool), u64>,
    /// Triggers that fired, by step and probe.
    pub(super) triggers: BTreeMap<(String, String), u64>,
    /// Notices that reached nobody, by notifier.
    pub(super) unreached: BTreeMap<String, u64>,
    /// How runs ended.
    pub(super) ended: BTreeMap<&'static str, u64>,
}

/// A run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) plan: String,
    pub(super) command: String,
    pub(super) resumed: bool,
    /// Seconds since 1970.
    pub(super) began: f64,
    /// Steps of the plan, by phase, in its order.
    pub(super) steps: Vec<(String, u64)>,
}

/// How far a step has come.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) done: u64,
    pub(super) total: Option<u64>,
    pub(super) unit: String,
}

/// Durations in classes.
#[derive(Debug, Default)]
pub(super) struct Durations {
    /// How many are not above each bound, and above the one before.
    pub(super) classes: [u64; BOUNDS.len()],
    pub(super) count: u64,
    pub(super) sum: f64,
}

impl Durations {
    fn add(&mut self, seconds: f64) {
        if let Some(class) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.classes[class] += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }
}

impl Figures {
    /// Counts one event.
    pub(super) fn count(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted { command, plan, run, steps, resumed } => {
                let mut phases: Vec<(String, u64)> = Vec::new();
                for (phase, _, _) in steps {
                    match phases.last_mut().filter(|(last, _)| last == phase) {
                        Some((_, count)) => *count += 1,
                        None => phases.push((phase.clone(), 1)),
                    }
                }
                self.kinds = steps.iter().map(|(_, id, kind)| (id.clone(), kind.clone())).collect();
                let (id, plan, command) = (run.clone(), plan.clone(), command.clone());
                self.run = Some(Run { id, plan, command, resumed: *resumed, began: seconds(&event.at), steps: phases });
                self.on = true;
                self.phase = None;
                self.under_way.clear();
            }
            EventKind::PhaseStarted { phase } => self.phase = Some(phase.clone()),
            EventKind::StepStarted { step } => {
                self.waiting.remove(step);
                self.under_way.insert(step.clone(), None);
            }
            EventKind::StepProgress { step, done, total, unit } => {
                if let Some(known) = self.under_way.get_mut(step) {
                    *known = Some(Progress { done: *done, total: *total, unit: unit.clone() });
                }
            }
            EventKind::StepDone { step, figures } => {
                self.came_to(step, "applied");
                self.took(step, "apply", figures.seconds - figures.verified);
                self.took(step, "verify", figures.verified);
                self.rows += figures.rows.unwrap_or_default();
                self.bytes += figures.bytes.unwrap_or_default();
            }
            EventKind::StepSkipped { step, .. } => self.came_to(step, "skipped"),
            EventKind::StepStopped { step, .. } => self.came_to(step, "stopped"),
            EventKind::StepFailed { step, .. } => self.came_to(step, "failed"),
            EventKind::StepStuck { step, .. } => self.came_to(step, "stuck"),
            EventKind::StepRolledBack { step, seconds } => {
                self.came_to(step, "rolled-back");
                self.took(step, "rollback", *seconds);
            }
            EventKind::StepWaiting { step, .. } => {
                // A watch says so after each look: only the first is a change.
                if !self.waiting.contains(step) {
                    self.came_to(step, "waiting");
                    self.waiting.insert(step.clone());
                }
            }
            EventKind::StepSampled { step, readings, .. } => self.sampled(step, readings, seconds(&event.at)),
            EventKind::StepTriggered { step, trigger } => {
                *self.triggers.entry((step.clone(), trigger.probe.clone())).or_default() += 1;
            }
            EventKind::UnwindStarted { .. } => {
                // A group that failed was undone as a whole: what it had begun is under way no more.
                self.under_way.clear();
                self.phase = None;
            }
            EventKind::NotReached { notifier, .. } => *self.unreached.entry(notifier.clone()).or_default() += 1,
            EventKind::RunFinished { outcome, .. } => {
                *self.ended.entry(outcome_name(*outcome)).or_default() += 1;
                self.on = false;
                self.phase = None;
                self.under_way.clear();
            }
            EventKind::StepNote { .. } | EventKind::StepVerified { .. } | EventKind::TargetsVerified { .. } => {}
        }
    }

    fn came_to(&mut self, step: &str, state: &'static str) {
        self.under_way.remove(step);
        self.waiting.remove(step);
        *self.states.entry(state).or_default() += 1;
    }

    fn took(&mut self, step: &str, what: &'static str, seconds: f64) {
        let kind = self.kinds.get(step).cloned().unwrap_or_else(|| "unknown".to_owned());
        self.durations.entry((kind, what)).or_default().add(seconds.max(0.0));
    }

    fn sampled(&mut self, step: &str, readings: &[Reading], at: f64) {
        for reading in readings {
            *self.looked.entry((step.to_owned(), reading.broke.is_none())).or_default() += 1;
            self.readings.insert((step.to_owned(), reading.probe.clone()), (reading.clone(), at));
        }
    }
}

/// A time of an event as seconds since 1970.
fn seconds(at: &str) -> f64 {
    at.parse().map_or(0.0, |at: Timestamp| at.as_millisecond() as f64 / 1000.0)
}
