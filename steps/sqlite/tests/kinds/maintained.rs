//! Free pages are given back in steps or by one VACUUM, and statistics are renewed without samples.

use std::path::Path;

use crate::support::{ask, brain, plan, sql};
use cutover_core::{Applied, Receipt, Standing, Verdict};
use cutover_tests::{Bench, Conformance, Fixture};
use pollster::block_on;
use tempfile::TempDir;

/// A brain of which most pages are free.
fn hollow(root: &Path, auto_vacuum: &str) {
    sql(root, &format!("PRAGMA auto_vacuum = {auto_vacuum}"));
    brain(root, 300);
    sql(
        root,
        "CREATE TABLE ballast (b);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) INSERT INTO ballast SELECT zeroblob(4000) FROM n;
         DELETE FROM ballast",
    );
}

fn opened(with: &str, auto_vacuum: &str, more: &str) -> (TempDir, Bench) {
    let root = TempDir::new().expect("a temporary folder");
    hollow(root.path(), auto_vacuum);
    sql(root.path(), more);
    let bench = Fixture::new(plan(&[("it", "maintain", with)])).open(root.path());
    (root, bench)
}

fn applied(bench: &Bench) -> Receipt {
    match bench.apply("it") {
        Ok(Applied::Changed(receipt)) => receipt,
        other => panic!("it applies: {other:?}"),
    }
}

fn foreseen(bench: &Bench) -> String {
    block_on(bench.step("it").step.foresee(&bench.cx("it"))).expect("it is foreseen").join("\n")
}

fn free(root: &Path) -> i64 {
    ask(root, "SELECT freelist_count FROM pragma_freelist_count").parse().expect("a number")
}

/// What is written of the step itself, after the pages went, may free one or two again.
fn few_free(root: &Path) {
    let left = free(root);
    assert!(left < 4, "{left}");
}

#[test]
fn maintenance_keeps_the_contract() {
    for (auto_vacuum, with) in [("incremental", "{}"), ("none", r#"{ vacuum = "whole" }"#)] {
        Conformance::new(plan(&[("it", "maintain", with)]))
            .root(move |root| hollow(root, auto_vacuum))
            .no_sabotage("whoever writes may free pages again")
            .invisible("what the rows say stays as it is")
            .foreign(
                |root| sql(root, "UPDATE conversations SET agent_id = 'z' WHERE conversation_id = 'c2'"),
                |root| assert_eq!(ask(root, "SELECT agent_id FROM conversations WHERE conversation_id = 'c2'"), "z"),
            )
            .check();
    }
}

#[test]
fn free_pages_go_in_steps_and_what_is_foreseen_is_what_happens() {
    let (root, bench) = opened("{}", "incremental", "PRAGMA journal_mode = wal");
    let before = free(root.path());
    assert!(before > 50, "{before}");
    let line = foreseen(&bench);
    assert!(line.contains(&format!("({before} pages) are given back in steps of about 25 ms")), "{line}");
    let receipt = applied(&bench);
    let note = &receipt.notes[0];
    assert!(note.starts_with("fragmentation 9") && note.ends_with(" after"), "{note}");
    few_free(root.path());
    assert_eq!(root.path().join("brain.db-wal").metadata().map_or(0, |m| m.len()), 0, "the log is emptied");
    assert_eq!(ask(root.path(), "SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'conversations'"), "2");
    assert_eq!(ask(root.path(), "SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_stat4'"), "0", "no samples");
    assert_eq!(bench.verify("it").expect("it verifies"), Verdict::Holds);
    bench.rollback("it", Some(&receipt)).expect("it rolls back");
    assert_eq!(ask(root.path(), "SELECT count(*) FROM sqlite_master WHERE name LIKE 'sqlite_stat%'"), "0");
}

#[test]
fn a_file_that_cannot_give_pages_back_in_steps_says_what_can_be_done() {
    let (root, bench) = opened("{ optimize = false }", "none", "");
    let before = free(root.path());
    let line = foreseen(&bench);
    assert!(line.contains("since `auto_vacuum` is none; `vacuum = \"whole\"`"), "{line}");
    assert_eq!(applied(&bench).notes, [line]);
    assert!((before - 8..=before).contains(&free(root.path())), "the step's own tables take some");
    assert_eq!(ask(root.path(), "SELECT count(*) FROM sqlite_master WHERE name LIKE 'sqlite_stat%'"), "0");
    let (root, bench) = opened(r#"{ vacuum = "whole" }"#, "none", "");
    applied(&bench);
    few_free(root.path());
    let (_root, bench) = opened(r#"{ vacuum = "whole", above = 99.9 }"#, "none", "");
    let line = foreseen(&bench);
    assert!(line.ends_with(": no page is given back"), "{line}");
}

#[test]
fn statistics_and_samples_that_were_there_come_back_as_they_were() {
    let old = "ANALYZE; UPDATE sqlite_stat1 SET stat = '7 7 7 7' WHERE idx = 'idx_actions'; DELETE FROM sqlite_stat1 WHERE tbl = 'messages'";
    let (root, bench) = opened(r#"{ vacuum = "none" }"#, "none", old);
    let all = || {
        ask(
            root.path(),
            "SELECT group_concat(tbl || coalesce(idx, '-') || stat, '; ') FROM (SELECT * FROM sqlite_stat1 ORDER BY 1, 2, 3)",
        )
    };
    let before = all();
    let receipt = applied(&bench);
    assert_ne!(all(), before);
    bench.rollback("it", Some(&receipt)).expect("it rolls back");
    assert_eq!(all(), before);
}

#[test]
fn nothing_is_analysed_while_two_schemas_are_kept_in_step() {
    let stage = "CREATE TABLE _cutover_stage (name TEXT PRIMARY KEY, stage TEXT NOT NULL, changed_at TEXT NOT NULL, run TEXT NOT NULL);
        INSERT INTO _cutover_stage VALUES ('talk', 'prefer-new', '', '')";
    let (root, bench) = opened(r#"{ vacuum = "none" }"#, "none", stage);
    assert!(foreseen(&bench).ends_with("statistics stay as they are: mapping talk is on its way"));
    assert_eq!(applied(&bench).notes[1], "statistics are as they were: mapping talk is on its way");
    assert_eq!(ask(root.path(), "SELECT count(*) FROM sqlite_master WHERE name LIKE 'sqlite_stat%'"), "0");
}

#[test]
fn a_stop_keeps_what_is_given_back_and_the_same_step_goes_on() {
    let (root, bench) = opened("{ hold-ms = 1 }", "incremental", "");
    bench.host().stop_after(1);
    let before = free(root.path());
    let Ok(Applied::Stopped(_)) = bench.apply("it") else { panic!("it stops") };
    let left = free(root.path());
    assert!((4..before).contains(&left), "{left} of {before}");
    bench.host().set_stop(false);
    applied(&bench);
    few_free(root.path());
}

#[test]
fn a_vacuum_that_would_lose_a_full_text_table_its_rows_is_refused() {
    let (_root, bench) = opened(
        r#"{ vacuum = "whole" }"#,
        "none",
        "CREATE TABLE notes (body TEXT); CREATE VIRTUAL TABLE found USING fts5(body, content='notes')",
    );
    let Ok(Standing::Conflict(why)) = bench.inspect("it") else { panic!("a conflict") };
    insta::assert_snapshot!(why, @"a VACUUM may give the rows of `notes` other rowids, by which a full-text table finds them; give the table an INTEGER PRIMARY KEY first, or choose `vacuum = \"none\"`");
}
