//! How it is told: to people the headline first and the command last; to machines one document.

use cutover_core::journal::StepState;
use serde_json::{Map, Value, json};

use super::advice::{Advice, adopted, lost};
use super::facts::{Facts, Journal, Step};
use super::findings::{Finding, listed};
use crate::style::plain;

/// Where the plan's steps stand, as far as is known: what is said of them, and which they are.
fn standing(facts: &Facts) -> Vec<(&'static str, Vec<&str>)> {
    let mut found: Vec<_> = STANDINGS.iter().map(|standing| (*standing, Vec::new())).collect();
    let (adopted, lost) = (adopted(facts), lost(facts));
    for step in &facts.steps {
        let id = step.id.as_str();
        let standing = match () {
            () if lost.contains(&id) && !facts.still_there.contains(id) => "not applied",
            () if adopted.contains(&id) => "applied",
            () => of_journal(facts, step),
        };
        found.iter_mut().filter(|(name, _)| *name == standing).for_each(|(_, ids)| ids.push(id));
    }
    found.retain(|(_, ids)| !ids.is_empty());
    found
}

fn of_journal(facts: &Facts, step: &Step) -> &'static str {
    use StepState as S;
    let lost = match &facts.journal {
        Journal::Read => false,
        Journal::Missing => facts.steps.iter().any(|s| s.recorded),
        Journal::Damaged(_) | Journal::Closed { .. } => true,
    };
    match facts.state.state_of(&step.id) {
        S::Applied => "applied",
        S::Skipped => "do not apply here",
        S::Started | S::Intended | S::Stopped => "begun, not ended",
        S::RollingBack => "rollback not ended",
        S::Failed => "failed, not undone",
        S::Waiting => "waiting",
        S::Stuck => "stuck",
        S::Pending | S::RolledBack if lost && step.recorded => "applied",
        S::Pending | S::RolledBack if lost && step.ledger.is_none() => "not known",
        S::Pending | S::RolledBack => "not applied",
    }
}

const STANDINGS: [&str; 9] = [
    "applied",
    "do not apply here",
    "begun, not ended",
    "rollback not ended",
    "failed, not undone",
    "waiting",
    "stuck",
    "not known",
    "not applied",
];

/// For people.
pub(super) fn text(facts: &Facts, findings: &[Finding], advice: &Advice) -> String {
    let all = facts.steps.len();
    let mut text = format!("{}\n\n", advice.headline);
    for (standing, ids) in standing(facts) {
        text.push_str(&format!("{standing} ({} of {all}): {}\n", ids.len(), listed(&ids)));
    }
    for finding in findings {
        text.push_str(&format!("\n- {}\n", finding.text.replace('\n', "\n  ")));
        if let Some(safe) = &finding.safe {
            text.push_str(&format!("  safe: {safe}\n"));
        }
        for risk in &finding.risks {
            text.push_str(&format!("  risk: {} ({})\n  mitigation: {}\n", risk.risk, risk.impact, risk.mitigation));
        }
        if let Some(next) = finding.next.as_ref().filter(|next| !said(advice, next)) {
            text.push_str(&format!("  command: {next}\n"));
        }
    }
    text.push('\n');
    if let Some(by_hand) = &advice.by_hand {
        text.push_str(&format!("first: {by_hand}\n"));
    }
    text.push_str(&format!("next: {}\n", advice.next.as_deref().unwrap_or("nothing, all is done")));
    for instead in &advice.instead {
        text.push_str(&format!("or, if {}: {}\n", instead.when, instead.command));
    }
    plain(&text).into_owned()
}

/// Whether the advice says that command itself.
fn said(advice: &Advice, command: &str) -> bool {
    advice.next.as_deref() == Some(command) || advice.instead.iter().any(|i| i.command == command)
}

/// For machines.
pub(super) fn json(facts: &Facts, findings: &[Finding], advice: &Advice) -> Value {
    let standing = standing(facts).into_iter().map(|(name, ids)| (name.to_owned(), json!(ids)));
    let steps: Map<String, Value> = standing.collect();
    json!({
        "version": 1,
        "plan": facts.plan,
        "headline": advice.headline,
        "steps": steps,
        "findings": findings,
        "risks": facts.risks,
        "by-hand": advice.by_hand,
        "next": advice.next,
        "instead": advice.instead,
    })
}
