//! `verify`: proves again that every applied step holds. Writes nothing.

use std::sync::Arc;

use cutover_core::journal::{PlanState, StepState};
use cutover_core::plan::{Plan, PlanStep};
use cutover_core::{EventKind, Outcome, StepContext, StepInfo, Verdict};

use crate::cli::{Format, Out};
use crate::error::Result;
use crate::executor::{drift, estranged, ledger_rows, reader_context, reconciled};
use crate::exit::Exit;
use crate::host::Stop;
use crate::recorder::journal_error;
use crate::secrets::Secrets;
use crate::session::{Place, Session, needs_env};
use crate::style::count;

pub(crate) async fn run(place: Place, out: &Out) -> Result<Exit> {
    out.only(&[Format::Text, Format::Json])?;
    let session = Session::look(place)?;
    let (state, _) = session.journalled().map_err(journal_error)?;
    let emitter = Arc::new(out.emitter());
    let cx = reader_context(&session, &emitter, &Stop::default(), &state);
    let rows = ledger_rows(&session, &cx).await?;
    estranged(&session, &state, &rows).into_error(&session)?;
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
    let mut broken = 0;
    let mut checked = 0;
    for (step, verdict) in verdicts(&session, &cx, &state).await {
        checked += 1;
        broken += usize::from(matches!(verdict, Verdict::Broken(_)));
        emitter.emit(EventKind::StepVerified { step, verdict });
    }
    if out.format == Format::Text {
        out.print(&format!("{} verified, {broken} broken\n", count(checked, "applied step")));
    } else {
        let outcome = if broken == 0 { Outcome::Done } else { Outcome::FailedPaused };
        emitter.emit(EventKind::RunFinished { outcome, next: None });
    }
    Ok(if broken == 0 { Exit::Done } else { Exit::Drift })
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

/// The applied step that undid this one by design, if there is one.
fn superseded<'p>(plan: &'p Plan, state: &PlanState, step: &PlanStep) -> Option<&'p PlanStep> {
    plan.steps()
        .map(|(_, s)| s)
        .find(|s| s.supersedes.contains(&step.id) && state.state_of(&s.id) == StepState::Applied)
}
