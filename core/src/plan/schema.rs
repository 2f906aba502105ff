//! JSON Schema (draft 2020-12) of whole plan files, made from the registry: editors complete and check plans by it.
//!
//! A kind's own schema describes its configuration type; here it is put into the form that a TOML file has: no
//! null, and a text `${vars.NAME}` wherever a number or boolean may stand.

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::OnFailure;
use crate::{Layer, Registry};

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
    let mut definitions: Map<String, Value> =
        generator.take_definitions(false).into_iter().map(|(name, schema)| (format!("with.{name}"), schema)).collect();
    definitions.insert("name".to_owned(), name());
    definitions.insert("target".to_owned(), target(&stores, targets));
    definitions.insert("when".to_owned(), when());
    definitions.insert("step".to_owned(), step(&names, steps));
    definitions.insert("phase".to_owned(), phase());
    definitions.sort_keys();
    let mut schema = plan();
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

fn plan() -> Value {
    let failures: Vec<&str> = OnFailure::ALL.iter().map(|(name, _)| *name).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Cutover plan",
        "description": "A migration of a whole system as verified, reversible steps.",
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "phase"],
        "properties": {
            "name": described("The plan's persistent name: with a step's id it is the identity in journals and ledgers."),
            "summary": { "type": "string", "description": "One sentence for listings." },
            "on-failure": {
                "enum": failures,
                "default": "rollback-phase",
                "description": "What happens when a step fails.",
            },
            "vars": {
                "type": "object",
                "description": "Variables: `${vars.NAME}` in `with`, `:NAME` in SQL; `--var NAME=VALUE` overrides one.",
                "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" },
            },
            "targets": {
                "type": "object",
                "description": "The things that hold state, by name.",
                "propertyNames": { "$ref": "#/$defs/name" },
                "additionalProperties": { "$ref": "#/$defs/target" },
            },
            "phase": {
                "type": "array",
                "minItems": 1,
                "description": "Phases in order; the end of each is a rollback point.",
                "items": { "$ref": "#/$defs/phase" },
            },
        },
    })
}

fn name() -> Value {
    json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9._-]*$", "maxLength": 100 })
}

fn described(text: &str) -> Value {
    json!({ "$ref": "#/$defs/name", "description": text })
}

fn phase() -> Value {
    let layers: Vec<&str> = Layer::ALL.iter().map(|layer| layer.name()).collect();
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "layer", "step"],
        "properties": {
            "name": described("The phase's name, unique in the plan."),
            "layer": { "enum": layers, "description": "The layer that it works on." },
            "summary": { "type": "string", "description": "One sentence for listings." },
            "step": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/step" } },
        },
    })
}

fn target(kinds: &[Value], branches: Vec<Value>) -> Value {
    with_branches(
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["kind", "path"],
            "properties": {
                "kind": { "oneOf": kinds, "description": "What sort of store it is." },
                "path": { "type": "string", "description": "Its path, relative to the root." },
                "ledger": {
                    "type": "string",
                    "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
                    "default": "cutover_ledger",
                    "description": "The name of its ledger table, where the kind keeps one.",
                },
                "with": { "type": "object", "description": "The kind's own configuration." },
            },
        }),
        branches,
    )
}

fn when() -> Value {
    let facts = |text: &str| {
        json!({
            "description": text,
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
        })
    };
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["target"],
        "minProperties": 2,
        "properties": {
            "target": { "type": "string", "description": "The target that is looked at." },
            "has": facts("All of these facts hold: \"table:NAME\"."),
            "lacks": facts("None of these facts holds."),
        },
    })
}

fn step(kinds: &[Value], branches: Vec<Value>) -> Value {
    let ids = |text: &str| json!({ "type": "array", "items": { "type": "string" }, "description": text });
    with_branches(
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["id", "use"],
            "properties": {
                "id": {
                    "type": "string",
                    "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$",
                    "maxLength": 100,
                    "description": "The step's id, unique in the plan and persistent.",
                },
                "use": { "oneOf": kinds, "description": "The step kind." },
                "target": { "type": "string", "description": "The target that it works on." },
                "summary": { "type": "string", "description": "One sentence for listings." },
                "when": { "$ref": "#/$defs/when", "description": "The step applies only when this is so." },
                "needs": ids("Ids of steps of this phase or an earlier one that must be done before."),
                "unit": described("Steps of one unit unwind only as a whole."),
                "atomic": {
                    "type": "boolean",
                    "default": true,
                    "description": "False: not inside a transaction shared with other steps.",
                },
                "irreversible": {
                    "type": "string",
                    "minLength": 1,
                    "description": "Why it is accepted that this step cannot be undone.",
                },
                "supersedes": ids("Ids of earlier steps that this one undoes by design."),
                "with": { "type": "object", "description": "The kind's own configuration." },
            },
        }),
        branches,
    )
}

fn with_branches(mut schema: Value, branches: Vec<Value>) -> Value {
    if !branches.is_empty() {
        schema["allOf"] = Value::Array(branches);
    }
    schema
}

/// Puts every part into the form of a TOML file, and points references at where the definitions are.
fn in_toml(schema: &mut Value) {
    without_null(schema);
    walk(schema, &mut |object| {
        if let Some(Value::String(reference)) = object.get_mut("$ref")
            && let Some(name) = reference.strip_prefix("#/$defs/")
            && !PARTS.contains(&name)
        {
            *reference = format!("#/$defs/with.{name}");
        }
    });
    let definitions = schema.get_mut("$defs").and_then(Value::as_object_mut).into_iter().flatten();
    for (_, definition) in definitions.filter(|(name, _)| name.starts_with("with.")) {
        walk(definition, &mut placeholders);
    }
}

/// Definitions of the plan itself, not of a configuration.
const PARTS: &[&str] = &["name", "phase", "step", "target", "when"];

/// TOML has no null: an optional key is left out. Formats of Rust's integers mean nothing to an editor.
fn without_null(schema: &mut Value) {
    walk(schema, &mut |object| {
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = &types[..] {
                let only = only.clone();
                object.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(options)) = object.get_mut("anyOf") {
            options.retain(|option| option.get("type").is_none_or(|name| name != "null"));
            if let [Value::Object(only)] = &options[..] {
                let only = only.clone();
                object.remove("anyOf");
                object.extend(only);
            }
        }
        if let Some(Value::Array(values)) = object.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
        if object.get("default").is_some_and(Value::is_null) {
            object.remove("default");
        }
        let rusts = |format: &str| ["uint", "int", "double", "float"].iter().any(|start| format.starts_with(start));
        if object.get("format").and_then(Value::as_str).is_some_and(rusts) {
            object.remove("format");
        }
    });
}

/// Where a number or a boolean may stand, `${vars.NAME}` may stand for it.
fn placeholders(object: &mut Map<String, Value>) {
    let Some(Value::String(name)) = object.get("type") else { return };
    if matches!(name.as_str(), "integer" | "number" | "boolean") {
        let types = json!([name, "string"]);
        object.insert("type".to_owned(), types);
        object.insert("pattern".to_owned(), json!("^\\$\\{(vars|env)\\.[^}]+\\}$"));
    }
}

/// Visits every schema inside `schema`, itself included.
fn walk(schema: &mut Value, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    let Value::Object(object) = schema else { return };
    visit(object);
    for (key, value) in object.iter_mut() {
        match (key.as_str(), value) {
            ("properties" | "$defs" | "patternProperties", Value::Object(named)) => {
                named.values_mut().for_each(|schema| walk(schema, visit));
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(list)) => {
                list.iter_mut().for_each(|schema| walk(schema, visit));
            }
            ("items" | "additionalProperties" | "propertyNames" | "not" | "if" | "then" | "else", schema) => {
                walk(schema, visit);
            }
            _ => {}
        }
    }
}
