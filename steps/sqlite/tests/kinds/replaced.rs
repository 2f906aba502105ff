//! A rollback drops what the step made, never what bears its name since.

use std::path::Path;

use crate::support::{ask, plan, sql};
use cutover_core::Applied;
use cutover_tests::{Bench, Fixture, sqlite3};
use tempfile::TempDir;

/// The step `it` applied to a database of these tables.
fn applied(root: &Path, kind: &str, with: &str, tables: &str) -> Bench {
    sql(root, tables);
    let bench = Fixture::new(plan(&[("it", kind, with)])).open(root);
    let Ok(Applied::Changed(_)) = bench.apply("it") else { panic!("it applies") };
    bench
}

fn root() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

/// Rolls `it` back; what it told, joined.
fn undone(bench: &Bench) -> String {
    let receipt = bench.host().receipt("it");
    bench.rollback("it", receipt.as_ref()).expect("it rolls back");
    bench.host().notes("it").join("\n")
}

fn schema(root: &Path) -> String {
    sqlite3(
        root.join("brain.db"),
        "SELECT sql FROM sqlite_master WHERE name NOT LIKE 'cutover%' AND sql <> '' ORDER BY type, name",
    )
}

#[test]
fn an_index_of_others_that_took_the_name_is_kept_and_told() {
    let with = r#"{ create = ["CREATE INDEX nb ON t(a)", "CREATE INDEX mine ON t(a, z)"] }"#;
    let there = "CREATE TABLE t(a, z); CREATE TABLE o(a, z)";
    let cases = [
        ("CREATE INDEX nb ON o(z)", "index nb is another one now (ON o(z)): kept"),
        ("CREATE UNIQUE INDEX nb ON t(a)", "index nb is another one now (UNIQUE ON t(a)): kept"),
        ("CREATE INDEX nb ON t(a) WHERE z = 'Open'", "index nb is another one now (ON t(a) WHERE z = 'Open'): kept"),
        ("CREATE TABLE nb(x)", "index nb is another one now (table): kept"),
        ("CREATE INDEX NB ON t(\"a\")", ""),
    ];
    for (theirs, told) in cases {
        let root = root();
        let bench = applied(root.path(), "indexes", with, there);
        sql(root.path(), &format!("DROP INDEX nb; {theirs}"));
        assert_eq!(undone(&bench), told);
        let left = if told.is_empty() { "0" } else { "1" };
        assert_eq!(ask(root.path(), "SELECT count(*) FROM sqlite_master WHERE name = 'nb' COLLATE NOCASE"), left);
        assert_eq!(ask(root.path(), "SELECT count(*) FROM sqlite_master WHERE name = 'mine'"), "0");
    }
}

const TABLE: &str =
    r#"{ create = ["CREATE TABLE n(a INTEGER PRIMARY KEY, b TEXT DEFAULT 'x')", "CREATE INDEX nb ON n(b)"] }"#;

#[test]
fn a_table_of_others_that_took_the_name_is_kept_with_all_that_is_on_it() {
    for theirs in [
        "CREATE TABLE n(a TEXT, b TEXT, twice AS (b || b)); CREATE INDEX nb ON n(b)",
        "CREATE TABLE n(a INTEGER PRIMARY KEY, c TEXT); CREATE INDEX other ON n(c)",
        "CREATE TABLE n(a INTEGER PRIMARY KEY, b INTEGER DEFAULT 'x')",
        "CREATE VIEW n AS SELECT 1 AS a",
    ] {
        let root = root();
        let bench = applied(root.path(), "tables", TABLE, "CREATE TABLE t(a)");
        sql(root.path(), &format!("DROP TABLE n; {theirs}"));
        let before = schema(root.path());
        let told = undone(&bench);
        assert!(told.starts_with("table n is another one now ("), "{theirs}: {told}");
        assert_eq!(told.contains("index nb is on another table now (ON n(b)): kept"), theirs.contains("nb"), "{told}");
        assert_eq!(before, schema(root.path()), "{theirs}");
    }
}

#[test]
fn a_table_that_others_added_to_goes_and_what_was_added_can_be_loaded() {
    for rows in [0, 1, 2] {
        let root = root();
        let bench = applied(root.path(), "tables", TABLE, "CREATE TABLE t(a); CREATE TABLE log(x)");
        sql(
            root.path(),
            "ALTER TABLE n ADD COLUMN theirs TEXT DEFAULT \"q\"; CREATE UNIQUE INDEX theirs_i ON n(theirs, a);
             CREATE TRIGGER seen AFTER INSERT ON n BEGIN INSERT INTO log VALUES (new.a); END;",
        );
        for row in 1..=rows {
            sql(root.path(), &format!("INSERT INTO n VALUES ({row}, 'it''s', 'precious')"));
        }
        let before = schema(root.path());
        let all = "SELECT * FROM n ORDER BY a";
        let content = sqlite3(root.path().join("brain.db"), all);
        let file = "`.cutover/aside/run-1-it/n.sql`";
        let kept = match rows {
            0 => format!("its definition is kept in {file}"),
            1 => format!("its definition and its 1 row are kept in {file}"),
            n => format!("its definition and its {n} rows are kept in {file}"),
        };
        assert_eq!(undone(&bench), format!("table n was changed since and is dropped; {kept}"));
        assert_eq!(ask(root.path(), "SELECT count(*) FROM sqlite_master WHERE tbl_name = 'n'"), "0");

        let aside = root.path().join(".cutover/aside/run-1-it/n.sql");
        assert_eq!(sqlite3(root.path().join("brain.db"), format!(".read {}", aside.display())), "");
        assert_eq!(
            sqlite3(root.path().join("brain.db"), "SELECT count(*) FROM log"),
            format!("{rows}\n"),
            "no trigger ran"
        );
        assert_eq!(content, sqlite3(root.path().join("brain.db"), all));
        assert_eq!(before, schema(root.path()));
    }
}

#[test]
fn a_table_that_only_a_trigger_of_others_is_on_is_set_aside_too() {
    let root = root();
    let bench = applied(root.path(), "tables", TABLE, "CREATE TABLE log(x)");
    sql(root.path(), "CREATE TRIGGER seen AFTER INSERT ON n BEGIN INSERT INTO log VALUES (new.a); END");
    assert!(undone(&bench).ends_with("its definition is kept in `.cutover/aside/run-1-it/n.sql`"));
}

#[test]
fn a_column_of_others_that_took_the_name_is_kept_and_told() {
    let with = r#"{ table = "t", add = ["c TEXT DEFAULT \"open\"", "d INTEGER"] }"#;
    for (theirs, told) in [
        (
            "ALTER TABLE t DROP COLUMN c; ALTER TABLE t ADD COLUMN c INTEGER",
            "column t.c is another one now (INTEGER): kept",
        ),
        ("ALTER TABLE t DROP COLUMN c", ""),
        ("ALTER TABLE t ADD COLUMN e TEXT", ""),
    ] {
        let root = root();
        let bench = applied(root.path(), "columns", with, "CREATE TABLE t(a)");
        sql(root.path(), theirs);
        assert_eq!(undone(&bench), told);
        let left = ask(root.path(), "SELECT group_concat(name) FROM pragma_table_info('t')");
        let expected = if told.is_empty() { "a" } else { "a,c" };
        assert_eq!(left.trim_end_matches(",e"), expected);
    }
}
