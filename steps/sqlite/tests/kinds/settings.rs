//! The settings that a database file keeps: set, verified, taken back; and those that no file keeps, refused.

use crate::support::{ask, brain, plan, sql};
use cutover_core::{Applied, Standing, StepErrorKind};
use cutover_tests::{Bench, Conformance, Fixture};
use rusqlite::Connection;
use tempfile::TempDir;

const ALL: &str = r#"{ set = { journal_mode = "WAL", auto_vacuum = "incremental", user_version = 2, application_id = 77 }, at-most = 2 }"#;

const KEPT: [&str; 4] = ["journal_mode", "auto_vacuum", "user_version", "application_id"];

fn brain_root() -> TempDir {
    let root = TempDir::new().expect("a temporary folder");
    brain(root.path(), 30);
    root
}

fn opened(root: &TempDir, with: &str) -> Bench {
    Fixture::new(plan(&[("it", "settings", with)])).open(root.path())
}

fn settings(root: &TempDir) -> String {
    KEPT.map(|name| ask(root.path(), &format!("PRAGMA {name}"))).join(" ")
}

#[test]
fn settings_keep_the_contract() {
    Conformance::new(plan(&[("it", "settings", ALL)]))
        .root(|root| brain(root, 30))
        .sabotage(|root| sql(root, "PRAGMA user_version = 9"))
        .foreign(
            |root| sql(root, "UPDATE conversations SET agent_id = 'z' WHERE conversation_id = 'c2'"),
            |root| assert_eq!(ask(root, "SELECT agent_id FROM conversations WHERE conversation_id = 'c2'"), "z"),
        )
        .check();
}

#[test]
fn what_the_file_kept_before_comes_back() {
    let root = brain_root();
    sql(root.path(), "PRAGMA user_version = 1");
    assert_eq!(settings(&root), "delete 0 1 0");
    let bench = opened(&root, ALL);
    let Ok(Applied::Changed(receipt)) = bench.apply("it") else { panic!("it applies") };
    assert_eq!(settings(&root), "wal 2 2 77");
    assert_eq!(
        receipt.notes,
        [
            "auto_vacuum: none → incremental",
            "journal_mode: delete → wal",
            "application_id: 0 → 77",
            "user_version: 1 → 2"
        ]
    );
    assert_eq!(ask(root.path(), "PRAGMA integrity_check"), "ok");
    bench.rollback("it", Some(&receipt)).expect("it rolls back");
    assert_eq!(settings(&root), "delete 0 1 0");
}

#[test]
fn what_others_set_since_stays() {
    let root = brain_root();
    let bench = opened(&root, ALL);
    let Ok(Applied::Changed(receipt)) = bench.apply("it") else { panic!("it applies") };
    sql(root.path(), "PRAGMA user_version = 3; PRAGMA application_id = 5");
    bench.rollback("it", Some(&receipt)).expect("it rolls back");
    assert_eq!(settings(&root), "delete 0 3 5");
}

#[test]
fn a_newer_version_is_refused_before_anything_is_done() {
    let root = brain_root();
    sql(root.path(), "PRAGMA user_version = 3");
    let bench = opened(&root, ALL);
    let error = bench.apply("it").expect_err("it is newer");
    assert_eq!(error.kind(), StepErrorKind::Conflict);
    assert_eq!(error.to_string(), "the database is of a newer version: user_version 3, known are those up to 2");
    assert_eq!(settings(&root), "delete 0 3 0");
    assert!(matches!(bench.inspect("it"), Ok(Standing::Conflict(_))));
}

#[test]
fn a_database_that_others_have_open_keeps_its_log_and_says_why() {
    let root = brain_root();
    sql(root.path(), "PRAGMA journal_mode = WAL");
    let other = Connection::open(root.path().join("brain.db")).expect("the brain opens");
    other.execute_batch("BEGIN; SELECT * FROM messages").expect("it reads");
    let bench = opened(&root, r#"{ set = { journal_mode = "delete" } }"#);
    let error = bench.apply("it").expect_err("somebody reads");
    assert_eq!(error.kind(), StepErrorKind::Busy, "{}", error.chain());
    drop(other);
    assert!(matches!(bench.apply("it"), Ok(Applied::Changed(_))));
    assert_eq!(ask(root.path(), "PRAGMA journal_mode"), "delete");
}

#[test]
fn a_rewrite_that_would_lose_the_rows_of_a_full_text_table_is_refused() {
    let root = brain_root();
    sql(
        root.path(),
        "CREATE TABLE notes (body TEXT); CREATE VIRTUAL TABLE f USING fts5(body, content='notes', content_rowid='rowid')",
    );
    let error = opened(&root, ALL).apply("it").expect_err("rowids may move");
    assert!(error.to_string().contains("the rows of `notes` may then get other rowids"), "{error}");
    assert_eq!(settings(&root), "delete 0 0 0");
}

#[test]
fn pragmas_of_a_connection_are_refused_where_they_stand() {
    for (set, said) in [
        ("synchronous = \"normal\"", "`synchronous` is each connection's own: no database keeps it"),
        ("foreign_keys = true", "`foreign_keys` is each connection's own: no database keeps it"),
        ("usr_version = 1", "`usr_version` is no setting that a database keeps"),
        ("user_version = \"two\"", "`user_version` takes a whole number of 32 bits"),
        ("journal_mode = \"off\"", "`journal_mode` takes one of wal, delete, truncate, persist"),
    ] {
        let errors = Fixture::new(plan(&[("it", "settings", &format!("{{ set = {{ {set} }} }}"))]));
        let errors = errors.try_compile().expect_err("it is refused").to_string();
        assert!(errors.contains(said), "{set}: {errors}");
    }
}
