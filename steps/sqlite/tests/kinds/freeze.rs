//! A freeze: others read and cannot write, the plan's own steps can, and it ends whatever becomes of the run.

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::support::{ask, brain, plan, sql};
use cutover_core::{Applied, Standing, StepErrorKind, Verdict};
use cutover_tests::{Bench, Conformance, Fixture};
use rusqlite::Connection;
use tempfile::TempDir;

const FREEZE: (&str, &str, &str) = ("freeze", "freeze", "{}");
const THAW: (&str, &str, &str) = ("thaw", "thaw", r#"{ freeze = "freeze" }"#);
const ROWS: (&str, &str, &str) = (
    "rows",
    "rows",
    r#"{ table = "actions", key = ["session_id"], rows = [{ session_id = "ours", turn_number = 1 }] }"#,
);
const TABLES: (&str, &str, &str) = ("tables", "tables", r#"{ create = ["CREATE TABLE reports (id INTEGER)"] }"#);

fn brain_root() -> TempDir {
    let root = TempDir::new().expect("a temporary folder");
    brain(root.path(), 3);
    root
}

fn opened(root: &TempDir, steps: &[(&str, &str, &str)]) -> Bench {
    Fixture::new(plan(steps)).open(root.path())
}

fn applied(bench: &Bench, step: &str) {
    let result = bench.apply(step);
    assert!(matches!(result, Ok(Applied::Changed(_))), "{step}: {result:?}");
    assert_eq!(bench.verify(step).expect("it verifies"), Verdict::Holds, "{step}");
}

/// What an application is told that runs `text`.
fn told(root: &Path, text: &str) -> String {
    let conn = Connection::open(root.join("brain.db")).expect("the brain opens");
    match conn.execute_batch(text) {
        Ok(()) => "done".to_owned(),
        Err(error) => error.to_string(),
    }
}

const WRITES: &[&str] = &[
    "INSERT INTO conversations (conversation_id, agent_id, start_time) VALUES ('c9', 'a', 'now')",
    "INSERT OR IGNORE INTO conversations (conversation_id, agent_id, start_time) VALUES ('c9', 'a', 'now')",
    "INSERT OR REPLACE INTO conversations (conversation_id, agent_id, start_time) VALUES ('c1', 'a', 'now')",
    "INSERT INTO conversations (conversation_id, agent_id, start_time) VALUES ('c1', 'a', 'now')
       ON CONFLICT DO UPDATE SET agent_id = 'z'",
    "UPDATE messages SET content = 'x'",
    "UPDATE OR IGNORE messages SET content = 'x' WHERE id = 1",
    "DELETE FROM messages",
    "PRAGMA recursive_triggers = ON; REPLACE INTO actions (id, session_id, turn_number) VALUES (1, 'x', 1)",
];

#[test]
fn others_read_and_cannot_write_until_the_thaw() {
    let root = brain_root();
    let bench = opened(&root, &[FREEZE, THAW]);
    applied(&bench, "freeze");
    for write in WRITES {
        let said = told(root.path(), write);
        assert!(said.starts_with("frozen by the migration `kinds`: nobody may write"), "{write}: {said}");
    }
    assert_eq!(ask(root.path(), "SELECT count(*) FROM messages"), "9");
    applied(&bench, "thaw");
    for write in WRITES {
        assert_eq!(told(root.path(), write), "done", "{write}");
    }
    assert_eq!(ask(root.path(), "SELECT count(*) FROM sqlite_master WHERE name LIKE '%freeze%'"), "0");
}

#[test]
fn steps_of_the_plan_write_under_its_freeze_and_what_they_make_is_frozen_too() {
    let root = brain_root();
    let bench = opened(&root, &[FREEZE, ROWS, TABLES, THAW]);
    for step in ["freeze", "rows", "tables"] {
        applied(&bench, step);
    }
    assert_eq!(ask(root.path(), "SELECT count(*) FROM actions WHERE session_id = 'ours'"), "1");
    assert!(told(root.path(), "INSERT INTO reports VALUES (1)").starts_with("frozen by"));
    assert_eq!(bench.verify("freeze").expect("it verifies"), Verdict::Holds);
    applied(&bench, "thaw");
    assert_eq!(told(root.path(), "INSERT INTO reports VALUES (1)"), "done");
}

#[test]
fn a_freeze_ends_with_its_lease_and_when_the_clock_is_set_back() {
    let root = brain_root();
    let bench = opened(&root, &[FREEZE, THAW]);
    applied(&bench, "freeze");
    drop(bench);
    let write = WRITES[0];
    for (over, held) in [("until = since - 1", "until = since + 30"), ("since = until", "since = until - 30")] {
        assert!(told(root.path(), write).starts_with("frozen by"));
        sql(root.path(), &format!("UPDATE _cutover_freeze SET {over}"));
        assert_eq!(told(root.path(), write), "done", "{over}");
        sql(root.path(), &format!("UPDATE _cutover_freeze SET {held}; UPDATE _cutover_freeze SET passing = 1"));
        sql(root.path(), "DELETE FROM conversations WHERE conversation_id = 'c9'");
        sql(root.path(), "UPDATE _cutover_freeze SET passing = 0");
    }
}

#[test]
fn the_lease_is_renewed_as_long_as_the_run_lives_and_no_longer() {
    let root = brain_root();
    let bench = opened(&root, &[("freeze", "freeze", r#"{ lease = "5s" }"#), THAW]);
    applied(&bench, "freeze");
    let until = || ask(root.path(), "SELECT until FROM _cutover_freeze");
    let renewed = |long: Duration| {
        let (first, begun) = (until(), Instant::now());
        while until() == first && begun.elapsed() < long {
            std::thread::sleep(Duration::from_millis(50));
        }
        until() != first
    };
    assert!(renewed(Duration::from_secs(30)), "nobody renewed the lease");
    drop(bench);
    assert!(!renewed(Duration::from_secs(4)), "somebody renewed the lease of a run that is over");
}

#[test]
fn a_lapse_of_the_lease_is_told_by_the_thaw() {
    let root = brain_root();
    let bench = opened(&root, &[FREEZE, THAW]);
    applied(&bench, "freeze");
    sql(root.path(), "UPDATE _cutover_freeze SET until = since - 1");
    assert_eq!(
        bench.verify("freeze").expect("it verifies"),
        Verdict::Broken(vec!["the lease of the freeze is over: others may write".to_owned()])
    );
    assert_eq!(told(root.path(), WRITES[0]), "done");
    applied(&bench, "thaw");
    let notes = bench.host().receipt("thaw").expect("a receipt").notes;
    assert!(notes[0].starts_with("nobody else could write for "), "{notes:?}");
    assert!(notes[1].starts_with("the lease was over 1 times before it could be renewed"), "{notes:?}");
    assert!(notes[2].starts_with("somebody else committed in that time"), "{notes:?}");
}

#[test]
fn a_transaction_under_way_is_waited_for_and_not_for_ever() {
    let root = brain_root();
    let bench = opened(&root, &[("freeze", "freeze", r#"{ wait = "300ms" }"#)]);
    let writer = Connection::open(root.path().join("brain.db")).expect("the brain opens");
    writer.execute_batch("BEGIN IMMEDIATE; DELETE FROM actions").expect("it writes");
    let error = bench.apply("freeze").expect_err("a writer is under way");
    assert_eq!(error.kind(), StepErrorKind::Busy);
    assert!(error.chain().contains("did not end in time: it is not frozen"), "{}", error.chain());
    assert_eq!(ask(root.path(), "SELECT count(*) FROM sqlite_master WHERE name LIKE '%freeze%'"), "0");

    let bench = opened(&root, &[("freeze", "freeze", r#"{ wait = "60s" }"#)]);
    let (waits, waited) = channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            waited.recv().expect("the freeze begins");
            std::thread::sleep(Duration::from_secs(1));
            writer.execute_batch("COMMIT").expect("it commits");
        });
        waits.send(()).expect("the writer waits");
        applied(&bench, "freeze");
    });
    assert_eq!(ask(root.path(), "SELECT count(*) FROM actions"), "0", "what was under way is kept");
    assert_eq!(bench.host().notes("freeze"), ["waits for a transaction of another program"]);
}

#[test]
fn a_later_run_takes_away_the_freeze_of_a_run_that_is_over() {
    let root = brain_root();
    let fixture = Fixture::new(plan(&[FREEZE, ROWS, THAW]));
    applied(&fixture.open(root.path()), "freeze");
    let later = fixture.open(root.path());
    applied(&later, "rows");
    assert_eq!(told(root.path(), WRITES[0]), "done");
    assert_eq!(ask(root.path(), "SELECT count(*) FROM sqlite_master WHERE name LIKE '%freeze%'"), "0");
    assert_eq!(ask(root.path(), "SELECT count(*) FROM cutover_ledger WHERE step = 'freeze'"), "0");
    applied(&later, "freeze");
    assert!(told(root.path(), WRITES[0]).starts_with("frozen by"));
    // What the first run's way back finds is not its own.
    applied(&later, "thaw");
}

#[test]
fn a_thaw_taken_back_leaves_a_freeze_that_is_to_be_made_again() {
    let root = brain_root();
    let bench = opened(&root, &[FREEZE, THAW]);
    applied(&bench, "freeze");
    applied(&bench, "thaw");
    bench.rollback("thaw", bench.host().receipt("thaw").as_ref()).expect("it rolls back");
    assert_eq!(told(root.path(), WRITES[0]), "done", "nobody is kept out by a way back");
    assert_eq!(ask(root.path(), "SELECT count(*) FROM cutover_ledger"), "0");
    bench.rollback("freeze", bench.host().receipt("freeze").as_ref()).expect("it rolls back");
}

#[test]
fn virtual_tables_are_refused_by_name_unless_the_plan_says_who_writes_them() {
    let root = brain_root();
    sql(
        root.path(),
        "CREATE VIRTUAL TABLE search USING fts5(content); CREATE VIRTUAL TABLE places USING rtree(id, a, b)",
    );
    let bench = opened(&root, &[("freeze", "freeze", r#"{ leave = ["Places"] }"#)]);
    let error = bench.apply("freeze").expect_err("a full-text table is open");
    assert_eq!(error.to_string(), "virtual tables cannot be frozen: `search`");
    let Ok(Standing::Conflict(why)) = bench.inspect("freeze") else { panic!("it is refused before anything is done") };
    assert!(why.starts_with("virtual tables cannot be frozen: `search`; name it in `leave`"), "{why}");

    let bench = opened(&root, &[("freeze", "freeze", r#"{ leave = ["places", "search"] }"#), THAW]);
    applied(&bench, "freeze");
    assert_eq!(told(root.path(), "INSERT INTO search VALUES ('past the freeze')"), "done");
    applied(&bench, "thaw");
    let notes = bench.host().receipt("thaw").expect("a receipt").notes;
    assert!(notes.iter().any(|n| n.starts_with("somebody else committed in that time")), "{notes:?}");
}

#[test]
fn a_name_to_leave_that_is_no_virtual_table_is_refused_by_name() {
    let root = brain_root();
    sql(root.path(), "CREATE VIRTUAL TABLE search USING fts5(content); CREATE VIEW seen AS SELECT 1");
    let leaving = |names: &str| opened(&root, &[("freeze", "freeze", &format!("{{ leave = [{names}] }}")), THAW]);
    let bench = leaving(r#""search", "Messages", "seen", "search_content""#);
    let why = "`leave` names what is no virtual table: `messages` is an ordinary table, `seen` is a view, \
               `search_content` is the inner table of a virtual one";
    assert_eq!(bench.apply("freeze").expect_err("a plain table is named").to_string(), why);
    let Ok(Standing::Conflict(told)) = bench.inspect("freeze") else { panic!("it is refused before anything is done") };
    assert!(told.starts_with(why), "{told}");

    let error = leaving(r#""serach""#).apply("freeze").expect_err("a full-text table is open");
    assert_eq!(error.to_string(), "virtual tables cannot be frozen: `search`");
    assert_eq!(error.help(), Some("`leave` names `serach`, which is not there: did you mean `search`?"));
    let error = leaving(r#""search", "mesages""#).apply("freeze").expect_err("no table is called so");
    assert_eq!(error.to_string(), "`leave` names `mesages`, which is not there");
    assert!(error.help().is_some_and(|help| help.starts_with("did you mean `messages`? That is no virtual table")));
    assert_eq!(ask(root.path(), "SELECT count(*) FROM sqlite_master WHERE name LIKE '%freeze%'"), "0");

    // A plan for several shapes of database may name what this one never had, and is told.
    let bench = leaving(r#""search", "messages_fts", "searches""#);
    applied(&bench, "freeze");
    let notes = bench.host().receipt("freeze").expect("a receipt").notes;
    let absent = ["messages_fts", "searches"].map(|name| format!("`leave` names `{name}`, which is not there"));
    assert_eq!(notes[1..], absent);
    applied(&bench, "thaw");
}

#[test]
fn ddl_of_others_under_a_freeze_is_refused_by_name_at_the_next_step() {
    let root = brain_root();
    let bench = opened(&root, &[FREEZE, ROWS]);
    applied(&bench, "freeze");
    sql(root.path(), "DROP TABLE actions; CREATE TABLE theirs (x); PRAGMA user_version = 7");
    let error = bench.apply("rows").expect_err("the schema is another one");
    assert_eq!(error.kind(), StepErrorKind::Conflict);
    let path = root.path().join("brain.db");
    assert_eq!(
        error.to_string(),
        format!(
            "others changed the schema of `{}` under the freeze: index idx_actions is gone, table actions is gone, \
             table theirs is new, user_version is new",
            path.display()
        )
    );
    bench.rollback("freeze", bench.host().receipt("freeze").as_ref()).expect("the way back is open");
    assert_eq!(told(root.path(), "INSERT INTO theirs VALUES (1)"), "done");
}

#[test]
fn a_table_whose_triggers_somebody_dropped_is_named() {
    Conformance::new(plan(&[("it", "freeze", "{}")]))
        .root(|root| brain(root, 3))
        .sabotage(|root| sql(root, "DROP TRIGGER _cutover_freeze_1"))
        .invisible("what refuses others is Cutover's own, and no fingerprint shows it")
        .no_foreign("others cannot write between apply and rollback")
        .check();
}

#[test]
fn a_thaw_keeps_the_contract() {
    Conformance::new(plan(&[FREEZE, THAW]))
        .invisible("what refuses others is Cutover's own, and no fingerprint shows it")
        .root(|root| brain(root, 3))
        .sabotage(|root| {
            sql(
                root,
                "CREATE TABLE _cutover_freeze (plan, step, run, lease, began, lapses, passed, since, until, objects);
                INSERT INTO _cutover_freeze VALUES ('p', 's', 'r', 9, 1, 0, 0, 0, 0, '{}')",
            );
        })
        .foreign(
            |root| {
                sql(
                    root,
                    "INSERT INTO conversations (conversation_id, agent_id, start_time) VALUES ('c3', 'c', 'now')",
                );
            },
            |root| assert_eq!(ask(root, "SELECT agent_id FROM conversations WHERE conversation_id = 'c3'"), "c"),
        )
        .check();
}
