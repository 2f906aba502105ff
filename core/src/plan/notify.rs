//! `[[notify]]`: who is told of what. Owns the way from its tables to built notifiers.
//!
//! It is for people: no digest has it, and an edit of it is no drift.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;
use toml::Spanned;
use toml::de::DeValue;

use super::build::{Builder, config_errors, read_config};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::table::{Table, Text};
use super::{codes, value};
use crate::{BuildContext, ConfigSource, Notifier, Occasion, Registry};

/// Somebody who is told.
#[derive(Debug, Clone)]
pub struct PlanNotifier {
    /// The registered kind.
    pub kind: String,
    /// Of what.
    pub on: Vec<Occasion>,
    /// Its configuration: variables resolved, secrets not.
    pub config: Value,
    /// The notifier itself; none where the plan is only looked at and a secret of it is not there.
    pub notifier: Option<Arc<dyn Notifier>>,
}

/// A `[[notify]]`.
pub(crate) struct NotifyDraft<'i> {
    header: Range<usize>,
    kind: Option<Text>,
    on: Vec<Occasion>,
    with: Option<Spanned<DeValue<'i>>>,
}

/// Reads every `[[notify]]` of the plan.
pub(crate) fn read<'i>(plan: &mut Table<'i>, d: &mut Diagnostics) -> Vec<NotifyDraft<'i>> {
    plan.tables("notify", ("a notifier", "[[notify]]"), d).into_iter().map(|table| one(table, d)).collect()
}

fn one<'i>(mut table: Table<'i>, d: &mut Diagnostics) -> NotifyDraft<'i> {
    let before = d.len();
    let asked = table.has("on");
    let draft = NotifyDraft {
        header: table.header.clone(),
        kind: table.required("use", "add `use = \"notify.webhook\"` (or another kind that `cutover steps` lists)", d),
        on: table.texts("on", true, d).iter().filter_map(|text| occasion(text, d)).collect(),
        with: table.take("with"),
    };
    if draft.on.is_empty() && d.len() == before {
        let message = if asked { "a notifier that is told of nothing" } else { "a notifier has no `on`" };
        let help = "add `on = [\"waiting\", \"failed\", \"rolled-back\", \"milestone\"]`, or some of these";
        d.push(Diagnostic::at(codes::MISSING_KEY, draft.header.clone(), message).help(help));
    }
    table.finish(d);
    draft
}

fn occasion(text: &Text, d: &mut Diagnostics) -> Option<Occasion> {
    let known = Occasion::ALL;
    let found = known.iter().find(|(name, _)| name == text.get_ref()).map(|(_, value)| *value);
    if found.is_none() {
        let message = format!("nobody is told of `{}`", text.get_ref());
        let diagnostic = Diagnostic::at(codes::BAD_VALUE, text.span(), message);
        d.push(diagnostic.suggest(text.get_ref(), "occasions", known.iter().map(|(name, _)| *name)));
    }
    found
}

/// Builds every notifier that can be built.
pub(crate) fn build<'i>(
    drafts: Vec<NotifyDraft<'i>>,
    builder: &mut Builder<'_, 'i>,
    registry: &Registry,
    d: &mut Diagnostics,
) -> Vec<PlanNotifier> {
    drafts.into_iter().filter_map(|draft| built(draft, builder, registry, d)).collect()
}

fn built<'i>(
    draft: NotifyDraft<'i>,
    builder: &mut Builder<'_, 'i>,
    registry: &Registry,
    d: &mut Diagnostics,
) -> Option<PlanNotifier> {
    let kind = draft.kind?;
    let Some(descriptor) = registry.notifier(kind.get_ref()) else {
        let message = format!("no notifier `{}` is linked in", kind.get_ref());
        let known: Vec<&str> = registry.notifiers().map(|n| n.kind).collect();
        let diagnostic = Diagnostic::at(codes::UNKNOWN_NOTIFIER, kind.span(), message).label("unknown kind");
        d.push(diagnostic.suggest(kind.get_ref(), "notifiers", known));
        return None;
    };
    let config = read_config(draft.with, draft.header, &mut builder.filler, d);
    let unset = std::mem::take(&mut builder.filler.kept);
    let config = config?;
    for field in descriptor.secrets {
        let written = config.stored.get(*field).and_then(Value::as_str).filter(|text| !text.contains("${env."));
        if written.is_some() {
            let span = value::find(&config.places, field).span();
            let message = format!("`{field}` is a secret, and the plan writes it out");
            let help = format!("set an environment variable and write `{field} = \"${{env.NAME}}\"`");
            d.push(Diagnostic::at(codes::BAD_CONFIG, span, message).help(help));
            return None;
        }
    }
    let (targets, vars) = (&builder.targets.specs, builder.vars);
    let cx = BuildContext::new("", None, targets, vars, builder.files);
    let notifier = match (descriptor.build)(ConfigSource::Toml(config.filled), &cx) {
        _ if !unset.is_empty() => None,
        Ok(notifier) => Some(notifier),
        Err(error) => {
            config_errors(error, &config.places, kind.span(), descriptor.schema, d);
            return None;
        }
    };
    Some(PlanNotifier { kind: descriptor.kind.to_owned(), on: draft.on, config: config.stored, notifier })
}
