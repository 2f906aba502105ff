//! A restore takes back what its own steps wrote, however they wrote it, and asks about all that others wrote.

use std::fs;

use crate::system::System;

/// A plan that copies the database and then does `steps`.
fn plan(name: &str, steps: &str) -> String {
    format!(
        r#"
name = "{name}"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "copies"
layer = "storage"
[[phase.step]]
id = "copies"
use = "target.snapshot"
with = {{ targets = ["app"], into = "backups/{name}" }}
[[phase]]
name = "change"
layer = "storage"
{steps}"#
    )
}

/// A step of the unit `u`, or of none.
fn step(id: &str, kind: &str, unit: bool, with: &str) -> String {
    let unit = if unit { "unit = \"u\"\n" } else { "" };
    let target = if kind.starts_with("sqlite.") { "target = \"app\"\n" } else { "" };
    format!("[[phase.step]]\nid = \"{id}\"\nuse = \"{kind}\"\n{target}{unit}with = {{ {with} }}\n")
}

const START: &str = "
CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'one'), (2, 'two');
CREATE TABLE keyed (k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO keyed VALUES ('k', 1);
CREATE TABLE cfg (k, v);
CREATE TABLE dst (k INTEGER PRIMARY KEY, a);";

const ALL: &str = "SELECT * FROM t; SELECT * FROM keyed; SELECT * FROM cfg; SELECT * FROM dst";

/// Applied and rolled back without a question; applied again, what others write is told, and lost only on request.
fn asks_only_about_others(name: &str, steps: &str, scripts: &[(&str, &str)]) {
    for mode in ["wal", "delete"] {
        let system = System::new(START, &plan(name, steps));
        system.ask(&format!("PRAGMA journal_mode = {mode}"));
        scripts.iter().for_each(|(file, text)| system.write(file, text));
        let before = system.ask(ALL);
        system.cutover("apply", &[]).expect_code(0);
        assert_ne!(system.ask(ALL), before, "{name}");
        system.cutover("rollback", &["--yes"]).expect_code(0);
        assert_eq!(system.ask(ALL), before, "{name} {mode}");

        system.cutover("apply", &[]).expect_code(0);
        system.ask("INSERT INTO t (id, a) VALUES (90, 'theirs'); INSERT INTO keyed VALUES ('theirs', 1)");
        let now = system.ask(ALL);
        let ran = system.cutover("rollback", &["--yes"]).expect_code(101);
        assert!(ran.stdout.contains("1 of `keyed`, 1 of `t`"), "{name} {mode}: {}", ran.stdout);
        assert_eq!(system.ask(ALL), now, "{name} {mode}");
        system.cutover("rollback", &["--yes", "--accept-loss"]).expect_code(0);
        assert_eq!(system.ask(ALL), before, "{name} {mode}");
    }
}

const REWRITE: &str = "UPDATE t SET a = a || '!'; INSERT INTO t VALUES (3, 'ours');
INSERT INTO keyed VALUES ('ours', 1); UPDATE keyed SET v = 2 WHERE k = 'k';
CREATE TABLE fresh (id TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO fresh VALUES ('ours', 1);";

#[test]
fn a_script_takes_back_its_rows_in_every_kind_of_table() {
    let steps = step("rewrite", "sqlite.script", false, "up = \"rewrite.sql\"");
    asks_only_about_others("script", &steps, &[("rewrite.sql", REWRITE)]);
}

#[test]
fn a_unit_takes_back_what_each_of_its_steps_wrote() {
    let steps = [
        step("first", "sqlite.script", true, "up = \"rewrite.sql\""),
        step("rows", "sqlite.rows", true, "table = \"cfg\", key = [\"k\"], rows = [{ k = \"x\", v = \"ours\" }]"),
        step("fill", "sqlite.backfill", true, "into = \"dst\", rows = \"SELECT id AS k, a FROM t\", key = \"k\""),
        step("column", "sqlite.columns", true, "table = \"t\", add = [\"zz TEXT DEFAULT 'q'\"]"),
        step("last", "sqlite.script", true, "up = \"last.sql\""),
    ];
    let last = "UPDATE t SET a = upper(a) WHERE id = 3; INSERT INTO keyed VALUES ('last', 1);";
    asks_only_about_others("unit", &steps.concat(), &[("rewrite.sql", REWRITE), ("last.sql", last)]);
}

/// A command that runs `sql` with the sqlite3 program.
fn command(sql: &str, more: &str) -> String {
    format!("apply = [\"sqlite3\", \"app.db\", \"{sql}\"]{more}")
}

const BY_A_COMMAND: &str = "UPDATE t SET a = 'by a command'; INSERT INTO keyed VALUES ('command', 1)";

#[test]
fn what_a_command_wrote_is_taken_back_with_its_target() {
    let steps = step("run", "command.run", false, &command(BY_A_COMMAND, ", restore = \"app\""));
    asks_only_about_others("command", &steps, &[]);
}

#[test]
fn a_unit_with_a_command_takes_back_what_that_wrote_too() {
    let steps = [
        step("run", "command.run", true, &command(BY_A_COMMAND, ", restore = \"app\"")),
        step("rewrite", "sqlite.script", true, "up = \"rewrite.sql\""),
    ];
    asks_only_about_others("mixed", &steps.concat(), &[("rewrite.sql", REWRITE)]);
}

#[test]
fn what_a_failing_command_wrote_is_taken_back_too() {
    let broken = command("INSERT INTO keyed VALUES ('half', 1); INSERT INTO nowhere VALUES (1)", ", restore = \"app\"");
    let system = System::new(START, &plan("failing", &step("run", "command.run", false, &broken)));
    let before = system.ask(ALL);
    system.cutover("apply", &[]).expect_code(100);
    assert_eq!(system.ask(ALL), before);
    let scratch = fs::read_dir(system.root().join(".cutover")).unwrap().map(|e| e.unwrap().path());
    let left = scratch.filter(|p| p.join("before").exists()).count();
    assert_eq!(left, 0, "a copy was left behind");
}

#[test]
fn what_another_plan_applied_since_is_named_and_kept() {
    let steps = step("rewrite", "sqlite.script", false, "up = \"rewrite.sql\"");
    let system = System::new(START, &plan("first", &steps));
    system.write("rewrite.sql", REWRITE);
    system.cutover("apply", &[]).expect_code(0);
    system.write("plan.toml", &plan("second", &steps));
    system.write("rewrite.sql", "INSERT INTO t VALUES (50, 'of the second');");
    system.cutover("apply", &[]).expect_code(0);

    system.write("plan.toml", &plan("first", &steps));
    system.write("rewrite.sql", REWRITE);
    let ran = system.cutover("rollback", &["--yes"]).expect_code(101);
    assert!(ran.stdout.contains("`rewrite` of plan `second`"), "{}", ran.stdout);
    assert_eq!(system.ask("SELECT a FROM t WHERE id = 50"), "of the second");

    // In the order in which they came, nothing is lost.
    system.write("plan.toml", &plan("second", &steps));
    system.cutover("rollback", &["--yes"]).expect_code(0);
    system.write("plan.toml", &plan("first", &steps));
    system.cutover("rollback", &["--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT group_concat(a, ' ') FROM t"), "one two");
}
