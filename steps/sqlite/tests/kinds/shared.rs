//! All steps of a mapping over a new table that is the parent of one pair and shows the rows of another, whose ids are each
//! side's own: the way through, and the way back from each stage.

use std::path::Path;

use crate::support::{ask, plan, sql};
use cutover_core::{Applied, Verdict};
use cutover_tests::{Bench, Fixture};
use tempfile::TempDir;

const MAPPING: &str = r#"
[[table]]
name = "artifacts"
old = "artifacts"
new = "outputs"
key = [{ old = "id", new = "id" }]
[table.forth]
content = "old.json"
at = "CAST(strftime('%s', old.made) AS INTEGER) * 1000"
[table.back]
spec = "parent.spec"
json = "new.content"
made = { sql = "datetime(new.at / 1000, 'unixepoch')", lossy = "milliseconds" }
[table.parent]
new = "runs"
id = "id"
refers = "run_id"
key = { spec = "old.spec", at = "CAST(strftime('%s', old.made) AS INTEGER) * 1000" }

[[table]]
name = "syntheses"
old = "syntheses"
new = "runs"
key = [{ old = "id", new = "id", negated = true }]
when_new = "new.synthesis IS NOT NULL"
[table.forth]
spec = "old.spec"
at = "CAST(strftime('%s', old.made) AS INTEGER) * 1000 + 1 + (old.id % 998 + 998) % 998"
synthesis = "old.text"
[table.back]
spec = "new.spec"
text = "new.synthesis"
made = { sql = "datetime(new.at / 1000, 'unixepoch')", lossy = "milliseconds" }
[table.gone]
synthesis = "NULL"
"#;

const NEW: &str = "
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, spec TEXT NOT NULL, at INTEGER NOT NULL, synthesis TEXT, UNIQUE (spec, at));
CREATE TABLE outputs (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  content TEXT NOT NULL, at INTEGER NOT NULL);
CREATE INDEX by_run ON outputs(run_id);
";

/// 60 artifacts in ten runs; 2,600 syntheses, more than a range of a comparison holds, with times of two formats.
fn system(root: &Path) {
    sql(
        root,
        "CREATE TABLE artifacts (id INTEGER PRIMARY KEY AUTOINCREMENT, spec TEXT NOT NULL, json TEXT NOT NULL, made TIMESTAMP);
         CREATE TABLE syntheses (id INTEGER PRIMARY KEY AUTOINCREMENT, spec TEXT NOT NULL, text TEXT NOT NULL, run TEXT, made TIMESTAMP);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
         INSERT INTO artifacts (spec, json, made) SELECT 's' || (i % 10), 'json ' || i, '2025-11-13 10:00:00' FROM n;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2600)
         INSERT INTO syntheses (spec, text, run, made) SELECT 's' || (i % 10), 'text ' || i, CASE WHEN i % 3 THEN 'run ' || i END,
           CASE WHEN i % 2 THEN strftime('%Y-%m-%dT%H:%M:%SZ', 1763028000 + i / 500, 'unixepoch') ELSE datetime(1763028000 + i / 500, 'unixepoch') END
           FROM n;",
    );
}

const STEPS: [&str; 7] = ["wide", "fill", "same", "readers", "writers", "copy", "gone"];

fn open() -> (TempDir, Bench) {
    let root = TempDir::new().expect("a temporary folder");
    system(root.path());
    let with = r#"{ mapping = "m.toml" }"#;
    let to = |stage: &str| format!(r#"{{ mapping = "m.toml", to = "{stage}" }}"#);
    let text = plan(&[
        ("wide", "expand", r#"{ mapping = "m.toml", up = "new.sql" }"#),
        ("fill", "backfill", r#"{ mapping = "m.toml", batch = 300 }"#),
        ("same", "parity", with),
        ("readers", "cutover", &to("prefer-new")),
        ("writers", "cutover", &to("new-only")),
    ]) + "[[phase.step]]\nid = \"copy\"\nuse = \"testkit.snapshot\"\nwith = { targets = [\"brain\"] }\n\
          [[phase.step]]\nid = \"gone\"\nuse = \"sqlite.contract\"\ntarget = \"brain\"\nwith = { mapping = \"m.toml\" }\n";
    let bench = Fixture::new(text).file("m.toml", MAPPING).file("new.sql", NEW).open(root.path());
    (root, bench)
}

/// Everything of the old tables, types included.
fn old(root: &Path) -> String {
    ask(
        root,
        "SELECT (SELECT group_concat(quote(id) || quote(spec) || quote(json) || quote(made), ' ') FROM (SELECT * FROM artifacts ORDER BY id))
           || (SELECT group_concat(quote(id) || quote(spec) || quote(text) || quote(run) || quote(made), ' ') FROM (SELECT * FROM syntheses ORDER BY id))",
    )
}

fn applied(bench: &Bench, step: &str) {
    let result = bench.apply(step);
    assert!(matches!(result, Ok(Applied::Changed(_))), "{step}: {result:?}");
    assert_eq!(bench.verify(step).expect(step), Verdict::Holds, "{step}");
}

fn back(bench: &Bench, step: &str) {
    let receipt = bench.host().receipt(step);
    bench.rollback(step, receipt.as_ref()).unwrap_or_else(|e| panic!("{step}: {}", e.chain()));
}

#[test]
fn each_stage_is_reached_and_left_with_every_byte_of_the_old_rows() {
    let (root, bench) = open();
    let before = old(root.path());
    for step in STEPS {
        applied(&bench, step);
        back(&bench, step);
        assert_eq!(old(root.path()), before, "back from {step}");
        applied(&bench, step);
    }
    STEPS.iter().rev().for_each(|step| back(&bench, step));
    assert_eq!(old(root.path()), before);
    assert_eq!(
        ask(
            root.path(),
            "SELECT count(*) FROM sqlite_master WHERE name LIKE '%runs%' OR name LIKE '\\_cutover%' ESCAPE '\\'"
        ),
        "0"
    );
}

#[test]
fn what_new_programs_write_after_the_old_tables_went_comes_back_with_them() {
    let (root, bench) = open();
    STEPS[..2].iter().for_each(|step| applied(&bench, step));
    // A new program writes a run with a synthesis, gives one to a run of artifacts, and an output to a run of a synthesis.
    sql(
        root.path(),
        "INSERT INTO runs (spec, at, synthesis) VALUES ('n', 1763028100123, 'by a new program');
         UPDATE runs SET synthesis = 'late' WHERE spec = 's3' AND at = 1763028000000;
         INSERT INTO outputs (run_id, content, at) VALUES (-7, 'more', 1763028100000)",
    );
    assert_eq!(
        ask(root.path(), "SELECT group_concat(text, ' ') FROM (SELECT text FROM syntheses WHERE id < 0 ORDER BY id)"),
        "by a new program late"
    );
    STEPS[2..].iter().for_each(|step| applied(&bench, step));
    assert_eq!(ask(root.path(), "SELECT count(*) FROM runs WHERE synthesis IS NOT NULL"), "2602");
    sql(
        root.path(),
        "UPDATE runs SET synthesis = 'edited' WHERE id = -2; UPDATE runs SET synthesis = NULL WHERE id = -3; DELETE FROM runs WHERE id = -4;
         UPDATE runs SET synthesis = NULL WHERE id = -5; UPDATE runs SET synthesis = 'text 5' WHERE id = -5;
         INSERT INTO runs (spec, at, synthesis) VALUES ('n', 1763028200123, 'last')",
    );
    back(&bench, "gone");
    assert_eq!(
        ask(
            root.path(),
            "SELECT group_concat(id || quote(text) || quote(run) || made, ' ') FROM (SELECT * FROM syntheses WHERE id < 7 ORDER BY id)"
        ),
        "-12'last'NULL2025-11-13 10:03:20 -11'by a new program'NULL2025-11-13 10:01:40 -4'late'NULL2025-11-13 10:00:00 \
         1'text 1''run 1'2025-11-13T10:00:00Z 2'edited''run 2'2025-11-13 10:00:00 5'text 5'NULL2025-11-13 10:00:00 \
         6'text 6'NULL2025-11-13 10:00:00"
    );
    assert_eq!(
        ask(root.path(), "SELECT count(*) || ' ' || (SELECT count(*) FROM artifacts) FROM syntheses"),
        "2601 61"
    );
    STEPS[..6].iter().rev().for_each(|step| back(&bench, step));
    assert_eq!(ask(root.path(), "SELECT max(id) FROM syntheses"), "2600");
    sql(root.path(), "INSERT INTO syntheses (spec, text) VALUES ('x', 'y')");
    assert_eq!(ask(root.path(), "SELECT max(id) FROM syntheses"), "2601");
}

#[test]
fn a_backfill_that_is_taken_back_leaves_what_new_programs_need() {
    let (root, bench) = open();
    STEPS[..2].iter().for_each(|step| applied(&bench, step));
    sql(
        root.path(),
        "INSERT INTO outputs (run_id, content, at) VALUES (-7, 'more', 1763028100000);
         UPDATE runs SET synthesis = 'late' WHERE spec = 's3' AND at = 1763028000000",
    );
    let before = old(root.path());
    back(&bench, "fill");
    assert_eq!(old(root.path()), before);
    assert_eq!(ask(root.path(), "SELECT group_concat(id, ' ') FROM (SELECT id FROM runs ORDER BY id)"), "-7 4");
    STEPS[1..3].iter().for_each(|step| applied(&bench, step));
    assert_eq!(old(root.path()), before);
}
