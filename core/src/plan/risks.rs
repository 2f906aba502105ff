//! `[[risk]]`: what may go wrong, what is done about it, and which step watches it.
//!
//! Owns the register of risks from its tables to the model. It is for people: no digest has it, and no run looks at it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::codes;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::meaning::unknown_step;
use super::table::{Table, Text};

/// One entry of a plan's register of risks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Risk {
    /// What may go wrong.
    pub risk: String,
    /// How likely that is.
    pub likelihood: Likelihood,
    /// What would follow.
    pub impact: String,
    /// What is done about it.
    pub mitigation: String,
    /// Ids of the steps that would notice, in the plan's words.
    pub watched_by: Vec<String>,
}

/// How likely a risk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Likelihood {
    /// Hardly.
    Low,
    /// It may well be.
    Medium,
    /// To be reckoned with.
    High,
}

impl Likelihood {
    /// All, by the name used in plans.
    pub const ALL: &'static [(&'static str, Likelihood)] =
        &[("low", Likelihood::Low), ("medium", Likelihood::Medium), ("high", Likelihood::High)];

    /// The name used in plans.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, likelihood)| *likelihood == self).map_or("", |(name, _)| name)
    }
}

/// A `[[risk]]`.
pub(crate) struct RiskDraft {
    risk: Option<Text>,
    likelihood: Option<Likelihood>,
    impact: Option<Text>,
    mitigation: Option<Text>,
    watched_by: Vec<Text>,
}

/// Reads every `[[risk]]` of the plan.
pub(crate) fn read(plan: &mut Table<'_>, d: &mut Diagnostics) -> Vec<RiskDraft> {
    plan.tables("risk", ("a risk", "[[risk]]"), d).into_iter().map(|table| one(table, d)).collect()
}

fn one(mut table: Table<'_>, d: &mut Diagnostics) -> RiskDraft {
    let likely = "add `likelihood = \"low\"` (or `medium`, `high`)";
    let draft = RiskDraft {
        risk: said("risk", "add `risk = \"...\"`: what may go wrong", &mut table, d),
        likelihood: table.required("likelihood", likely, d).and_then(|text| likelihood(&text, d)),
        impact: said("impact", "add `impact = \"...\"`: what would follow", &mut table, d),
        mitigation: said("mitigation", "add `mitigation = \"...\"`: what is done about it", &mut table, d),
        watched_by: table.texts("watched-by", true, d),
    };
    table.finish(d);
    draft
}

/// A text that must be there and say something.
fn said(key: &'static str, help: &str, table: &mut Table<'_>, d: &mut Diagnostics) -> Option<Text> {
    let text = table.required(key, help, d)?;
    if !text.get_ref().trim().is_empty() {
        return Some(text);
    }
    d.push(Diagnostic::at(codes::BAD_VALUE, text.span(), format!("`{key}` says nothing")).help(help));
    None
}

fn likelihood(text: &Text, d: &mut Diagnostics) -> Option<Likelihood> {
    let known = Likelihood::ALL;
    let found = known.iter().find(|(name, _)| name == text.get_ref()).map(|(_, value)| *value);
    if found.is_none() {
        let message = format!("`likelihood` cannot be `{}`", text.get_ref());
        let diagnostic = Diagnostic::at(codes::BAD_VALUE, text.span(), message);
        d.push(diagnostic.suggest(text.get_ref(), "values", known.iter().map(|(name, _)| *name)));
    }
    found
}

/// What watches a risk is there.
pub(crate) fn watchers(risks: &[RiskDraft], by_id: &BTreeMap<&str, usize>, d: &mut Diagnostics) {
    for id in risks.iter().flat_map(|risk| &risk.watched_by) {
        if !by_id.contains_key(id.get_ref().as_str()) {
            unknown_step(id.span(), id.get_ref(), by_id, d);
        }
    }
}

impl RiskDraft {
    /// The risk, if nothing of it is missing.
    pub(crate) fn risk(self) -> Option<Risk> {
        Some(Risk {
            risk: self.risk?.into_inner(),
            likelihood: self.likelihood?,
            impact: self.impact?.into_inner(),
            mitigation: self.mitigation?.into_inner(),
            watched_by: self.watched_by.into_iter().map(Spanned::into_inner).collect(),
        })
    }
}
