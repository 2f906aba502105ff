//! `verify`: proves again that every applied step holds. Writes nothing.

use std::sync::Arc;

use cutover_core::journal::{PlanState, Record, StepState};
use cutover_core::plan::{Plan, PlanStep};
use cutover_core::{EventKind, Outcome, StepContext, StepErrorKind, StepInfo, TargetSeen, Verdict};

use crate::cli::{Format, Out};
use crate::error::Result;
use crate::executor::{LedgerRows, drift, estranged, ledger_rows, reader_context, reconcile, reconciled, unreadable};
use crate::exit::Exit;
use crate::host::Stop;
use crate::recorder::journal_error;
use crate::secrets::Secrets;
use crate::session::{Place, Session, needs_env};
use crate::style::{count, plain};

pub(crate) async fn run(place: Place, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let session = Session::look(place)?;
    let (state, _) = session.journalled().map_err(journal_error)?;
    let emitter = Arc::new(out.emitter());
    let cx = reader_context(&session, &emitter, &Stop::default(), &state);
    let rows = ledger_rows(&session, &cx).await?;
    estranged(&session, &state, &rows).into_error(&session)?;
    let behind = disagreements(&session, &state, &rows);
    let state = reconciled(&session, &state, &rows);
    drift(&session, &state, &rows).into_error(&session)?;
    let cx = reader_context(&session, &emitter, &Stop::default(), &state);
    let plan = &session.plan;
    let applied = plan.steps().map(|(_, s)| s).filter(|s| state.state_of(&s.id) == StepState::Applied);
    applied.filter(|s| superseded(plan, &state, s).is_none()).try_for_each(|s| needs_env(&s.id, &s.config))?;
    emitter.emit(EventKind::RunStarted {
        command: "verify".to_owned(),
        plan: plan.name.clone(),
        run: String::new(),
        steps: plan
            .phases
            .iter()
            .flat_map(|p| p.steps.iter().map(|s| (p.name.clone(), s.id.clone(), s.kind.clone())))
            .collect(),
        resumed: false,
    });
    for (step, text) in unreadable(&state, &rows) {
        emitter.emit(EventKind::StepNote { step, text });
    }
    let mut broken = 0;
    let mut checked = 0;
    for (step, verdict) in verdicts(&session, &cx, &state).await {
        checked += 1;
        broken += usize::from(matches!(verdict, Verdict::Broken(_)));
        emitter.emit(EventKind::StepVerified { step, verdict });
    }
    let foreign = foreign(&session, &cx, &state).await?;
    let sound = broken == 0 && behind.is_empty() && foreign.structure.is_empty();
    if out.format == Format::Text {
        let mut text = format!("{} verified, {broken} broken\n", count(checked, "applied step"));
        lines(
            "journal and ledgers disagree; the ledgers are right, and the next apply follows them:",
            &behind,
            &mut text,
        );
        lines("changed by others since the last run:", &foreign.structure, &mut text);
        lines("rows of others since the last run (no drift):", &foreign.rows, &mut text);
        out.print(&text);
    } else {
        emitter.emit(EventKind::TargetsVerified { ledgers: behind, structure: foreign.structure, rows: foreign.rows });
        let outcome = if sound { Outcome::Done } else { Outcome::FailedPaused };
        emitter.emit(EventKind::RunFinished { outcome, next: None });
    }
    Ok(if sound { Exit::Done } else { Exit::Drift })
}

fn lines(title: &str, lines: &[String], text: &mut String) {
    if !lines.is_empty() {
        text.push_str(&format!("{title}\n"));
        lines.iter().for_each(|line| text.push_str(&format!("  {}\n", plain(line))));
    }
}

/// What others did to the targets since the last run of the plan.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    pub(super) structure: Vec<String>,
    rows: Vec<String>,
}

pub(super) async fn foreign(session: &Session, cx: &StepContext, state: &PlanState) -> Result<Foreign> {
    let mut found = Foreign::default();
    for (name, then) in &session.seen(state) {
        let Some(target) = session.targets.get(name) else { continue };
        match TargetSeen::of(&**target, cx).await {
            Ok(now) => {
                found.structure.extend(then.structure_since(&now).into_iter().map(|l| format!("{name}: {l}")));
                found.rows.extend(then.rows_since(&now).into_iter().map(|l| format!("{name}: {l}")));
            }
            // What cannot be read is not what others changed.
            Err(error) if error.kind() == StepErrorKind::Unavailable => return Err(error.into()),
            Err(error) => found.structure.push(format!("{name}: {}", error.chain())),
        }
    }
    Ok(found)
}

/// Where the journal has to follow the ledgers, a line each.
fn disagreements(session: &Session, state: &PlanState, rows: &LedgerRows) -> Vec<String> {
    let line = |record| match record {
        Record::StepAdopted { step, .. } => Some(format!("step {}: only its ledger has it", step.id)),
        Record::StepLost { step, why } => Some(format!("step {step}: {why}")),
        _ => None,
    };
    reconcile(session, state, rows).into_iter().filter_map(line).collect()
}

/// What every applied step's verify says, in plan order; secrets are masked.
pub(crate) async fn verdicts(session: &Session, cx: &StepContext, state: &PlanState) -> Vec<(String, Verdict)> {
    let plan = &session.plan;
    let secrets = Secrets::new(&plan.secrets);
    let mut verdicts = Vec::new();
    for (_, step) in plan.steps().filter(|(_, s)| state.state_of(&s.id) == StepState::Applied) {
        let verdict = match superseded(plan, state, step) {
            Some(by) => Verdict::Superseded(by.id.clone()),
            None => {
                // A ledger knows a step as it was applied, which an accepted edit does not change.
                let known = state.steps.get(&step.id).map(|s| &s.stored);
                let cx = cx.for_step(StepInfo {
                    plan: plan.name.clone(),
                    id: step.id.clone(),
                    kind: step.kind.clone(),
                    digest: known.map_or(&step.digest, |k| &k.digest).clone(),
                    checksum: known.map_or(&step.checksum, |k| &k.checksum).clone(),
                    ..StepInfo::default()
                });
                step.step.verify(&cx).await.unwrap_or_else(|e| Verdict::Broken(vec![e.chain()]))
            }
        };
        verdicts.push((step.id.clone(), secrets.mask_verdict(verdict)));
    }
    verdicts
}

/// The applied steps that do not hold any more, with what is wrong. A step that cannot be called here is not among them.
pub(super) async fn broken(session: &Session, cx: &StepContext, state: &PlanState) -> Vec<(String, Vec<String>)> {
    let callable = |id: &str| session.plan.step(id).is_some_and(|s| needs_env(id, &s.config).is_ok());
    let verdicts = verdicts(session, cx, state).await.into_iter();
    let broken = verdicts.filter_map(|(id, verdict)| match verdict {
        Verdict::Broken(what) if callable(&id) => Some((id, what)),
        _ => None,
    });
    broken.collect()
}

/// The applied step that undid this one by design, if there is one.
fn superseded<'p>(plan: &'p Plan, state: &PlanState, step: &PlanStep) -> Option<&'p PlanStep> {
    plan.steps()
        .map(|(_, s)| s)
        .find(|s| s.supersedes.contains(&step.id) && state.state_of(&s.id) == StepState::Applied)
}
