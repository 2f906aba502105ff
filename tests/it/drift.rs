//! What may change in a plan after it was applied, and what may not.

use std::fs;

use crate::system::{System, scripts};

fn applied() -> System {
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY);", "");
    scripts(&system, 3, 3, "");
    system.cutover("apply", &[]).expect_code(0);
    system
}

#[test]
fn an_edited_script_that_was_applied_is_drift_and_names_the_step() {
    let system = applied();
    system.write("1.sql", "CREATE TABLE t1 (a TEXT, b TEXT);\nCREATE INDEX i1 ON t1(a);\n");
    for command in ["apply", "plan", "verify"] {
        let ran = system.cutover(command, &[]).expect_code(102);
        assert!(ran.stderr.contains("step `s1` was applied and has changed since"), "{command}: {}", ran.stderr);
    }
}

#[test]
fn comments_and_line_endings_are_no_drift() {
    let system = applied();
    system.write("1.sql", "-- why\r\nCREATE TABLE t1 (a TEXT);\r\n/* more */ CREATE INDEX i1 ON t1(a);   \r\n");
    let ran = system.cutover("apply", &[]).expect_code(0);
    assert!(ran.stdout.contains("nothing to do"), "{}", ran.stdout);
}

#[test]
fn a_step_added_to_a_finished_plan_is_all_that_runs() {
    let system = applied();
    scripts(&system, 4, 4, "");
    let ran = system.cutover("apply", &[]).expect_code(0);
    let ran_steps: Vec<_> = ran.stdout.lines().filter(|l| l.contains('✓')).collect();
    assert_eq!(ran_steps.len(), 1, "{}", ran.stdout);
    assert!(ran_steps[0].contains("s3"), "{}", ran.stdout);
    assert_eq!(system.ask("SELECT count(*) FROM t3"), "0");
}

#[test]
fn a_deliberate_edit_is_accepted_and_rollback_still_undoes_what_was_applied() {
    let system = applied();
    // The new down script would fail: rollback must use the one that was stored.
    system.write("1.sql", "CREATE TABLE t1 (a TEXT COLLATE NOCASE);\nCREATE INDEX i1 ON t1(a);\n");
    system.write("1.down.sql", "DROP TABLE never_there;\n");
    system.cutover("apply", &[]).expect_code(102);
    system.cutover("accept", &["s1", "--note", "collation was set by hand"]).expect_code(0);
    system.cutover("apply", &[]).expect_code(0);
    system.cutover("verify", &[]).expect_code(0);
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT count(*) FROM sqlite_master WHERE name LIKE 't_'"), "0");
}

#[test]
fn an_applied_step_that_disappeared_is_drift_and_a_pending_one_is_not() {
    let system = applied();
    let plan = fs::read_to_string(system.file("plan.toml")).unwrap();
    let without = plan.split("\n[[phase.step]]").take(3).collect::<Vec<_>>().join("\n[[phase.step]]");
    system.write("plan.toml", &without);
    let ran = system.cutover("apply", &[]).expect_code(102);
    assert!(ran.stderr.contains("step `s2` was applied and is no longer in the plan"), "{}", ran.stderr);

    system.write("plan.toml", &plan);
    system.cutover("rollback", &["--to", "s1", "--yes"]).expect_code(0);
    system.write("plan.toml", &without);
    let ran = system.cutover("apply", &[]).expect_code(0);
    assert!(ran.stdout.contains("nothing to do"), "{}", ran.stdout);
}

#[test]
fn two_applied_steps_that_changed_places_are_drift() {
    let system = applied();
    let plan = fs::read_to_string(system.file("plan.toml")).unwrap();
    let parts: Vec<_> = plan.split("\n[[phase.step]]").collect();
    system.write("plan.toml", &[parts[0], parts[2], parts[1], parts[3]].join("\n[[phase.step]]"));
    let ran = system.cutover("apply", &[]).expect_code(102);
    assert!(ran.stderr.contains("was applied after `s0` and now comes before it"), "{}", ran.stderr);
}
