//! What the whole comes to in one sentence, what a person has to do first, and the exact next command. Pure.

use cutover_core::journal::{PlanState, Record, RunCommand, RunState, StepState};
use cutover_core::shell_word;
use serde::Serialize;

use super::facts::{Facts, Journal};
use super::findings::listed;

/// What to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Advice {
    /// What to know if nothing else is read.
    pub headline: String,
    /// What a person does before the command, where the command alone does not lead on.
    pub by_hand: Option<String>,
    /// The command; none when nothing is left to do.
    pub next: Option<String>,
    /// What is right instead, and when.
    pub instead: Vec<Instead>,
}

/// Another way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Instead {
    pub when: String,
    pub command: String,
}

impl Advice {
    fn new(headline: impl Into<String>, next: &str) -> Self {
        Self { headline: headline.into(), next: Some(next.to_owned()), ..Self::default() }
    }

    fn by_hand(mut self, what: impl Into<String>) -> Self {
        self.by_hand = Some(what.into());
        self
    }

    fn or(mut self, when: impl Into<String>, command: impl Into<String>) -> Self {
        self.instead.push(Instead { when: when.into(), command: command.into() });
        self
    }
}

/// What comes first is decided first: nothing of what follows can be done before.
pub(super) fn advice(facts: &Facts) -> Advice {
    let first = closed(facts).or_else(|| under_way(facts)).or_else(|| program(facts));
    if let Some(advice) = first {
        return advice;
    }
    let then = stuck(facts)
        .or_else(|| unwinding(facts))
        .or_else(|| drift(facts))
        .or_else(|| rebuilding(facts))
        .or_else(|| row_deleted(facts))
        .or_else(|| put_back(facts))
        .unwrap_or_else(|| run(facts));
    unusable(facts, then)
}

fn closed(facts: &Facts) -> Option<Advice> {
    let Journal::Closed { by_hand, .. } = &facts.journal else { return None };
    Some(
        Advice::new(
            format!("The journal of plan {} cannot be opened: nothing is run before it can.", facts.plan),
            &facts.commands.explain,
        )
        .by_hand(*by_hand),
    )
}

fn under_way(facts: &Facts) -> Option<Advice> {
    let held = facts.held.as_ref()?;
    let (pid, commands) = (held.holder.pid, &facts.commands);
    Some(match (held.frozen, &held.refused) {
        (false, _) => Advice::new(
            format!("A run is under way: process {pid}. There is nothing for you to do but to watch it."),
            &commands.status,
        ),
        (true, None) => Advice::new(
            format!("The run of process {pid} is frozen. It may be taken over."),
            &format!("{} --take-over", commands.again),
        ),
        (true, Some(_)) => {
            Advice::new(format!("The run of process {pid} is frozen, and must not be taken over."), &commands.again)
                .by_hand(format!("wake it (`kill -CONT {pid}`) and let it end, or end it (`kill -KILL {pid}`)"))
        }
    })
}

fn program(facts: &Facts) -> Option<Advice> {
    let (step, group) = facts.program.as_ref()?;
    let headline = format!("The last run was killed, and the program of its step `{step}` still runs.");
    let wait = format!("{} --lock-timeout 10m", facts.commands.again);
    Some(Advice::new(headline, &wait).or("it must end now", format!("kill -- -{group}")))
}

fn stuck(facts: &Facts) -> Option<Advice> {
    let (id, record) = facts.state.steps.iter().find(|(_, r)| r.state == StepState::Stuck)?;
    let commands = &facts.commands;
    if !facts.steps.iter().any(|step| step.id == *id) {
        let headline = format!(
            "Step `{id}` is stuck: its rollback failed. The plan, where its way back would be mended, no longer has it."
        );
        let back =
            format!("put step `{id}` back into the plan as it was; then its way back can be mended and accepted");
        return Some(Advice::new(headline, &commands.explain).by_hand(back));
    }
    let mend = record.help.clone().unwrap_or_else(|| "mend what made its rollback fail".to_owned());
    Some(
        Advice::new(
            format!("Step `{id}` is stuck: its rollback failed. Nothing else is touched until that is settled."),
            &commands.rollback,
        )
        .by_hand(mend)
        .or("its own way back is what is wrong, and mended in the plan", format!("{} {id} --note WHY", commands.accept))
        .or(
            "you put it right by hand (the claim is checked)",
            format!("{} {id} --as rolled-back --note WHY", commands.resolve),
        )
        .or(
            "all of it is there and is to stay (the claim is checked)",
            format!("{} {id} --as applied --note WHY", commands.resolve),
        ),
    )
}

fn unwinding(facts: &Facts) -> Option<Advice> {
    let open = facts.state.unwinding.as_ref()?;
    let (why, command) = match open.failure {
        true => (format!("A step failed, and the rollback to {} that follows", open.to), &facts.commands.apply),
        false => (format!("A rollback to {}", open.to), &facts.commands.rollback),
    };
    let headline = format!("{why} has not ended. It goes on first; nothing goes forward before.");
    Some(Advice::new(headline, command))
}

fn drift(facts: &Facts) -> Option<Advice> {
    let first = facts.drifts.first()?;
    let advice = Advice::new(
        format!("Plan and system do not fit: {}. No run goes forward like this.", first.what),
        &facts.commands.again,
    )
    .by_hand(first.way_out.by_hand.clone());
    Some(match &first.way_out.or {
        Some((when, command)) => advice.or(when, command),
        None => advice,
    })
}

fn rebuilding(facts: &Facts) -> Option<Advice> {
    let what = match &facts.journal {
        Journal::Damaged(_) => "cannot be believed",
        Journal::Missing if facts.steps.iter().any(|s| s.recorded) => "is gone",
        _ => return None,
    };
    let plan = &facts.plan;
    Some(
        Advice::new(
            format!("The journal of plan {plan} {what}: the next run rebuilds it, and goes on."),
            &facts.commands.apply,
        )
        .or("the plan is to be undone", format!("{} --to start", facts.commands.rollback)),
    )
}

fn row_deleted(facts: &Facts) -> Option<Advice> {
    let step = facts.still_there.first()?;
    Some(
        Advice::new(
            format!("Step `{step}` is applied, but somebody deleted its ledger row."),
            &format!("{} {step} --as applied --note 'its ledger row was deleted'", facts.commands.resolve),
        )
        .or("it is really undone, and is to be done again", facts.commands.apply.clone()),
    )
}

/// Steps that are applied as far as the journal knows, and that neither their ledger nor their target has any more.
fn put_back(facts: &Facts) -> Option<Advice> {
    let lost = lost(facts);
    if lost.is_empty() {
        return None;
    }
    let headline = format!("Somebody put a target back to before {}. The next run does that again.", listed(&lost));
    Some(forward(facts, headline, &facts.commands.again))
}

fn run(facts: &Facts) -> Advice {
    let (plan, commands) = (&facts.plan, &facts.commands);
    let open = open_steps(facts);
    let Some(run) = &facts.state.run else {
        return forward(facts, format!("Plan {plan} was never run here: nothing of it is applied."), &commands.apply);
    };
    let failed = run.failed.iter().map(String::as_str).collect::<Vec<_>>();
    let failed = if failed.is_empty() { "A step".to_owned() } else { format!("Step {}", listed(&failed)) };
    let mend = "mend what made it fail; the plan may be edited for that";
    match run.outcome.as_deref() {
        None if open.is_empty() && facts.behind.is_empty() => Advice {
            headline: format!("Plan {plan} is applied: the last run was killed when it had done its last step."),
            ..Advice::default()
        },
        None => {
            let what = if run.command == RunCommand::Rollback { "rollback" } else { "run" };
            let headline = format!("The last {what} of plan {plan} was killed. The same command goes on with it.");
            if run.command == RunCommand::Rollback {
                return Advice::new(headline, &commands.again);
            }
            forward(facts, headline, &commands.again)
        }
        Some("interrupted") => {
            let headline = format!("The last run of plan {plan} was stopped on request. The same command goes on.");
            forward(facts, headline, &commands.again)
        }
        Some("waiting") => {
            let asks = facts.asking.first().map(|asking| asking.step.as_str());
            let waits = first_in(&facts.state, StepState::Waiting).or(asks).unwrap_or_default();
            forward(
                facts,
                format!("Plan {plan} waits for step `{waits}`. The same command comes back to it."),
                &commands.again,
            )
        }
        Some("failed-rolled-back") => {
            forward(facts, format!("{failed} failed, and what the plan says was rolled back."), &commands.again)
                .by_hand(mend)
        }
        Some("failed-paused") => {
            forward(facts, format!("{failed} failed, and nothing was undone: plan {plan} pauses."), &commands.again)
                .by_hand(mend)
                .or("its phase is to be undone", commands.rollback.clone())
        }
        Some("failed-blocked") => {
            let headline = format!("{failed} failed, and the rollback ended before a step that cannot be undone.");
            forward(facts, headline, &commands.again).by_hand(mend)
        }
        Some(_) if !facts.broken.is_empty() => broken(facts),
        Some(_) if open.is_empty() && !facts.foreign.is_empty() => Advice::new(
            format!("Plan {plan} is applied, and others changed the structure of a target since."),
            &format!("{} --structure --note WHY", commands.accept),
        )
        .by_hand("find out who changed it; what is right is accepted, what is wrong is put back"),
        Some(_) if open.is_empty() => Advice {
            headline: format!("Plan {plan} is applied: every step of it is verified and committed."),
            ..Advice::default()
        },
        Some(_) => forward(facts, ended(facts, run, &open), &commands.apply),
    }
}

/// Applied steps that others broke.
fn broken(facts: &Facts) -> Advice {
    let ids: Vec<&str> = facts.broken.iter().map(|(id, _)| id.as_str()).collect();
    let what = facts.broken.first().map(|(_, what)| what.join("; ")).unwrap_or_default();
    let first = facts.steps.iter().position(|s| ids.contains(&s.id.as_str())).unwrap_or_default();
    let before = first.checked_sub(1).map_or("start", |at| facts.steps[at].id.as_str());
    let headline =
        format!("Step {} is applied, and does not hold any more: others changed what it made ({what}).", listed(&ids));
    let back = format!("{} --to {}", facts.commands.rollback, shell_word(before));
    Advice::new(headline, &back)
        .by_hand("rolled back it is applied anew by the next apply")
        .or("what others changed was put back by hand", facts.commands.verify.clone())
}

/// How a run ended that did what it was asked for and left steps open.
fn ended(facts: &Facts, run: &RunState, open: &[&str]) -> String {
    let plan = &facts.plan;
    let left = if open.len() == facts.steps.len() {
        "nothing of it is applied".to_owned()
    } else {
        format!("{} of its {} steps are left to apply", open.len(), facts.steps.len())
    };
    match (run.command, run.outcome.as_deref()) {
        (RunCommand::Rollback, _) | (_, Some("unwound")) => format!("Plan {plan} was rolled back as asked: {left}."),
        (RunCommand::Apply, _) if run.to.is_some() => format!("Plan {plan} was applied as far as was asked: {left}."),
        _ => format!("Plan {plan} is not finished: {left}."),
    }
}

/// A command that goes forward: a saved plan that does not hold any more has to be saved anew before.
fn forward(facts: &Facts, headline: String, command: &str) -> Advice {
    let stale = facts.saved.as_ref().filter(|s| !s.moved.is_empty()).and(facts.commands.save.as_deref());
    match (stale, &facts.saved) {
        (Some(save), _) => Advice::new(format!("{headline} The saved plan does not hold any more."), save)
            .by_hand("look at what the plan comes to now before you apply it"),
        (None, Some(_)) => Advice::new(headline, &facts.commands.apply),
        (None, None) => Advice::new(headline, command),
    }
}

/// Targets that cannot be used come before everything that a run would do.
fn unusable(facts: &Facts, then: Advice) -> Advice {
    let Some(first) = facts.problems.first() else { return then };
    let help = match (&first.help, first.busy) {
        (_, true) => "let that program end, or end it".to_owned(),
        (Some(help), _) => help.clone(),
        (None, _) => "put it back as it was".to_owned(),
    };
    Advice {
        headline: format!("Target `{}` cannot be used: {}.", first.target, first.what),
        by_hand: Some(help),
        next: then.next.or_else(|| Some(facts.commands.verify.clone())),
        instead: then.instead,
    }
}

/// The steps of the plan that are neither applied nor skipped, in its order.
pub(super) fn open_steps(facts: &Facts) -> Vec<&str> {
    let done = |s: StepState| matches!(s, StepState::Applied | StepState::Skipped);
    let lost = lost(facts);
    facts
        .steps
        .iter()
        .map(|s| s.id.as_str())
        .filter(|id| !done(facts.state.state_of(id)) || lost.contains(id))
        .collect()
}

/// The steps that their ledgers lost, and that no ledger has by another run.
pub(super) fn lost(facts: &Facts) -> Vec<&str> {
    let adopted = adopted(facts);
    let lost = facts.behind.iter().filter_map(|r| match r {
        Record::StepLost { step, .. } => Some(step.as_str()),
        _ => None,
    });
    lost.filter(|id| !adopted.contains(id)).collect()
}

/// The steps that only their ledgers have.
pub(super) fn adopted(facts: &Facts) -> Vec<&str> {
    let adopted = facts.behind.iter().filter_map(|r| match r {
        Record::StepAdopted { step, .. } => Some(step.id.as_str()),
        _ => None,
    });
    adopted.collect()
}

fn first_in(state: &PlanState, wanted: StepState) -> Option<&str> {
    state.steps.iter().find(|(_, r)| r.state == wanted).map(|(id, _)| id.as_str())
}
