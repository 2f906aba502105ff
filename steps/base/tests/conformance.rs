//! Every step kind of the crate is held to the contract by the testkit's conformance check.

#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

#[path = "../src/testing.rs"]
mod testing;

use std::fs;
use std::path::Path;

use cutover_steps_base as _;
use cutover_tests::Conformance;

const SNAPSHOT: &str = r#"
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

fn two_files(root: &Path) {
    fs::write(root.join("one.db"), "1").unwrap();
    fs::write(root.join("two.db"), "22").unwrap();
}

#[test]
fn target_snapshot_keeps_the_contract() {
    Conformance::new(SNAPSHOT)
        .root(two_files)
        .leaves("backups")
        .sabotage(|root| fs::write(root.join("backups/pre/two/copy"), "2x").unwrap())
        .no_foreign("nobody else writes in the folder of the set")
        .check();
}

fn wait(with: &str) -> String {
    format!(
        "name = \"p\"\n[targets.one]\nkind = \"test.file\"\npath = \"one.db\"\n[[phase]]\nname = \"all\"\n\
         layer = \"storage\"\n[[phase.step]]\nid = \"it\"\nuse = \"target.wait\"\ntarget = \"one\"\n\
         with = {{ what = \"marks\", measure = \"x\", {with} }}\n"
    )
}

#[test]
fn target_wait_keeps_the_contract() {
    Conformance::new(wait("max = 3"))
        .root(|root| fs::write(root.join("one.db"), "xx").unwrap())
        .no_sabotage("it makes nothing")
        .no_foreign("it makes nothing")
        .check();
}

fn command(with: &str) -> String {
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

const MARK: &str = r#"
apply = ["sh", "-c", "echo $WORD > mark; echo applied"]
verify = ["test", "-s", "mark"]
rollback = ["rm", "-f", "mark"]
cwd = "app"
env = { WORD = "done" }
"#;

fn app(root: &Path) {
    fs::create_dir(root.join("app")).unwrap();
    fs::write(root.join("one.db"), "1").unwrap();
}

#[test]
fn command_run_keeps_the_contract_with_its_own_rollback() {
    Conformance::new(command(MARK))
        .root(app)
        .sabotage(|root| fs::remove_file(root.join("app/mark")).unwrap())
        .foreign(
            |root| fs::write(root.join("app/other"), "x").unwrap(),
            |root| assert!(root.join("app/other").exists()),
        )
        .check();
}

#[test]
fn command_run_keeps_the_contract_when_its_target_is_restored() {
    let with = r#"apply = ["sh", "-c", "echo 2 > one.db"]
restore = "one""#;
    Conformance::new(command(with)).root(app).no_sabotage("it has no verify command").no_foreign("restored").check();
}

const ASSESS: &str = r#"
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
versions = { shell = ["sh", "-c", "echo v; echo more"], none = ["no-such-program"] }
[phase.step.with.counts]
"pending tasks" = { target = "one", measure = "todo" }
"conversations" = { target = "one", measure = "x", has = "table:conversations" }
"#;

fn repository(root: &Path) {
    fs::write(root.join("one.db"), "todo\ntodo\n").unwrap();
    fs::write(root.join("two.db"), "rows\n").unwrap();
    fs::create_dir_all(root.join(".git/refs/heads")).unwrap();
    fs::write(root.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    fs::write(root.join(".git/refs/heads/main"), "c".repeat(40)).unwrap();
}

const ARTIFACT: &str = "reports/migration-plan-2026-01-01.json";

#[test]
fn target_assess_keeps_the_contract() {
    Conformance::new(ASSESS)
        .root(repository)
        .sabotage(|root| fs::write(root.join(ARTIFACT), "{\"version\": 1}").unwrap())
        .foreign(
            |root| fs::write(root.join("reports/mine.txt"), "mine").unwrap(),
            |root| assert_eq!(fs::read_to_string(root.join("reports/mine.txt")).unwrap(), "mine"),
        )
        .check();
}
