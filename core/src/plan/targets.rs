//! Pass 3, targets: kinds, paths inside the root, configurations, and that no two share files.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Component, Path};

use serde_json::Value;

use super::build::{config_errors, read_config};
use super::codes;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::draft::TargetDraft;
use super::files::is_inside;
use super::placeholder::Filler;
use crate::{ConfigSource, Registry, TargetSpec};

/// The plan's targets. `broken` ones have mistakes of their own: nothing more is said of who uses them.
#[derive(Default)]
pub(crate) struct Targets {
    pub(crate) specs: BTreeMap<String, TargetSpec>,
    pub(crate) broken: BTreeSet<String>,
}

/// A path that a target claims, for the search of overlaps.
struct Claim {
    parts: Vec<String>,
    target: String,
    path: String,
    span: Range<usize>,
}

/// Checks every target.
pub(crate) fn check<'i>(
    drafts: Vec<TargetDraft<'i>>,
    registry: &Registry,
    filler: &mut Filler<'_, 'i>,
    d: &mut Diagnostics,
) -> Targets {
    let mut targets = Targets::default();
    let mut claims = Vec::new();
    for draft in drafts {
        let before = d.len();
        let name = draft.name.get_ref().clone();
        let spec = target(draft, registry, filler, &mut claims, d);
        if d.len() > before || spec.config.is_null() {
            targets.broken.insert(name.clone());
        }
        targets.specs.insert(name, spec);
    }
    overlaps(claims, d);
    targets
}

fn target<'i>(
    draft: TargetDraft<'i>,
    registry: &Registry,
    filler: &mut Filler<'_, 'i>,
    claims: &mut Vec<Claim>,
    d: &mut Diagnostics,
) -> TargetSpec {
    let text = |t: &Option<super::table::Text>| t.as_ref().map(|t| t.get_ref().clone());
    let mut spec = TargetSpec {
        name: draft.name.get_ref().clone(),
        kind: text(&draft.kind).unwrap_or_default(),
        path: text(&draft.path).unwrap_or_default(),
        ledger: text(&draft.ledger),
        config: Value::Null,
    };
    if let Some(path) = &draft.path
        && !is_inside(Path::new(path.get_ref()))
    {
        let message = format!("the path `{}` leaves the root", path.get_ref());
        let help = "name it relative to the root, without `..`; the operator alone may place a target elsewhere: `--bind NAME=PATH`";
        d.push(Diagnostic::at(codes::OUTSIDE, path.span(), message).help(help));
    }
    let (Some(kind), Some(path)) = (draft.kind, draft.path) else { return spec };
    let Some(descriptor) = registry.target(kind.get_ref()) else {
        let message = format!("no target kind `{}` is linked in", kind.get_ref());
        let known = registry.targets().map(|t| t.kind).collect::<Vec<_>>();
        d.push(Diagnostic::at(codes::UNKNOWN_TARGET_KIND, kind.span(), message).label("unknown kind").suggest(
            kind.get_ref(),
            "kinds",
            known,
        ));
        return spec;
    };
    let Some(config) = read_config(draft.with, draft.name.span(), filler, d) else { return spec };
    spec.config = config.stored;
    match (descriptor.claims)(ConfigSource::Toml(config.filled), &spec) {
        Ok(paths) => claims.extend(paths.into_iter().map(|claimed| Claim {
            parts: parts(&claimed),
            target: spec.name.clone(),
            path: claimed,
            span: path.span(),
        })),
        Err(error) => {
            spec.config = Value::Null;
            config_errors(error, &config.places, kind.span(), descriptor.schema, d);
        }
    }
    spec
}

fn parts(path: &str) -> Vec<String> {
    Path::new(path)
        .components()
        .filter(|c| !matches!(c, Component::CurDir))
        .map(|c| c.as_os_str().to_string_lossy().into_owned())
        .collect()
}

/// In sorted order a folder comes right before all that is inside it, so a stack of open folders is enough.
fn overlaps(mut claims: Vec<Claim>, d: &mut Diagnostics) {
    claims.sort_by(|a, b| (&a.parts, a.span.start, &a.target).cmp(&(&b.parts, b.span.start, &b.target)));
    let mut open: Vec<&Claim> = Vec::new();
    for claim in &claims {
        while open.last().is_some_and(|top| !claim.parts.starts_with(&top.parts)) {
            open.pop();
        }
        if let Some(top) = open.iter().rev().find(|top| top.target != claim.target) {
            let (first, second) = if top.span.start <= claim.span.start { (*top, claim) } else { (claim, *top) };
            let message = if top.parts == claim.parts {
                format!("targets `{}` and `{}` both are `{}`", first.target, second.target, claim.path)
            } else {
                format!(
                    "target `{}` (`{}`) lies inside target `{}` (`{}`)",
                    claim.target, claim.path, top.target, top.path
                )
            };
            d.push(Diagnostic::at(codes::OVERLAP, second.span.clone(), message).help(
                "two targets may not share files: a lock, a snapshot or a rollback of one would touch the other",
            ));
        }
        open.push(claim);
    }
}
