//! Telling people elsewhere: each notice on a thread of its own, after the journal has what it says.
//!
//! Owns the texts, the threads and how long the end of a run waits for them. What becomes of a notice is journalled and
//! told as a warning; it never changes what the run comes to.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cutover_core::journal::{PlanState, Record, RunCommand, StepState};
use cutover_core::{EventKind, Notice, Notifier, Occasion, Outcome};

use super::Run;
use crate::lock::host_name;
use crate::style::count;

/// How long the end of a run waits for notifiers that do not keep their own time limit.
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of one notice.
type Told = (usize, Option<String>);

/// The notices of one run that are on their way.
#[derive(Debug)]
pub(super) struct Notices {
    /// The steps that waited when the run opened: nobody is told of them again.
    waited: BTreeSet<String>,
    sent: Mutex<Sent>,
}

#[derive(Debug)]
struct Sent {
    /// By number: the notifier's kind, and of what.
    all: Vec<(String, Occasion)>,
    told: Sender<Told>,
    heard: Option<Receiver<Told>>,
}

impl Notices {
    /// For a run that opens in this state.
    pub(super) fn new(state: &PlanState) -> Self {
        let (told, heard) = channel();
        Self { waited: waiting(state), sent: Mutex::new(Sent { all: Vec::new(), told, heard: Some(heard) }) }
    }
}

/// What a notice says beside the run itself.
#[derive(Debug, Default)]
struct About {
    text: String,
    phase: Option<String>,
    steps: Vec<String>,
    message: Option<String>,
    help: Option<String>,
    next: Option<String>,
}

impl Run<'_> {
    /// A phase came to its end in this run.
    pub(super) fn tell_milestone(&self, phase: usize) {
        let plan = &self.session.plan;
        let Some(phase) = plan.phases.get(phase) else { return };
        let whole = self.recorder.with_state(|state| {
            phase.steps.iter().all(|s| matches!(state.state_of(&s.id), StepState::Applied | StepState::Skipped))
        });
        if whole {
            let text = format!("plan {}: phase {} is done", plan.name, phase.name);
            self.tell(Occasion::Milestone, About { text, phase: Some(phase.name.clone()), ..About::default() });
        }
    }

    /// A step failed; what the plan says of that comes now.
    pub(super) fn tell_failure(&self, step: &str) {
        let (message, help) = self
            .recorder
            .with_state(|state| state.steps.get(step).map(|s| (s.message.clone(), s.help.clone())).unwrap_or_default());
        let text = format!("plan {}: step {step} failed", self.session.plan.name);
        self.tell(Occasion::Failed, About { text, steps: vec![step.to_owned()], message, help, ..About::default() });
    }

    /// How the run ended, where that is to be told.
    pub(super) fn tell_end(&self, outcome: Outcome, next: Option<&String>) {
        let name = &self.session.plan.name;
        let next = next.cloned();
        match (outcome, self.command) {
            (_, RunCommand::Administer) => {}
            (Outcome::Waiting, _) => {
                let (steps, message) = self.recorder.with_state(|state| {
                    let steps = waiting(state);
                    let why = steps.iter().filter_map(|id| state.steps.get(id)?.message.clone());
                    let why = why.collect::<Vec<_>>().join("; ");
                    (steps, why)
                });
                if steps.is_subset(&self.notices.waited) {
                    return;
                }
                let steps: Vec<String> = steps.into_iter().collect();
                let text = format!("plan {name}: {} waits", steps.join(", "));
                let message = Some(message).filter(|m| !m.is_empty());
                self.tell(Occasion::Waiting, About { text, steps, message, next, ..About::default() });
            }
            (Outcome::Stuck, _) => {
                let stuck = self.recorder.with_state(|state| {
                    let stuck = state.steps.iter().find(|(_, s)| s.state == StepState::Stuck);
                    stuck.map(|(id, s)| (id.clone(), s.message.clone(), s.help.clone()))
                });
                let Some((step, message, help)) = stuck else { return };
                let text = format!("plan {name}: step {step} could not be rolled back; a person is needed");
                let steps = vec![step];
                self.tell(Occasion::Failed, About { text, steps, message, help, next, phase: None });
            }
            (Outcome::FailedRolledBack | Outcome::FailedBlocked | Outcome::Unwound, _)
            | (Outcome::Done, RunCommand::Rollback) => {
                let Some(open) = self.recorder.with_state(|state| state.unwinding.clone()) else { return };
                let undone = count(open.steps.len(), "step");
                let left = open.blocked_by.map(|s| format!("; step {s} cannot be undone")).unwrap_or_default();
                let text = format!("plan {name}: rolled back to {}, {undone} undone{left}", open.to);
                self.tell(Occasion::RolledBack, About { text, steps: open.steps, next, ..About::default() });
            }
            _ => {}
        }
    }

    /// Hands a notice to whoever is to be told, each on a thread of its own.
    fn tell(&self, on: Occasion, about: About) {
        let plan = &self.session.plan;
        if self.session.place.rehearsal || !plan.notify.iter().any(|n| n.on.contains(&on)) {
            return;
        }
        let mask = |text: String| self.host.secrets.mask(&text);
        let notice = Arc::new(Notice {
            version: 1,
            on,
            at: crate::clock::now().to_string(),
            plan: plan.name.clone(),
            run: self.recorder.run().to_owned(),
            host: host_name(),
            text: mask(about.text),
            phase: about.phase,
            steps: about.steps,
            message: about.message.map(mask),
            help: about.help.map(mask),
            next: about.next.map(mask),
        });
        let Ok(mut sent) = self.notices.sent.lock() else { return };
        for notify in plan.notify.iter().filter(|n| n.on.contains(&on)) {
            let number = sent.all.len();
            sent.all.push((notify.kind.clone(), on));
            let (told, notice, root) = (sent.told.clone(), Arc::clone(&notice), self.session.root.clone());
            let Some(notifier) = notify.notifier.clone() else {
                let _ = told.send((number, Some("a secret that it needs is not set".to_owned())));
                continue;
            };
            let bring = move || {
                let _ = told.send((number, brought(&*notifier, &notice, &root)));
            };
            if let Err(error) = std::thread::Builder::new().name("notify".to_owned()).spawn(bring) {
                let _ = sent.told.send((number, Some(format!("no thread for it: {error}"))));
            }
        }
    }

    /// Waits for every notice that is on its way, and says what became of each. Nobody is told of anything after it.
    pub(super) async fn hear_back(&self) -> Vec<Record> {
        let (all, heard) = match self.notices.sent.lock() {
            Ok(mut sent) => (std::mem::take(&mut sent.all), sent.heard.take()),
            Err(_) => return Vec::new(),
        };
        let Some(heard) = heard.filter(|_| !all.is_empty()) else { return Vec::new() };
        let number = all.len();
        let ends = tokio::task::spawn_blocking(move || answers(&heard, number)).await.unwrap_or_default();
        let late = || Some(format!("no answer within {} s", PATIENCE.as_secs()));
        let record = |((notifier, on), error): ((String, Occasion), Option<Option<String>>)| Record::Notified {
            notifier,
            on,
            error: error.unwrap_or_else(late).map(|error| self.host.secrets.mask(&error)),
        };
        all.into_iter().zip(ends.into_iter().chain(std::iter::repeat(None))).map(record).collect()
    }

    /// Warns of those that were not reached.
    pub(super) fn warn_of(&self, told: Vec<Record>) {
        for record in told {
            if let Record::Notified { notifier, on, error: Some(error) } = record {
                self.emit(EventKind::NotReached { notifier, on, error });
            }
        }
    }
}

/// Tells; a notifier that panics was not reached.
fn brought(notifier: &dyn Notifier, notice: &Notice, root: &std::path::Path) -> Option<String> {
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| notifier.tell(notice, root)));
    match told {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.chain()),
        Err(_) => Some("it panicked".to_owned()),
    }
}

/// What became of so many notices; none of those that took too long.
fn answers(heard: &Receiver<Told>, number: usize) -> Vec<Option<Option<String>>> {
    let until = Instant::now() + PATIENCE;
    let mut ends = vec![None; number];
    while ends.iter().any(Option::is_none) {
        match heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok((number, error)) => ends[number] = Some(error),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    ends
}

fn waiting(state: &PlanState) -> BTreeSet<String> {
    state.steps.iter().filter(|(_, s)| s.state == StepState::Waiting).map(|(id, _)| id.clone()).collect()
}
