//! From events to records of `tracing`: their levels, words and fields.

use cutover_core::{Event, EventKind, Verdict};
use tracing::{debug, error, info, trace, warn};

use crate::executor::outcome_name;
use crate::report::Reporter;

/// Says each event.
pub(in super::super) struct Events;

impl Reporter for Events {
    fn event(&mut self, event: &Event) {
        say(&event.kind);
    }
}

fn say(event: &EventKind) {
    match event {
        EventKind::RunStarted { command, plan, run, steps, resumed } => {
            info!(target: "cutover", command, plan, run, steps = steps.len(), resumed, "run started");
        }
        EventKind::PhaseStarted { phase } => info!(target: "cutover", phase, "phase started"),
        EventKind::StepStarted { step } => debug!(target: "cutover", step, "step started"),
        EventKind::StepProgress { step, done, total, unit } => {
            trace!(target: "cutover", step, done, total, unit, "step goes on");
        }
        EventKind::StepNote { step, text } => info!(target: "cutover", step, text, "note"),
        EventKind::StepSampled { step, slot, readings } => {
            for reading in readings {
                let (probe, figure, unit) = (reading.probe.as_str(), reading.figure, reading.unit.as_str());
                match &reading.broke {
                    None => debug!(target: "cutover", step, slot, probe, figure, unit, "gate looked"),
                    Some(why) => warn!(target: "cutover", step, slot, probe, figure, unit, why, "gate is broken"),
                }
            }
        }
        EventKind::StepTriggered { step, trigger } => {
            let (probe, why) = (trigger.probe.as_str(), trigger.why.as_str());
            warn!(target: "cutover", step, probe, why, "trigger fired");
        }
        EventKind::StepDone { step, figures } => {
            let (seconds, verified) = (figures.seconds, figures.verified);
            let (rows, bytes, already) = (figures.rows, figures.bytes, figures.already);
            info!(target: "cutover", step, seconds, verified, rows, bytes, already, "step applied");
        }
        EventKind::StepSkipped { step, why } => info!(target: "cutover", step, why, "step skipped"),
        EventKind::StepWaiting { step, why } => info!(target: "cutover", step, why, "step waits"),
        EventKind::StepStopped { step, at } => info!(target: "cutover", step, at, "step stopped"),
        EventKind::StepFailed { step, error, help } => {
            error!(target: "cutover", step, error, help, "step failed");
        }
        EventKind::UnwindStarted { to, steps } => {
            warn!(target: "cutover", to, steps = steps.len(), "unwinding started");
        }
        EventKind::StepRolledBack { step, seconds } => info!(target: "cutover", step, seconds, "step rolled back"),
        EventKind::StepStuck { step, error } => error!(target: "cutover", step, error, "step is stuck"),
        EventKind::StepVerified { step, verdict } => match verdict {
            Verdict::Holds => info!(target: "cutover", step, "step holds"),
            Verdict::Superseded(by) => info!(target: "cutover", step, by, "step is superseded"),
            Verdict::Broken(lines) => error!(target: "cutover", step, why = lines.join("; "), "step is broken"),
        },
        EventKind::TargetsVerified { ledgers, structure, rows } => {
            let (ledgers, structure, rows) = (ledgers.len(), structure.len(), rows.len());
            info!(target: "cutover", ledgers, structure, rows, "targets compared");
        }
        EventKind::NotReached { notifier, on, error } => {
            warn!(target: "cutover", notifier, on = on.name(), error, "somebody was not reached");
        }
        EventKind::RunFinished { outcome, next } => {
            info!(target: "cutover", outcome = outcome_name(*outcome), next, "run finished");
        }
    }
}
