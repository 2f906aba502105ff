//! From schemas of Rust types to schemas of TOML files: no null, no formats of Rust's numbers, a text `${vars.NAME}`
//! wherever a number or boolean may stand. Knows schemas only, neither plans nor kinds.

use serde_json::{Map, Value, json};

/// Puts every part into the form of a TOML file, and points references at where the definitions are.
pub(super) fn in_toml(schema: &mut Value) {
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
const PARTS: &[&str] = &["budget", "name", "notify", "phase", "risk", "step", "target", "when"];

/// TOML has no null: an optional key is left out. Formats of Rust's integers mean nothing to an editor.
pub(super) fn without_null(schema: &mut Value) {
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
