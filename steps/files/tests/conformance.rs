//! Every step kind of the crate is held to the contract by the testkit's conformance check.

#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

#[path = "../src/testing.rs"]
mod testing;

use std::fs;

use cutover_steps_files as _;
use cutover_tests::Conformance;
use testing::{ARCHIVE, MAP, SCHEMA, V1, logs, v1};

#[test]
fn config_map_keeps_the_contract_in_place() {
    Conformance::new(MAP)
        .file("v2.json", SCHEMA)
        .root(v1)
        .sabotage(|root| {
            let path = root.join("cortex.config.json");
            let text = fs::read_to_string(&path).unwrap().replace("brainRoot", "brain_root");
            fs::write(path, text).unwrap();
        })
        .foreign(
            |root| fs::write(root.join("other.json"), "{}").unwrap(),
            |root| assert_eq!(fs::read_to_string(root.join("other.json")).unwrap(), "{}"),
        )
        .check();
}

#[test]
fn config_map_keeps_the_contract_into_another_format_without_a_target() {
    let plan =
        MAP.replace("to = \"cortex.config.json\"", "to = \"conf/deep/v2.yaml\"").replace("target = \"config\"\n", "");
    Conformance::new(
        plan.replace(r#""testing", why"#, r#""testing.enabled", why"#)
            .replace("[\"application\"", "[\"testing\", \"application\""),
    )
    .file("v2.json", SCHEMA.replace("integer", "string"))
    .root(|root| fs::write(root.join("cortex.config.json"), V1.replace("12345678901234567890123", "\"x\"")).unwrap())
    .sabotage(|root| fs::write(root.join("conf/deep/v2.yaml"), "version: '2.0'\n").unwrap())
    .foreign(
        |root| fs::write(root.join("conf/mine.yaml"), "a: 1").unwrap(),
        |root| assert_eq!(fs::read_to_string(root.join("conf/mine.yaml")).unwrap(), "a: 1"),
    )
    .check();
}

#[test]
fn file_archive_keeps_the_contract() {
    Conformance::new(ARCHIVE)
        .root(logs)
        .sabotage(|root| fs::remove_file(root.join("brain/archive/pre-2.0/deep/b.jsonl")).unwrap())
        .foreign(
            |root| fs::write(root.join("brain/new.jsonl"), "later").unwrap(),
            |root| assert_eq!(fs::read_to_string(root.join("brain/new.jsonl")).unwrap(), "later"),
        )
        .check();
}

#[test]
fn file_archive_keeps_the_contract_without_a_target() {
    Conformance::new(ARCHIVE.replace("target = \"logs\"\n", "").replace("**/*.jsonl", "brain/*.jsonl"))
        .root(logs)
        .sabotage(|root| fs::write(root.join("archive/pre-2.0/brain/a.jsonl"), "changed").unwrap())
        .no_foreign("shown with a target")
        .check();
}
