//! Plans and systems that the tests of the kinds and their conformance checks begin with.

use std::fs;
use std::path::Path;

pub(crate) const SNAPSHOT: &str = r#"
name = "p"
[targets.one]
kind = "test.file"
path = "one.db"
[targets.two]
kind = "test.file"
path = "two.db"
[[phase]]
name = "snapshot"
layer = "storage"
[[phase.step]]
id = "cut"
use = "target.snapshot"
with = { targets = ["one", "two"], into = "backups/pre" }
"#;

pub(crate) fn two_files(root: &Path) {
    fs::write(root.join("one.db"), "1").unwrap();
    fs::write(root.join("two.db"), "22").unwrap();
}

pub(crate) fn command(with: &str) -> String {
    format!(
        r#"
name = "p"
[targets.one]
kind = "test.file"
path = "one.db"
[[phase]]
name = "run"
layer = "storage"
[[phase.step]]
id = "before"
use = "target.snapshot"
with = {{ targets = ["one"], into = "kept" }}
[[phase.step]]
id = "run"
use = "command.run"
[phase.step.with]
{with}
"#
    )
}

pub(crate) const ASSESS: &str = r#"
name = "p"
[targets.one]
kind = "test.file"
path = "one.db"
[targets.two]
kind = "test.file"
path = "two.db"
[[phase]]
name = "assess"
layer = "storage"
[[phase.step]]
id = "look"
use = "target.assess"
[phase.step.with]
targets = ["one", "two"]
into = "reports"
free-space = 2
versions = { shell = ["sh", "-c", "echo v ${env.TOKEN}; echo more"], none = ["no-such-program"] }
[phase.step.with.counts]
"pending tasks" = { target = "one", measure = "todo" }
"conversations" = { target = "one", measure = "x", has = "table:conversations" }
"#;

pub(crate) fn repository(root: &Path) {
    fs::write(root.join("one.db"), "todo\ntodo\n").unwrap();
    fs::write(root.join("two.db"), "rows\n").unwrap();
    fs::create_dir_all(root.join(".git/refs/heads")).unwrap();
    fs::write(root.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    fs::write(root.join(".git/refs/heads/main"), "c".repeat(40)).unwrap();
}

pub(crate) const ARTIFACT: &str = "reports/migration-plan-2026-01-01.json";

pub(crate) fn wait(with: &str) -> String {
    format!(
        "name = \"p\"\n[targets.one]\nkind = \"test.file\"\npath = \"one.db\"\n[[phase]]\nname = \"all\"\n\
         layer = \"storage\"\n[[phase.step]]\nid = \"it\"\nuse = \"target.wait\"\ntarget = \"one\"\n\
         with = {{ what = \"marks\", measure = \"x\", {with} }}\n"
    )
}

pub(crate) fn app(root: &Path) {
    fs::create_dir(root.join("app")).unwrap();
    fs::write(root.join("one.db"), "1").unwrap();
}
