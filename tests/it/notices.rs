//! Who is told of a run: what, when, how often, and that nothing of it changes what the run comes to.

use std::fs;

use serde_json::Value;

use crate::system::System;

const PLAN: &str = r#"
name = "told"
[targets.app]
kind = "sqlite"
path = "app.db"

[[notify]]
use = "notify.file"
on = ["milestone", "waiting", "failed", "rolled-back"]
with = { path = "notices.jsonl" }

[[notify]]
use = "notify.webhook"
on = ["failed"]
with = { url = "http://127.0.0.1:9/${env.HOOK_KEY}", secret = "${env.HOOK_KEY}", timeout = "2s" }

[[phase]]
name = "one"
layer = "storage"
[[phase.step]]
id = "table"
use = "sqlite.tables"
target = "app"
with.create = ["CREATE TABLE notes (id INTEGER PRIMARY KEY)"]

[[phase]]
name = "two"
layer = "storage"
[[phase.step]]
id = "ready"
use = "target.wait"
target = "app"
with = { what = "open orders", measure = "SELECT count(*) FROM orders", max = 0, within = "100ms" }
[[phase.step]]
id = "smoke"
use = "command.run"
needs = ["ready"]
with = { apply = ["sh", "-c", "echo broken by $HOOK_KEY; [ -e fixed ]"], verify = ["test", "-e", "fixed"], rollback = ["true"] }
"#;

const KEY: &str = "s3cret-of-the-hook";

fn system() -> System {
    System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY); INSERT INTO orders VALUES (1);", PLAN)
}

fn cutover(system: &System, command: &str, args: &[&str]) -> cutover_tests::Ran {
    cutover_tests::run(system.command(command, args).env("HOOK_KEY", KEY))
}

/// What was told so far: on what, and all of it in one sentence.
fn told(system: &System) -> Vec<(String, String)> {
    let text = fs::read_to_string(system.root().join("notices.jsonl")).unwrap_or_default();
    let notice = |line: &str| {
        let notice: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&notice["version"], &notice["plan"]), (&1.into(), &"told".into()));
        (notice["on"].as_str().unwrap().to_owned(), notice["text"].as_str().unwrap().to_owned())
    };
    text.lines().map(notice).collect()
}

#[test]
fn people_are_told_once_of_what_happened_and_a_notifier_that_fails_changes_nothing() {
    let system = system();
    // It waits, and goes on waiting.
    cutover(&system, "apply", &[]).expect_code(103);
    let first = [("milestone", "plan told: phase one is done"), ("waiting", "plan told: ready waits")];
    let first: Vec<_> = first.map(|(on, text)| (on.to_owned(), text.to_owned())).into();
    assert_eq!(told(&system), first);
    cutover(&system, "apply", &[]).expect_code(103);
    assert_eq!(told(&system), first, "nobody is told again of what waits still");
    // It fails, and the phase is undone. The address is not reached: a warning, a record, the same exit code.
    system.ask("DELETE FROM orders");
    let failed = cutover(&system, "apply", &[]).expect_code(100);
    let more: Vec<_> = told(&system).split_off(2).into_iter().map(|(on, _)| on).collect();
    assert_eq!(more, ["failed", "rolled-back"]);
    let shown = format!("{}{}", failed.stdout, failed.stderr);
    assert!(shown.contains("warning: notify.webhook was not told of failed: the address was not reached"), "{shown}");
    let history = cutover(&system, "history", &[]).expect_code(0).stdout;
    assert!(history.contains("notify.webhook of failed, not reached: "), "{history}");
    assert!(history.contains("notify.file of rolled-back"), "{history}");
    let journal = String::from_utf8_lossy(&fs::read(system.root().join(".cutover/journal.db")).unwrap()).into_owned();
    let notices = fs::read_to_string(system.root().join("notices.jsonl")).unwrap();
    assert!(notices.contains("broken by ***"), "{notices}");
    for text in [shown, history, notices, journal] {
        assert!(!text.contains(KEY), "the secret is told: {text}");
    }
    // It works, and there is no more to tell than that.
    system.write_root("fixed", "");
    cutover(&system, "apply", &[]).expect_code(0);
    assert_eq!(told(&system).split_off(4), [("milestone".to_owned(), "plan told: phase two is done".to_owned())]);
    cutover(&system, "apply", &[]).expect_code(0);
    assert_eq!(told(&system).len(), 5, "a run with nothing to do tells nobody");
    cutover(&system, "rollback", &["--to", "one", "--yes"]).expect_code(0);
    let (on, text) = told(&system).pop().unwrap();
    assert_eq!((on.as_str(), text.contains("rolled back to")), ("rolled-back", true), "{text}");
}

#[test]
fn a_secret_that_is_not_set_is_asked_for_by_who_runs_the_plan_and_by_nobody_who_looks() {
    let system = system();
    let refused = system.cutover("apply", &[]).expect_code(65);
    assert!(refused.stderr.contains("`HOOK_KEY` is not set"), "{}", refused.stderr);
    system.cutover("status", &[]).expect_code(0);
    system.cutover("history", &[]).expect_code(0);
}

#[test]
fn a_rehearsal_tells_nobody() {
    let system = system();
    system.ask("DELETE FROM orders");
    system.write_root("fixed", "");
    cutover(&system, "rehearse", &[]).expect_code(0);
    assert_eq!(told(&system), []);
}
