//! `approve`: what a person says of steps that ask for it. The journal keeps it, with the plan that they looked at.

use cutover_core::journal::Record;
use serde_json::json;

use crate::cli::{Format, Out};
use crate::error::{Result, RunnerError};
use crate::executor::{RunOptions, Visit, Word, asked, unknown_point, word};
use crate::exit::Exit;
use crate::session::{Place, Session};

/// What a person says.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    /// Of which steps; none: of all that ask.
    pub(crate) steps: Vec<String>,
    /// Who they are.
    pub(crate) by: String,
    /// Why.
    pub(crate) note: String,
    /// They may not go on.
    pub(crate) reject: bool,
}

pub(crate) fn run(place: Place, said: &Said, options: &RunOptions, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    for (option, text) in [("--as", &said.by), ("--note", &said.note)] {
        if text.trim().is_empty() {
            return Err(RunnerError::usage(format!("`{option}` is empty")).with_help("say who you are, and why"));
        }
    }
    let session = Session::look(place)?;
    let visit = Visit::open(&session, options, "approve")?;
    let state = visit.recorder.with_state(Clone::clone);
    let mut records = Vec::new();
    for id in chosen(&session, said)? {
        let standing = state.state_of(&id);
        let repeated = match word(&session, &state, &id) {
            Word::Approved(known) => !said.reject && known.by == said.by,
            Word::Rejected(known) => said.reject && known.by == said.by,
            Word::None | Word::Void(_) => false,
        };
        let record = Record::StepApproved {
            step: id.clone(),
            approved: !said.reject,
            by: said.by.clone(),
            note: said.note.clone(),
            plan_digest: session.plan.digest.clone(),
        };
        if standing.next(&record).is_err() {
            // All that ask: those that are past it have no need of an answer.
            if said.steps.is_empty() {
                continue;
            }
            return Err(RunnerError::usage(format!("step `{id}` is {standing}: it asks for nothing any more"))
                .with_help(format!("`{}` says where things stand", session.command_line("status"))));
        }
        if !repeated {
            records.push((id, record));
        }
    }
    let steps: Vec<String> = records.iter().map(|(id, _)| id.clone()).collect();
    if !records.is_empty() {
        visit.recorder.record(records.into_iter().map(|(_, record)| record).collect())?;
    }
    tell(out, &session, said, &steps);
    Ok(Exit::Done)
}

/// The steps that are meant, each of which asks a person.
fn chosen(session: &Session, said: &Said) -> Result<Vec<String>> {
    let asking: Vec<String> =
        session.plan.steps().filter(|(_, s)| asked(s).is_some()).map(|(_, s)| s.id.clone()).collect();
    for id in &said.steps {
        if session.plan.step(id).is_none() {
            return Err(unknown_point(session, id));
        }
        if !asking.contains(id) {
            let help = match asking.as_slice() {
                [] => "no step of this plan does".to_owned(),
                ids => format!("these do: {}", ids.join(", ")),
            };
            return Err(RunnerError::usage(format!("step `{id}` asks for no approval")).with_help(help));
        }
    }
    Ok(if said.steps.is_empty() { asking } else { said.steps.clone() })
}

fn tell(out: &Out, session: &Session, said: &Said, steps: &[String]) {
    let word = if said.reject { "rejected" } else { "approved" };
    if out.format == Format::Json {
        let plan = &session.plan;
        out.json(&json!({
            "version": 1, "plan": plan.name, "plan-digest": plan.digest, "steps": steps, "approved": !said.reject,
            "by": said.by, "note": said.note,
        }));
        return;
    }
    if steps.is_empty() {
        out.print("nothing was left to say\n");
        return;
    }
    let digest = session.plan.digest.get(..12).unwrap_or_default();
    let mut text: String =
        steps.iter().map(|id| format!("{word}: {id}, by {} on plan {digest}: {}\n", said.by, said.note)).collect();
    text.push_str(&format!("next: {}\n", session.command_line("apply")));
    out.print(&text);
}
