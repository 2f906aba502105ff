//! Pass 3, names: what steps refer to is there, comes early enough and can answer what it is asked.

use std::collections::BTreeMap;
use std::ops::Range;

use super::build::Built;
use super::codes;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::draft::{PhaseDraft, StepDraft, WhenDraft};
use super::order::Need;
use super::table::Text;
use super::targets::Targets;
use crate::{Access, Layer, Reference, Registry, Reversal, StepDescriptor};

/// A step with what the rules of order and reversal look at.
pub(crate) struct StepView<'a> {
    pub(crate) id: &'a str,
    pub(crate) phase: usize,
    pub(crate) header: Range<usize>,
    pub(crate) draft: &'a StepDraft<'a>,
    pub(crate) built: Option<&'a Built>,
    /// Each target once, with the stronger access.
    pub(crate) uses: BTreeMap<String, Access>,
}

impl<'a> StepView<'a> {
    pub(crate) fn of(id: &'a str, phase: usize, draft: &'a StepDraft<'a>, built: Option<&'a Built>) -> Self {
        let mut uses: BTreeMap<String, Access> = BTreeMap::new();
        // A condition is decided by looking, so it must not run beside a writer of what it looks at.
        if let Some(target) = draft.when.as_ref().and_then(|when| when.target.as_ref()) {
            uses.insert(target.get_ref().clone(), Access::Read);
        }
        if let Some(built) = built {
            for used in built.step.uses() {
                let access = uses.entry(used.target).or_insert(used.access);
                *access = (*access).max(used.access);
            }
            if let Reversal::Restore(target) = built.step.reversal() {
                uses.insert(target, Access::Write);
            }
        }
        Self { id, phase, header: draft.header.clone(), draft, built, uses }
    }

    /// Where the step says which kind it is.
    pub(crate) fn kind_span(&self) -> Range<usize> {
        self.draft.kind.as_ref().map_or_else(|| self.header.clone(), toml::Spanned::span)
    }
}

/// Phases have different names, and steps different ids; the first of each counts.
pub(crate) fn names(phases: &[PhaseDraft<'_>], source: &str, d: &mut Diagnostics) {
    let mut seen = BTreeMap::new();
    for name in phases.iter().filter_map(|phase| phase.name.as_ref()) {
        twice(&mut seen, name, codes::DUPLICATE_PHASE, "phases are named", source, d);
    }
    let mut seen = BTreeMap::new();
    for id in phases.iter().flat_map(|p| &p.steps).filter_map(|s| s.id.as_ref()) {
        twice(&mut seen, id, codes::DUPLICATE_STEP, "steps have the id", source, d);
    }
}

fn twice(
    seen: &mut BTreeMap<String, Range<usize>>,
    name: &Text,
    code: &'static str,
    what: &str,
    source: &str,
    d: &mut Diagnostics,
) {
    // Blind to case: names become parts of file names.
    if let Some(first) = seen.get(&name.get_ref().to_ascii_lowercase()) {
        let before = source.get(..first.start).filter(|_| !d.many());
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        let message = format!("two {what} `{}`", name.get_ref());
        let help = "give one of them another name; what was applied already is known by its old one";
        d.push(Diagnostic::at(code, name.span(), message).label(format!("the first is on line {line}")).help(help));
    } else {
        seen.insert(name.get_ref().to_ascii_lowercase(), name.span());
    }
}

/// The kind of a step, if it is linked in and serves the phase's layer.
pub(crate) fn kind<'r>(
    step: &StepDraft<'_>,
    layer: Option<Layer>,
    registry: &'r Registry,
    d: &mut Diagnostics,
) -> Option<&'r StepDescriptor> {
    let kind = step.kind.as_ref()?;
    let Some(descriptor) = registry.step(kind.get_ref()) else {
        let message = format!("no step kind `{}` is linked in", kind.get_ref());
        let known: Vec<&str> = registry.steps().flat_map(|s| s.aliases.iter().copied().chain([s.kind])).collect();
        let diagnostic = Diagnostic::at(codes::UNKNOWN_STEP_KIND, kind.span(), message).label("unknown kind");
        d.push(match crate::closest(kind.get_ref(), known) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help("`cutover steps` lists the kinds; a step crate must be named in the runner"),
        });
        return None;
    };
    if let Some(layer) = layer.filter(|layer| !descriptor.layers.contains(layer)) {
        let message = format!("`{}` does not serve the layer `{layer}`", descriptor.kind);
        let layers: Vec<String> = descriptor.layers.iter().map(|l| format!("`{l}`")).collect();
        let help = format!("it serves {}; move the step to a phase of such a layer", layers.join(", "));
        d.push(Diagnostic::at(codes::WRONG_LAYER, kind.span(), message).help(help));
    }
    Some(descriptor)
}

/// The targets that a step names are there, and its condition asks what they can answer.
pub(crate) fn targets(step: &StepDraft<'_>, targets: &Targets, registry: &Registry, d: &mut Diagnostics) {
    for name in step.target.iter().chain(step.when.as_ref().and_then(|when| when.target.as_ref())) {
        if !targets.specs.contains_key(name.get_ref()) {
            let diagnostic = Diagnostic::at(
                codes::UNKNOWN_TARGET,
                name.span(),
                format!("the plan has no target `{}`", name.get_ref()),
            );
            d.push(if d.many() {
                diagnostic
            } else if targets.specs.is_empty() {
                diagnostic.help(format!("declare it: `[targets.{}]`", name.get_ref()))
            } else {
                diagnostic.suggest(name.get_ref(), "targets", targets.specs.keys().map(String::as_str))
            });
        }
    }
    if let Some(when) = &step.when {
        facts(when, targets, registry, d);
    }
}

fn facts(when: &WhenDraft, targets: &Targets, registry: &Registry, d: &mut Diagnostics) {
    let Some(spec) = when.target.as_ref().and_then(|name| targets.specs.get(name.get_ref())) else { return };
    let Some(kind) = registry.target(&spec.kind) else { return };
    for fact in when.has.iter().chain(&when.lacks) {
        if kind.facts.iter().any(|form| matches(form, fact.get_ref())) {
            continue;
        }
        let message = format!("a target of kind `{}` has no fact `{}`", spec.kind, fact.get_ref());
        let forms: Vec<String> = kind.facts.iter().map(|form| format!("`{form}`")).collect();
        let help = if forms.is_empty() {
            "it answers no facts at all".to_owned()
        } else {
            format!("it answers {}", forms.join(", "))
        };
        d.push(Diagnostic::at(codes::BAD_FACT, fact.span(), message).help(help));
    }
}

/// Whether `fact` has the form `form`: "column:TABLE.NAME" asks for the word, a `:` and two names with a `.`.
fn matches(form: &str, fact: &str) -> bool {
    match (form.split_once(':'), fact.split_once(':')) {
        (Some((word, pattern)), Some((asked, name))) => {
            let dots = pattern.matches('.').count();
            word == asked
                && !name.is_empty()
                && name.splitn(dots + 1, '.').filter(|n| !n.is_empty()).count() == dots + 1
        }
        (None, None) => form == fact,
        _ => false,
    }
}

/// The declared needs of every step, by index.
pub(crate) fn needs(steps: &[StepView<'_>], by_id: &BTreeMap<&str, usize>, d: &mut Diagnostics) -> Vec<Vec<Need>> {
    let known = |id: &str| by_id.get(id).copied();
    let mut all = Vec::with_capacity(steps.len());
    for (at, step) in steps.iter().enumerate() {
        let mut needs = Vec::new();
        for need in &step.draft.needs {
            match known(need.get_ref()) {
                Some(other) if steps[other].phase > step.phase => {
                    let message = format!("step `{}` needs `{}`, which is in a later phase", step.id, need.get_ref());
                    let help = "a step may need steps of its own phase or of an earlier one";
                    d.push(Diagnostic::at(codes::LATER_STEP, need.span(), message).help(help));
                }
                Some(other) => needs.push(Need { step: other, span: need.span() }),
                None => unknown_step(need.span(), need.get_ref(), by_id, d),
            }
        }
        // What it reads the receipt of is done before.
        for reference in step.built.iter().flat_map(|built| built.step.refers()) {
            if let Reference::Earlier(id) = reference
                && let Some(&other) = by_id.get(id.as_str())
                && other < at
            {
                needs.push(Need { step: other, span: step.kind_span() });
            }
        }
        all.push(needs);
    }
    all
}

/// What a step undoes by design is there and comes before it.
pub(crate) fn supersedes(steps: &[StepView<'_>], by_id: &BTreeMap<&str, usize>, d: &mut Diagnostics) {
    for (at, step) in steps.iter().enumerate() {
        let declared = step.draft.supersedes.iter().map(|id| (id.get_ref().clone(), id.span()));
        let own = step.built.iter().flat_map(|built| built.step.supersedes()).map(|id| (id, step.kind_span()));
        for (id, span) in declared.chain(own) {
            match by_id.get(id.as_str()) {
                Some(other) if *other >= at => {
                    let message = format!("step `{}` supersedes `{id}`, which does not come before it", step.id);
                    let help = "only an earlier step can be undone by design";
                    d.push(Diagnostic::at(codes::LATER_STEP, span, message).help(help));
                }
                Some(_) => {}
                None => unknown_step(span, &id, by_id, d),
            }
        }
    }
}

/// What steps go by is there and comes before them. `phases` are the names of the phases, in order.
pub(crate) fn refers(steps: &[StepView<'_>], by_id: &BTreeMap<&str, usize>, phases: &[&str], d: &mut Diagnostics) {
    for (at, step) in steps.iter().enumerate() {
        for reference in step.built.iter().flat_map(|built| built.step.refers()) {
            let (Reference::Earlier(name) | Reference::Point(name)) = &reference;
            let phase = phases.iter().position(|phase| phase == name);
            let is_point = matches!(reference, Reference::Point(_));
            let earlier_phase = phase.is_some_and(|phase| phase < step.phase);
            match by_id.get(name.as_str()) {
                Some(other) if *other < at => {}
                _ if is_point && (name == "start" || earlier_phase) => {}
                None if !(is_point && phase.is_some()) => unknown_step(step.kind_span(), name, by_id, d),
                _ => {
                    let message = format!("step `{}` goes by `{name}`, which does not come before it", step.id);
                    let help = "name an earlier step, or put it before this one";
                    d.push(Diagnostic::at(codes::LATER_STEP, step.kind_span(), message).help(help));
                }
            }
        }
    }
}

pub(crate) fn unknown_step(span: Range<usize>, id: &str, by_id: &BTreeMap<&str, usize>, d: &mut Diagnostics) {
    let diagnostic = Diagnostic::at(codes::UNKNOWN_STEP, span, format!("the plan has no step `{id}`"));
    let known = by_id.keys().copied().take(if d.many() { 0 } else { usize::MAX });
    d.push(match crate::closest(id, known) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help("steps are named by their `id`"),
    });
}
