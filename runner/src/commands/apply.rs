//! `apply`: runs a plan forward.

use std::sync::Arc;

use crate::cli::{Format, Out};
use crate::error::{Result, RunnerError};
use crate::executor::{self, Bound, RunOptions};
use crate::exit::Exit;
use crate::host::Stop;
use crate::rehearse::Proof;
use crate::saved::SavedPlan;
use crate::session::{Place, Session};

pub(crate) async fn run(
    place: Place,
    options: RunOptions,
    require_rehearsal: bool,
    stop: Stop,
    out: &Out,
) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let (place, mut options) = saved(place, options)?;
    let session = Session::open(place)?;
    if require_rehearsal {
        options.bound.push(rehearsed(&session, options.to.as_deref())?);
    }
    let report = executor::apply(&session, Arc::new(out.emitter()), stop, options).await?;
    // The process ends here: to free thousands of steps one by one would take longer than a run with nothing to do.
    std::mem::forget(session);
    Ok(report.outcome.into())
}

/// A saved plan in place of a plan file: the plan that it names, bound to what it was saved for.
fn saved(place: Place, mut options: RunOptions) -> Result<(Place, RunOptions)> {
    let file = place.plan.clone();
    let Some(saved) = SavedPlan::read(&file)? else { return Ok((place, options)) };
    options.bound.push(Bound {
        what: format!("the saved plan `{}`", file.display()),
        binding: saved.binding.clone(),
        remedy: format!(
            "look at what it comes to now, and save that: `{} --out {}`",
            "cutover plan PLAN",
            file.display()
        ),
    });
    Ok((saved.place(&file, place)?, options))
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
        binding: proof.binding,
        remedy: format!("rehearse it as it is now: `{rehearse}`"),
    })
}
