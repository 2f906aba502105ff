//! The JSON Schema of plan files and the documentation of the kinds.

use cutover_core::plan::schema;
use cutover_core::{step_fields, steps_markdown};
use serde_json::Value;

use crate::kinds::{phase, registry, write};

/// What an editor would complain about.
fn complaints(plan: &str) -> Vec<String> {
    let plan: toml::Table = toml::from_str(plan).unwrap_or_else(|error| panic!("{error}"));
    let plan = serde_json::to_value(plan).unwrap_or_else(|error| panic!("{error}"));
    let validator = jsonschema::draft202012::new(&schema(&registry())).unwrap_or_else(|error| panic!("{error}"));
    validator.iter_errors(&plan).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

#[test]
fn an_editor_accepts_what_the_compiler_accepts() {
    assert_eq!(complaints(include_str!("whole.toml")), Vec::<String>::new());
}

#[test]
fn an_editor_sees_the_typical_mistakes() {
    let step = |more: &str| complaints(&phase(&write("s", "a", more)).text).len();
    assert_eq!(step(""), 0);
    assert_eq!(step("with = { add = [], batch = \"${vars.size}\" }"), 0);
    assert_eq!(step("with = { add = [], batch = \"many\" }"), 1);
    assert_eq!(step("with = { add = [], colour = 1 }"), 1);
    assert_eq!(step("with = {}"), 1);
    assert_eq!(step("need = []"), 1);
    assert_eq!(step("when = { target = \"a\" }"), 1);
    let without = phase(&write("s", "a", "").replace("with = { add = [] }\n", "")).text;
    assert_eq!(complaints(&without).len(), 1, "a required field makes `with` required");
    assert_eq!(complaints(&without.replace("test.write", "test.look")).len(), 0);
    assert_ne!(complaints(&without.replace("test.write", "test.wrote")).len(), 0);
}

#[test]
fn every_reference_of_the_schema_has_its_definition() {
    let schema = schema(&registry());
    let mut waiting = vec![&schema];
    while let Some(part) = waiting.pop() {
        match part {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    assert!(schema.pointer(&reference[1..]).is_some(), "{reference}");
                }
                waiting.extend(fields.values());
            }
            Value::Array(items) => waiting.extend(items),
            other => assert_ne!(other, "null", "TOML has no null"),
        }
    }
}

#[test]
fn the_documentation_of_the_kinds_is_made_of_their_descriptors() {
    insta::assert_snapshot!(steps_markdown(&registry()));
}

#[test]
fn keys_of_nested_tables_are_listed_with_their_path() {
    let registry = registry();
    let fields = registry.step("test.write").map(step_fields).unwrap_or_default();
    let names: Vec<String> = fields.iter().map(|f| format!("{}: {}", f.name, f.kind)).collect();
    assert_eq!(names[..3], ["add: list of tables", "add[].name: text", "add[].count: integer"]);
}
