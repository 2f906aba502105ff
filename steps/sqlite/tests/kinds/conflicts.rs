//! What is in the way is named before anything is written, and what is not ours is not touched.

use std::path::Path;

use crate::support::{ask, brain, plan, sql};
use cutover_core::plan::{CompileErrors, Diagnostic};
use cutover_core::{Applied, Receipt, Standing, StepError, Verdict};
use cutover_tests::{Bench, Fixture, Tree};
use insta::assert_snapshot;
use tempfile::TempDir;

fn opened(steps: &[(&str, &str, &str)], root: &Path) -> Bench {
    Fixture::new(plan(steps)).open(root)
}

fn root(messages: u32) -> TempDir {
    let root = TempDir::new().expect("a temporary folder");
    brain(root.path(), messages);
    root
}

fn told(error: &StepError) -> String {
    format!("{}\nhelp: {}", error.chain(), error.help().unwrap_or("-"))
}

fn applied(bench: &Bench, id: &str) -> Receipt {
    match bench.apply(id) {
        Ok(Applied::Changed(receipt)) => receipt,
        other => panic!("{other:?}"),
    }
}

fn said(errors: &CompileErrors) -> String {
    let line = |d: &Diagnostic| format!("{}\n  help: {}", d.message, d.help.as_deref().unwrap_or("-"));
    errors.diagnostics.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn refused(with: &str, kind: &str) -> String {
    Fixture::new(plan(&[("it", kind, with)]))
        .try_compile()
        .map(|_| ())
        .map_err(|e| said(&e))
        .expect_err("the plan is refused")
}

#[test]
fn an_index_on_a_column_that_is_not_there_names_the_real_columns() {
    let root = root(1);
    let with = r#"{ create = ["CREATE INDEX idx_recent ON conversations(status, last_updated DESC)"] }"#;
    let bench = opened(&[("it", "indexes", with)], root.path());
    assert_eq!(bench.inspect("it").expect("inspects"), Standing::Pending, "an earlier step may still add the column");
    assert_snapshot!(told(&bench.apply("it").expect_err("the column is missing")));
}

#[test]
fn an_index_name_that_means_something_else_is_a_conflict_before_anything_is_written() {
    let root = root(1);
    sql(root.path(), "CREATE INDEX idx_active ON conversations(status)");
    let before = Tree::of(root.path());
    let with = r#"{ create = ["CREATE INDEX IF NOT EXISTS idx_active ON conversations(archived, start_time DESC)"] }"#;
    let bench = opened(&[("it", "indexes", with)], root.path());
    let Standing::Conflict(why) = bench.inspect("it").expect("inspects") else { panic!("no conflict") };
    assert_snapshot!(why);
    assert_eq!(before, Tree::of(root.path()));
    sql(root.path(), "ALTER TABLE conversations ADD COLUMN archived INTEGER");
    assert_snapshot!(told(&bench.apply("it").expect_err("the name is taken")));
}

#[test]
fn a_column_that_is_there_with_another_definition_is_a_conflict() {
    let root = root(1);
    sql(root.path(), "ALTER TABLE conversations ADD COLUMN archived TEXT");
    let with = r#"{ table = "conversations", add = ["archived INTEGER DEFAULT 0"] }"#;
    let bench = opened(&[("it", "columns", with)], root.path());
    let Standing::Conflict(why) = bench.inspect("it").expect("inspects") else { panic!("no conflict") };
    assert_snapshot!(why);
}

#[test]
fn a_table_that_is_there_with_another_definition_is_a_conflict_and_the_same_in_other_words_is_kept() {
    let root = root(1);
    sql(root.path(), "CREATE TABLE plugins (id TEXT PRIMARY KEY, n INTEGER CHECK (n > 0) DEFAULT 1)");
    let other = r#"{ create = ["CREATE TABLE plugins (id TEXT PRIMARY KEY, n INTEGER DEFAULT 1 CHECK (n > 1))"] }"#;
    let bench = opened(&[("it", "tables", other)], root.path());
    let Standing::Conflict(why) = bench.inspect("it").expect("inspects") else { panic!("no conflict") };
    assert_snapshot!(why);

    let same = r#"{ create = ["create table if not exists \"plugins\" ( [id] text primary key, -- its name\n n integer default 1 check(n>0))"] }"#;
    let bench = opened(&[("it", "tables", same)], root.path());
    assert_eq!(bench.inspect("it").expect("inspects"), Standing::Applied);
    let receipt = applied(&bench, "it");
    assert_snapshot!(receipt.notes.join("\n"));
    bench.rollback("it", Some(&receipt)).expect("rolls back");
    assert_eq!(ask(root.path(), "SELECT count(*) FROM sqlite_master WHERE name = 'plugins'"), "1");
}

#[test]
fn a_table_that_a_later_step_widened_still_verifies() {
    let root = root(1);
    let bench = opened(
        &[
            ("make", "tables", r#"{ create = ["CREATE TABLE plugins (id TEXT PRIMARY KEY)"] }"#),
            ("widen", "columns", r#"{ table = "plugins", add = ["n INTEGER"] }"#),
        ],
        root.path(),
    );
    applied(&bench, "make");
    applied(&bench, "widen");
    assert_eq!(bench.verify("make").expect("verifies"), Verdict::Holds);
    assert_eq!(bench.inspect("make").expect("inspects"), Standing::Applied);
}

#[test]
fn a_column_under_an_index_of_others_is_not_dropped_and_the_error_names_the_index() {
    let root = root(1);
    let bench = opened(&[("it", "columns", r#"{ table = "conversations", add = ["archived INTEGER"] }"#)], root.path());
    let receipt = applied(&bench, "it");
    sql(root.path(), "CREATE INDEX theirs ON conversations(archived)");
    assert_snapshot!(told(&bench.rollback("it", Some(&receipt)).expect_err("the index is in the way")));
    sql(root.path(), "DROP INDEX theirs");
    bench.rollback("it", Some(&receipt)).expect("rolls back now");
}

#[test]
fn a_view_that_was_broken_before_does_not_stop_a_rollback() {
    let root = root(1);
    let quoted = r#"CREATE VIEW quoted AS SELECT * FROM conversations WHERE status = "active""#;
    sql(root.path(), &format!("CREATE VIEW gone AS SELECT * FROM no_such_table; {quoted}"));
    let bench = opened(&[("it", "columns", r#"{ table = "conversations", add = ["archived INTEGER"] }"#)], root.path());
    let receipt = applied(&bench, "it");
    bench.rollback("it", Some(&receipt)).expect("rolls back");
    assert_eq!(ask(root.path(), "SELECT count(*) FROM pragma_table_info('conversations')"), "5");
    assert_eq!(ask(root.path(), "SELECT sql FROM sqlite_master WHERE name = 'quoted'"), quoted);

    let receipt = applied(&bench, "it");
    sql(root.path(), "CREATE VIEW theirs AS SELECT archived FROM conversations");
    assert_snapshot!(told(&bench.rollback("it", Some(&receipt)).expect_err("their view is in the way")));
}

#[test]
fn what_sqlite_cannot_add_or_a_plan_cannot_declare_is_refused_when_the_plan_is_compiled() {
    let columns = |definition: &str| refused(&format!(r#"{{ table = "t", add = ["{definition}"] }}"#), "columns");
    let tables = |sql: &str| refused(&format!(r#"{{ create = ["{sql}"] }}"#), "tables");
    let indexes = |sql: &str| refused(&format!(r#"{{ create = ["{sql}"] }}"#), "indexes");
    let all = [
        columns("a INTEGER PRIMARY KEY"),
        columns("a TEXT UNIQUE"),
        columns("a TEXT NOT NULL"),
        columns("a TEXT DEFAULT CURRENT_TIMESTAMP"),
        columns("a TEXT; DROP TABLE t"),
        columns("a TEXT, b TEXT"),
        tables("DROP TABLE t"),
        tables("CREATE TABLE t AS SELECT 1 AS a"),
        tables("CREATE INDEX i ON elsewhere(a)"),
        indexes("CREATE INDEX i ON (a)"),
        indexes("CREATE TABLE t (a)"),
    ];
    assert_snapshot!(all.join("\n"));
}

#[test]
fn a_generated_column_may_refer_to_columns_of_its_table() {
    let root = root(1);
    let with = r#"{ table = "conversations", add = ["busy INTEGER GENERATED ALWAYS AS (message_count > 2) VIRTUAL", "parent TEXT REFERENCES conversations(conversation_id)"] }"#;
    let bench = opened(&[("it", "columns", with)], root.path());
    let receipt = applied(&bench, "it");
    assert_eq!(bench.verify("it").expect("verifies"), Verdict::Holds);
    bench.rollback("it", Some(&receipt)).expect("rolls back");
}
