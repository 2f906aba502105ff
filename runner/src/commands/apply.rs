//! `apply`: runs a plan forward.

use std::sync::Arc;

use crate::cli::{Format, Out};
use crate::error::{Result, RunnerError};
use crate::executor::{self, Bound, RunOptions};
use crate::exit::Exit;
use crate::host::Stop;
use crate::rehearse::Proof;
use crate::saved::SavedPlan;
use crate::session::{Place, Session, shell_words};

pub(crate) async fn run(
    place: Place,
    mut options: RunOptions,
    require_rehearsal: bool,
    stop: Stop,
    out: &Out,
) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let session = Session::open(place)?;
    options.bound.extend(saved(&session)?);
    if require_rehearsal {
        options.bound.push(rehearsed(&session, options.to.as_deref())?);
    }
    let report = executor::apply(&session, Arc::new(out.emitter()), stop, options).await?;
    // The process ends here: to free thousands of steps one by one would take longer than a run with nothing to do.
    std::mem::forget(session);
    Ok(report.outcome.into())
}

/// The saved plan that was given in place of a plan file.
fn saved(session: &Session) -> Result<Option<Bound>> {
    let Some(said) = &session.place.said else { return Ok(None) };
    let Some(saved) = SavedPlan::read(&said.plan)? else { return Ok(None) };
    let file = said.plan.display();
    let again = format!("{} --out {}", session.command_line("plan"), shell_words([file.to_string()]));
    Ok(Some(Bound {
        what: format!("the saved plan `{file}`"),
        saved: Some(std::path::absolute(&said.plan).map_err(|e| RunnerError::io(format!("`{file}`"), e))?),
        binding: saved.binding,
        remedy: format!("look at what it comes to now, and save that: `{again}`"),
    }))
}

/// The rehearsal that this run relies on.
fn rehearsed(session: &Session, to: Option<&str>) -> Result<Bound> {
    let proof = Proof::read(session)?;
    let rehearse = session.command_line("rehearse");
    if proof.to.is_some() && proof.to.as_deref() != to {
        let went = proof.to.as_deref().unwrap_or_default();
        return Err(RunnerError::new(Exit::Drift, format!("the rehearsal of {} went only to `{went}`", proof.at))
            .with_help(format!("rehearse all of it: `{rehearse}`; or apply that far: `--to {went}`")));
    }
    Ok(Bound {
        what: format!("the rehearsal of {}", proof.at),
        saved: None,
        binding: proof.binding,
        remedy: format!("rehearse it as it is now: `{rehearse}`"),
    })
}
