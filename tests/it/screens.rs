//! What a person sees: plan, steps, status, explain, apply, verify, rollback, on a small plan of every sort of step.

use std::fs;

use cutover_runner::demo;
use cutover_tests::run;

use crate::system::{System, cutover, on};

const PLAN: &str = r#"
name = "shop"
summary = "Priorities for orders"

[vars]
level = 3

[targets.app]
kind = "sqlite"
path = "app.db"

[[risk]]
risk = "The shop does not start on the new schema"
likelihood = "low"
impact = "No orders"
mitigation = "The smoke test runs before the phase ends"
watched-by = "smoke"

[[phase]]
name = "schema"
layer = "storage"
summary = "New columns and tables"

[[phase.step]]
id = "priority"
use = "sqlite.columns"
target = "app"
summary = "Orders get a priority"
with = { table = "orders", add = ["priority INTEGER DEFAULT 1", "note TEXT"] }

[[phase.step]]
id = "audit"
use = "sqlite.tables"
target = "app"
with = { create = ["CREATE TABLE audit (id INTEGER PRIMARY KEY, what TEXT NOT NULL)"] }

[[phase.step]]
id = "archive-index"
use = "sqlite.indexes"
target = "app"
when = { target = "app", has = "table:archive" }
with = { create = ["CREATE INDEX by_year ON archive(year)"] }

[[phase]]
name = "data"
layer = "storage"

[[phase.step]]
id = "levels"
use = "sqlite.rows"
target = "app"
with = { table = "audit", key = ["id"], rows = [{ id = 1, what = "level ${vars.level}" }] }

[[phase.step]]
id = "smoke"
use = "command.run"
with = { apply = ["true"], changes = false }
"#;

fn shop() -> System {
    System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY, total REAL); INSERT INTO orders VALUES (1, 9.5);", PLAN)
}

/// What was said, with what differs from run to run made equal.
fn assert_screen(name: &str, text: &str) {
    let filters = vec![(r"\b\d+ ms\b|\b\d+\.\d s\b", "TIME"), (r"/[^ ]*/\.tmp[A-Za-z0-9]+", "DIR")];
    insta::with_settings!({ filters => filters, omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn a_small_plan_from_check_to_rollback() {
    let system = shop();
    for (name, command, args) in [
        ("check", "check", &[][..]),
        ("plan-before", "plan", &[]),
        ("status-before", "status", &[]),
        ("explain-before", "explain", &[]),
        ("apply", "apply", &["--jobs", "1"]),
        ("plan-after", "plan", &[]),
        ("status-after", "status", &[]),
        ("explain-after", "explain", &[]),
        ("verify", "verify", &[]),
        ("apply-again", "apply", &[]),
        ("rollback-data", "rollback", &["--yes"]),
        ("status-half", "status", &[]),
        ("rollback-start", "rollback", &["--yes", "--to", "start"]),
    ] {
        assert_screen(name, &system.seen(&system.cutover(command, args)));
    }
}

#[test]
fn what_a_failed_run_says_and_how_it_is_explained() {
    let system = shop();
    let broken = PLAN.replace("apply = [\"true\"]", "apply = [\"sh\", \"-c\", \"echo it is broken; exit 3\"]");
    system.write("plan.toml", &broken);
    for command in ["apply", "explain", "status"] {
        assert_screen(&format!("{command}-failed"), &system.seen(&system.cutover(command, &["--jobs", "1"])));
    }
}

#[test]
fn what_a_broken_verify_says() {
    let system = shop();
    system.cutover("apply", &[]).expect_code(0);
    system.ask("DELETE FROM audit; ALTER TABLE orders DROP COLUMN note");
    assert_screen("verify-broken", &system.seen(&system.cutover("verify", &[])));
}

#[test]
fn the_plan_is_the_same_for_machines_each_time() {
    let system = shop();
    let first = system.cutover("plan", &["--format", "json"]).expect_code(0).stdout;
    assert_eq!(first, system.cutover("plan", &["--format", "json"]).expect_code(0).stdout);
    let document: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(document["phases"][0]["steps"][0]["id"], "priority");
    assert_eq!(document["phases"][0]["steps"][2]["skipped"], "app has no table:archive");
    system.cutover("plan", &["--exit-code"]).expect_code(3);
    let events = system.cutover("apply", &["--format", "json"]).expect_code(0).stdout;
    let indexes: Vec<_> = events
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["index"].as_u64().unwrap())
        .collect();
    assert_eq!(indexes, (0..indexes.len() as u64).collect::<Vec<_>>());
    system.cutover("plan", &["--exit-code"]).expect_code(0);
}

#[test]
fn the_kinds_are_listed_and_one_is_shown_in_full() {
    assert_screen("steps", &run(cutover().arg("steps")).expect_code(0).stdout);
    assert_screen("steps-columns", &run(cutover().args(["steps", "sqlite.columns"])).expect_code(0).stdout);
    let wrong = run(cutover().args(["steps", "sqlite.colums"])).expect_code(2);
    assert_screen("steps-unknown", &wrong.stderr);
}

#[test]
fn the_cortex_plan_on_two_shapes() {
    for shape in ["a", "b"] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("brain");
        demo::build("cortex-2.0", shape, &root).unwrap();
        let plan = demo::write_plan("cortex-2.0", &folder.path().join("plan")).unwrap();
        let ran = run(&mut on(&plan, &root, "plan", &[])).expect_code(0);
        assert!(fs::read_dir(&root).unwrap().all(|e| e.unwrap().file_name() != ".cutover"), "plan wrote");
        let schema = ran.stdout.split("\nphase ").find(|p| p.starts_with("schema")).unwrap();
        assert_screen(&format!("cortex-{shape}-schema"), schema);
    }
}
