//! `resolve`: takes a person's claim about a step, after proving it by inspection and verify. Where neither can tell, a
//! person may give their word for it, and the journal says so.

use std::sync::Arc;

use cutover_core::journal::{Record, Resolution, RunCommand, StepState};
use cutover_core::{Outcome, Receipt, Standing, StepInfo, Verdict};
use serde_json::json;

use crate::cli::{Claim, Format, Out};
use crate::error::{Result, RunnerError};
use crate::executor::{Run, RunOptions, unknown_point};
use crate::exit::Exit;
use crate::host::Stop;
use crate::session::{Place, Session};
use crate::stored::Objects;

/// What a person says of a step.
#[derive(Debug)]
pub(crate) struct Said {
    /// Where it stands.
    pub claim: Claim,
    /// Why.
    pub note: String,
    /// Their word is to be enough where nothing can prove it.
    pub unproven: bool,
}

/// What looking came to.
enum Found {
    /// The claim is true.
    Proven(Resolution),
    /// Nothing can tell; it is taken on the operator's word.
    Word,
    /// Nothing can tell, and nobody gave their word; what verify says.
    Open(String),
    /// The claim is not true.
    Untrue(String),
}

pub(crate) async fn run(place: Place, id: &str, said: &Said, options: RunOptions, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let session = Session::open(place)?;
    let (phase, step) = session.plan.steps().find(|(_, s)| s.id == id).ok_or_else(|| unknown_point(&session, id))?;
    let emitter = Arc::new(crate::report::Emitter::new(Box::new(crate::report::Silent)));
    let (run, _locks) = Run::open(&session, emitter, Stop::default(), options, RunCommand::Administer).await?;
    let state = run.recorder.state_of(id);
    // A ledger knows a step as it was applied, which an accepted edit does not change.
    let applied = run.recorder.with_state(|s| s.steps.get(id).filter(|r| r.state == StepState::Applied).cloned());
    let cx = match applied {
        Some(known) => run.context_of(StepInfo {
            id: id.to_owned(),
            kind: step.kind.clone(),
            digest: known.stored.digest.clone(),
            checksum: known.stored.checksum.clone(),
            ..StepInfo::default()
        }),
        None => run.context(step),
    };
    let ledger = step.step.ledgered().and_then(|t| session.targets.get(t)).and_then(|t| t.ledger());
    let row = match ledger {
        Some(ledger) => {
            let rows = ledger.entries(&cx, &session.plan.name).await?;
            Some(rows.into_iter().find(|r| r.success && r.step == id))
        }
        None => None,
    };
    let recorded = row.as_ref().map(Option::is_some);
    // A row whose receipt nobody has: what it made can be told by looking only.
    let no_receipt = row.flatten().is_some_and(|row| row.unreadable.is_some()) && run.recorder.receipt_of(id).is_none();
    // What the journal has as applied and its ledger has not: somebody deleted the row, or put the target back.
    let row_gone = state == StepState::Applied && recorded == Some(false) && said.claim == Claim::Applied;
    if !row_gone
        && !no_receipt
        && matches!(state, StepState::Pending | StepState::Skipped | StepState::RolledBack | StepState::Applied)
    {
        return Err(RunnerError::usage(format!("step `{id}` is {state}: there is nothing to resolve"))
            .with_help("`cutover explain PLAN` says what can be done"));
    }
    let standing = step.step.inspect(&cx).await?;
    let found = match (said.claim, &standing) {
        (Claim::Applied, Standing::Applied | Standing::Unknown) => match step.step.verify(&cx).await? {
            Verdict::Holds | Verdict::Superseded(_) => Found::Proven(Resolution::Applied),
            Verdict::Broken(lines) => Found::Untrue(format!("verify says: {}", lines.join("; "))),
        },
        (Claim::RolledBack, Standing::Pending) => Found::Proven(Resolution::RolledBack),
        // A verify that is broken proves nothing here: so it is for what is half undone.
        (Claim::RolledBack, Standing::Unknown) if said.unproven => Found::Word,
        (Claim::RolledBack, Standing::Unknown) => Found::Open(match step.step.verify(&cx).await? {
            Verdict::Holds | Verdict::Superseded(_) => "verify finds it there".to_owned(),
            Verdict::Broken(lines) => {
                format!("verify, which does not tell all of it from a part, says: {}", lines.join("; "))
            }
        }),
        (_, found) => Found::Untrue(format!("inspection says: {}", words(found))),
    };
    let (resolution, proven) = match found {
        Found::Proven(resolution) => (resolution, true),
        Found::Word => (Resolution::RolledBack, false),
        Found::Open(verdict) => {
            let (back, resolve) = (session.command_line("rollback"), session.command_line("resolve"));
            let verdict = run.host.secrets.mask(&verdict);
            let message = format!(
                "the claim about step `{id}` cannot be proven: a step of its kind cannot tell what is left of it; {verdict}; nothing was recorded"
            );
            return Err(RunnerError::new(Exit::Stuck, message).with_help(format!(
                "mend the cause, then `{back}`; or make sure that nothing of it is left and give your word for it: `{resolve} {id} --as rolled-back --unproven --note WHY`"
            )));
        }
        Found::Untrue(why) => {
            let why = run.host.secrets.mask(&why);
            let message = format!("the claim about step `{id}` is not true: {why}; nothing was recorded");
            return Err(RunnerError::new(Exit::Stuck, message).with_help("put the step right first, then say so again"));
        }
    };
    let receipt = match (resolution, no_receipt) {
        (Resolution::Applied, true) => Some(step.step.recover(&cx).await?.unwrap_or_else(Receipt::nothing)),
        _ => None,
    };
    if let Some(ledger) = ledger {
        match (resolution, recorded) {
            (Resolution::RolledBack, Some(true)) => ledger.forget(&cx).await?,
            (Resolution::Applied, Some(false)) => {
                let receipt = run.recorder.receipt_of(id).unwrap_or_default();
                ledger.adopt(&cx, &receipt).await?;
            }
            (Resolution::Applied, Some(true)) if no_receipt => {
                ledger.adopt(&cx, &receipt.clone().unwrap_or_default()).await?;
            }
            _ => {}
        }
    }
    let note = said.note.clone();
    let resolved = Record::StepResolved { step: id.to_owned(), resolution, proven, note, receipt: receipt.clone() };
    // A journal that was lost does not know that it began.
    let (records, objects) = match (state.may_have_effects(), receipt) {
        (true, _) => (vec![resolved], Objects::default()),
        (false, Some(receipt)) => {
            let (step, objects) = run.stored(phase, step);
            (vec![Record::StepAdopted { step, receipt, source: "inspection".to_owned() }, resolved], objects)
        }
        (false, None) => (Vec::new(), Objects::default()),
    };
    run.record_with(records, objects).await?;
    run.finish(Outcome::Done, None).await?;
    let now = if resolution == Resolution::Applied { StepState::Applied } else { StepState::RolledBack };
    match out.format {
        Format::Json => {
            let plan = &session.plan.name;
            out.json(&json!({
                "version": 1, "plan": plan, "step": id, "state": now, "proven": proven, "note": said.note,
            }));
        }
        _ if proven => out.print(&format!("resolved: step `{id}` is {now}\n")),
        _ => out.print(&format!("resolved: step `{id}` is {now} on your word; nothing proved it\n")),
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
