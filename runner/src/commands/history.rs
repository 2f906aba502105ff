//! `history`: what the journal recorded, oldest first. Writes nothing.

use cutover_core::journal::{Entry, Record, TriggerAction};

use super::status::WORD;
use super::table::columns;
use crate::cli::{Format, Out};
use crate::error::{Result, RunnerError};
use crate::executor::in_words;
use crate::exit::Exit;
use crate::journal::Journal;
use crate::recorder::journal_error;
use crate::session::{Place, Session};
use crate::style::{count, duration};

pub(crate) fn run(place: Place, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let session = Session::look(place)?;
    let entries = match Journal::open_read(&session.state_dir).map_err(journal_error)? {
        Some(journal) => journal.entries(&session.plan.name).map_err(journal_error)?,
        None => Vec::new(),
    };
    if out.format == Format::Json {
        for entry in &entries {
            let line = serde_json::to_string(entry)
                .map_err(|e| RunnerError::internal(format!("record {} as JSON: {e}", entry.seq)))?;
            out.print(&format!("{line}\n"));
        }
        return Ok(Exit::Done);
    }
    if entries.is_empty() {
        out.print("never run here\n");
        return Ok(Exit::Done);
    }
    let rows = entries.iter().flat_map(lines).collect();
    out.print(&columns(&["seq", "at", "epoch", "record", "step", ""], rows));
    Ok(Exit::Done)
}

/// The rows of one record: one for each step that it is about.
fn lines(entry: &Entry) -> Vec<Vec<String>> {
    let row = |(record, step, more)| {
        vec![entry.seq.to_string(), entry.at.to_string(), entry.epoch.to_string(), record, step, more]
    };
    told(entry).into_iter().map(row).collect()
}

/// One record in words: what happened, to which step, and what more there is to say; once for each step that it is about.
pub(super) fn told(entry: &Entry) -> Vec<(String, String, String)> {
    let row = |record: &str, step: &str, more: String| (record.to_owned(), step.to_owned(), more);
    match &entry.record {
        Record::RunStarted { command, operator, host, pid, version, .. } => {
            let command = serde_json::to_value(command).ok().and_then(|v| v.as_str().map(str::to_owned));
            let who = format!("{} by {operator} on {host}, pid {pid}, version {version}", command.unwrap_or_default());
            vec![row("run started", "", who)]
        }
        Record::StepSkipped { step, why, .. } => vec![row("skipped", step, why.clone())],
        Record::SkipsForgotten { steps } => steps.iter().map(|s| row("decided again", s, String::new())).collect(),
        Record::StepStarted { step } => vec![row("started", &step.id, step.kind.clone())],
        Record::GroupStarted { target, members } => members
            .iter()
            .map(|m| row("started", &m.step.id, format!("{}, in one transaction of {target}", m.step.kind)))
            .collect(),
        Record::GroupAborted { steps } => steps
            .iter()
            .map(|s| row("not run", s, "its transaction was undone or ended before it".to_owned()))
            .collect(),
        Record::StepIntent { step, .. } => vec![row("intent", step, String::new())],
        Record::StepApplied { step, already, .. } => {
            vec![row("applied", step, if *already { "was there already".to_owned() } else { String::new() })]
        }
        Record::StepFailed { step, error, .. } => vec![row("failed", step, error.clone())],
        Record::StepWaiting { step, why } => vec![row("waiting", step, why.clone())],
        Record::StepStopped { step, at } => vec![row("stopped", step, at.clone())],
        Record::WindowOpened { step, window } => {
            let for_long = window.length.map(|s| format!(" for {}", duration(s))).unwrap_or_default();
            vec![row("window opened", step, format!("{}{for_long}", count(window.probes.len(), "probe")))]
        }
        Record::StepSampled { step, sample } => {
            let broke: Vec<String> = sample.broke.iter().map(|(name, why)| format!("{name}: {why}")).collect();
            vec![row("sample", step, if broke.is_empty() { "all within bounds".to_owned() } else { broke.join("; ") })]
        }
        Record::StepTriggered { step, trigger } => {
            let to = trigger.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
            let action = match trigger.action {
                TriggerAction::Warn => "warned",
                TriggerAction::Pause => "paused",
                TriggerAction::Rollback => "rolled back",
            };
            vec![row("triggered", step, format!("{}: {}; {action}{to}", trigger.probe, trigger.why))]
        }
        Record::StepApproved { step, approved, by, note, .. } => {
            vec![row(if *approved { "approved" } else { "rejected" }, step, format!("by {by}: {note}"))]
        }
        Record::UnwindStarted { to, failure, blocked_by, steps } => {
            let why = if *failure { "after a failure" } else { "on request" };
            let end = blocked_by.as_ref().map(|s| format!("; step {s} cannot be undone")).unwrap_or_default();
            vec![row("unwinding", "", format!("{} to {to}, {why}{end}", count(steps.len(), "step")))]
        }
        Record::BudgetMeasured { step, took, allowed } => {
            vec![row("budget measured", step, in_words(*took, *allowed))]
        }
        Record::UnwindFinished => vec![row("unwound", "", "the run goes on".to_owned())],
        Record::RollbackStarted { step } => vec![row("rollback started", step, String::new())],
        Record::StepRolledBack { step, .. } => vec![row("rolled back", step, String::new())],
        Record::RollbackFailed { step, error, .. } => vec![row("stuck", step, error.clone())],
        Record::StepResolved { step, proven, note, .. } => {
            vec![row("resolved", step, if *proven { note.clone() } else { format!("{note} ({WORD})") })]
        }
        Record::StepAccepted { step, note } => vec![row("accepted", &step.id, note.clone())],
        Record::StructureAccepted { note, changes, .. } => {
            vec![row("accepted", "", format!("{note} ({})", changes.join("; ")))]
        }
        Record::StepAdopted { step, source, .. } => vec![row("adopted", &step.id, format!("by {source}"))],
        Record::StepLost { step, why } => vec![row("lost", step, why.clone())],
        Record::Notified { notifier, on, error } => {
            let what = match error {
                Some(error) => format!("{notifier} of {}, not reached: {error}", on.name()),
                None => format!("{notifier} of {}", on.name()),
            };
            vec![row("told", "", what)]
        }
        Record::RunFinished { outcome, .. } => vec![row("run finished", "", outcome.clone())],
    }
}
