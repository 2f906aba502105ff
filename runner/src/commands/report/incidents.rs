//! What went wrong, told from the journal: from the step that failed to the end of its run; and how long each way back took.

use cutover_core::journal::{Entry, Record, Times};
use jiff::Timestamp;
use serde::Serialize;

use crate::commands::history;

/// Something that went wrong.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Incident {
    pub run: String,
    /// When the step began that failed first; where it failed for what a window showed, when that was opened.
    pub began: Timestamp,
    /// When the run ended; none: it was killed, or is under way.
    pub ended: Option<Timestamp>,
    pub outcome: Option<String>,
    pub failures: Vec<Failure>,
    pub timeline: Vec<Line>,
    /// When the step that failed first was applied after all.
    pub mended: Option<Timestamp>,
}

/// A step that failed, or whose rollback did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Failure {
    pub at: Timestamp,
    pub step: String,
    /// Going back, not forward.
    pub in_rollback: bool,
    pub error: String,
    pub help: Option<String>,
}

/// A line of a timeline.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Line {
    pub at: Timestamp,
    pub what: String,
    pub step: String,
    pub more: String,
}

/// A way back, and what it took.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Recovery {
    pub run: String,
    pub began: Timestamp,
    pub to: String,
    /// Whether a failure asked for it, and not the operator.
    pub after_failure: bool,
    pub undone: usize,
    /// From its begin to the last step that is undone; none while it has not ended.
    pub seconds: Option<f64>,
    /// How long it took since the failure, where the plan had a budget for that.
    pub budget: Option<Budget>,
}

/// A budget, and what was made of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Budget {
    pub took: Times,
    pub allowed: Times,
}

/// Every incident, oldest first.
pub(super) fn read(entries: &[Entry]) -> Vec<Incident> {
    let mut found: Vec<Incident> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let failure = match &entry.record {
            Record::StepFailed { step, error, help, .. } => failure(entry, step, false, error, help.as_ref()),
            Record::RollbackFailed { step, error, help, .. } => failure(entry, step, true, error, help.as_ref()),
            Record::StepApplied { step, .. } => {
                let open = found.iter_mut().filter(|i| i.mended.is_none() && i.failures[0].step == *step);
                open.for_each(|incident| incident.mended = Some(entry.at));
                continue;
            }
            _ => continue,
        };
        match found.last_mut().filter(|incident| incident.run == entry.run) {
            Some(incident) => incident.failures.push(failure),
            None => found.push(incident(entries, at, failure)),
        }
    }
    found
}

fn failure(entry: &Entry, step: &str, in_rollback: bool, error: &str, help: Option<&String>) -> Failure {
    let (step, error) = (step.to_owned(), error.to_owned());
    Failure { at: entry.at, step, in_rollback, error, help: help.cloned() }
}

/// The incident whose first failure is entry `at`.
fn incident(entries: &[Entry], at: usize, failure: Failure) -> Incident {
    let run = &entries[at].run;
    let begins = |entry: &Entry| match &entry.record {
        Record::StepStarted { step } => step.id == failure.step,
        Record::GroupStarted { members, .. } => members.iter().any(|m| m.step.id == failure.step),
        Record::RollbackStarted { step } => failure.in_rollback && *step == failure.step,
        _ => false,
    };
    let first = entries[..at].iter().rposition(|e| e.run == *run && begins(e)).unwrap_or(at);
    // Others than this run may have looked at its window: what fired then is why it fails.
    let failed = failure.step.clone();
    let window = |entry: &Entry| match &entry.record {
        Record::WindowOpened { step, .. } => (*step == failed).then_some(true),
        Record::StepFailed { step, .. } | Record::StepRolledBack { step, .. } => (*step == failed).then_some(false),
        _ => None,
    };
    let opened = (0..at).rev().find_map(|i| window(&entries[i]).map(|opens| opens.then_some(i))).flatten();
    let first = opened.map_or(first, |opened| opened.min(first));
    let looked = |entry: &Entry| match &entry.record {
        Record::WindowOpened { step, .. } | Record::StepTriggered { step, .. } => *step == failed,
        _ => false,
    };
    let of_run = || entries[first..].iter().filter(|e| e.run == *run || looked(e));
    let end = of_run().find_map(|e| match &e.record {
        Record::RunFinished { outcome, .. } => Some((e.at, outcome.clone())),
        _ => None,
    });
    // What a rollback that began came to has a line of its own; only one that was cut short has not. Samples are drawn.
    let last = of_run().next_back().map(|e| e.seq);
    let told = of_run().filter(|e| match e.record {
        Record::StepIntent { .. } | Record::StepSampled { .. } => false,
        Record::RollbackStarted { .. } => Some(e.seq) == last,
        _ => true,
    });
    Incident {
        run: run.clone(),
        began: entries[first].at,
        ended: end.as_ref().map(|(at, _)| *at),
        outcome: end.map(|(_, outcome)| outcome),
        failures: vec![failure],
        timeline: told.flat_map(lines).collect(),
        mended: None,
    }
}

fn lines(entry: &Entry) -> Vec<Line> {
    let line = |(what, step, more): (String, String, String)| Line { at: entry.at, what, step, more };
    history::told(entry).into_iter().map(line).collect()
}

/// Every way back, oldest first.
pub(super) fn recoveries(entries: &[Entry]) -> Vec<Recovery> {
    let mut found: Vec<Recovery> = Vec::new();
    for entry in entries {
        match &entry.record {
            Record::UnwindStarted { to, failure, .. } => found.push(Recovery {
                run: entry.run.clone(),
                began: entry.at,
                to: to.clone(),
                after_failure: *failure,
                undone: 0,
                seconds: None,
                budget: None,
            }),
            Record::BudgetMeasured { took, allowed, .. } => {
                if let Some(open) = found.last_mut().filter(|r| r.run == entry.run) {
                    open.budget = Some(Budget { took: *took, allowed: *allowed });
                }
            }
            Record::StepRolledBack { .. } => {
                if let Some(open) = found.last_mut().filter(|r| r.run == entry.run) {
                    open.undone += 1;
                    open.seconds = Some(entry.at.duration_since(open.began).as_secs_f64());
                }
            }
            Record::RollbackFailed { .. } => {
                if let Some(open) = found.last_mut().filter(|r| r.run == entry.run) {
                    open.seconds = None;
                }
            }
            _ => {}
        }
    }
    found
}
