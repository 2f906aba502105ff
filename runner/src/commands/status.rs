//! `status`: where every step stands according to journal and ledgers. Writes nothing.

use std::sync::Arc;

use cutover_core::StepContext;
use cutover_core::journal::{PlanState, StepRecord, StepState};
use serde_json::json;

use super::table::columns;
use crate::cli::{Format, Out};
use crate::clock;
use crate::error::Result;
use crate::executor::{
    LedgerRows, asked, asking, drift, ledger_rows_to_look, reader_context, reconcile, reconciled, running,
};
use crate::exit::Exit;
use crate::host::Stop;
use crate::lock::living_holder;
use crate::recorder::journal_error;
use crate::session::{Place, Session};
use crate::style::{Style, count, duration};

pub(crate) async fn run(place: Place, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let session = Session::look(place)?;
    let (state, _) = session.journalled().map_err(journal_error)?;
    let emitter = Arc::new(crate::report::Emitter::new(Box::new(crate::report::Silent)));
    let cx = reader_context(&session, &emitter, &Stop::default(), &state);
    let (rows, unread) = ledger_rows_to_look(&session, &cx).await?;
    let read = unread.is_none();
    let mut remarks = remarks(&session, &state, &rows, unread);
    if read {
        remarks.extend(targets(&session, &cx).await);
    }
    match out.format {
        Format::Json => out.json(&as_json(&session, &state, &rows, &remarks)),
        _ => out.print(&text(&session, &state, &remarks, out.style)),
    }
    Ok(Exit::Done)
}

fn text(session: &Session, state: &PlanState, remarks: &[String], style: Style) -> String {
    let plan = &session.plan;
    let mut text = format!("{}\n", style.bold(&format!("status of {}", plan.name)));
    let mut done = 0;
    let mut all = 0;
    for phase in &plan.phases {
        text.push_str(&format!("\n{}\n", style.bold(&format!("phase {}", phase.name))));
        let lines = phase
            .steps
            .iter()
            .map(|step| {
                let record = state.steps.get(&step.id);
                let standing = state.state_of(&step.id);
                all += 1;
                done += usize::from(matches!(standing, StepState::Applied | StepState::Skipped));
                let mut more = Vec::new();
                if let Some(record) = record {
                    if standing == StepState::Applied {
                        if let Some(seconds) = record.seconds {
                            more.push(duration(seconds));
                        }
                        if let Some(rows) = record.receipt.as_ref().and_then(|r| r.rows) {
                            more.push(count(usize::try_from(rows).unwrap_or(usize::MAX), "row"));
                        }
                    }
                    more.extend(record.unproven.then(|| WORD.to_owned()));
                    more.extend(record.message.as_ref().and_then(|m| m.lines().next()).map(str::to_owned));
                    more.extend(since(record).filter(|_| standing == StepState::Waiting));
                }
                vec![standing.to_string(), step.id.clone(), step.kind.clone(), more.join(", ")]
            })
            .collect();
        text.push_str(&columns(&[], lines));
    }
    text.push_str(&format!("\n{done} of {all} steps done\n"));
    for line in remarks {
        text.push_str(&format!("{line}\n"));
    }
    text
}

/// What was sampled since a step said why it waits: a watch, which is no run, goes on meanwhile.
fn since(record: &StepRecord) -> Option<String> {
    let (window, said) = (record.window.as_ref()?, record.at?);
    let more = window.rounds.iter().filter(|round| round.at > said).count();
    let last = window.rounds.last().filter(|_| more > 0)?;
    let broke = if last.broke.is_empty() { "within bounds" } else { "out of bounds" };
    let all = count(window.rounds.len(), "sample");
    Some(format!("{more} more since then, {all} in all, the last at {:.0} {broke}", last.at))
}

/// What the targets say of themselves. One that cannot be asked now says nothing: a status is asked for then, too.
async fn targets(session: &Session, cx: &StepContext) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, target) in session.targets.iter() {
        let told = target.remarks(cx).await.unwrap_or_default();
        lines.extend(told.into_iter().map(|line| format!("{name}: {line}")));
    }
    lines
}

/// What an operator should know besides the table.
fn remarks(session: &Session, state: &PlanState, rows: &LedgerRows, unread: Option<String>) -> Vec<String> {
    let (mut lines, behind) = match unread {
        Some(why) => (vec![why], 0),
        None => {
            let drift = drift(session, &reconciled(session, state, rows), rows);
            (drift.0.iter().map(|d| format!("drift: {d}")).collect(), reconcile(session, state, rows).len())
        }
    };
    if behind > 0 {
        let steps = count(behind, "step");
        lines.push(format!(
            "the journal and the ledgers disagree on {steps}; the ledgers are right, and the next apply follows them"
        ));
    }
    lines.extend(session.plan.budget.and_then(|allowed| running(state, allowed, clock::now())));
    lines.extend(asking(session, state).into_iter().map(|a| format!("{} {}: {}", a.step, a.why, a.command)));
    let Some(run) = &state.run else {
        lines.push("never run here".to_owned());
        return lines;
    };
    if let Some(holder) = living_holder(&session.lock_files()[0]).filter(|_| run.outcome.is_none()) {
        lines.push(format!("a run is under way: process {} since {} (`{}`)", holder.pid, holder.since, holder.command));
        return lines;
    }
    match (&run.outcome, &state.unwinding) {
        (_, Some(open)) => {
            let next = if open.failure { session.forward(run) } else { session.command_line("rollback") };
            lines.push(format!("an unwinding to {} has not ended; go on with: {next}", open.to));
        }
        (None, None) => {
            let next = session.going_on(run, state);
            lines.push(format!("a run was interrupted; go on with: {next}"));
        }
        (Some(outcome), None) => lines.push(format!("last run: {}", ended(outcome))),
    }
    lines
}

fn as_json(session: &Session, state: &PlanState, rows: &LedgerRows, remarks: &[String]) -> serde_json::Value {
    let steps: Vec<_> = session
        .plan
        .phases
        .iter()
        .flat_map(|p| p.steps.iter().map(move |s| (p, s)))
        .map(|(phase, step)| {
            let record = state.steps.get(&step.id);
            let ledger = step.target.as_ref().and_then(|t| rows.get(t)).is_some_and(|l| l.contains_key(&step.id));
            json!({
                "phase": phase.name,
                "id": step.id,
                "kind": step.kind,
                "state": state.state_of(&step.id),
                "in-ledger": ledger,
                "at": record.and_then(|r| r.at),
                "seconds": record.and_then(|r| r.seconds),
                "rows": record.and_then(|r| r.receipt.as_ref()?.rows),
                "unproven": record.is_some_and(|r| r.unproven),
                "message": record.and_then(|r| r.message.clone()),
                "help": record.and_then(|r| r.help.clone()),
                "asks": asked(step),
                "approval": state.approvals.get(&step.id).map(|said| json!({
                    "approved": said.approved, "by": said.by, "note": said.note, "at": said.at,
                    "void": said.plan_digest != session.plan.digest,
                })),
            })
        })
        .collect();
    json!({
        "version": 1,
        "plan": session.plan.name,
        "steps": steps,
        "budget": session.plan.budget,
        "incident": state.incident.as_ref().map(|open| json!({
            "step": open.step, "at": open.at, "assessed": open.assessed, "decided": open.decided,
        })),
        "run": state.run.as_ref().map(|r| json!({
            "id": r.id, "epoch": r.epoch, "command": r.command, "started": r.started, "outcome": r.outcome,
            "unwinding": state.unwinding.as_ref().map(|u| &u.to),
        })),
        "remarks": remarks,
    })
}

/// What an unproven claim rests on.
pub(super) const WORD: &str = "on the operator's word, not proven";

/// How a run ended, in words.
pub(crate) fn ended(outcome: &str) -> &str {
    match outcome {
        "failed-rolled-back" => "failed, and rolled back as the plan says",
        "failed-paused" => "failed; nothing was undone",
        "failed-blocked" => "failed, and rolled back only as far as a step that cannot be undone",
        "unwound" => "an interrupted rollback was finished",
        "stuck" => "stuck: a rollback failed",
        other => other,
    }
}
