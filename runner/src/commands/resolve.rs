//! `resolve`: takes a person's claim about a step, after proving it by inspection and verify.

use std::sync::Arc;

use cutover_core::journal::{Record, Resolution, RunCommand, StepState};
use cutover_core::{Outcome, Standing, Verdict};
use serde_json::json;

use crate::cli::{Claim, Format, Out};
use crate::error::{Result, RunnerError};
use crate::executor::{Run, RunOptions, unknown_point};
use crate::exit::Exit;
use crate::host::Stop;
use crate::session::{Place, Session};

pub(crate) async fn run(
    place: Place,
    id: &str,
    claim: Claim,
    note: &str,
    options: RunOptions,
    out: &Out,
) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let session = Session::open(place)?;
    let step = session.plan.step(id).ok_or_else(|| unknown_point(&session, id))?;
    let emitter = Arc::new(crate::report::Emitter::new(Box::new(crate::report::Silent)));
    let (run, _locks) = Run::open(&session, emitter, Stop::default(), options, RunCommand::Administer).await?;
    let state = run.recorder.state_of(id);
    if matches!(state, StepState::Pending | StepState::Skipped | StepState::RolledBack | StepState::Applied) {
        return Err(RunnerError::usage(format!("step `{id}` is {state}: there is nothing to resolve"))
            .with_help("`cutover explain PLAN` says what can be done"));
    }
    let cx = run.context(step);
    let standing = step.step.inspect(&cx).await?;
    let proven = match (claim, &standing) {
        (Claim::Applied, Standing::Applied | Standing::Unknown) => match step.step.verify(&cx).await? {
            Verdict::Holds | Verdict::Superseded(_) => Ok(Resolution::Applied),
            Verdict::Broken(lines) => Err(format!("verify says: {}", lines.join("; "))),
        },
        (Claim::RolledBack, Standing::Pending) => Ok(Resolution::RolledBack),
        (Claim::RolledBack, Standing::Unknown) => match step.step.verify(&cx).await? {
            Verdict::Broken(_) => Ok(Resolution::RolledBack),
            _ => Err("verify says that it is still there".to_owned()),
        },
        (_, found) => Err(format!("inspection says: {}", words(found))),
    };
    let resolution = proven.map_err(|why| {
        let why = run.host.secrets.mask(&why);
        RunnerError::new(Exit::Stuck, format!("the claim about step `{id}` is not true: {why}; nothing was recorded"))
            .with_help("put the step right first, then say so again")
    })?;
    if let Some(target) = step.step.transactional().and_then(|t| session.targets.get(t))
        && let Some(ledger) = target.ledger()
    {
        let recorded = ledger.entries(&cx, &session.plan.name).await?.into_iter().any(|r| r.success && r.step == id);
        match resolution {
            Resolution::RolledBack if recorded => ledger.forget(&cx).await?,
            Resolution::Applied if !recorded => {
                let receipt = run.recorder.receipt_of(id).unwrap_or_default();
                ledger.adopt(&cx, &receipt).await?;
            }
            _ => {}
        }
    }
    let record = Record::StepResolved { step: id.to_owned(), resolution, note: note.to_owned(), receipt: None };
    run.record(vec![record]).await?;
    run.finish(Outcome::Done, None).await?;
    let now = if resolution == Resolution::Applied { StepState::Applied } else { StepState::RolledBack };
    match out.format {
        Format::Json => {
            out.json(&json!({ "version": 1, "plan": session.plan.name, "step": id, "state": now, "note": note }));
        }
        _ => out.print(&format!("resolved: step `{id}` is {now}\n")),
    }
    Ok(Exit::Done)
}

fn words(standing: &Standing) -> String {
    match standing {
        Standing::Unknown => "it cannot tell".to_owned(),
        Standing::Pending => "nothing of it is there".to_owned(),
        Standing::Applied => "all of it is there".to_owned(),
        Standing::Partial(what) => format!("only part of it is there ({what})"),
        Standing::Conflict(what) => format!("something is in its way ({what})"),
    }
}
