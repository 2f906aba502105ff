//! A check says all that is wrong, what was wrong before, and changes no byte.

use std::path::Path;

use crate::support::{brain, plan, sql};
use cutover_core::{Applied, Receipt, Standing, StepError, Verdict};
use cutover_tests::{Bench, Fixture, Tree};
use insta::assert_snapshot;
use pollster::block_on;
use tempfile::TempDir;

fn opened(steps: &[(&str, &str, &str)], root: &Path) -> Bench {
    Fixture::new(plan(steps)).file("expected.sql", EXPECTED).open(root)
}

const EXPECTED: &str = "CREATE TABLE actions (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, \
    turn_number INTEGER NOT NULL, description TEXT NOT NULL);\nCREATE INDEX idx_conv_agent ON conversations(agent_id DESC);";

fn root(messages: u32) -> TempDir {
    let root = TempDir::new().expect("a temporary folder");
    brain(root.path(), messages);
    root
}

fn told(error: &StepError) -> String {
    format!("{}\nhelp: {}", error.chain().replace("; ", ";\n"), error.help().unwrap_or("-"))
}

fn applied(bench: &Bench, id: &str) -> Receipt {
    match bench.apply(id) {
        Ok(Applied::Changed(receipt)) => receipt,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_failure_is_told_at_once() {
    let root = root(5);
    let with = r#"{ tables = { conversations = ["agent", "status"], conversation = [] }, indexes = ["idx_none"], schema = "expected.sql",
        scalars = [{ name = "at least", sql = "SELECT count(*) FROM conversations", min = 3 }, { name = "broken", sql = "SELECT nothing", max = 1 },
            { name = "text", sql = "SELECT status FROM conversations", equals = "done" }, { name = "writes", sql = "DELETE FROM messages", equals = 1 }],
        foreign-keys = true, fts = ["messages", "no_fts"], latency = [{ name = "never", sql = "SELECT * FROM messages", p95-ms = -1, runs = 1 }] }"#;
    let bench = opened(&[("it", "check", &with.replace('\n', ""))], root.path());
    let text = told(&bench.apply("it").expect_err("it fails"));
    let (measured, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|l| l.starts_with("latency"));
    assert_snapshot!(rest.join("\n"));
    assert!(
        measured[0].starts_with("latency `never`: expected at most -1 ms in 95 of 100 runs, found "),
        "{measured:?}"
    );
}

#[test]
fn what_was_wrong_before_is_no_failure_and_what_came_since_is() {
    let root = root(5);
    sql(
        root.path(),
        "CREATE VIRTUAL TABLE words USING fts5(content, content='messages', content_rowid='id');
         CREATE VIRTUAL TABLE sound USING fts5(content); INSERT INTO sound VALUES ('a b');
         INSERT INTO words(rowid, content) VALUES (1, 'not what the message says');",
    );
    let looks = r#"integrity = true, foreign-keys = true, fts = ["words", "sound"]"#;
    let steps = [
        ("before", "check", &*format!("{{ {looks}, take-baseline = true }}")),
        ("after", "check", &*format!("{{ {looks}, baseline = \"before\" }}")),
        ("alone", "check", &*format!("{{ {looks} }}")),
    ];
    let files = Tree::of(root.path());
    let bench = opened(&steps, root.path());
    assert_snapshot!("missing", told(&bench.apply("after").expect_err("no baseline yet")));
    let baseline = applied(&bench, "before");
    assert_snapshot!("baseline", baseline.notes.join("\n"));
    assert_snapshot!("inherited", applied(&bench, "after").notes.join("\n"));
    assert_snapshot!("alone", told(&bench.apply("alone").expect_err("without a baseline each is a failure")));
    assert_eq!(bench.verify("before").expect("verifies"), Verdict::Holds);
    let host = bench.close().expect("closes");
    assert_eq!(files, Tree::of(root.path()), "not a byte changed");

    sql(
        root.path(),
        "PRAGMA foreign_keys = OFF; INSERT INTO messages (conversation_id, turn, content) VALUES ('lost', 1, 'x'), ('evicted', 9, 'y')",
    );
    let bench = Fixture::new(plan(&steps)).open_with(root.path(), host);
    assert_snapshot!("introduced", told(&bench.apply("after").expect_err("two are new")));
}

#[test]
fn a_schema_that_the_plan_does_not_know_is_refused_with_its_tables() {
    let root = TempDir::new().expect("a temporary folder");
    sql(
        root.path(),
        "CREATE TABLE tier1_conversations (conversation_id TEXT PRIMARY KEY, topic TEXT); CREATE TABLE events (event_id TEXT)",
    );
    let with = r#"{ any-of = [["table:conversations", "column:conversations.agent_id"], ["empty"]] }"#;
    let bench = opened(&[("it", "check", with)], root.path());
    let Ok(Standing::Conflict(why)) = bench.inspect("it") else { panic!("{:?}", bench.inspect("it")) };
    let place = root.path().canonicalize().expect("the root");
    assert_snapshot!(why.replace(&place.display().to_string(), "ROOT"));
}

const ENDLESS: &str = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";

#[test]
fn a_query_that_does_not_end_is_stopped_and_fails_the_check_after_its_seconds() {
    let root = root(1);
    let with = format!(
        r#"{{ scalars = [{{ name = "endless", sql = "{ENDLESS}", min = 1 }}, {{ name = "two", sql = "SELECT 2", equals = 3 }}],
            latency = [{{ name = "never", sql = "{ENDLESS}", p95-ms = 1 }}, {{ name = "quick", sql = "SELECT 1", p95-ms = 500 }}], seconds = 1 }}"#
    );
    let bench = opened(&[("it", "check", &with.replace('\n', ""))], root.path());
    assert_snapshot!(told(&bench.apply("it").expect_err("it fails")));
}

#[test]
fn a_stop_ends_a_check_that_does_not_end_and_lets_a_quick_one_finish() {
    let root = root(1);
    let endless = format!(r#"{{ latency = [{{ name = "never", sql = "{ENDLESS}", p95-ms = 1 }}], integrity = true }}"#);
    let quick =
        r#"{ scalars = [{ name = "one", sql = "SELECT 1", equals = 1 }], fts = ["messages"], take-baseline = true }"#;
    let bench = opened(&[("it", "check", &endless), ("quick", "check", quick)], root.path());
    bench.host().set_stop(true);
    let Ok(Applied::Stopped(_)) = bench.apply("it") else { panic!("it stops") };
    bench.verify("it").expect_err("it stops");
    applied(&bench, "quick");
}

#[test]
fn a_stop_ends_a_measure_that_does_not_end() {
    let root = root(1);
    let bench = opened(&[("it", "check", r#"{ integrity = true }"#)], root.path());
    bench.host().set_stop(true);
    let measure = |query: &str| block_on(bench.target("brain").measure(&bench.cx("it"), query));
    assert!((measure("SELECT 4").expect("it ends in time") - 4.0).abs() < f64::EPSILON);
    let error = measure(ENDLESS).expect_err("it stops");
    assert!(error.to_string().ends_with("it was stopped"), "{error}");
    assert!((measure("SELECT 4").expect("the connection still serves") - 4.0).abs() < f64::EPSILON);
}

#[test]
fn a_check_without_a_second_is_refused() {
    let error = Fixture::new(plan(&[("it", "check", "{ integrity = true, seconds = 0 }")])).try_compile();
    let error = format!("{:?}", error.expect_err("it is refused"));
    assert!(error.contains("`seconds` is 0"), "{error}");
}
