//! JSON Schema (draft 2020-12) of whole plan files, made from the registry: editors complete and check plans by it.
//!
//! Owns how kinds and the format's own keys (`keys`) come together in one document, whose form `in_toml` makes that of a
//! TOML file. Knows no single key of the format and no kind's fields.

mod in_toml;
mod keys;

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::Registry;
use in_toml::{in_toml, without_null};

/// The schema of a plan file in which every kind of `registry` may be used. Sorted and stable.
pub fn schema(registry: &Registry) -> Value {
    let mut generator = SchemaGenerator::default();
    let mut steps = Vec::new();
    let mut names = Vec::new();
    for step in registry.steps() {
        names.push(json!({ "const": step.kind, "description": step.summary }));
        names.extend(
            step.aliases.iter().map(|a| json!({ "const": a, "deprecated": true, "description": step.summary })),
        );
        let kinds: Vec<&str> = std::iter::once(step.kind).chain(step.aliases.iter().copied()).collect();
        steps.push(branch("use", &kinds, step.schema, &mut generator));
    }
    let mut targets = Vec::new();
    let mut stores = Vec::new();
    for target in registry.targets() {
        stores.push(json!({ "const": target.kind, "description": target.summary }));
        targets.push(branch("kind", &[target.kind], target.schema, &mut generator));
    }
    let mut notifiers = Vec::new();
    let mut tellers = Vec::new();
    for notifier in registry.notifiers() {
        tellers.push(json!({ "const": notifier.kind, "description": notifier.summary }));
        notifiers.push(branch("use", &[notifier.kind], notifier.schema, &mut generator));
    }
    let mut definitions: Map<String, Value> =
        generator.take_definitions(false).into_iter().map(|(name, schema)| (format!("with.{name}"), schema)).collect();
    definitions.insert("name".to_owned(), keys::name());
    definitions.insert("target".to_owned(), keys::target(&stores, targets));
    definitions.insert("when".to_owned(), keys::when());
    definitions.insert("step".to_owned(), keys::step(&names, steps));
    definitions.insert("notify".to_owned(), keys::notify(&tellers, notifiers));
    definitions.insert("budget".to_owned(), keys::budget());
    definitions.insert("risk".to_owned(), keys::risk());
    definitions.insert("phase".to_owned(), keys::phase());
    definitions.sort_keys();
    let mut schema = keys::plan();
    schema["$defs"] = Value::Object(definitions);
    in_toml(&mut schema);
    schema
}

/// The schema of one configuration by itself, in the form that a TOML file has; nested types are in its `$defs`.
pub(crate) fn of_config(schema: fn(&mut SchemaGenerator) -> Schema) -> Value {
    let mut generator = SchemaGenerator::default();
    let mut value = schema(&mut generator).to_value();
    let definitions = generator.take_definitions(false);
    let top = value.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next());
    if let Some(definition) = top.and_then(|name| definitions.get(name)) {
        value = definition.clone();
    }
    if let Value::Object(object) = &mut value {
        object.insert("$defs".to_owned(), Value::Object(definitions));
    }
    without_null(&mut value);
    value
}

/// "If `key` is one of `kinds`, `with` is of this type", and must be there if the type requires a field.
fn branch(
    key: &str,
    kinds: &[&str],
    config: fn(&mut SchemaGenerator) -> Schema,
    generator: &mut SchemaGenerator,
) -> Value {
    let names = if let [kind] = kinds { json!({ "const": kind }) } else { json!({ "enum": kinds }) };
    let config = config(generator).to_value();
    let mut then = json!({ "properties": { "with": config } });
    let definition = config.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next());
    let definition = definition.and_then(|name| generator.definitions().get(name)).unwrap_or(&config);
    if definition.get("required").and_then(Value::as_array).is_some_and(|fields| !fields.is_empty()) {
        then["required"] = json!(["with"]);
    }
    json!({ "if": { "properties": { key: names }, "required": [key] }, "then": then })
}
