//! Every step kind of the crate is held to the contract by the testkit's conformance check.

#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use cutover_steps_files as _;
use cutover_tests::Conformance;

/// A version 1 file as it is found: none of the keys that the documents name, paths of two systems, a big number.
const V1: &str = r#"{
    "application": { "name": "CORTEX", "rootPath": "C:\\dev\\brain", "id": 12345678901234567890123 },
    "machines": { "mac.local": { "rootPath": "/Users/x/brain" } },
    "brain": { "path": "old-brain" },
    "testing": { "enabled": true, "ratio": 1.10 },
    "governance": null
}
"#;

const MAP: &str = r#"
name = "p"
[targets.config]
kind = "dir"
path = "."
with = { include = ["cortex.config.json"] }
[[phase]]
name = "config"
layer = "storage"
[[phase.step]]
id = "map"
use = "config.map"
target = "config"
[phase.step.with]
from = "cortex.config.json"
to = "cortex.config.json"
map = [{ from = "brain.path", to = "paths.brainRoot" }, { from = "docs.path", to = "paths.docsRoot" }]
set = { version = "2.0" }
defaults = { "paths.docsRoot" = "docs", "plugins.enabled" = ["a"] }
keep = ["application", "machines"]
drop = [{ key = "testing", why = "it moved to the test suite" }, { key = "governance", why = "unused" }]
schema = "v2.json"
"#;

const SCHEMA: &str = r#"{
  "type": "object",
  "required": ["version", "paths", "plugins"],
  "properties": {
    "version": { "const": "2.0" },
    "paths": { "type": "object", "required": ["brainRoot", "docsRoot"] },
    "application": { "properties": { "id": { "type": "integer" }, "name": { "type": "string" } } }
  }
}"#;

fn v1(root: &Path) {
    fs::write(root.join("cortex.config.json"), V1).unwrap();
    fs::set_permissions(root.join("cortex.config.json"), fs::Permissions::from_mode(0o640)).unwrap();
}

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

const ARCHIVE: &str = r#"
name = "p"
[targets.logs]
kind = "dir"
path = "brain"
[[phase]]
name = "archive"
layer = "storage"
[[phase.step]]
id = "aside"
use = "file.archive"
target = "logs"
with = { files = ["**/*.jsonl", "old"], into = "archive/pre-2.0" }
"#;

fn logs(root: &Path) {
    for (path, text) in [
        ("brain/a.jsonl", "{}\n"),
        ("brain/deep/b.jsonl", "{\"b\":1}\n"),
        ("brain/old/x", "x"),
        ("brain/keep.db", "db"),
        ("brain/archive/pre-2.0/a.txt", "mine"),
    ] {
        let full = root.join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, text).unwrap();
    }
    symlink("keep.db", root.join("brain/link.jsonl")).unwrap();
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
