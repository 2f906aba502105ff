//! `rehearse`: runs the plan on a copy and prints the proof.

use std::sync::Arc;

use cutover_core::journal::StepState;
use cutover_core::plan::PlanStep;
use cutover_core::{Event, EventKind};
use serde_json::json;

use super::table::columns;
use crate::cli::{Format, Out};
use crate::error::Result;
use crate::executor::{Word, asked, wanted_steps, word};
use crate::exit::Exit;
use crate::host::Stop;
use crate::recorder::journal_error;
use crate::rehearse::{Asked, Rehearsal, rehearse};
use crate::report::{Bars, Reporter};
use crate::session::{Place, Session};
use crate::style::{Style, bytes, count, duration};

pub(crate) async fn run(place: Place, wanted: Asked, stop: Stop, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let session = Session::open(place)?;
    let text = out.format == Format::Text;
    if text {
        out.print(&format!("{}\n", out.style.bold(&format!("rehearsal of {}", session.plan.name))));
    }
    let emitter = out.emitter_of(Box::new(Watcher {
        shown: text,
        style: out.style,
        bars: out.show_progress().then(Bars::default),
    }));
    let found = rehearse(&session, Arc::new(emitter), &stop, &wanted).await?;
    let persons = persons(&session, wanted.to.as_deref())?;
    match out.format {
        Format::Json => out.json(&as_json(&session, &found, &persons)),
        _ => out.print(&as_text(&session, &found, &persons, out.style)),
    }
    Ok(if found.failures.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Shows where a rehearsal is, and what fails.
struct Watcher {
    shown: bool,
    style: Style,
    /// None where nobody watches.
    bars: Option<Bars>,
}

impl Reporter for Watcher {
    fn event(&mut self, event: &Event) {
        if let (Some(bars), EventKind::StepProgress { step, done, total, unit }) = (&mut self.bars, &event.kind) {
            bars.progress(step, *done, *total, unit);
            return;
        }
        if let (Some(bars), EventKind::StepDone { step, .. } | EventKind::StepRolledBack { step, .. }) =
            (&mut self.bars, &event.kind)
        {
            bars.clear(step);
        }
        let line = match &event.kind {
            EventKind::StepNote { step, text } if step == "rehearsal" => format!("  {}", self.style.dim(text)),
            EventKind::StepFailed { step, error, help } => {
                let help = help.as_ref().map(|h| format!("\n      help: {h}")).unwrap_or_default();
                format!("  {} {step}: {error}{help}", self.style.bad("✗"))
            }
            EventKind::StepStuck { step, error } => {
                format!("  {} {step}: could not be rolled back: {error}", self.style.bad("✗"))
            }
            _ => return,
        };
        if let Some(bars) = &mut self.bars {
            bars.clear_all();
        }
        if self.shown {
            let _ = std::io::Write::write_all(&mut std::io::stdout().lock(), format!("{line}\n").as_bytes());
        }
    }
}

/// The steps at which the real run will wait for a person, and what that one is asked.
fn persons(session: &Session, to: Option<&str>) -> Result<Vec<(String, String)>> {
    let (state, _) = session.journalled().map_err(journal_error)?;
    let wanted = wanted_steps(session, to)?;
    let open = |step: &PlanStep| {
        let done = matches!(state.state_of(&step.id), StepState::Applied | StepState::Skipped);
        wanted.contains(&step.id) && !done && !matches!(word(session, &state, &step.id), Word::Approved(_))
    };
    let steps = session.plan.steps().map(|(_, step)| step).filter(|step| open(step));
    Ok(steps.filter_map(|step| Some((step.id.clone(), asked(step)?))).collect())
}

fn as_text(session: &Session, found: &Rehearsal, persons: &[(String, String)], style: Style) -> String {
    let figures = &found.figures;
    let mut text = String::from("\n");
    let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
    let rows = figures.steps.iter().map(|s| {
        let size = s.bytes.map(bytes).unwrap_or_default();
        let back = s.back.map(duration).unwrap_or_default();
        vec![s.step.clone(), s.phase.clone(), duration(s.seconds), back, number(s.rows), size]
    });
    text.push_str(&columns(&["step", "phase", "apply", "rollback", "rows", "bytes"], rows.collect()));
    let how = if figures.shared { ", sharing blocks (reflink)" } else { "" };
    let mut estimate = duration(figures.apply);
    if !figures.not_rehearsed.is_empty() {
        estimate.push_str(&format!(", and {}", count_of_unknown(figures.not_rehearsed.len())));
    }
    if figures.elsewhere {
        estimate.push_str("; measured on another file system");
    }
    let lines = [
        ("copied", format!("{} in {}{how}", bytes(figures.bytes), duration(figures.copy))),
        ("apply", format!("{}, and again {}", duration(figures.apply), duration(figures.again))),
        ("verify", duration(figures.verify)),
        ("recovery time (rollback)", duration(figures.rollback)),
        ("space needed beside the system", bytes(figures.space)),
        ("estimate of the real run", estimate),
    ];
    text.push('\n');
    text.push_str(&columns(&[], lines.into_iter().map(|(what, value)| vec![what.to_owned(), value]).collect()));
    if !figures.not_rehearsed.is_empty() {
        let steps = count(figures.not_rehearsed.len(), "step");
        text.push_str(&format!("\nnot rehearsed: {steps}\n"));
        text.push_str(&columns(
            &[],
            figures.not_rehearsed.iter().map(|(s, why)| vec![s.clone(), why.clone()]).collect(),
        ));
    }
    if !persons.is_empty() {
        text.push_str(&format!("\nwill wait for a person: {}\n", count(persons.len(), "step")));
        text.push_str(&columns(&[], persons.iter().map(|(step, ask)| vec![step.clone(), ask.clone()]).collect()));
    }
    if !figures.leading_out.is_empty() {
        let links = count(figures.leading_out.len(), "link");
        text.push_str(&format!("\nlead out of the copy: {links}\n"));
        let rows = figures.leading_out.iter().map(|(link, end)| vec![link.clone(), end.clone()]);
        text.push_str(&columns(&[], rows.collect()));
    }
    if let Some(kept) = &found.kept {
        text.push_str(&format!("\nthe copy is kept in {}\n", kept.display()));
    }
    if let Some(left) = &found.left {
        text.push_str(&format!(
            "\n{left}\n`{}` deletes what lies in the state folder\n",
            session.command_line("prune")
        ));
    }
    if found.failures.is_empty() {
        text.push_str(&format!(
            "\n{}: applied, verified, rolled back to where it began, applied again\nnext: {}\n",
            style.good("passed"),
            session.command_line("apply")
        ));
    } else {
        text.push_str(&format!("\n{}\n", style.bad("failed; the real system was only read")));
        found.failures.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    text
}

fn count_of_unknown(steps: usize) -> String {
    let what = if steps == 1 { "which was" } else { "which were" };
    format!("{} {what} not rehearsed", count(steps, "step"))
}

fn as_json(session: &Session, found: &Rehearsal, persons: &[(String, String)]) -> serde_json::Value {
    json!({
        "version": 1,
        "plan": session.plan.name,
        "passed": found.failures.is_empty(),
        "failures": found.failures,
        "figures": found.figures,
        "kept": found.kept,
        "left": found.left,
        "persons": persons.iter().map(|(step, ask)| json!({ "step": step, "asks": ask })).collect::<Vec<_>>(),
        "proof": found.proof,
    })
}
