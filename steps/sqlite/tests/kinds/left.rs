//! Rows that leave for a file: by age and by number, with those that refer to them, and back exactly.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{ask, plan, sql};
use cutover_core::{Applied, Receipt, Standing, Verdict};
use cutover_tests::{Bench, Conformance, Fixture};
use pollster::block_on;
use tempfile::TempDir;

/// Tables of CORTEX 2.0 that its retention policy names, with rows around the limits. The testkit's clock stands at
/// 2026-01-01 or later.
const BRAIN: &str = "
CREATE TABLE health_reports (id INTEGER PRIMARY KEY AUTOINCREMENT, created_at TIMESTAMP NOT NULL, score REAL NOT NULL);
CREATE TABLE health_issues (
  id INTEGER PRIMARY KEY AUTOINCREMENT, report_id INTEGER NOT NULL, title TEXT NOT NULL,
  FOREIGN KEY (report_id) REFERENCES health_reports(id) ON DELETE CASCADE
);
CREATE TABLE snapshots (session_id TEXT NOT NULL, turn INTEGER NOT NULL, state BLOB, UNIQUE (session_id, turn));
CREATE TABLE events (at, path TEXT, allowed INTEGER, PRIMARY KEY (path, at)) WITHOUT ROWID;
INSERT INTO health_reports VALUES
  (1, '2020-01-01 10:00:00', 0.1), (2, '2020-01-01T10:00:00.5Z', 1e300), (3, 1577873400, 2.5), (4, 1577873400123, 946831280.106803),
  (5, 'never', 5), (6, '2999-01-01 00:00:00', 6), (7, '12:00', 7);
INSERT INTO health_issues VALUES (1, 1, 'it''s one'), (2, 1, 'two' || char(10) || '-- 3'), (3, 6, 'of the future'), (4, 4, char(0) || 'nul');
INSERT INTO snapshots WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12)
  SELECT s.s, n.i, zeroblob(n.i) FROM n, (SELECT 'a' AS s UNION SELECT 'b') AS s;
DELETE FROM snapshots WHERE session_id = 'b' AND turn > 3;
INSERT INTO events VALUES ('2020-01-01', 'x', 0), ('2020-01-02', 'y', 1), ('2020-01-03', 'w', 0), (7, 'z', 0);
";

const POLICY: &str = r#"{ tables = [
    { table = "health_reports", by = "created_at", older-than = "180d", cascade = ["health_issues"] },
    { table = "snapshots", by = "turn", keep = 5, per = ["session_id"] },
    { table = "events", by = "at", older-than = "90d" } ] }"#;

const SPRING: &str = r#"{ as-of = "2020-04-01", tables = [{ table = "events", by = "at", older-than = "90d" }] }"#;

const DENIED: &str = r#"{ into = "archive/denied.sql.zst", tables = [{ table = "events", by = "at", older-than = "90d", where = "allowed = :since" }] }"#;

fn root() -> TempDir {
    let root = TempDir::new().expect("a temporary folder");
    sql(root.path(), BRAIN);
    root
}

fn opened(kind: &str, with: &str, root: &Path) -> Bench {
    Fixture::new(plan(&[("it", kind, &with.replace('\n', ""))])).open(root)
}

fn applied(bench: &Bench) -> Receipt {
    match bench.apply("it") {
        Ok(Applied::Changed(receipt)) => receipt,
        other => panic!("it applies: {other:?}"),
    }
}

/// All rows with their rowids and types.
fn all(root: &Path) -> String {
    let tables = [
        "SELECT 'r', rowid, quote(created_at), quote(score) FROM health_reports",
        "SELECT 'i', rowid, quote(report_id), quote(title) FROM health_issues",
        "SELECT 's', rowid, quote(session_id) || quote(turn), quote(state) FROM snapshots",
        "SELECT 'e', quote(at), quote(path), quote(allowed) FROM events",
    ];
    ask(
        root,
        &format!(
            "SELECT group_concat(a || b || c || d, '; ') FROM (SELECT 0 AS a, 0 AS b, 0 AS c, 0 AS d UNION ALL {} ORDER BY 1, 2)",
            tables.join(" UNION ALL ")
        ),
    )
}

fn told(error: &cutover_core::StepError) -> String {
    format!("{}; {}", error.chain(), error.help().unwrap_or_default())
}

#[test]
fn retention_keeps_the_contract() {
    Conformance::new(plan(&[("it", "retain", &POLICY.replace('\n', ""))]))
        .root(|root| sql(root, BRAIN))
        .sabotage(|root| sql(root, "INSERT INTO health_reports VALUES (1, '2020-01-01 10:00:00', 0.1)"))
        .foreign(
            |root| sql(root, "INSERT INTO health_issues (report_id, title) VALUES (6, 'theirs')"),
            |root| assert_eq!(ask(root, "SELECT count(*) FROM health_issues WHERE title = 'theirs'"), "1"),
        )
        .leaves(".cutover/steps")
        .check();
}

#[test]
fn an_archive_keeps_the_contract() {
    Conformance::new(plan(&[("it", "archive", DENIED)]))
        .root(|root| sql(root, BRAIN))
        .sabotage(|root| fs::write(root.join("archive/denied.sql.zst"), "nothing").expect("it is written"))
        .foreign(
            |root| sql(root, "INSERT INTO events VALUES ('2021-01-01', 'theirs', 0)"),
            |root| assert_eq!(ask(root, "SELECT count(*) FROM events WHERE path = 'theirs'"), "1"),
        )
        .leaves("archive")
        .check();
}

#[test]
fn what_is_too_old_or_too_many_goes_and_comes_back_exactly() {
    let root = root();
    let before = all(root.path());
    let bench = opened("retain", &POLICY.replace("tables", "batch = 2, tables"), root.path());
    let receipt = applied(&bench);
    insta::assert_snapshot!(receipt.notes.join("\n"));
    assert_eq!(ask(root.path(), "SELECT group_concat(id) FROM health_reports"), "5,6,7", "what has no time stays");
    assert_eq!(ask(root.path(), "SELECT group_concat(id) FROM health_issues"), "3");
    assert_eq!(
        ask(root.path(), "SELECT group_concat(session_id || turn) FROM (SELECT * FROM snapshots ORDER BY 1, 2)"),
        "a8,a9,a10,a11,a12,b1,b2,b3"
    );
    assert_eq!(ask(root.path(), "SELECT group_concat(path) FROM events"), "z");
    assert_eq!(bench.verify("it").expect("it verifies"), Verdict::Holds);
    assert_eq!(bench.inspect("it").expect("it is looked at"), Standing::Applied);
    sql(root.path(), "INSERT INTO snapshots VALUES ('a', 1, x'')");
    assert_eq!(bench.verify("it").expect("it verifies"), Verdict::Holds, "another row in the place of one that went");
    sql(root.path(), "DELETE FROM snapshots WHERE session_id = 'a' AND turn = 1");
    bench.rollback("it", Some(&receipt)).expect("it rolls back");
    assert_eq!(all(root.path()), before);
    assert_eq!(ask(root.path(), "SELECT count(*) FROM cutover_state WHERE key <> 'epoch'"), "0");
    assert_eq!(bench.host().notes("it"), Vec::<String>::new());
}

#[test]
fn what_a_plan_shows_of_it_asks_no_clock() {
    let shown = |with: &str| {
        let root = root();
        let bench = opened("retain", with, root.path());
        block_on(bench.step("it").step.foresee(&bench.cx("it"))).expect("it is foreseen")
    };
    assert_eq!(
        shown(POLICY),
        [
            "7 rows in health_reports; those older than 180d by created_at when it begins go",
            "7 of 15 rows of snapshots go: all but the 5 newest by turn of each session_id",
            "4 rows in events; those older than 90d by at when it begins go",
        ]
    );
    assert_eq!(shown(&POLICY.replace("snapshots", "not_there_yet")).len(), 2, "an earlier step may make it");
    assert_eq!(shown(SPRING), ["1 of 4 rows of events go: older than 90d on 2020-04-01 by at"]);
}

#[test]
fn ages_are_counted_from_the_moment_that_the_plan_names() {
    let root = root();
    let receipt = applied(&opened("retain", SPRING, root.path()));
    assert_eq!(receipt.notes[0], "1 row of events went into `.cutover/steps/kinds/it/rows-1.sql`");
    assert_eq!(ask(root.path(), "SELECT group_concat(path) FROM (SELECT path FROM events ORDER BY 1)"), "w,y,z");
}

#[test]
fn a_row_whose_place_others_took_stays_away_and_is_told() {
    let root = root();
    let bench = opened("retain", POLICY, root.path());
    let receipt = applied(&bench);
    sql(
        root.path(),
        "INSERT INTO health_reports VALUES (2, 'theirs', 0); INSERT INTO snapshots VALUES ('a', 3, 'theirs');
         INSERT INTO snapshots (rowid, session_id, turn) VALUES (1, 'c', 1)",
    );
    bench.rollback("it", Some(&receipt)).expect("it rolls back");
    insta::assert_snapshot!(bench.host().notes("it").join("\n"));
    assert_eq!(ask(root.path(), "SELECT created_at FROM health_reports WHERE id = 2"), "theirs");
    assert_eq!(ask(root.path(), "SELECT state FROM snapshots WHERE session_id = 'a' AND turn = 3"), "theirs");
    assert_eq!(
        ask(root.path(), "SELECT count(*) FROM snapshots"),
        "16",
        "a rowid that is taken is no reason to stay away"
    );
}

#[test]
fn a_stop_and_a_way_back_from_the_middle() {
    let root = root();
    let before = all(root.path());
    let bench = opened("retain", &POLICY.replace("tables", "batch = 1, tables"), root.path());
    bench.host().stop_after(3);
    let Ok(Applied::Stopped(checkpoint)) = bench.apply("it") else { panic!("it stops") };
    assert_eq!(
        bench.inspect("it").expect("it is looked at"),
        Standing::Partial(format!("{} are taken out", checkpoint.at))
    );
    bench.host().set_stop(false);
    // What a batch that was never committed wrote behind.
    let file = bench.state().join("steps/kinds/it/rows-1.sql");
    let mut text = fs::read(&file).expect("it is there");
    text.extend_from_slice(b"-- 999\nINSERT INTO");
    fs::write(&file, text).expect("it is written");
    applied(&bench);
    assert_eq!(bench.verify("it").expect("it verifies"), Verdict::Holds);
    let receipt = bench.host().receipt("it");
    bench.rollback("it", receipt.as_ref()).expect("it rolls back");
    assert_eq!(all(root.path()), before);
    bench.host().stop_after(2);
    let Ok(Applied::Stopped(_)) = bench.apply("it") else { panic!("it stops") };
    bench.rollback("it", None).expect("it rolls back");
    assert_eq!(all(root.path()), before);
}

#[test]
fn a_damaged_file_is_told_and_nothing_of_it_is_put_back() {
    let root = root();
    let bench = opened("retain", POLICY, root.path());
    let receipt = applied(&bench);
    let (file, after) = (bench.state().join("steps/kinds/it/rows-1.sql"), all(root.path()));
    let whole = fs::read_to_string(&file).expect("it is there");
    fs::write(&file, whole.replace("0.10", "0.11").replace("'x'", "'v'")).expect("it is written");
    let error = bench.rollback("it", Some(&receipt)).expect_err("it is refused");
    assert!(error.to_string().ends_with("is not as this step left it"), "{error}");
    assert_eq!(all(root.path()), after);
    assert!(matches!(bench.verify("it"), Ok(Verdict::Broken(_))));
    fs::write(&file, whole).expect("it is written");
    bench.rollback("it", Some(&receipt)).expect("it rolls back");
}

#[test]
fn what_nobody_answered_for_is_refused_before_anything_goes() {
    let refused = |with: &str, more: &str| {
        let root = root();
        sql(root.path(), more);
        let before = all(root.path());
        let error = opened("retain", with, root.path()).apply("it").expect_err("it is refused");
        assert_eq!(all(root.path()), before);
        told(&error)
    };
    let reports = |more: &str| {
        format!(r#"{{ tables = [{{ table = "health_reports", by = "created_at", older-than = "1d"{more} }}] }}"#)
    };
    let cascade = reports(r#", cascade = ["health_issues"]"#);
    let lines = [
        refused(&reports(""), ""),
        refused(
            &cascade,
            "CREATE TABLE notes (issue INTEGER REFERENCES health_issues ON DELETE SET NULL); INSERT INTO notes VALUES (2)",
        ),
        refused(&cascade, "CREATE TRIGGER told AFTER DELETE ON health_issues BEGIN SELECT 1; END"),
        refused(&reports(r#", cascade = ["events"]"#), ""),
        refused(r#"{ tables = [{ table = "snapshots", by = "turns", keep = 1 }] }"#, ""),
        refused(r#"{ tables = [{ table = "snapshot", by = "turn", keep = 1 }] }"#, ""),
        refused(
            r#"{ tables = [{ table = "seen", by = "turn", keep = 1 }] }"#,
            "CREATE VIEW seen AS SELECT * FROM snapshots",
        ),
    ];
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn triggers_that_undo_each_other_may_run() {
    let root = root();
    sql(
        root.path(),
        "CREATE VIRTUAL TABLE found USING fts5(title, content='health_issues', content_rowid='id');
         INSERT INTO found(found) VALUES ('rebuild');
         CREATE TRIGGER i AFTER INSERT ON health_issues BEGIN INSERT INTO found(rowid, title) VALUES (NEW.id, NEW.title); END;
         CREATE TRIGGER d AFTER DELETE ON health_issues BEGIN INSERT INTO found(found, rowid, title) VALUES ('delete', OLD.id, OLD.title); END;",
    );
    let before = all(root.path());
    let with = r#"{ tables = [{ table = "health_reports", by = "created_at", older-than = "1d", cascade = ["health_issues"], triggers = ["i", "D"] }] }"#;
    let bench = opened("retain", with, root.path());
    let receipt = applied(&bench);
    let hits = || ask(root.path(), "SELECT count(*) FROM found WHERE found MATCH 'two'");
    assert_eq!(hits(), "0");
    bench.rollback("it", Some(&receipt)).expect("it rolls back");
    assert_eq!((hits().as_str(), all(root.path()) == before), ("1", true));
    sql(root.path(), "INSERT INTO found(found) VALUES ('integrity-check')");
}

#[test]
fn a_mistake_in_a_rule_is_told_when_the_plan_is_compiled() {
    let mistake = |rule: &str| {
        let text = plan(&[("it", "retain", &format!("{{ tables = [{rule}] }}"))]);
        let errors = Fixture::new(text).try_compile().expect_err("it is refused");
        let all =
            errors.diagnostics.iter().map(|e| format!("{}; {}", e.message, e.help.as_deref().unwrap_or_default()));
        all.collect::<Vec<_>>().join("\n")
    };
    let rule = |more: &str| mistake(&format!(r#"{{ table = "t", by = "at"{more} }}"#));
    let lines = [
        mistake(""),
        rule(""),
        rule(r#", keep = 1, older-than = "1d""#),
        rule(r#", older-than = "1 year""#),
        rule(r#", older-than = "1d", per = ["a"]"#),
        rule(r#", keep = 1, where = "1; DROP TABLE t""#),
        rule(r#", keep = 1, cascade = ["cutover_state"]"#),
    ];
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn an_archive_is_loaded_again_by_the_command_that_its_first_lines_tell() {
    let root = root();
    let before = all(root.path());
    let bench = opened("archive", DENIED, root.path());
    let receipt = applied(&bench);
    assert_eq!(
        receipt.notes,
        ["2 rows of events went into `archive/denied.sql.zst`", "1 row of events without a time in at: kept"]
    );
    let tools = ["zstd", "sqlite3"].map(|tool| Command::new(tool).arg("--version").output().is_ok());
    if tools == [true, true] {
        let command =
            "zstd -dc archive/denied.sql.zst | sqlite3 brain.db && zstd -dc archive/denied.sql.zst | head -2 | tail -1";
        let out = Command::new("sh").args(["-c", command]).current_dir(root.path()).output().expect("it runs");
        assert_eq!(String::from_utf8_lossy(&out.stdout), "-- Load it with: zstd -dc FILE | sqlite3 DATABASE\n");
        assert_eq!(all(root.path()), before, "{}", String::from_utf8_lossy(&out.stderr));
        let again = Verdict::Broken(vec!["table events: expected none of the rows that went, found 2".to_owned()]);
        assert_eq!(bench.verify("it").expect("it verifies"), again);
        sql(root.path(), "DELETE FROM events WHERE allowed = 0 AND at LIKE '2020%'");
    } else {
        assert!(std::env::var_os("CI").is_none(), "zstd and sqlite3 are not installed");
        println!("zstd or sqlite3 is not installed: the command was not tried");
    }
    bench.rollback("it", Some(&receipt)).expect("it rolls back");
    assert_eq!(all(root.path()), before);
    assert!(root.path().join("archive/denied.sql.zst.rolled-back").exists());
    applied(&bench);
    fs::write(root.path().join("archive/denied.sql.zst"), "somebody's").expect("it is written");
    let text = plan(&[("other", "archive", DENIED)]);
    let Ok(Standing::Conflict(why)) = Fixture::new(text).open(root.path()).inspect("other") else {
        panic!("a conflict")
    };
    assert_eq!(
        why,
        "`archive/denied.sql.zst` is there already and is no archive of this step; move that file away, or choose another `into`"
    );
}
