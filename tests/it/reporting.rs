//! What `report` tells of a plan that failed, was mended, and came to its end.

use std::fs;

use serde_json::Value;

use crate::system::System;

const PLAN: &str = r#"
name = "shop"
summary = "Orders get notes"
[targets.app]
kind = "sqlite"
path = "app.db"

[[risk]]
risk = "The shop does not start"
likelihood = "low"
impact = "No orders"
mitigation = "A smoke test before the phase ends"
watched-by = "smoke"

[[phase]]
name = "copies"
layer = "storage"
[[phase.step]]
id = "copy"
use = "target.snapshot"
with = { targets = ["app"], into = "backups" }

[[phase]]
name = "schema"
layer = "storage"
[[phase.step]]
id = "notes"
use = "sqlite.tables"
target = "app"
with.create = ["CREATE TABLE notes (id INTEGER PRIMARY KEY)"]
[[phase.step]]
id = "smoke"
use = "command.run"
needs = ["notes"]
with = { apply = ["sh", "-c", "[ -e fixed ] || { echo '<b>it|broke</b>'; exit 3; }"], verify = ["test", "-e", "fixed"], rollback = ["true"] }
"#;

/// A plan that failed once, and was mended.
fn mended() -> System {
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY); INSERT INTO orders VALUES (1);", PLAN);
    system.cutover("apply", &[]).expect_code(100);
    system.write_root("fixed", "");
    system.cutover("apply", &[]).expect_code(0);
    system
}

fn shown(name: &str, text: &str) {
    let filters = vec![
        (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.0-9]*Z?", "TIME"),
        (r"\d+(\.\d+)? (ms|s)\b", "TOOK"),
        (r"tester on \S+", "tester on HOST"),
        (r"on \S+, pid \d+, version \S+", "on HOST, pid PID, version V"),
        (r"`[0-9a-f]{16}`", "`DIGEST`"),
        (r"on HOST\\[^|]*", "on HOST "),
    ];
    insta::with_settings!({ filters => filters, omit_expression => true, prepend_module_to_snapshot => false }, { insta::assert_snapshot!(name, text) });
}

#[test]
fn a_final_report_tells_all_of_it() {
    let system = mended();
    system.write("lessons.md", "Look at the smoke test first.\n```\nquoted\n```\n");
    let lessons = system.file("lessons.md").display().to_string();
    shown("report-final", &system.cutover("report", &["--lessons", &lessons]).expect_code(0).stdout);
}

#[test]
fn an_incident_report_tells_the_error_and_what_followed() {
    shown(
        "report-incident",
        &mended().cutover("report", &["--kind", "incident", "--format", "md"]).expect_code(0).stdout,
    );
}

#[test]
fn the_html_is_one_file_that_fetches_and_runs_nothing() {
    let html = mended().cutover("report", &["--format", "html"]).expect_code(0).stdout;
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
    for outside in ["http://", "https://", "<script", "src=", "url(", "@import", "<link", "<b>it"] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(html.contains("&lt;b&gt;it|broke&lt;/b&gt;"), "the exact error is in it");
    assert_eq!(html.matches("<section>").count(), html.matches("</section>").count());
}

#[test]
fn the_json_says_the_same() {
    let system = mended();
    let json = |args: &[&str]| -> Value {
        let args = [args, &["--format", "json"]].concat();
        serde_json::from_str(&system.cutover("report", &args).expect_code(0).stdout).unwrap()
    };
    let all = json(&[]);
    assert_eq!((&all["version"], &all["kind"], &all["outcome"]), (&1.into(), &"final".into(), &"done".into()));
    assert_eq!(all["incidents"][0]["failures"][0]["step"], "smoke");
    assert!(all["incidents"][0]["mended"].is_string());
    assert_eq!(all["recoveries"][0]["undone"], 2);
    assert!(all["recoveries"][0]["seconds"].is_number());
    assert_eq!(all["risks"][0]["watchers"]["smoke"], "applied");
    assert_eq!(all["targets"][0]["before"].as_str().unwrap().len(), 64);
    assert_ne!(all["targets"][0]["before"], all["targets"][0]["now"]);
    assert_eq!(json(&["--kind", "daily"])["incidents"].as_array().unwrap().len(), 1);
    assert_eq!(json(&["--kind", "weekly"])["phases"], all["phases"]);
}

#[test]
fn a_report_of_nothing_is_a_report_and_writes_nothing() {
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY)", PLAN);
    let before = cutover_tests::Tree::of(&system.root());
    for kind in ["daily", "weekly", "milestone", "incident", "final"] {
        for format in ["md", "html", "json"] {
            system.cutover("report", &["--kind", kind, "--format", format]).expect_code(0);
        }
    }
    before.assert_same(&cutover_tests::Tree::of(&system.root()), "after every report");
    let refused = system.cutover("report", &["--lessons", "nowhere.md"]).expect_code(2);
    assert!(refused.stderr.contains("cannot read the lessons"), "{}", refused.stderr);
    assert!(fs::metadata(system.root().join(".cutover")).is_err());
}
