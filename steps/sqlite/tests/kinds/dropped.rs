//! Helper tables that are dropped, and those that others need or wrote.

use crate::support::{ask, brain, plan, sql};
use cutover_core::{Applied, Standing, Verdict};
use cutover_tests::{Bench, Conformance, Fixture};
use tempfile::TempDir;

const HELPERS: &str = "CREATE TABLE batches (id INTEGER PRIMARY KEY, n INTEGER);
    CREATE TABLE errors (id INTEGER PRIMARY KEY, batch INTEGER REFERENCES batches(id), what TEXT);
    CREATE INDEX idx_errors ON errors(what);";

/// A plan that makes the helpers, fills them, and drops them with `with`.
fn helped(with: &str) -> String {
    plan(&[
        ("made", "tables", r#"{ script = "helpers.sql" }"#),
        ("filled", "rows", r#"{ table = "batches", key = ["id"], rows = [{ id = 1, n = 7 }, { id = 2, n = 9 }] }"#),
    ]) + &format!(
        "[[phase.step]]\nid = \"copy\"\nuse = \"testkit.snapshot\"\nwith = {{ targets = [\"brain\"] }}\n\
         [[phase.step]]\nid = \"it\"\nuse = \"sqlite.drop\"\ntarget = \"brain\"\nwith = {with}\n"
    )
}

fn bench(with: &str, more: &str) -> (TempDir, Bench) {
    let root = TempDir::new().expect("a temporary folder");
    brain(root.path(), 3);
    let bench = Fixture::new(helped(with)).file("helpers.sql", HELPERS).open(root.path());
    for step in ["made", "filled"] {
        assert!(matches!(bench.apply(step), Ok(Applied::Changed(_))), "{step}");
    }
    sql(root.path(), more);
    (root, bench)
}

fn refused(with: &str, more: &str) -> String {
    let (root, bench) = bench(with, more);
    let before = ask(root.path(), "SELECT group_concat(name) FROM sqlite_master");
    let error = bench.apply("it").expect_err("it is refused");
    let Ok(Standing::Conflict(seen)) = bench.inspect("it") else { panic!("inspection sees it") };
    let told = format!("{error}; {}", error.help().unwrap_or_default());
    assert_eq!(told, seen, "what is seen before is what is said then");
    assert_eq!(ask(root.path(), "SELECT group_concat(name) FROM sqlite_master"), before);
    told
}

const BOTH: &str = r#"{ tables = ["batches", "errors"] }"#;

#[test]
fn a_drop_keeps_the_contract() {
    let text = plan(&[])
        + "[[phase.step]]\nid = \"copy\"\nuse = \"testkit.snapshot\"\nwith = { targets = [\"brain\"] }\n"
        + "[[phase.step]]\nid = \"it\"\nuse = \"sqlite.drop\"\ntarget = \"brain\"\nwith = { tables = [\"errors\", \"batches\", \"never\"], set-aside = true }\n";
    Conformance::new(text)
        .root(|root| {
            brain(root, 30);
            sql(root, HELPERS);
            sql(root, "INSERT INTO batches VALUES (1, 7); INSERT INTO errors VALUES (1, 1, 'it''s one')");
        })
        .step("it")
        .sabotage(|root| sql(root, "CREATE TABLE errors (x)"))
        .no_foreign("a restore asks about what others wrote")
        .leaves(".cutover/aside")
        .check();
}

#[test]
fn tables_that_the_plan_made_and_filled_go_children_first_and_their_rows_are_set_aside() {
    let (root, bench) = bench(BOTH, "");
    let Ok(Applied::Changed(receipt)) = bench.apply("it") else { panic!("it drops") };
    assert_eq!(
        receipt.notes.join("\n"),
        "table errors is dropped; it had no rows\n\
         table batches is dropped; its 2 rows are kept in `.cutover/aside/run-1-it/batches.sql`"
    );
    assert_eq!(bench.verify("it").expect("it verifies"), Verdict::Holds);
    assert_eq!(ask(root.path(), "SELECT count(*) FROM sqlite_master WHERE name LIKE '%errors'"), "0");
    let kept = std::fs::read_to_string(bench.state().join("aside/run-1-it/batches.sql")).expect("it is kept");
    sql(root.path(), &kept);
    assert_eq!(ask(root.path(), "SELECT sum(id * n) FROM batches"), "25", "what was set aside loads again");
    assert_eq!(
        bench.verify("it").expect("it verifies"),
        Verdict::Broken(vec!["table batches: expected none, found one".to_owned()])
    );
}

#[test]
fn rows_of_others_are_told_and_go_only_by_leave() {
    let theirs = "INSERT INTO batches VALUES (3, 1); UPDATE batches SET n = 8 WHERE id = 1";
    insta::assert_snapshot!(
        refused(BOTH, theirs),
        @"table `batches` has 2 rows that no step of this plan wrote; look at them; `set-aside = true` drops the table nevertheless, and keeps all rows as SQL in the state folder"
    );
    let (_root, bench) = bench(r#"{ tables = ["batches", "errors"], set-aside = true }"#, theirs);
    let Ok(Applied::Changed(receipt)) = bench.apply("it") else { panic!("it drops") };
    assert!(receipt.notes[1].contains("its 3 rows are kept"), "{:?}", receipt.notes);
}

#[test]
fn what_somebody_else_needs_is_refused_and_by_whom() {
    insta::assert_snapshot!(
        refused(r#"{ tables = ["batches"] }"#, ""),
        @"table `batches` is still needed by a foreign key of `errors`; drop or change them first, or leave the table"
    );
    insta::assert_snapshot!(
        refused(BOTH, "CREATE VIEW seen AS SELECT count(*) FROM [Errors];
            CREATE TRIGGER logs AFTER DELETE ON messages BEGIN INSERT INTO errors (what) VALUES ('batches'); END;
            CREATE TRIGGER own AFTER DELETE ON errors BEGIN DELETE FROM batches; END;
            CREATE VIRTUAL TABLE found USING fts5(what, content='errors', content_rowid='id')"),
        @"table `errors` is still needed by virtual table `found`, trigger `logs`, view `seen`; drop or change them first, or leave the table"
    );
    insta::assert_snapshot!(
        refused(r#"{ tables = ["active"] }"#, ""),
        @"`active` is no table: it is of kind view; name tables only; what belongs to a table goes with it"
    );
}

#[test]
fn what_is_not_the_systems_own_is_refused_when_the_plan_is_compiled() {
    let mistake = |tables: &str| {
        let fixture = Fixture::new(helped(&format!("{{ tables = {tables} }}"))).file("helpers.sql", HELPERS);
        let errors = fixture.try_compile().expect_err("it is refused");
        let all =
            errors.diagnostics.iter().map(|e| format!("{}; {}", e.message, e.help.as_deref().unwrap_or_default()));
        all.collect::<Vec<_>>().join("\n")
    };
    let all = ["[]", r#"["a", "A"]"#, r#"["cutover_state"]"#, r#"["_cutover_guard"]"#, r#"["sqlite_stat1"]"#];
    insta::assert_snapshot!(all.map(mistake).join("\n"));
}
