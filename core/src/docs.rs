//! The user's documentation of every kind, generated from its descriptor: summary, fields, example.
//!
//! Field docs in the source of a configuration are the text that is shown here, in editors and in `cutover steps`.

use std::fmt::Write as _;

use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use crate::plan::schema_of_config;
use crate::{Layer, NotifierDescriptor, Registry, Seen, StepDescriptor, TargetDescriptor};

/// One key of a configuration; keys of nested tables have their path ("add[].name").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The key.
    pub name: String,
    /// Its type in words: "list of texts".
    pub kind: String,
    /// Whether it must be there.
    pub required: bool,
    /// What it means, from the source.
    pub doc: String,
}

/// Levels of nested tables whose keys are listed.
const DEEPEST: usize = 4;

/// The keys of a step kind's `with`, required ones first, else in the order of the source.
pub fn step_fields(step: &StepDescriptor) -> Vec<Field> {
    fields(step.schema)
}

/// The keys of a target kind's `with`, likewise.
pub fn target_fields(target: &TargetDescriptor) -> Vec<Field> {
    fields(target.schema)
}

fn fields(schema: fn(&mut SchemaGenerator) -> Schema) -> Vec<Field> {
    let schema = schema_of_config(schema);
    let mut fields = Vec::new();
    collect(&schema, &schema, "", DEEPEST, &mut fields);
    fields
}

fn collect(root: &Value, table: &Value, prefix: &str, levels: usize, fields: &mut Vec<Field>) {
    let required = |name: &str| {
        table.get("required").and_then(Value::as_array).is_some_and(|names| names.iter().any(|n| n == name))
    };
    let mut keys: Vec<_> = table.get("properties").and_then(Value::as_object).into_iter().flatten().collect();
    keys.sort_by_key(|(name, _)| !required(name));
    for (name, schema) in keys {
        let path = format!("{prefix}{name}");
        let (mut doc, default) = (text_of(schema, "description"), schema.get("default"));
        let target = follow(root, schema);
        if doc.is_empty() {
            doc = text_of(target, "description");
        }
        if let Some(default) = default.filter(|value| !is_empty(value)) {
            let space = if doc.is_empty() { "" } else { " " };
            let _ = write!(doc, "{space}Default: `{}`.", in_toml(default));
        }
        fields.push(Field { name: path.clone(), kind: kind(root, target), required: required(name), doc });
        if levels > 0 {
            nested(root, target, &path, levels - 1, fields);
        }
    }
}

/// Lists the keys of the tables inside a list or a map.
fn nested(root: &Value, schema: &Value, path: &str, levels: usize, fields: &mut Vec<Field>) {
    if schema.get("properties").is_some() {
        collect(root, schema, &format!("{path}."), levels, fields);
    } else if let Some(items) = schema.get("items") {
        nested(root, follow(root, items), &format!("{path}[]"), levels, fields);
    } else if let Some(values) = schema.get("additionalProperties").filter(|v| v.is_object()) {
        nested(root, follow(root, values), &format!("{path}.NAME"), levels, fields);
    }
    for option in options(schema) {
        nested(root, follow(root, option), path, levels, fields);
    }
}

fn options(schema: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten()
}

/// The schema that a reference points at.
fn follow<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/$defs/"));
    name.and_then(|name| root.get("$defs")?.get(name)).unwrap_or(schema)
}

fn text_of(schema: &Value, key: &str) -> String {
    let text = schema.get(key).and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// JSON and TOML write these values alike.
fn in_toml(value: &Value) -> String {
    value.to_string()
}

fn kind(root: &Value, schema: &Value) -> String {
    if let Some(value) = schema.get("const") {
        return format!("`{}`", in_toml(value));
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(|value| format!("`{}`", in_toml(value))).collect::<Vec<_>>().join(" or ");
    }
    let mut kinds: Vec<String> = options(schema).map(|option| kind(root, follow(root, option))).collect();
    if !kinds.is_empty() {
        kinds.dedup();
        return kinds.join(" or ");
    }
    let names: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => return "any value".to_owned(),
    };
    names.iter().map(|name| type_name(root, schema, name)).collect::<Vec<_>>().join(" or ")
}

fn type_name(root: &Value, schema: &Value, name: &str) -> String {
    let inner = |key: &str| schema.get(key).filter(|v| v.is_object()).map(|v| kind(root, follow(root, v)));
    match name {
        "string" => "text".to_owned(),
        "array" => inner("items").map_or_else(|| "list".to_owned(), |kind| format!("list of {}", plural(&kind))),
        "object" => inner("additionalProperties")
            .map_or_else(|| "table".to_owned(), |kind| format!("table of {}", plural(&kind))),
        other => other.to_owned(),
    }
}

/// "list of texts", "list of lists of texts".
fn plural(kind: &str) -> String {
    match kind.split_once(" of ") {
        Some((first, rest)) if !first.contains(' ') => format!("{first}s of {rest}"),
        _ if kind.contains(' ') || kind.starts_with('`') => kind.to_owned(),
        _ => format!("{kind}s"),
    }
}

/// The whole of docs/steps.md.
pub fn steps_markdown(registry: &Registry) -> String {
    let mut out = String::from(
        "# Step kinds, target kinds and notifiers\n\n\
         Made by `cutover steps --format markdown` from the kinds that are linked in; change the source, not this file.\n\n",
    );
    let mut line = |kind: &str, summary: &str| {
        let _ = writeln!(out, "- [`{kind}`](#{}): {}", anchor(kind), sentence(summary));
    };
    registry.steps().for_each(|step| line(step.kind, step.summary));
    registry.targets().for_each(|target| line(target.kind, target.summary));
    registry.notifiers().for_each(|notifier| line(notifier.kind, notifier.summary));
    for step in registry.steps() {
        out.push('\n');
        out.push_str(&step_markdown(step));
    }
    for target in registry.targets() {
        out.push('\n');
        out.push_str(&target_markdown(target));
    }
    for notifier in registry.notifiers() {
        out.push('\n');
        out.push_str(&notifier_markdown(notifier));
    }
    out
}

/// The section of one step kind.
pub fn step_markdown(step: &StepDescriptor) -> String {
    let mut out = format!("## `{}`\n\n{}\n\n", step.kind, sentence(step.summary));
    let layers = if step.layers.len() == Layer::ALL.len() {
        "every layer".to_owned()
    } else {
        step.layers.iter().map(|layer| format!("`{layer}`")).collect::<Vec<_>>().join(", ")
    };
    let _ = write!(out, "Serves {layers}. From the crate `{}`.", step.krate);
    if !step.aliases.is_empty() {
        let names: Vec<String> = step.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        let _ = write!(out, " Older names: {}.", names.join(", "));
    }
    if !step.tuning.is_empty() {
        let names: Vec<String> = step.tuning.iter().map(|field| format!("`{field}`")).collect();
        let _ = write!(out, " Changing {} is no drift: it only tunes.", names.join(", "));
    }
    out.push_str("\n\n");
    table(&fields(step.schema), &mut out);
    if !step.lints.is_empty() {
        out.push_str("| warning | what is doubtful | seen by |\n|---|---|---|\n");
        for lint in step.lints {
            let by = if lint.seen == Seen::InText { "`check`, `plan`" } else { "`plan`" };
            let _ = writeln!(out, "| {} | {} | {by} |", lint.code, lint.meaning);
        }
        out.push('\n');
    }
    let _ = write!(out, "```toml\n[[phase.step]]\n{}\n```\n", step.example.trim());
    out
}

/// The section of one target kind.
pub fn target_markdown(target: &TargetDescriptor) -> String {
    let mut out = format!("## `{}`\n\n{}\n\n", target.kind, sentence(target.summary));
    let _ = write!(out, "A target kind, from the crate `{}`.", target.krate);
    if !target.facts.is_empty() {
        let facts: Vec<String> = target.facts.iter().map(|fact| format!("`{fact}`")).collect();
        let _ = write!(out, " Facts for `when`: {}.", facts.join(", "));
    }
    out.push_str("\n\n");
    table(&fields(target.schema), &mut out);
    let _ = write!(out, "```toml\n[targets.NAME]\n{}\n```\n", target.example.trim());
    out
}

/// The section of one notifier.
pub fn notifier_markdown(notifier: &NotifierDescriptor) -> String {
    let mut out = format!("## `{}`\n\n{}\n\n", notifier.kind, sentence(notifier.summary));
    let _ = write!(
        out,
        "A notifier, from the crate `{}`. It is told what `on` names, and never fails a run.\n\n",
        notifier.krate
    );
    table(&fields(notifier.schema), &mut out);
    let _ = write!(out, "```toml\n[[notify]]\n{}\n```\n", notifier.example.trim());
    out
}

fn table(fields: &[Field], out: &mut String) {
    if fields.is_empty() {
        out.push_str("It takes no `with`.\n\n");
        return;
    }
    out.push_str("| key of `with` | type | required | meaning |\n|---|---|---|---|\n");
    for field in fields {
        let required = if field.required { "yes" } else { "" };
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(out, "| `{}` | {} | {required} | {} |", field.name, cell(&field.kind), cell(&field.doc));
    }
    out.push('\n');
}

/// A summary with a capital and a full stop.
fn sentence(summary: &str) -> String {
    let mut letters = summary.trim_end_matches('.').chars();
    letters.next().map(|first| format!("{}{}.", first.to_uppercase(), letters.as_str())).unwrap_or_default()
}

/// The anchor that GitHub gives to a heading.
fn anchor(kind: &str) -> String {
    kind.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .collect::<String>()
        .to_ascii_lowercase()
}
