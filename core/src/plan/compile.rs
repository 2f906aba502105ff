//! The plan compiler: three passes over one plan file, all mistakes collected.
//!
//! (1) syntax: TOML. (2) shape: the keys of the format, and each `with` through its kind's typed configuration.
//! (3) meaning: names, order, targets, the way back. A file with syntax errors ends after the first pass; the other
//! two both look at all they can, and say nothing of what follows from an earlier mistake.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use toml::Spanned;

use super::build::{Builder, Built};
use super::diagnostic::Diagnostics;
use super::draft::{self, PhaseDraft, StepDraft};
use super::meaning::{self, StepView};
use super::placeholder::Filler;
use super::risks::RiskDraft;
use super::{CompileErrors, Phase, Plan, PlanFiles, PlanStep, Warning};
use super::{folders, notify, order, reversal, risks, syntax, targets, value, vars, warnings};
use crate::{Later, Registry, blake3_hex, canonical_json};

/// What a compilation starts from.
#[derive(Clone, Copy)]
pub struct CompileInput<'a> {
    /// The plan file's name as it is to be shown.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
    /// The files beside it.
    pub files: &'a dyn PlanFiles,
    /// The kinds that are linked in.
    pub registry: &'a Registry,
    /// `--var` overrides: TOML values; a text that is no TOML value is taken as a string.
    pub vars: &'a BTreeMap<String, String>,
    /// The environment, for `${env.NAME}`.
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

/// What becomes of a `${env.NAME}` that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unset {
    /// A mistake.
    Refused,
    /// It stays as it is written: the step is not called.
    Kept,
}

/// Compiles a plan that is to run.
pub fn compile(input: CompileInput<'_>) -> Result<Plan, CompileErrors> {
    compiled(input, Unset::Refused)
}

/// Compiles a plan that is only looked at: an environment variable that is not set is no mistake. Before a step is
/// called, [`resolve_env`](super::resolve_env) must succeed on its configuration.
pub fn compile_to_look(input: CompileInput<'_>) -> Result<Plan, CompileErrors> {
    compiled(input, Unset::Kept)
}

fn compiled(input: CompileInput<'_>, unset: Unset) -> Result<Plan, CompileErrors> {
    let mut diagnostics = Diagnostics::default();
    match passes(&input, unset, &mut diagnostics) {
        Some(plan) if diagnostics.is_empty() => Ok(plan),
        _ => Err(diagnostics.into_errors(input.file, input.text)),
    }
}

/// A step's registered kind, and what that kind made of it.
type Made = Option<(&'static str, Built)>;

fn passes(input: &CompileInput<'_>, unset: Unset, d: &mut Diagnostics) -> Option<Plan> {
    let table = syntax::parse(input.text, d)?;
    let mut draft = draft::read(table, d);

    let typed = vars::resolve(std::mem::take(&mut draft.vars), input.vars, d);
    let vars: BTreeMap<String, Value> = typed.iter().map(|(name, value)| (name.clone(), value::json(value))).collect();
    let mut filler = Filler::new(&typed, input.env);
    let targets = targets::check(std::mem::take(&mut draft.targets), input.registry, &mut filler, d);

    // A target is opened by whoever looks, so its variables are needed all the same.
    filler.unset = unset;
    meaning::names(&draft.phases, input.text, d);
    let mut builder = Builder { targets: &targets, vars: &vars, files: input.files, filler };
    let made = build(&mut draft.phases, &mut builder, input.registry, d);
    let notify = notify::build(std::mem::take(&mut draft.notify), &mut builder, input.registry, d);
    let found = warned(&draft.phases, &made, input.registry, d);
    let secrets: Vec<String> = builder.filler.secrets.into_iter().filter(|s| !s.is_empty()).collect();
    d.hide(&secrets);

    let mut steps = Vec::with_capacity(made.len());
    let mut by_id: BTreeMap<&str, usize> = BTreeMap::new();
    let drafts = draft.phases.iter().enumerate().flat_map(|(at, phase)| phase.steps.iter().map(move |s| (at, s)));
    for ((phase, step), built) in drafts.zip(&made) {
        if let Some(id) = &step.id {
            by_id.entry(id.get_ref()).or_insert(steps.len());
            steps.push(StepView::of(id.get_ref(), phase, step, built.as_ref().map(|(_, built)| built)));
        }
    }
    let declared = meaning::needs(&steps, &by_id, d);
    let needs = order::needs(&steps, &declared);
    order::cycles(&steps, &needs, &declared, d);
    meaning::supersedes(&steps, &by_id, d);
    risks::watchers(&draft.risks, &by_id, d);
    let phases: Vec<&str> =
        draft.phases.iter().map(|p| p.name.as_ref().map_or("", |name| name.get_ref().as_str())).collect();
    meaning::refers(&steps, &by_id, &phases, d);
    reversal::check(&steps, d);
    folders::check(&steps, d);
    if !d.is_empty() {
        return None;
    }
    let ids: Vec<String> = steps.iter().map(|s| s.id.to_owned()).collect();
    drop(steps);
    let needs = needs.into_iter().map(|before| {
        let mut names: Vec<String> = before.into_iter().map(|at| ids[at].clone()).collect();
        names.sort();
        names
    });
    let mut made = made.into_iter().zip(needs);
    let phases = draft.phases.into_iter().map(|draft| phase(draft, &mut made)).collect::<Option<Vec<_>>>()?;
    let digest = digest(&phases);
    Some(Plan {
        name: draft.name?,
        summary: draft.summary,
        on_failure: draft.on_failure,
        vars,
        targets: targets.specs,
        notify,
        budget: draft.budget,
        risks: draft.risks.into_iter().map(RiskDraft::risk).collect::<Option<_>>()?,
        phases,
        warnings: found,
        secrets,
        digest,
    })
}

/// Builds every step that can be built, in file order.
fn build<'i>(
    phases: &mut [PhaseDraft<'i>],
    builder: &mut Builder<'_, 'i>,
    registry: &Registry,
    d: &mut Diagnostics,
) -> Vec<Made> {
    let mut made = Vec::new();
    for phase in phases {
        let layer = phase.layer;
        for step in &mut phase.steps {
            meaning::targets(step, builder.targets, registry, d);
            let kind = meaning::kind(step, layer, registry, d);
            made.push(kind.and_then(|kind| {
                let built = builder.build(step, kind, d)?;
                Some((kind.kind, built))
            }));
        }
    }
    made
}

/// What is doubtful about the steps that could be built, in file order.
fn warned(phases: &[PhaseDraft<'_>], made: &[Made], registry: &Registry, d: &mut Diagnostics) -> Vec<Warning> {
    let built: Vec<_> = phases
        .iter()
        .flat_map(|phase| &phase.steps)
        .zip(made)
        .filter_map(|(draft, made)| made.as_ref().map(|(kind, built)| (draft, *kind, built)))
        .collect();
    let all: Vec<Later> = built.iter().map(|(_, kind, built)| Later { kind, uses: built.step.uses() }).collect();
    let of = |(at, (draft, kind, built)): (usize, &(&StepDraft<'_>, &'static str, &Built))| {
        let kind = registry.step(kind)?;
        Some(warnings::of(draft, kind, built, &all[at + 1..], d))
    };
    built.iter().enumerate().filter_map(of).flatten().collect()
}

fn phase(draft: PhaseDraft<'_>, made: &mut impl Iterator<Item = (Made, Vec<String>)>) -> Option<Phase> {
    let steps = draft.steps.into_iter().map(|step| {
        let (made, needs) = made.next()?;
        let (kind, built) = made?;
        plan_step(step, kind, built, needs)
    });
    let steps = steps.collect::<Option<_>>()?;
    Some(Phase { name: draft.name?.into_inner(), summary: draft.summary, layer: draft.layer?, steps })
}

fn plan_step(draft: StepDraft<'_>, kind: &str, built: Built, needs: Vec<String>) -> Option<PlanStep> {
    let declared = draft.supersedes.into_iter().map(Spanned::into_inner);
    let supersedes: BTreeSet<String> = declared.chain(built.step.supersedes()).collect();
    let in_plan = draft.kind.as_ref().map_or_else(|| draft.header.clone(), Spanned::span);
    Some(PlanStep {
        id: draft.id?.into_inner(),
        kind: kind.to_owned(),
        summary: draft.summary,
        target: draft.target.map(Spanned::into_inner),
        when: draft.when.and_then(|when| when.condition()),
        needs,
        unit: draft.unit.map(Spanned::into_inner),
        atomic: draft.atomic,
        irreversible: draft.irreversible.map(Spanned::into_inner),
        supersedes: supersedes.into_iter().collect(),
        allow: draft.allow.into_iter().map(Spanned::into_inner).collect(),
        in_plan,
        config: built.config,
        files: built.files,
        digest: built.digest,
        checksum: built.checksum,
        step: built.step,
    })
}

/// Over all steps, their order and what they need.
fn digest(phases: &[Phase]) -> String {
    let phases = phases.iter().map(|phase| {
        let steps: Vec<Value> = phase.steps.iter().map(|s| json!([s.id, s.digest, s.needs, s.unit])).collect();
        json!([phase.name, phase.layer, steps])
    });
    blake3_hex(canonical_json(&phases.collect()).as_bytes())
}
