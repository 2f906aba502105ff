//! All that `explain` looks at, gathered once. Read-only, and an answer that cannot be had is a fact too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cutover_core::journal::{PlanState, Record};
use cutover_core::plan::Risk;
use cutover_core::{Effects, Standing, StepContext, StepErrorKind, StepInfo};

use crate::commands::verify::{broken, foreign};
use crate::error::Result;
use crate::executor::{
    Asking, LedgerRows, WayOut, asking, drift, estranged, ledger_rows_of, left_running, reader_context, reconcile,
    reconciled, refuse_unfenced_take_over, target_problems,
};
use crate::host::Stop;
use crate::journal::JournalError;
use crate::lock::{Holder, is_frozen, living_holder};
use crate::prune::leftovers;
use crate::saved::SavedPlan;
use crate::session::{Place, Session, shell_words};

/// How many of each sort `prune` keeps when nobody says.
const KEPT: usize = 1;

/// What of the journal can be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Journal {
    /// There is none.
    #[default]
    Missing,
    /// It was read.
    Read,
    /// It cannot be believed, and why.
    Damaged(String),
    /// A newer version of this program wrote it, or it cannot be opened; and why.
    Closed {
        why: String,
        /// What a person does about it.
        by_hand: &'static str,
    },
}

impl Journal {
    fn closed(error: &JournalError) -> Self {
        let by_hand = match error {
            JournalError::Newer { .. } => "use the version of this program that wrote it",
            JournalError::NoFolder { .. } => "look at what lies in the place of the state folder, and move it away",
            _ => "make the file readable, and its folder writable",
        };
        Self::Closed { why: error.to_string(), by_hand }
    }
}

/// A step of the plan.
#[derive(Debug, Default, Clone)]
pub(super) struct Step {
    pub id: String,
    /// The target whose ledger has a row of it once it is applied.
    pub ledger: Option<String>,
    /// The whole of it is one transaction.
    pub whole: bool,
    /// It acts outside of the targets and the root.
    pub external: bool,
    /// The ledger has it.
    pub recorded: bool,
}

/// A target that cannot be used.
#[derive(Debug, Default)]
pub(super) struct Problem {
    pub target: String,
    pub what: String,
    pub help: Option<String>,
    /// It is only busy.
    pub busy: bool,
}

/// A difference between what is applied and the plan.
#[derive(Debug)]
pub(super) struct Drifted {
    pub step: String,
    pub what: String,
    pub way_out: WayOut,
}

/// A living process that has the locks.
#[derive(Debug)]
pub(super) struct Held {
    pub holder: Holder,
    /// The lock file.
    pub path: String,
    pub frozen: bool,
    /// Why it must not be taken over, if it must not.
    pub refused: Option<String>,
}

/// The saved plan that was asked about.
#[derive(Debug)]
pub(super) struct Saved {
    pub file: String,
    /// What moved since it was saved.
    pub moved: Vec<String>,
}

/// Commands as they are printed.
#[derive(Debug, Default)]
pub(super) struct Commands {
    pub apply: String,
    /// The last run's own.
    pub again: String,
    pub rollback: String,
    pub status: String,
    pub verify: String,
    pub explain: String,
    pub accept: String,
    pub resolve: String,
    pub prune: String,
    /// Saves the plan anew, where a saved one was asked about.
    pub save: Option<String>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub plan: String,
    pub journal: Journal,
    pub state: PlanState,
    /// In the plan's order.
    pub steps: Vec<Step>,
    /// The plan's register of risks.
    pub risks: Vec<Risk>,
    pub problems: Vec<Problem>,
    /// What the next run records first, to follow the ledgers.
    pub behind: Vec<Record>,
    /// Of the steps whose ledger row is gone those whose change is there all the same.
    pub still_there: BTreeSet<String>,
    pub drifts: Vec<Drifted>,
    /// What others did to the structure of targets.
    pub foreign: Vec<String>,
    /// Applied steps that do not hold any more by that, with what is wrong.
    pub broken: Vec<(String, Vec<String>)>,
    pub held: Option<Held>,
    /// A step whose program runs on, and its process group.
    pub program: Option<(String, String)>,
    /// What `prune` offers: things, bytes.
    pub leftovers: (usize, u64),
    pub saved: Option<Saved>,
    /// The steps that ask for an approval now.
    pub asking: Vec<Asking>,
    pub commands: Commands,
}

/// Looks at everything.
pub(super) async fn gather(place: Place) -> Result<Facts> {
    let file = place.said.as_ref().map(|said| said.plan.clone()).unwrap_or_default();
    let saved = SavedPlan::read(&file)?;
    let session = Session::look(place)?;
    let mut facts = Facts { plan: session.plan.name.clone(), ..Facts::default() };
    (facts.journal, facts.state) = match session.journalled() {
        Ok((state, _)) if state.last_seq == 0 && state.run.is_none() => (Journal::Missing, state),
        Ok((state, _)) => (Journal::Read, state),
        Err(error @ JournalError::Damaged { .. }) => (Journal::Damaged(error.to_string()), PlanState::default()),
        Err(error) => (Journal::closed(&error), PlanState::default()),
    };
    let emitter = Arc::new(crate::report::Emitter::new(Box::new(crate::report::Silent)));
    let cx = reader_context(&session, &emitter, &Stop::default(), &facts.state);
    let mut rows = problems(&session, &cx, &mut facts).await;
    facts.steps = session.plan.steps().map(|(_, step)| look(step, &rows)).collect();
    facts.asking = asking(&session, &facts.state);
    facts.risks.clone_from(&session.plan.risks);
    facts.held = held(&session);
    facts.program = left_running(&session, &|_| {}).filter(|_| facts.held.is_none());
    // While a run is under way all this moves.
    if facts.held.is_none() {
        differences(&session, &cx, &mut rows, &mut facts).await;
        if let Ok(found) = leftovers(&session, &cx, KEPT).await {
            facts.leftovers = (found.len(), found.iter().map(|l| l.bytes).sum());
        }
    }
    if let Some(saved) = &saved {
        // What an unfinished run of this very plan moved does not count: it goes on.
        let begun = facts.state.run.as_ref().is_some_and(|run| saved.binding.is_under_way(run));
        let moved = match saved.binding.now(&session, &cx).await {
            Ok(now) if begun => saved.binding.edited(&now),
            Ok(now) => saved.binding.moved(&now),
            Err(error) => vec![error.to_string()],
        };
        facts.saved = Some(Saved { file: file.display().to_string(), moved });
    }
    facts.commands = commands(&session, &facts);
    Ok(facts)
}

/// The ledgers that can be read; what cannot be used is noted.
async fn problems(session: &Session, cx: &StepContext, facts: &mut Facts) -> LedgerRows {
    let mut problems = BTreeMap::new();
    for (target, error) in target_problems(session, cx).await {
        problems.insert(target, error);
    }
    let mut rows = LedgerRows::new();
    for name in session.targets.keys() {
        match ledger_rows_of(session, cx, name).await {
            Ok(Some(found)) => drop(rows.insert(name.clone(), found)),
            Ok(None) => {}
            Err(error) => drop(problems.entry(name.clone()).or_insert(error)),
        }
    }
    facts.problems = problems
        .into_iter()
        .map(|(target, error)| Problem {
            target,
            what: error.chain(),
            help: error.help().map(str::to_owned),
            busy: error.kind() == StepErrorKind::Busy,
        })
        .collect();
    rows
}

fn look(step: &cutover_core::plan::PlanStep, rows: &LedgerRows) -> Step {
    let ledger = step.step.ledgered().map(str::to_owned);
    let recorded = ledger.as_ref().and_then(|t| rows.get(t)).is_some_and(|rows| rows.contains_key(&step.id));
    Step {
        id: step.id.clone(),
        ledger,
        whole: step.step.transactional().is_some(),
        external: step.step.effects() == Effects::External,
        recorded,
    }
}

/// Where journal, ledgers, plan and targets disagree.
async fn differences(session: &Session, cx: &StepContext, rows: &mut LedgerRows, facts: &mut Facts) {
    if matches!(facts.journal, Journal::Closed { .. }) {
        return;
    }
    let state = &facts.state;
    // Where a target is another one now, what its ledger lacks says nothing.
    if estranged(session, state, rows).0.is_empty() {
        facts.behind = reconcile(session, state, rows);
    }
    facts.drifts = drift(session, &reconciled(session, state, rows), rows)
        .0
        .into_iter()
        .map(|d| Drifted { step: d.step().to_owned(), what: d.to_string(), way_out: d.way_out(session) })
        .collect();
    for record in &facts.behind {
        let Record::StepLost { step, .. } = record else { continue };
        let Some(step) = session.plan.step(step) else { continue };
        let cx = cx.for_step(StepInfo {
            plan: facts.plan.clone(),
            id: step.id.clone(),
            kind: step.kind.clone(),
            digest: step.digest.clone(),
            checksum: step.checksum.clone(),
            ..StepInfo::default()
        });
        if matches!(step.step.inspect(&cx).await, Ok(Standing::Applied)) {
            facts.still_there.insert(step.id.clone());
        }
    }
    if facts.problems.is_empty() && facts.state.run.as_ref().is_some_and(|r| r.outcome.is_some()) {
        facts.foreign = match foreign(session, cx, &facts.state).await {
            Ok(found) => found.structure,
            Err(error) => vec![error.to_string()],
        };
        if !facts.foreign.is_empty() {
            facts.broken = broken(session, cx, &facts.state).await;
        }
    }
}

fn held(session: &Session) -> Option<Held> {
    let (path, holder) =
        session.lock_files().into_iter().find_map(|path| living_holder(&path).map(|holder| (path, holder)))?;
    let frozen = is_frozen(holder.pid);
    let refused = refuse_unfenced_take_over(session, Some(&holder)).err().map(|error| error.message);
    let refused = refused.map(|why| why.strip_prefix("cannot take over: ").unwrap_or(&why).to_owned());
    Some(Held { path: session.shown(&path), frozen, refused, holder })
}

fn commands(session: &Session, facts: &Facts) -> Commands {
    let line = |command: &str| session.command_line(command);
    let again = facts.state.run.as_ref().map_or_else(|| line("apply"), |run| session.going_on(run, &facts.state));
    let mut commands = Commands {
        apply: facts.state.run.as_ref().map_or_else(|| line("apply"), |run| session.forward(run)),
        again,
        rollback: line("rollback"),
        status: line("status"),
        verify: line("verify"),
        explain: line("explain"),
        accept: line("accept"),
        resolve: line("resolve"),
        prune: line("prune"),
        save: None,
    };
    if let Some(saved) = &facts.saved {
        commands.save = Some(format!("{} --out {}", line("plan"), shell_words([&saved.file])));
    }
    commands
}
