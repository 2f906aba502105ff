//! What a person should know, one finding each: what was found, why that is safe or what would make it so, and the
//! command for it where it has one of its own. Pure.

use std::collections::BTreeMap;

use cutover_core::journal::{PlanState, Record, StepRecord, StepState};
use cutover_core::plan::Risk;
use serde::Serialize;

use super::facts::{Facts, Journal, Step};
use crate::commands::status::WORD;
use crate::executor::Asking;
use crate::style::{bytes, count};

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    JournalMissing,
    JournalDamaged,
    JournalClosed,
    RunUnderWay,
    RunFrozen,
    ProgramLeftRunning,
    TargetUnusable,
    TargetBusy,
    Drift,
    ChangedByOthers,
    OnlyInLedger,
    NotInLedger,
    Begun,
    RollingBack,
    Stuck,
    Failed,
    Waiting,
    Stopped,
    OnOperatorsWord,
    SavedPlanStale,
    Leftovers,
}

/// One thing that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub kind: Kind,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What is there, and how it came to be.
    pub text: String,
    /// Why nothing is lost by it, or what must not be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safe: Option<String>,
    /// The command for this finding alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The risks of the plan that the step watches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<Risk>,
}

impl Finding {
    fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, steps: Vec::new(), target: None, text: text.into(), safe: None, next: None, risks: Vec::new() }
    }

    fn of<S: AsRef<str>>(mut self, steps: impl IntoIterator<Item = S>) -> Self {
        self.steps = steps.into_iter().map(|s| s.as_ref().to_owned()).collect();
        self
    }

    fn at(mut self, target: &str) -> Self {
        self.target = Some(target.to_owned());
        self
    }

    fn safe(mut self, safe: impl Into<String>) -> Self {
        self.safe = Some(safe.into());
        self
    }

    fn next(mut self, command: &str) -> Self {
        self.next = Some(command.to_owned());
        self
    }
}

/// All that is to be known, what is in the way first.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(journal(facts));
    found.extend(under_way(facts));
    found.extend(targets(facts));
    found.extend(disagreements(facts));
    found.extend(begun(facts));
    found.extend(facts.state.steps.iter().filter_map(|(id, record)| step(&facts.state, id, record)));
    found.extend(facts.asking.iter().filter_map(|asking| asks(facts, asking)));
    found.extend(around(facts));
    found.iter_mut().for_each(|finding| watched(facts, finding));
    found
}

/// A step that has not begun, because nobody approved it. One that has says itself what it waits for.
fn asks(facts: &Facts, asking: &Asking) -> Option<Finding> {
    let waits = facts.state.state_of(&asking.step) == StepState::Waiting;
    let text = format!("Step `{}` {}.", asking.step, asking.why);
    let mut finding = Finding::new(Kind::Waiting, text).safe("nothing of it has begun");
    finding.steps = vec![asking.step.clone()];
    finding.next = Some(asking.command.clone());
    (!waits).then_some(finding)
}

/// A step that does not go on may be what the plan has a risk for.
fn watched(facts: &Facts, finding: &mut Finding) {
    if matches!(finding.kind, Kind::Failed | Kind::Waiting | Kind::Stuck) {
        let watches = |risk: &&Risk| risk.watched_by.iter().any(|id| finding.steps.contains(id));
        finding.risks = facts.risks.iter().filter(watches).cloned().collect();
    }
}

fn journal(facts: &Facts) -> Option<Finding> {
    let recorded = facts.steps.iter().filter(|s| s.recorded).count();
    let known = match recorded {
        0 => "No ledger of a target has a step of this plan.".to_owned(),
        _ => format!(
            "The ledgers of the targets have {}, and they are right: a row is committed together with its change.",
            count(recorded, "step")
        ),
    };
    let others = match facts.steps.iter().filter(|s| s.ledger.is_none()).count() {
        0 => String::new(),
        more => format!(" What no ledger keeps ({}) is looked for in the system itself.", count(more, "step")),
    };
    match &facts.journal {
        Journal::Missing if recorded > 0 => Some(
            Finding::new(Kind::JournalMissing, format!("The journal is gone. {known}{others}"))
                .safe("the next run makes a new journal of that, and does no step twice that is proven to be there"),
        ),
        Journal::Damaged(why) => Some(
            Finding::new(Kind::JournalDamaged, format!("The journal cannot be believed: {why}. {known}{others}"))
                .safe("the next run sets the journal aside, deletes nothing, and makes a new one of that"),
        ),
        Journal::Closed { why, .. } => Some(
            Finding::new(Kind::JournalClosed, format!("The journal cannot be opened: {why}. {known}"))
                .safe("nothing is changed as long as the journal cannot be read"),
        ),
        Journal::Missing | Journal::Read => None,
    }
}

fn under_way(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(held) = &facts.held {
        let who = format!("Process {} (`{}`, since {})", held.holder.pid, held.holder.command, held.holder.since);
        found.push(match (held.frozen, &held.refused) {
            (false, _) => Finding::new(Kind::RunUnderWay, format!("{who} is at work here: it holds `{}`.", held.path))
                .safe("nobody else can write meanwhile; what is said of steps below changes as it goes on"),
            (true, None) => {
                Finding::new(Kind::RunFrozen, format!("{who} is frozen: it holds `{}` and does nothing.", held.path))
                    .safe("it may be taken over: if it wakes, every target refuses what it writes")
            }
            (true, Some(why)) => Finding::new(
                Kind::RunFrozen,
                format!(
                    "{who} is frozen: it holds `{}` and does nothing. It must not be taken over: {why}.",
                    held.path
                ),
            )
            .safe("what it did is recorded; ended or woken, it leaves a state from which the same command goes on"),
        });
    }
    if let Some((step, group)) = &facts.program {
        found.push(
            Finding::new(
                Kind::ProgramLeftRunning,
                format!("The program of step `{step}` still runs, in process group {group}."),
            )
            .of([step])
            .safe("nothing is done beneath it: every run waits for its end, or refuses"),
        );
    }
    found
}

fn targets(facts: &Facts) -> Vec<Finding> {
    let problem = |p: &super::facts::Problem| {
        let kind = if p.busy { Kind::TargetBusy } else { Kind::TargetUnusable };
        let help = p.help.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
        Finding::new(kind, format!("Target `{}` cannot be used: {}{help}.", p.target, p.what))
            .at(&p.target)
            .safe("no run begins before every target can be used; what is said of its steps is what the journal knows")
    };
    facts.problems.iter().map(problem).collect()
}

fn disagreements(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for drift in &facts.drifts {
        let finding = Finding::new(Kind::Drift, format!("Drift: {}.", drift.what)).of([&drift.step]);
        found.push(match &drift.way_out.or {
            Some((_, command)) => finding.next(command),
            None => finding,
        });
    }
    let adopted = super::advice::adopted(facts);
    if !adopted.is_empty() && facts.journal == Journal::Read {
        found.push(
            Finding::new(
                Kind::OnlyInLedger,
                format!("{}: only the ledger has it, and the ledger is right: its row was committed together with the change.", named("Step", &adopted)),
            )
            .of(&adopted)
            .safe("the next run records it, and does not do it again"),
        );
    }
    for record in &facts.behind {
        let Record::StepLost { step, why } = record else { continue };
        if adopted.contains(&step.as_str()) {
            continue;
        }
        let finding = if facts.still_there.contains(step) {
            Finding::new(
                Kind::NotInLedger,
                format!("Step `{step}`: the journal has it as applied, and its ledger has no row of it. Its change is there all the same: it looks as if only the row was deleted, and then the journal is right."),
            )
            .safe("resolving it proves the change by verify and writes the row again; a run without that would take the step for undone")
            .next(&format!("{} {step} --as applied --note WHY", facts.commands.resolve))
        } else {
            Finding::new(Kind::NotInLedger, format!("Step `{step}`: the journal has it as applied, but {why}. The ledger is right: row and change are committed and put back together."))
                .safe("the next run does it again")
        };
        found.push(finding.of([step]));
    }
    // Where a target was put back all of that differs, and is told above.
    if !facts.foreign.is_empty() && !found.iter().any(|f| f.kind == Kind::NotInLedger) {
        found.push(
            Finding::new(
                Kind::ChangedByOthers,
                format!("Changed by others since the last run: {}.", facts.foreign.join("; ")),
            )
            .safe("a run does not touch what it did not make; verify says whether an applied step was hit")
            .next(&if facts.broken.is_empty() {
                format!("{} --structure --note WHY", facts.commands.accept)
            } else {
                facts.commands.verify.clone()
            }),
        );
    }
    found
}

/// What was begun and is not known to have ended: together what was begun together.
fn begun(facts: &Facts) -> Vec<Finding> {
    let mut together: BTreeMap<u64, Vec<(&Step, StepState)>> = BTreeMap::new();
    for step in &facts.steps {
        if let Some(record) = facts.state.steps.get(&step.id)
            && matches!(record.state, StepState::Started | StepState::Intended)
        {
            together.entry(record.begun.0).or_default().push((step, record.state));
        }
    }
    let mut found = Vec::new();
    for members in together.into_values() {
        let ids: Vec<&str> = members.iter().map(|(s, _)| s.id.as_str()).collect();
        if facts.held.is_some() {
            found.push(Finding::new(Kind::Begun, format!("{} begun by that process.", was_named(&ids))).of(&ids));
            continue;
        }
        let Some((first, state)) = members.first() else { continue };
        let (text, safe) = match (&first.ledger, first.whole) {
            (Some(target), true) => transaction(target, &ids, members.iter().all(|(s, _)| s.recorded)),
            (Some(_), false) => (
                format!("{} begun and not ended. What it committed so far stays, and is known.", was_named(&ids)),
                "run again it goes on after that; rolled back it takes that away",
            ),
            (None, _) if first.external => (
                format!(
                    "{} begun, and acts outside of the targets: how far it came nothing here can tell. The next run asks its own verify, and runs it again unless that proves that its work was done.",
                    was_named(&ids)
                ),
                "nothing was undone and nothing runs now; if it must not run twice, look first whether its work is done",
            ),
            (None, _) if *state == StepState::Intended => (
                format!("{} begun; how far it came is not known, what was there before is.", was_named(&ids)),
                "run again it finishes what is left; rolled back it puts back what was there",
            ),
            (None, _) => (
                format!(
                    "{} begun, and had not yet said what it changes: it changed nothing that it does not find again.",
                    was_named(&ids)
                ),
                "it is run again from its beginning",
            ),
        };
        found.push(Finding::new(Kind::Begun, text).of(&ids).safe(safe));
    }
    found
}

fn transaction(target: &str, ids: &[&str], committed: bool) -> (String, &'static str) {
    let one = if ids.len() > 1 { "in one transaction: all of it or nothing" } else { "in one transaction" };
    if committed {
        (
            format!(
                "{} begun, {one}; it is committed in `{target}`: the ledger has it, only the journal does not know.",
                was_named(ids)
            ),
            "the next run verifies and records it, and does not do it again",
        )
    } else {
        (
            format!(
                "{} begun, {one}; nothing of it is in `{target}`: its transaction ended with the process.",
                was_named(ids)
            ),
            "it is run again from its beginning",
        )
    }
}

fn step(state: &PlanState, id: &str, record: &StepRecord) -> Option<Finding> {
    let message = record.message.as_deref().unwrap_or("no message");
    let help = record.help.as_ref().map(|h| format!("\n  help: {h}")).unwrap_or_default();
    let failed_last = state.run.as_ref().is_some_and(|run| run.failed.iter().any(|s| s == id));
    let finding = match record.state {
        StepState::Failed => Finding::new(Kind::Failed, format!("Step `{id}` failed: {message}{help}"))
            .safe("what it left is kept as it is: the next run takes it up again, a rollback takes it away"),
        StepState::RolledBack if failed_last && record.message.is_some() => {
            Finding::new(Kind::Failed, format!("Step `{id}` failed: {message}{help}")).safe("what it did is undone")
        }
        StepState::Waiting => Finding::new(Kind::Waiting, format!("Step `{id}` waits: {message}"))
            .safe("no lock is held meanwhile; the same command comes back to it"),
        StepState::Stopped => Finding::new(Kind::Stopped, format!("Step `{id}` stopped on request at {message}."))
            .safe("what it did so far is committed, and it goes on from there"),
        StepState::RollingBack => {
            Finding::new(Kind::RollingBack, format!("Step `{id}` was being rolled back, and that has not ended."))
                .safe("its rollback is run again from its beginning: what is undone already is not undone twice")
        }
        StepState::Stuck => {
            Finding::new(Kind::Stuck, format!("Step `{id}` is stuck: its rollback failed: {message}{help}"))
                .safe("nothing else is touched until this is settled")
        }
        now if record.unproven => {
            Finding::new(Kind::OnOperatorsWord, format!("Step `{id}` is {now} {WORD}: {message}"))
        }
        _ => return None,
    };
    Some(finding.of([id]))
}

fn around(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    let open = !super::advice::open_steps(facts).is_empty();
    if let Some(saved) = facts.saved.as_ref().filter(|s| !s.moved.is_empty() && open) {
        let text = format!("The saved plan `{}` does not hold any more: {}.", saved.file, saved.moved.join("; "));
        let finding = Finding::new(Kind::SavedPlanStale, text).safe("it is refused before anything is changed");
        found.push(match &facts.commands.save {
            Some(command) => finding.next(command),
            None => finding,
        });
    }
    let (things, size) = facts.leftovers;
    if things > 0 && facts.held.is_none() {
        found.push(
            Finding::new(
                Kind::Leftovers,
                format!("{} that no rollback needs, {}.", count(things, "leftover"), bytes(size)),
            )
            .safe("nothing is deleted unless you say so: prune shows them first, and asks")
            .next(&facts.commands.prune),
        );
    }
    found
}

/// "Step `a`", "Steps `a`, `b`"; not more than a few.
fn named(noun: &str, ids: &[&str]) -> String {
    format!("{noun}{} {}", if ids.len() == 1 { "" } else { "s" }, listed(ids))
}

fn was_named(ids: &[&str]) -> String {
    format!("{} {}", named("Step", ids), if ids.len() == 1 { "was" } else { "were" })
}

/// The first of them by name, and how many more there are.
pub(super) fn listed(ids: &[&str]) -> String {
    const SHOWN: usize = 8;
    let mut text = ids.iter().take(SHOWN).map(|s| format!("`{s}`")).collect::<Vec<_>>().join(", ");
    if ids.len() > SHOWN {
        text.push_str(&format!(" and {} more", ids.len() - SHOWN));
    }
    text
}
