//! `verify` any time after a run: what no longer holds, what others did, and what is only reported.

use crate::system::{System, scripts};

fn applied() -> System {
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT);", "");
    scripts(&system, 2, 2, "");
    system.cutover("apply", &[]).expect_code(0);
    system
}

#[test]
fn rows_of_others_are_reported_and_are_no_drift() {
    let system = applied();
    let before = system.cutover("verify", &[]).expect_code(0).stdout;
    assert!(!before.contains("others"), "{before}");
    system.ask("INSERT INTO orders VALUES (1, 'late')");
    let ran = system.cutover("verify", &[]).expect_code(0).stdout;
    assert!(ran.contains("rows of others since the last run (no drift):\n  app: orders: 0 then, 1 now"), "{ran}");
}

#[test]
fn what_others_did_to_the_structure_is_drift_and_told_from_what_the_plan_made() {
    let system = applied();
    system.ask("CREATE INDEX late ON orders(note); ALTER TABLE orders ADD COLUMN more; DROP INDEX i1;");
    let ran = system.cutover("verify", &[]).expect_code(102).stdout;
    for line in ["app: index late is new", "app: table orders is another one", "app: index i1 is gone"] {
        assert!(ran.contains(line), "{line}: {ran}");
    }
    assert!(ran.contains("2 applied steps verified, 1 broken"), "{ran}");
    let json = system.cutover("verify", &["--format", "json"]).expect_code(102).stdout;
    assert!(json.contains("\"event\":\"targets-verified\"") && json.contains("index late is new"), "{json}");
    // Our own later run is no foreign change.
    let system = applied();
    scripts(&system, 3, 2, "");
    system.cutover("apply", &[]).expect_code(0);
    system.cutover("verify", &[]).expect_code(0);
    system.cutover("rollback", &["--yes"]).expect_code(0);
    system.cutover("verify", &[]).expect_code(0);
}

#[test]
fn what_an_interrupted_run_of_ours_did_is_not_taken_for_the_work_of_others() {
    let system = applied();
    scripts(&system, 4, 2, "");
    let mut killed = system.command("apply", &[]);
    cutover_tests::run(killed.env("FAILPOINTS", "journal-appended=1*off->return"));
    assert_eq!(system.ask("SELECT count(*) FROM sqlite_master WHERE name = 't2'"), "1", "the kill came too early");
    let said = system.cutover("verify", &[]).stdout;
    assert!(!said.contains("changed by others"), "{said}");
}

#[test]
fn a_ledger_that_says_otherwise_than_the_journal_is_drift() {
    let system = applied();
    system.ask("DROP TABLE t1; DELETE FROM cutover_ledger WHERE step = 's1'");
    let ran = system.cutover("verify", &[]).expect_code(102).stdout;
    assert!(ran.contains("step s1: the ledger of app has no row of it"), "{ran}");
    assert!(ran.contains("app: table t1 is gone"), "{ran}");
}

#[test]
fn what_others_did_to_the_structure_and_is_right_is_accepted_and_no_drift_any_more() {
    let system = applied();
    let nothing = system.cutover("accept", &["--structure", "--note", "why"]).expect_code(0).stdout;
    assert!(nothing.contains("nothing to accept"), "{nothing}");
    system.ask("CREATE INDEX late ON orders(note)");
    system.cutover("verify", &[]).expect_code(102);
    let explained = system.cutover("explain", &[]).expect_code(0).stdout;
    let next = explained.lines().find_map(|l| l.strip_prefix("next: ")).unwrap().to_owned();
    assert!(next.contains("cutover accept") && next.contains("--structure --note WHY"), "{explained}");
    let said = crate::system::pasted(&next).output().unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).contains("app: index late is new"), "{said:?}");
    system.cutover("verify", &[]).expect_code(0);
    assert!(system.cutover("history", &[]).expect_code(0).stdout.contains("WHY"));
    // What comes later is drift again.
    system.ask("CREATE TABLE later (a)");
    let ran = system.cutover("verify", &[]).expect_code(102).stdout;
    assert!(ran.contains("table later is new") && !ran.contains("index late"), "{ran}");
    system.cutover("accept", &["s0", "--structure", "--note", "why"]).expect_code(2);
    system.cutover("accept", &["--note", "why"]).expect_code(2);
}

#[test]
fn a_step_that_others_broke_is_named_and_not_accepted_and_the_next_command_leads_on() {
    let system = applied();
    system.ask("DROP INDEX i1");
    let explained = system.cutover("explain", &[]).expect_code(0).stdout;
    assert!(explained.contains("Step `s1`") && explained.contains("does not hold any more"), "{explained}");
    let refused = system.cutover("accept", &["--structure", "--note", "why"]).expect_code(102).stderr;
    assert!(refused.contains("step `s1`") && refused.contains("help: "), "{refused}");
    let next = explained.lines().find_map(|l| l.strip_prefix("next: ")).unwrap().to_owned();
    assert!(next.contains("cutover rollback") && next.contains("--to s0"), "{explained}");
    assert!(crate::system::pasted(&next).status().unwrap().success());
    system.cutover("apply", &[]).expect_code(0);
    system.cutover("verify", &[]).expect_code(0);
}
