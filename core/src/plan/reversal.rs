//! Pass 3, the way back: a restore has a snapshot and undoes nobody else; what cannot be undone says why.

use std::collections::BTreeMap;

use super::codes;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::meaning::StepView;
use crate::{Access, Reversal};

/// What happened to a target so far, in file order.
#[derive(Default)]
struct History {
    snapshot: bool,
    /// Writers since the latest snapshot that counts.
    writers: Vec<usize>,
}

/// Checks every built step. Of steps after one that could not be built nothing is said about snapshots: it may have
/// been the one that takes them.
pub(crate) fn check(steps: &[StepView<'_>], d: &mut Diagnostics) {
    units(steps, d);
    let mut targets: BTreeMap<String, History> = BTreeMap::new();
    let mut whole = true;
    for (at, view) in steps.iter().enumerate() {
        let Some(built) = view.built else {
            whole = false;
            continue;
        };
        let reversal = built.step.reversal();
        reason(view, &reversal, d);
        if let Reversal::Restore(target) = &reversal
            && whole
        {
            restore(steps, view, target, targets.get(target), d);
        }
        for (target, access) in &view.uses {
            if *access == Access::Write {
                let history = targets.entry(target.clone()).or_default();
                // Adjacent writers of one unit need one witness only, which keeps this linear.
                if !history.writers.last().is_some_and(|last| same_unit(&steps[*last], view)) {
                    history.writers.push(at);
                }
            }
        }
        // A snapshot that a condition may skip promises nothing.
        if view.draft.when.is_none() {
            for target in built.step.snapshots() {
                targets.insert(target, History { snapshot: true, writers: Vec::new() });
            }
        }
    }
}

/// A unit goes back as a whole: nothing in it, and nothing between its steps, may stand in the way.
fn units(steps: &[StepView<'_>], d: &mut Diagnostics) {
    let mut ends: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (at, view) in steps.iter().enumerate() {
        if let Some(unit) = &view.draft.unit {
            ends.entry(unit.get_ref()).or_insert((at, at)).1 = at;
        }
    }
    for (at, view) in steps.iter().enumerate() {
        if !view.built.is_some_and(|b| b.step.reversal() == Reversal::Irreversible) {
            continue;
        }
        if let Some((unit, _)) = ends.iter().find(|(_, (first, last))| (*first..=*last).contains(&at)) {
            let message = format!("step `{}` cannot be undone, and unit `{unit}` goes back only as a whole", view.id);
            let help = "put it before or after all steps of the unit";
            d.push(Diagnostic::at(codes::TORN_UNIT, view.kind_span(), message).help(help));
        }
    }
}

fn reason(view: &StepView<'_>, reversal: &Reversal, d: &mut Diagnostics) {
    match (reversal, &view.draft.irreversible) {
        (Reversal::Irreversible, None) => {
            let message =
                format!("step `{}` cannot be undone, and the plan does not say why that is accepted", view.id);
            let help = "add `irreversible = \"why it is accepted\"`, or give the step a way back";
            d.push(Diagnostic::at(codes::IRREVERSIBLE, view.kind_span(), message).help(help));
        }
        (Reversal::Inverse | Reversal::Restore(_), Some(why)) => {
            let message = format!("step `{}` can be undone: `irreversible` says what is not so", view.id);
            d.push(Diagnostic::at(codes::NOT_IRREVERSIBLE, why.span(), message).help("take `irreversible` away"));
        }
        _ => {}
    }
}

fn restore(steps: &[StepView<'_>], view: &StepView<'_>, target: &str, history: Option<&History>, d: &mut Diagnostics) {
    let Some(history) = history.filter(|h| h.snapshot) else {
        let message = format!(
            "step `{}` is undone by restoring `{target}`, but no step before it takes a snapshot of it",
            view.id
        );
        let help = format!(
            "put a step before it: `use = \"target.snapshot\"`, `with = {{ targets = [\"{target}\"], into = \"...\" }}`, without `when`"
        );
        d.push(Diagnostic::at(codes::NO_SNAPSHOT, view.kind_span(), message).help(help));
        return;
    };
    if let Some(other) = history.writers.iter().map(|at| &steps[*at]).find(|other| !same_unit(other, view)) {
        let message = format!("restoring `{target}` to undo step `{}` would undo step `{}` too", view.id, other.id);
        let help = format!(
            "give both one `unit`, which unwinds only as a whole, or take a snapshot between `{}` and `{}`",
            other.id, view.id
        );
        d.push(Diagnostic::at(codes::WRITER_BETWEEN, view.kind_span(), message).help(help));
    }
}

fn same_unit(a: &StepView<'_>, b: &StepView<'_>) -> bool {
    match (&a.draft.unit, &b.draft.unit) {
        (Some(a), Some(b)) => a.get_ref() == b.get_ref(),
        _ => false,
    }
}
