//! Drift: what is applied no longer matches the plan. Pure.

use std::collections::{BTreeMap, BTreeSet};

use cutover_core::journal::{PlanState, StepRecord, StepState, StoredTarget};
use cutover_core::plan::Plan;
use cutover_core::{Access, LedgerEntry};

use super::reconcile::has_receipt;
use super::{LedgerRows, RunOptions};
use crate::error::{Result, RunnerError};
use crate::exit::Exit;
use crate::session::Session;

/// One difference between what is applied and what the plan says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Drift {
    /// An applied step changed.
    Changed(String),
    /// A step changed after it was begun and before it was applied.
    ChangedMidway(String),
    /// It is no longer in the plan.
    Disappeared(String),
    /// A ledger has it, and neither the plan nor the journal knows it.
    Unknown {
        /// The step.
        step: String,
        /// The target with that ledger.
        target: String,
    },
    /// Its ledger row has no receipt that can be read, and the journal has none either.
    Unreadable {
        /// The step.
        step: String,
        /// The target with that ledger.
        target: String,
    },
    /// It moved against another applied step of the same target.
    Moved {
        /// The step.
        step: String,
        /// The one that it came after when they were applied, and now comes before.
        before: String,
    },
    /// Its target is another one now: another path, another ledger, another configuration.
    Retargeted {
        /// The step.
        step: String,
        /// The target's name.
        target: String,
        /// What it was, in words.
        was: String,
        /// What it is, in words.
        now: String,
        /// Whether its ledger would know the step.
        ledgered: bool,
    },
}

/// All drift of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Drifts(pub Vec<Drift>);

/// Compares a plan and its surroundings with the journal's fold and the ledgers' rows. Pending and rolled-back steps may
/// change freely; steps may be added anywhere.
pub(crate) fn drift(session: &Session, state: &PlanState, rows: &LedgerRows) -> Drifts {
    let mut found = estranged(session, state, rows);
    found.0.extend(altered(session, state).0);
    found
}

/// The part of it that asks no ledger: steps that changed, disappeared or moved.
pub(crate) fn altered(session: &Session, state: &PlanState) -> Drifts {
    let mut found = changed(&session.plan, state);
    found.extend(moved(&session.plan, state));
    Drifts(found)
}

fn changed(plan: &Plan, state: &PlanState) -> Vec<Drift> {
    let present: BTreeMap<&str, _> = plan.steps().map(|(_, s)| (s.id.as_str(), s)).collect();
    let with_effects = state.steps.iter().filter(|(_, r)| r.state.may_have_effects());
    with_effects
        .filter_map(|(id, record)| match present.get(id.as_str()) {
            None => Some(Drift::Disappeared(id.clone())),
            // A failed step may be mended: that is what its operator is asked to do.
            Some(step) if record.state != StepState::Failed && step.digest != record.known_digest() => {
                Some(match record.state {
                    StepState::Applied => Drift::Changed(id.clone()),
                    _ => Drift::ChangedMidway(id.clone()),
                })
            }
            Some(_) => None,
        })
        .collect()
}

/// Applied steps of a target stand in the plan as they stood when they were applied, whatever was put between them since.
fn moved(plan: &Plan, state: &PlanState) -> Vec<Drift> {
    let mut applied: Vec<(&str, &StepRecord)> =
        state.steps.iter().filter(|(_, r)| r.applied_seq > 0).map(|(id, r)| (id.as_str(), r)).collect();
    applied.sort_by_key(|(_, r)| r.applied_seq);
    let mut expected: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, record) in applied {
        let overtaken: BTreeSet<&str> = record.stored.overtaken.iter().map(String::as_str).collect();
        for used in record.stored.uses.iter().filter(|u| u.access == Access::Write) {
            let order = expected.entry(used.target.as_str()).or_default();
            let place = match overtaken.is_empty() {
                true => None,
                false => order.iter().position(|other| overtaken.contains(other)),
            };
            order.insert(place.unwrap_or(order.len()), id);
        }
    }
    let mut found = Vec::new();
    for order in expected.values() {
        let place: BTreeMap<&str, usize> = order.iter().enumerate().map(|(i, id)| (*id, i)).collect();
        let mut last: Option<(usize, &str)> = None;
        for (_, step) in plan.steps() {
            let Some(at) = place.get(step.id.as_str()) else { continue };
            match last {
                Some((highest, other)) if *at < highest => {
                    found.push(Drift::Moved { step: other.to_owned(), before: step.id.clone() });
                }
                _ => last = Some((*at, step.id.as_str())),
            }
        }
    }
    found
}

/// What the journal cannot follow: targets that are other ones now, and steps that only a ledger knows.
pub(crate) fn estranged(session: &Session, state: &PlanState, rows: &LedgerRows) -> Drifts {
    let mut found = retargeted(session, state, rows);
    let plan: BTreeMap<&str, &str> = session.plan.steps().map(|(_, s)| (s.id.as_str(), s.digest.as_str())).collect();
    for (target, steps) in rows {
        let known = |row: &&LedgerEntry| plan.get(row.step.as_str()) == Some(&row.digest.as_str());
        let lost = steps.values().filter(|row| row.unreadable.is_some() && !has_receipt(state, row)).filter(known);
        found.extend(lost.map(|row| Drift::Unreadable { step: row.step.clone(), target: target.clone() }));
        for (step, row) in steps.iter().filter(|(step, _)| !state.state_of(step).may_have_effects()) {
            match plan.get(step.as_str()) {
                // As it is now it is not what the ledger's row is about, and what was is lost.
                Some(digest) if *digest != row.digest => found.push(Drift::Changed(step.clone())),
                Some(_) => {}
                None => found.push(Drift::Unknown { step: step.clone(), target: target.clone() }),
            }
        }
    }
    Drifts(found)
}

/// Targets that are no longer what they were when steps were applied to them. A database that moved as a whole still
/// has its ledger's rows: that is no drift.
fn retargeted(session: &Session, state: &PlanState, rows: &LedgerRows) -> Vec<Drift> {
    // A rehearsal's targets are copies of those that the steps were applied to.
    if session.place.rehearsal {
        return Vec::new();
    }
    let mut found = Vec::new();
    for name in session.plan.targets.keys() {
        let Some(now) = session.stored_target(name) else { continue };
        let writers = state
            .steps
            .iter()
            .filter(|(_, r)| r.state.may_have_effects())
            .filter(|(_, r)| r.stored.uses.iter().any(|u| u.target == *name && u.access == Access::Write));
        let changed: Vec<(&String, &StoredTarget)> =
            writers.filter_map(|(id, r)| Some((id, r.known_target(name).filter(|was| **was != now)?))).collect();
        if rows.get(name).is_some_and(|rows| changed.iter().any(|(id, _)| rows.contains_key(*id))) {
            continue;
        }
        let Some((step, was)) = changed.into_iter().max_by_key(|(id, _)| state.steps[*id].applied_seq) else {
            continue;
        };
        let (was, now) = in_words(was, &now);
        let ledgered = rows.contains_key(name);
        found.push(Drift::Retargeted { step: step.clone(), target: name.clone(), was, now, ledgered });
    }
    found
}

fn in_words(was: &StoredTarget, now: &StoredTarget) -> (String, String) {
    let place = |t: &StoredTarget| match &t.bound {
        Some(path) => format!("`{}`", path.display()),
        None => format!("`{}`", t.spec.path),
    };
    let ledger = |t: &StoredTarget| match &t.spec.ledger {
        Some(name) => format!("ledger `{name}`"),
        None => "the default ledger".to_owned(),
    };
    if place(was) != place(now) {
        (place(was), place(now))
    } else if was.spec.ledger != now.spec.ledger {
        (ledger(was), ledger(now))
    } else {
        (format!("{} {}", was.spec.kind, was.spec.config), format!("{} {}", now.spec.kind, now.spec.config))
    }
}

impl Drifts {
    /// An error (exit 102) that names every step, unless there is none.
    pub(crate) fn into_error(self, session: &Session) -> Result<()> {
        let Some(first) = self.0.first() else { return Ok(()) };
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        Err(RunnerError::new(Exit::Drift, lines.join("; ")).with_help(first.remedy(session)))
    }
}

impl Drift {
    /// What a person does about it, in one sentence.
    pub(crate) fn remedy(&self, session: &Session) -> String {
        let WayOut { by_hand, or } = self.way_out(session);
        match or {
            Some((when, command)) => format!("{by_hand}; or, if {when}, `{command}`"),
            None => by_hand,
        }
    }

    /// What a person does about it.
    pub(crate) fn way_out(&self, session: &Session) -> WayOut {
        let accept = |step: &str| format!("{} {step} --note WHY", session.command_line("accept"));
        let by = |by_hand: &str, or: Option<(&str, String)>| WayOut {
            by_hand: by_hand.to_owned(),
            or: or.map(|(when, command)| (when.to_owned(), command)),
        };
        match self {
            Drift::Changed(step) => {
                by("undo the edit and put the change into a new step", Some(("the edit is deliberate", accept(step))))
            }
            Drift::ChangedMidway(_) => by(
                "undo the edit, then the same command",
                Some(("what was begun is to be rolled back first", session.command_line("rollback"))),
            ),
            Drift::Disappeared(_) => {
                // What the plan does not have any more comes after its last step.
                let last = session.plan.steps().last().map_or_else(|| "start".to_owned(), |(_, s)| s.id.clone());
                let options = RunOptions { to: Some(last), ..RunOptions::default() };
                let back = session.command_again("rollback", &options);
                by("put it back into the plan", Some(("it is to be undone", back)))
            }
            Drift::Unknown { .. } => {
                by("put it back into the plan: without the journal nothing else says how it is undone", None)
            }
            Drift::Unreadable { step, target } => {
                let resolve =
                    |claim: &str| format!("{} {step} --as {claim} --note WHY", session.command_line("resolve"));
                let gone = resolve("rolled-back");
                by(
                    &format!(
                        "put the receipt back from a backup of `{target}`, or undo the step by hand, then `{gone}`"
                    ),
                    Some(("what it made is there and is to stay", resolve("applied"))),
                )
            }
            Drift::Moved { .. } => by("put the steps back into the order in which they were applied", None),
            Drift::Retargeted { step, target, was, ledgered, .. } => {
                let other = "to migrate another one, give it a state folder of its own (`--state`)";
                let again = format!("make target `{target}` {was} again; {other}");
                match ledgered {
                    true => by(&format!("{again}; the same one in another place is known by its ledger"), None),
                    false => by(&again, Some(("it is the same one in another place", accept(step)))),
                }
            }
        }
    }

    /// The step that it is about.
    pub(crate) fn step(&self) -> &str {
        match self {
            Drift::Changed(step) | Drift::ChangedMidway(step) | Drift::Disappeared(step) => step,
            Drift::Unknown { step, .. }
            | Drift::Unreadable { step, .. }
            | Drift::Moved { step, .. }
            | Drift::Retargeted { step, .. } => step,
        }
    }
}

/// What leads out of a drift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WayOut {
    /// What a person changes.
    pub by_hand: String,
    /// The command that settles it otherwise, and when that is right.
    pub or: Option<(String, String)>,
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Drift::Changed(step) => write!(f, "step `{step}` was applied and has changed since"),
            Drift::ChangedMidway(step) => write!(f, "step `{step}` was begun and has changed since"),
            Drift::Disappeared(step) => write!(f, "step `{step}` was applied and is no longer in the plan"),
            Drift::Unknown { step, target } => {
                write!(f, "the ledger of `{target}` has step `{step}`, which neither the plan nor the journal knows")
            }
            Drift::Unreadable { step, target } => {
                write!(
                    f,
                    "the receipt of step `{step}` in the ledger of `{target}` cannot be read, and the journal has none"
                )
            }
            Drift::Moved { step, before } => {
                write!(f, "step `{step}` came after `{before}` when they were applied, and now comes before it")
            }
            Drift::Retargeted { step, target, was, now, .. } => {
                write!(f, "step `{step}` was applied when target `{target}` was {was}, and now it is {now}")
            }
        }
    }
}
