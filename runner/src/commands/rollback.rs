//! `rollback`: says what it will undo, asks, and undoes it.

use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;

use cutover_core::journal::{PlanState, StepRecord};

use crate::cli::{Format, Out};
use crate::error::{Result, RunnerError};
use crate::executor::{self, RunOptions, Unwinding, unknown_point, unwinding};
use crate::exit::Exit;
use crate::host::Stop;
use crate::recorder::journal_error;
use crate::session::{Place, Session};

pub(crate) async fn run(place: Place, options: RunOptions, yes: bool, stop: Stop, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let session = Session::open(place)?;
    let (state, _) = session.journalled().map_err(journal_error)?;
    let (to, found) = selection(&session, &state, options.to.as_deref())?;
    if let Some(step) = &found.blocked_by {
        let why = session.plan.step(step).and_then(|s| s.irreversible.clone()).unwrap_or_default();
        return Err(RunnerError::new(
            Exit::Failed,
            format!("step `{step}` cannot be undone ({why}); nothing was changed"),
        )
        .with_help("name a point after it with `--to`, or go forward"));
    }
    if found.steps.is_empty() {
        if out.format == Format::Text {
            out.print("nothing to do\n");
        }
        return Ok(Exit::Done);
    }
    if out.format == Format::Text {
        let mut text = format!("rolling back to {to} undoes, in this order:\n");
        for step in &found.steps {
            text.push_str(&format!("  - {step}\n"));
        }
        out.print(&text);
    }
    if !yes && !confirmed(out)? {
        out.print("nothing was changed\n");
        return Ok(Exit::Done);
    }
    let emitter = Arc::new(out.emitter());
    let report = executor::rollback(&session, emitter, stop, options, &found.steps, &to).await?;
    Ok(report.outcome.into())
}

/// What a rollback to `to` undoes; with no `to` the last phase that has effects.
fn selection(session: &Session, state: &PlanState, to: Option<&str>) -> Result<(String, Unwinding)> {
    let plan = &session.plan;
    let phase_of = |id: &str, record: &StepRecord| {
        plan.phases
            .iter()
            .position(|p| p.steps.iter().any(|s| s.id == id))
            .or_else(|| plan.phases.iter().position(|p| p.name == record.stored.phase))
    };
    let Some(to) = to else {
        let last =
            state.steps.iter().filter(|(_, r)| r.state.may_have_effects()).filter_map(|(id, r)| phase_of(id, r)).max();
        let Some(last) = last else {
            return Ok(("the start".to_owned(), Unwinding { steps: Vec::new(), blocked_by: None }));
        };
        let found = unwinding(plan, state, &|id, r| phase_of(id, r) == Some(last));
        return Ok((format!("before phase {}", plan.phases[last].name), found));
    };
    if to == "start" {
        return Ok(("the start".to_owned(), unwinding(plan, state, &|_, _| true)));
    }
    if let Some(kept) = plan.phases.iter().position(|p| p.name == to) {
        let found = unwinding(plan, state, &|id, r| phase_of(id, r).is_none_or(|p| p > kept));
        return Ok((format!("the end of phase {to}"), found));
    }
    let order: Vec<&str> = plan.steps().map(|(_, s)| s.id.as_str()).collect();
    let Some(kept) = order.iter().position(|id| *id == to) else { return Err(unknown_point(session, to)) };
    let found = unwinding(plan, state, &|id, _| order.iter().position(|o| *o == id).is_none_or(|p| p > kept));
    Ok((format!("after step {to}"), found))
}

fn confirmed(out: &Out) -> Result<bool> {
    if out.format != Format::Text || !std::io::stdin().is_terminal() {
        return Err(RunnerError::usage("a rollback must be confirmed").with_help("say `--yes`"));
    }
    out.print("go on? [y/N] ");
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|e| RunnerError::io("reading the answer", e))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
