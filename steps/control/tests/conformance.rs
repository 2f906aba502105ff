//! Every step kind of the crate is held to the contract by the testkit's conformance check.

#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

use std::fs;
use std::path::Path;

use cutover_steps_control as _;
use cutover_steps_files as _;
use cutover_steps_sqlite as _;
use cutover_tests::{Conformance, sqlite3};

fn baseline(samples: u32) -> String {
    format!(
        "name = \"p\"\n[[phase]]\nname = \"look\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"it\"\nuse = \"gate.baseline\"\n\
         with.samples = {samples}\nwith.every = \"1ms\"\n\
         with.figures = [{{ what = \"marks\", probe = {{ use = \"command\", run = [\"sh\", \"next.sh\"], unit = \"ms\" }} }}]\n"
    )
}

#[test]
fn gate_baseline_keeps_the_contract() {
    Conformance::new(baseline(2))
        .root(|root| fs::write(root.join("next.sh"), "echo 3").unwrap())
        .no_sabotage("it makes nothing")
        .no_foreign("it makes nothing")
        .check();
}

const PROBE: &str = "use = \"file\", path = \"failed\", unit = \"%\"";

fn soak(with: &str) -> String {
    format!(
        "name = \"p\"\n[[phase]]\nname = \"before\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"was\"\n\
         use = \"gate.baseline\"\nwith.samples = 1\nwith.figures = [{{ what = \"failed\", probe = {{ {PROBE} }} }}]\n\
         [[phase]]\nname = \"soak\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"it\"\nuse = \"gate.soak\"\n{with}\n"
    )
}

#[test]
fn gate_soak_keeps_the_contract() {
    let with = "with.window = \"30ms\"\nwith.every = \"10ms\"\nwith.coverage = 1\n\
        with.monitors = [{ what = \"failed\", probe = { use = \"file\", path = \"failed\" }, max = 5 }]";
    Conformance::new(soak(with))
        .root(|root| fs::write(root.join("failed"), "1").unwrap())
        .ticking()
        .no_sabotage("it makes nothing")
        .no_foreign("it makes nothing")
        .check();
}

fn metric(with: &str) -> String {
    format!(
        "name = \"p\"\n[[phase]]\nname = \"all\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"it\"\n\
         use = \"gate.metric\"\n[phase.step.with]\nwhat = \"marks\"\nevery = \"1ms\"\n{with}\n"
    )
}

#[test]
fn gate_metric_keeps_the_contract() {
    Conformance::new(metric("probe = { use = \"command\", run = [\"echo\", \"3\"] }\nmax = 3"))
        .no_sabotage("it makes nothing")
        .no_foreign("it makes nothing")
        .check();
}

const APPROVAL: &str = "name = \"p\"\n[[phase]]\nname = \"all\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"go\"\n\
    use = \"gate.approval\"\nwith = { ask = \"the report was looked at\" }\n";

#[test]
fn gate_approval_keeps_the_contract() {
    Conformance::new(APPROVAL).no_sabotage("it makes nothing").no_foreign("it makes nothing").check();
}

fn flag(more: &str, with: &str) -> String {
    format!(
        "name = \"p\"\n[targets.app]\nkind = \"sqlite\"\npath = \"app.db\"\n[[phase]]\nname = \"x\"\nlayer = \"engine\"\n\
         [[phase.step]]\nid = \"it\"\nuse = \"flag.set\"\n{more}\nwith = {{ {with} }}\n"
    )
}

fn ask(root: &Path, sql: &str) -> String {
    sqlite3(root.join("app.db"), sql).trim().to_owned()
}

fn database(root: &Path) {
    let sql = "CREATE TABLE flags (name TEXT PRIMARY KEY, enabled INTEGER, said TEXT); \
               INSERT INTO flags VALUES ('review', 0, 'off'), ('plugins', 0, 'off');";
    ask(root, sql);
}

fn file(name: &'static str, text: &'static str, other: &'static str) {
    let with = format!("flag = \"features.review\", file = \"{name}\"");
    Conformance::new(flag("", &with))
        .root(move |root| {
            database(root);
            fs::write(root.join(name), text).unwrap();
        })
        .sabotage(move |root| fs::write(root.join(name), other).unwrap())
        .foreign(
            |root| fs::write(root.join("other"), "x").unwrap(),
            |root| assert_eq!(fs::read_to_string(root.join("other")).unwrap(), "x"),
        )
        .check();
}

#[test]
fn a_flag_in_json_keeps_the_contract() {
    file("app.json", "{\n\t\"features\": { \"review\": false, \"n\": 1.50 },\n\t\"z\": [1]\n}", "{}");
}

#[test]
fn a_flag_in_toml_keeps_the_contract() {
    file("app.toml", "z = 1\n[features]\nreview = false\n", "z = 1\n");
}

#[test]
fn a_flag_in_yaml_keeps_the_contract() {
    file("app.yaml", "features:\n  review: false\nz: 1\n", "z: 1\n");
}

#[test]
fn a_flag_in_a_table_keeps_the_contract() {
    Conformance::new(flag("target = \"app\"", "flag = \"review\", table = \"flags\""))
        .root(database)
        .sabotage(|root| drop(ask(root, "UPDATE flags SET enabled = 0 WHERE name = 'review'")))
        .foreign(
            |root| drop(ask(root, "UPDATE flags SET said = 'theirs' WHERE name = 'plugins'")),
            |root| assert_eq!(ask(root, "SELECT said FROM flags ORDER BY name LIMIT 1"), "theirs"),
        )
        .check();
}
