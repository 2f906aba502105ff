//! `watch`: looks again and again at what a waiting run waits for, without that run.
//!
//! Each round is a visit: the lock of the state folder is held only as long as it lasts, so that `approve`, `status` and
//! `rollback` work in between. What a round observes is in the journal; a watch that is killed, and begun again, goes on
//! where the journal ends. When a step waits no longer, `apply` goes as far as that step, and no further.

use std::sync::Arc;
use std::time::Duration;

use cutover_core::journal::{PlanState, StepState};
use cutover_core::plan::PlanStep;
use cutover_core::{EventKind, Watched};
use jiff::Timestamp;

use super::{Report, RunOptions, Visit, apply};
use crate::clock;
use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::host::Stop;
use crate::report::Emitter;
use crate::session::Session;

/// Between two looks at the operator's wishes.
const LOOK: Duration = Duration::from_millis(200);
/// How long a round waits for another command to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a watch ended.
#[derive(Debug)]
pub(crate) enum WatchEnd {
    /// Nothing waits that could be looked at; why.
    Nothing(String),
    /// After one round: these wait still.
    Waits,
    /// The operator asked to stop.
    Stopped,
    /// A step waits no longer; what `apply` up to it came to.
    Settled(Report),
}

/// What one round found.
enum Round {
    Nothing(String),
    Waits(Timestamp),
    Settled(String),
    /// Another command is at work.
    Busy,
}

/// Watches until something is settled, nothing is left to watch, or a stop is requested; `once`: one round.
pub(crate) async fn watch(
    session: &Session,
    emitter: Arc<Emitter>,
    stop: Stop,
    options: RunOptions,
    once: bool,
) -> Result<WatchEnd> {
    loop {
        let again = match round(session, &emitter, &stop, &options, once).await? {
            Round::Nothing(why) => return Ok(WatchEnd::Nothing(why)),
            Round::Settled(step) => {
                let options = RunOptions { to: Some(step), to_unsaid: true, lock_timeout: PATIENCE, ..options };
                return apply(session, emitter, stop, options).await.map(WatchEnd::Settled);
            }
            Round::Waits(_) if once => return Ok(WatchEnd::Waits),
            Round::Waits(again) => again,
            Round::Busy => clock::now() + PATIENCE,
        };
        while clock::now() < again {
            if stop.requested() {
                return Ok(WatchEnd::Stopped);
            }
            let left = again.duration_since(clock::now()).unsigned_abs().min(LOOK);
            let slept = tokio::task::spawn_blocking(move || std::thread::sleep(left)).await;
            slept.map_err(|e| RunnerError::internal(format!("the pause of a watch ended: {e}")))?;
        }
        if stop.requested() {
            return Ok(WatchEnd::Stopped);
        }
    }
}

/// One round, under the lock of the state folder.
async fn round(
    session: &Session,
    emitter: &Arc<Emitter>,
    stop: &Stop,
    options: &RunOptions,
    once: bool,
) -> Result<Round> {
    let visit = match Visit::open(session, options, "watch") {
        Err(error) if error.exit == Exit::Locked && !once => return Ok(Round::Busy),
        other => other?,
    };
    if let Some(to) = visit.recorder.with_state(|state| state.unwinding.as_ref().map(|open| open.to.clone())) {
        return Ok(Round::Nothing(format!("an unwinding to {to} has not ended")));
    }
    let mut again: Option<Timestamp> = None;
    let mut asking = Vec::new();
    // Nothing of the fold is held while a step looks: it grows by what that sees, and would be copied for it.
    for (step, edited) in visit.recorder.with_state(|state| waiting(session, state)) {
        if edited {
            return Err(RunnerError::new(Exit::Drift, format!("step `{}` waits, and was edited since", step.id))
                .with_help(format!("undo the edit, or roll back: `{}`", session.command_line("rollback"))));
        }
        let cx = visit.context(session, step, emitter, stop);
        match step.step.watch(&cx).await? {
            None => asking.push(step.id.as_str()),
            Some(Watched::Settled(why)) => {
                emitter.emit(EventKind::StepNote { step: step.id.clone(), text: why });
                close(session, &cx).await?;
                return Ok(Round::Settled(step.id.clone()));
            }
            Some(Watched::Waits { why, again: at }) => {
                emitter.emit(EventKind::StepWaiting { step: step.id.clone(), why });
                again = Some(again.map_or(at, |soonest| soonest.min(at)));
            }
        }
        close(session, &cx).await?;
    }
    Ok(match again {
        Some(at) => Round::Waits(at),
        None if asking.is_empty() => Round::Nothing("no step waits".to_owned()),
        None => Round::Nothing(format!("there is nothing to look at for {}", asking.join(", "))),
    })
}

/// Between two rounds nothing is held open.
async fn close(session: &Session, cx: &cutover_core::StepContext) -> Result<()> {
    for target in session.targets.values() {
        target.close(cx).await?;
    }
    Ok(())
}

/// The steps that wait, in plan order, and whether each was edited since.
fn waiting<'a>(session: &'a Session, state: &PlanState) -> Vec<(&'a PlanStep, bool)> {
    let waits = |step: &&PlanStep| state.state_of(&step.id) == StepState::Waiting;
    let known = |step: &PlanStep| state.steps.get(&step.id).is_some_and(|known| known.known_digest() == step.digest);
    session.plan.steps().map(|(_, step)| step).filter(waits).map(|step| (step, !known(step))).collect()
}
