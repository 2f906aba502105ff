//! Pass 2, first half: the shape of a plan file. Turns tables into drafts whose every part remembers its place.
//!
//! Knows the keys of the format and nothing of what they refer to.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::budget;
use super::codes;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::notify::{self, NotifyDraft};
use super::risks::{self, RiskDraft};
use super::table::{Table, Text};
use super::{Condition, OnFailure};
use crate::Layer;
use crate::journal::Times;

/// A whole plan file.
pub(crate) struct Draft<'i> {
    pub(crate) name: Option<String>,
    pub(crate) summary: Option<String>,
    pub(crate) on_failure: OnFailure,
    pub(crate) vars: Vec<(Text, Spanned<DeValue<'i>>)>,
    pub(crate) targets: Vec<TargetDraft<'i>>,
    pub(crate) risks: Vec<RiskDraft>,
    pub(crate) budget: Option<Times>,
    pub(crate) notify: Vec<NotifyDraft<'i>>,
    pub(crate) phases: Vec<PhaseDraft<'i>>,
}

/// A `[targets.NAME]`.
pub(crate) struct TargetDraft<'i> {
    pub(crate) name: Text,
    pub(crate) kind: Option<Text>,
    pub(crate) path: Option<Text>,
    pub(crate) ledger: Option<Text>,
    pub(crate) with: Option<Spanned<DeValue<'i>>>,
}

/// A `[[phase]]`.
pub(crate) struct PhaseDraft<'i> {
    pub(crate) name: Option<Text>,
    pub(crate) summary: Option<String>,
    pub(crate) layer: Option<Layer>,
    pub(crate) steps: Vec<StepDraft<'i>>,
}

/// A `[[phase.step]]`.
pub(crate) struct StepDraft<'i> {
    pub(crate) header: Range<usize>,
    pub(crate) id: Option<Text>,
    pub(crate) kind: Option<Text>,
    pub(crate) target: Option<Text>,
    pub(crate) summary: Option<String>,
    pub(crate) when: Option<WhenDraft>,
    pub(crate) needs: Vec<Text>,
    pub(crate) unit: Option<Text>,
    pub(crate) atomic: bool,
    pub(crate) irreversible: Option<Text>,
    pub(crate) supersedes: Vec<Text>,
    pub(crate) allow: Vec<Text>,
    pub(crate) with: Option<Spanned<DeValue<'i>>>,
}

/// A step's `when`.
pub(crate) struct WhenDraft {
    pub(crate) target: Option<Text>,
    pub(crate) has: Vec<Text>,
    pub(crate) lacks: Vec<Text>,
}

impl WhenDraft {
    pub(crate) fn condition(&self) -> Option<Condition> {
        let own = |facts: &[Text]| facts.iter().map(|f| f.get_ref().clone()).collect();
        let target = self.target.as_ref()?.get_ref().clone();
        Some(Condition { target, has: own(&self.has), lacks: own(&self.lacks) })
    }
}

/// Reads the whole file.
pub(crate) fn read<'i>(root: Spanned<DeTable<'i>>, d: &mut Diagnostics) -> Draft<'i> {
    let mut table = Table::of(root.into_inner(), 0..0, "a plan");
    let name = table.required("name", "begin the file with `name = \"...\"`: it is the plan's identity in journals", d);
    let draft = Draft {
        name: name.and_then(|n| named(n, "the plan's name", d)).map(Spanned::into_inner),
        summary: table.text("summary", d).map(Spanned::into_inner),
        on_failure: on_failure(table.text("on-failure", d), d),
        vars: table.named("vars", d),
        targets: table.named("targets", d).into_iter().filter_map(|(name, value)| target(name, value, d)).collect(),
        risks: risks::read(&mut table, d),
        budget: budget::read(&mut table, d),
        notify: notify::read(&mut table, d),
        phases: phases(&mut table, d).into_iter().map(|t| phase(t, d)).collect(),
    };
    table.finish(d);
    draft
}

fn on_failure(text: Option<Text>, d: &mut Diagnostics) -> OnFailure {
    let Some(text) = text else { return OnFailure::default() };
    let known = OnFailure::ALL;
    known.iter().find(|(name, _)| name == text.get_ref()).map(|(_, value)| *value).unwrap_or_else(|| {
        let diagnostic =
            Diagnostic::at(codes::BAD_VALUE, text.span(), format!("`on-failure` cannot be `{}`", text.get_ref()));
        d.push(diagnostic.suggest(text.get_ref(), "values", known.iter().map(|(name, _)| *name)));
        OnFailure::default()
    })
}

fn target<'i>(name: Text, value: Spanned<DeValue<'i>>, d: &mut Diagnostics) -> Option<TargetDraft<'i>> {
    let name = named(name, "a target's name", d)?;
    let mut table = Table::new(value, "a target", d)?;
    let draft = TargetDraft {
        name,
        kind: table.required("kind", "add `kind = \"...\"`: what sort of store it is", d),
        path: table.required("path", "add `path = \"...\"`, relative to the root", d),
        ledger: table.text("ledger", d).and_then(|t| ledger(t, d)),
        with: table.take("with"),
    };
    table.finish(d);
    Some(draft)
}

fn ledger(text: Text, d: &mut Diagnostics) -> Option<Text> {
    let name = text.get_ref();
    let plain = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.to_ascii_lowercase().starts_with("sqlite_");
    if plain {
        return Some(text);
    }
    let message = format!("`{name}` cannot be the name of a ledger table");
    d.push(
        Diagnostic::at(codes::BAD_NAME, text.span(), message)
            .help("use letters, digits and `_`, beginning with a letter; not `sqlite_...`"),
    );
    None
}

fn phase<'i>(mut table: Table<'i>, d: &mut Diagnostics) -> PhaseDraft<'i> {
    let name = table.required("name", "add `name = \"...\"`: a phase is named in commands", d);
    let draft = PhaseDraft {
        name: name.and_then(|n| named(n, "a phase's name", d)),
        summary: table.text("summary", d).map(Spanned::into_inner),
        layer: table.required("layer", LAYER_HELP, d).and_then(|text| layer(&text, d)),
        steps: steps(&mut table, d).into_iter().map(|t| step(t, d)).collect(),
    };
    table.finish(d);
    draft
}

fn phases<'i>(table: &mut Table<'i>, d: &mut Diagnostics) -> Vec<Table<'i>> {
    let before = d.len();
    let phases = table.tables("phase", ("a phase", "[[phase]]"), d);
    if phases.is_empty() && d.len() == before {
        let help = "add a `[[phase]]` with at least one `[[phase.step]]`";
        d.push(Diagnostic::nowhere(codes::EMPTY, "the plan has no phase").help(help));
    }
    phases
}

fn steps<'i>(table: &mut Table<'i>, d: &mut Diagnostics) -> Vec<Table<'i>> {
    let before = d.len();
    let steps = table.tables("step", ("a step", "[[phase.step]]"), d);
    if steps.is_empty() && d.len() == before {
        let help = "add a `[[phase.step]]` below it, or take the phase away";
        d.push(Diagnostic::at(codes::EMPTY, table.header.clone(), "the phase has no step").help(help));
    }
    steps
}

const LAYER_HELP: &str = "add `layer = \"storage\"` (or `processors`, `engine`, `integration`)";

fn layer(text: &Text, d: &mut Diagnostics) -> Option<Layer> {
    let found = Layer::parse(text.get_ref());
    if found.is_none() {
        let diagnostic = Diagnostic::at(codes::BAD_VALUE, text.span(), format!("no layer `{}`", text.get_ref()));
        d.push(diagnostic.suggest(text.get_ref(), "layers", Layer::ALL.iter().map(|l| l.name())));
    }
    found
}

fn step<'i>(mut table: Table<'i>, d: &mut Diagnostics) -> StepDraft<'i> {
    let id = table.required("id", "add `id = \"...\"`: with the plan's name it is the step's identity in journals", d);
    let draft = StepDraft {
        header: table.header.clone(),
        id: id.and_then(|id| step_id(id, d)),
        kind: table.required("use", "add `use = \"...\"`; `cutover steps` lists the kinds", d),
        target: table.text("target", d),
        summary: table.text("summary", d).map(Spanned::into_inner),
        when: table.take("when").and_then(|value| when(value, d)),
        needs: table.texts("needs", false, d),
        unit: table.text("unit", d).and_then(|unit| named(unit, "a unit's name", d)),
        atomic: table.boolean("atomic", d).unwrap_or(true),
        irreversible: table.text("irreversible", d).and_then(|why| reason(why, d)),
        supersedes: table.texts("supersedes", false, d),
        allow: table.texts("allow", false, d),
        with: table.take("with"),
    };
    table.finish(d);
    draft
}

fn when(value: Spanned<DeValue<'_>>, d: &mut Diagnostics) -> Option<WhenDraft> {
    let mut table = Table::new(value, "a `when`", d)?;
    let before = d.len();
    let header = table.header.clone();
    let draft = WhenDraft {
        target: table.required("target", "add `target = \"NAME\"`: the target that is looked at", d),
        has: table.texts("has", true, d),
        lacks: table.texts("lacks", true, d),
    };
    table.finish(d);
    if draft.has.is_empty() && draft.lacks.is_empty() && d.len() == before {
        let help = "add `has = \"table:NAME\"` or `lacks = \"table:NAME\"`";
        d.push(Diagnostic::at(codes::MISSING_KEY, header, "a `when` that asks nothing").help(help));
    }
    Some(draft)
}

fn reason(why: Text, d: &mut Diagnostics) -> Option<Text> {
    if !why.get_ref().trim().is_empty() {
        return Some(why);
    }
    let diagnostic = Diagnostic::at(codes::BAD_VALUE, why.span(), "`irreversible` gives no reason");
    d.push(diagnostic.help("say why it is accepted that this step cannot be undone"));
    None
}

/// Names are lower case, so that they are safe in file names and alike on every system.
fn named(name: Text, what: &str, d: &mut Diagnostics) -> Option<Text> {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let help = "use lower-case letters, digits, `-`, `_` and `.`, beginning with a letter or digit";
    made_of(name, what, lower, help, d)
}

/// A step's id is what ledgers show as its name, and documents may call for one in capitals. Two ids that differ in
/// case alone are the same id.
fn step_id(id: Text, d: &mut Diagnostics) -> Option<Text> {
    let help = "use letters, digits, `-`, `_` and `.`, beginning with a letter or digit";
    made_of(id, "a step's id", |c| c.is_ascii_alphanumeric(), help, d)
}

fn made_of(name: Text, what: &str, word: impl Fn(char) -> bool, help: &str, d: &mut Diagnostics) -> Option<Text> {
    let text = name.get_ref();
    let good = text.len() <= LONGEST_NAME
        && text.chars().next().is_some_and(&word)
        && text.chars().all(|c| word(c) || matches!(c, '-' | '_' | '.'));
    if good {
        return Some(name);
    }
    let message = match text.chars().count() {
        0 => format!("{what} is empty"),
        n if n > LONGEST_NAME => format!("{what} has {n} characters; at most {LONGEST_NAME} are allowed"),
        _ => format!("{what} cannot be `{text}`"),
    };
    d.push(Diagnostic::at(codes::BAD_NAME, name.span(), message).help(help));
    None
}

/// Names become parts of file names.
const LONGEST_NAME: usize = 100;
