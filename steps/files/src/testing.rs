//! Plans and systems that the tests of the kinds and their conformance checks begin with.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// A version 1 file as it is found: none of the keys that the documents name, paths of two systems, a big number.
pub(crate) const V1: &str = r#"{
    "application": { "name": "CORTEX", "rootPath": "C:\\dev\\brain", "id": 12345678901234567890123 },
    "machines": { "mac.local": { "rootPath": "/Users/x/brain" } },
    "brain": { "path": "old-brain" },
    "testing": { "enabled": true, "ratio": 1.10 },
    "governance": null
}
"#;

pub(crate) const MAP: &str = r#"
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

pub(crate) const SCHEMA: &str = r#"{
  "type": "object",
  "required": ["version", "paths", "plugins"],
  "properties": {
    "version": { "const": "2.0" },
    "paths": { "type": "object", "required": ["brainRoot", "docsRoot"] },
    "application": { "properties": { "id": { "type": "integer" }, "name": { "type": "string" } } }
  }
}"#;

pub(crate) fn v1(root: &Path) {
    fs::write(root.join("cortex.config.json"), V1).unwrap();
    fs::set_permissions(root.join("cortex.config.json"), fs::Permissions::from_mode(0o640)).unwrap();
}

pub(crate) const ARCHIVE: &str = r#"
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

pub(crate) fn logs(root: &Path) {
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
