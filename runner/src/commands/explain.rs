//! `explain`: in plain words what is committed, what is not, why it stopped, and the exact next command. Writes nothing.

use std::sync::Arc;

use cutover_core::journal::{PlanState, Record, StepState};
use serde_json::json;

use super::status::{WORD, ended};
use crate::cli::{Format, Out};
use crate::error::Result;
use crate::executor::{LedgerRows, RunOptions, drift, estranged, ledger_rows, reader_context, reconcile, reconciled};
use crate::exit::Exit;
use crate::host::Stop;
use crate::journal::JournalError;
use crate::lock::living_holder;
use crate::recorder::journal_error;
use crate::session::{Place, Session};
use crate::style::count;

pub(crate) async fn run(place: Place, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let session = Session::look(place)?;
    let state = match session.journalled() {
        Ok((state, _)) => state,
        Err(error @ JournalError::Damaged { .. }) => {
            let next = session.command_line("apply");
            let lines = vec![
                format!("The journal cannot be believed: {error}."),
                "What the targets' ledgers recorded is not affected.".to_owned(),
                "The next apply sets the journal aside (nothing is deleted) and rebuilds it from the ledgers and by inspection.".to_owned(),
            ];
            print(out, &lines, Some(&next));
            return Ok(Exit::Done);
        }
        Err(error) => return Err(journal_error(error)),
    };
    let emitter = Arc::new(crate::report::Emitter::new(Box::new(crate::report::Silent)));
    let cx = reader_context(&session, &emitter, &Stop::default(), &state);
    let rows = ledger_rows(&session, &cx).await?;
    let mut lines = where_it_stands(&session, &state);
    // Where a target is another one now, what its ledger lacks says nothing.
    let comparable = estranged(&session, &state, &rows).0.is_empty();
    for record in reconcile(&session, &state, &rows).into_iter().filter(|_| comparable) {
        lines.push(match record {
            Record::StepAdopted { step, .. } => format!(
                "Step `{}`: the ledger of its target has it and the journal does not. The ledger is right: its row was committed together with the change. The next apply records it.",
                step.id
            ),
            Record::StepLost { step, why } => {
                format!("Step `{step}`: the journal has it as applied, but {why}. The next apply runs it again.")
            }
            _ => continue,
        });
    }
    let (why, next) = next_command(&session, &state, &rows);
    lines.extend(why);
    print(out, &lines, next.as_deref());
    Ok(Exit::Done)
}

fn print(out: &Out, lines: &[String], next: Option<&str>) {
    if out.format == Format::Json {
        out.json(&json!({ "version": 1, "lines": lines, "next": next }));
        return;
    }
    let mut text = lines.join("\n");
    match next {
        Some(next) => text.push_str(&format!("\n\nnext: {next}\n")),
        None => text.push_str("\n\nnext: nothing, all is done\n"),
    }
    out.print(&text);
}

fn named(steps: &[&str]) -> String {
    const SHOWN: usize = 8;
    let mut text = steps.iter().take(SHOWN).map(|s| format!("`{s}`")).collect::<Vec<_>>().join(", ");
    if steps.len() > SHOWN {
        text.push_str(&format!(" and {} more", steps.len() - SHOWN));
    }
    text
}

fn where_it_stands(session: &Session, state: &PlanState) -> Vec<String> {
    let mut lines = Vec::new();
    let ids = |wanted: &dyn Fn(StepState) -> bool| -> Vec<&str> {
        session.plan.steps().map(|(_, s)| s.id.as_str()).filter(|id| wanted(state.state_of(id))).collect()
    };
    let applied = ids(&|s| s == StepState::Applied);
    let begun = ids(&|s| matches!(s, StepState::Started | StepState::Intended));
    let mut open = ids(&|s| matches!(s, StepState::Pending | StepState::RolledBack));
    open.retain(|id| !state.steps.get(*id).is_some_and(|r| r.unproven));
    let all = session.plan.steps().count();
    let skipped = match ids(&|s| s == StepState::Skipped).len() {
        0 => String::new(),
        1 => " 1 step does not apply here.".to_owned(),
        more => format!(" {} do not apply here.", count(more, "step")),
    };
    lines.push(format!(
        "Plan {}: {} of {all} steps are applied, verified and committed.{skipped}",
        session.plan.name,
        applied.len()
    ));
    if !begun.is_empty() {
        lines.push(format!(
            "Begun and not known to be finished: {}. A crash or a kill came between its start and its record; each is either whole in its target or not there at all where the target has transactions, and is replayed safely otherwise.",
            named(&begun)
        ));
    }
    if !open.is_empty() {
        lines.push(format!("Not applied, as far as journal and ledgers know: {}.", named(&open)));
    }
    for (id, record) in &state.steps {
        let message = record.message.as_deref().unwrap_or("no message");
        match record.state {
            StepState::Failed => lines.push(format!("Step `{id}` failed: {message}")),
            StepState::Waiting => lines.push(format!("Step `{id}` waits: {message}")),
            StepState::Stopped => {
                lines.push(format!("Step `{id}` stopped on request at {message}; what it did so far is durable."));
            }
            StepState::RollingBack => {
                lines.push(format!("Step `{id}` is being rolled back; its rollback is replayed."));
            }
            now if record.unproven => {
                lines.push(format!("Step `{id}` is {now} {WORD}: {message}"));
            }
            StepState::Stuck => {
                lines.push(format!("Step `{id}` is stuck: its rollback failed: {message}"));
                if let Some(help) = &record.help {
                    lines.push(format!("  help: {help}"));
                }
            }
            _ => {}
        }
    }
    lines
}

/// Why it stands there, and the exact next command.
fn next_command(session: &Session, state: &PlanState, rows: &LedgerRows) -> (Vec<String>, Option<String>) {
    let open_run = state.run.as_ref().is_some_and(|r| r.outcome.is_none());
    if let Some(holder) = living_holder(&session.lock_files()[0]).filter(|_| open_run) {
        let lines = vec![format!(
            "A run is under way: process {} since {}. It is not for you to go on.",
            holder.pid, holder.since
        )];
        return (lines, Some(session.command_line("status")));
    }
    if let Some((id, _)) = state.steps.iter().find(|(_, r)| r.state == StepState::Stuck) {
        let lines = vec![
            "Nothing else is touched until this is settled. Either mend the cause and roll back again;".to_owned(),
            format!(
                "or, when its own way back is what is wrong, mend that in the plan, {} {id} --note WHY, and roll back again;",
                session.command_line("accept")
            ),
            format!(
                "or put it right by hand and say so: {} {id} --as rolled-back --note WHY (the claim is checked).",
                session.command_line("resolve")
            ),
        ];
        return (lines, Some(session.command_line("rollback")));
    }
    if let Some(open) = &state.unwinding {
        let why = if open.failure { "A step failed" } else { "A rollback was asked for" };
        let command = if open.failure { "apply" } else { "rollback" };
        let lines = vec![format!(
            "{why}, and the unwinding to {} has not ended. It goes on with the next command, whichever; nothing goes forward before.",
            open.to
        )];
        return (lines, Some(session.command_line(command)));
    }
    let found = drift(session, &reconciled(session, state, rows), rows);
    if let Some(first) = found.0.first() {
        let lines = found.0.iter().map(|d| format!("Drift: {d}.")).collect();
        return (lines, Some(first.remedy(session)));
    }
    let open =
        session.plan.steps().any(|(_, s)| !matches!(state.state_of(&s.id), StepState::Applied | StepState::Skipped));
    match &state.run {
        None => (vec!["It was never run here.".to_owned()], Some(session.command_line("apply"))),
        Some(run) => match &run.outcome {
            None => (
                vec![
                    "The last run has not ended: it was killed. The same command goes on where it stopped.".to_owned(),
                ],
                Some(session.command_again("apply", &RunOptions { to: run.to.clone(), ..RunOptions::default() })),
            ),
            Some(outcome) => {
                (vec![format!("The last run ended: {}.", ended(outcome))], open.then(|| session.command_line("apply")))
            }
        },
    }
}
