//! A backfill by a mapping shows the old rows on the new side, whoever writes meanwhile, and can be taken back.

use std::path::Path;

use crate::support::{ask, plan, sql};
use cutover_core::{Applied, Standing, Verdict};
use cutover_tests::{Bench, Conformance, Fixture};
use insta::assert_snapshot;
use tempfile::TempDir;

const MAPPING: &str = "
[[table]]
name = 'outputs'
old = 'artifacts'
new = 'outputs'
key = [{ old = 'id', new = 'id' }]
when = \"old.stage <> 'draft'\"
[table.forth]
content = 'old.json'
at = \"CAST(strftime('%s', old.made) AS INTEGER)\"
[table.back]
spec = 'parent.spec'
stage = 'parent.stage'
json = 'new.content'
made = { sql = \"strftime('%Y-%m-%d %H:%M:%S', new.at, 'unixepoch')\", lossy = 'seconds' }
[table.check]
at = { from = '2000-01-01', to = '2100-01-01', unit = 's' }
[table.parent]
new = 'runs'
id = 'id'
refers = 'run_id'
key = { spec = 'old.spec', stage = 'old.stage' }

[[table]]
name = 'words'
old = 'words'
new = 'terms'
key = [{ old = 'lang', new = 'lang' }, { old = 'word', new = 'term' }]
[table.forth]
n = 'old.n'
[table.back]
n = 'new.n'
";

const NEW: &str = "
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, spec TEXT NOT NULL, stage TEXT NOT NULL, UNIQUE (spec, stage));
CREATE TABLE outputs (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  content TEXT NOT NULL, at INTEGER NOT NULL);
CREATE TABLE terms (lang TEXT NOT NULL, term TEXT NOT NULL, n INTEGER, PRIMARY KEY (lang, term));
";

/// Forty artifacts in six runs, three of them drafts and two with a date that is none; twenty words.
fn system(root: &Path) {
    sql(
        root,
        "CREATE TABLE artifacts (id INTEGER PRIMARY KEY AUTOINCREMENT, spec TEXT NOT NULL, stage TEXT NOT NULL,
           json TEXT NOT NULL, made TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
         CREATE TABLE words (lang TEXT NOT NULL, word TEXT NOT NULL, n INTEGER, PRIMARY KEY (lang, word));
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
         INSERT INTO artifacts (spec, stage, json, made) SELECT 's' || (i % 3),
           CASE WHEN i IN (4, 20, 40) THEN 'draft' WHEN i % 2 THEN 'plan' ELSE 'tasks' END, 'json ' || i,
           CASE WHEN i IN (7, 30) THEN 'soon' ELSE '2025-11-13 10:00:' || (i + 10) END FROM n;
         INSERT INTO words SELECT CASE WHEN id % 2 THEN 'de' ELSE 'en' END, 'w' || (id / 2), id FROM artifacts WHERE id <= 20;",
    );
}

fn fixture(more: &str) -> Fixture {
    let with = format!(r#"{{ mapping = "m.toml"{more} }}"#);
    let steps = [("wide", "expand", r#"{ mapping = "m.toml", up = "new.sql" }"#), ("it", "backfill", with.as_str())];
    Fixture::new(plan(&steps)).file("m.toml", MAPPING).file("new.sql", NEW)
}

fn expanded(more: &str) -> (TempDir, Fixture, Bench) {
    let root = TempDir::new().expect("a temporary folder");
    system(root.path());
    let fixture = fixture(more);
    let bench = fixture.open(root.path());
    bench.apply("wide").expect("expands");
    (root, fixture, bench)
}

/// How both sides differ: old rows that should be shown and are not, and the other way round.
fn apart(root: &Path) -> String {
    ask(
        root,
        "WITH shown AS (SELECT o.id, r.spec, r.stage, o.content, o.at FROM outputs o JOIN runs r ON r.id = o.run_id),
           old AS (SELECT id, spec, stage, json, CAST(strftime('%s', made) AS INTEGER) FROM artifacts
             WHERE stage <> 'draft' AND strftime('%s', made) IS NOT NULL)
         SELECT (SELECT count(*) FROM (SELECT * FROM old EXCEPT SELECT * FROM shown)) || ' '
           || (SELECT count(*) FROM (SELECT * FROM shown EXCEPT SELECT * FROM old)) || ' '
           || (SELECT count(*) FROM (SELECT * FROM words EXCEPT SELECT * FROM terms)) || ' '
           || (SELECT count(*) FROM (SELECT * FROM terms EXCEPT SELECT * FROM words))",
    )
}

fn counts(root: &Path) -> String {
    ask(
        root,
        "SELECT (SELECT count(*) FROM outputs) || ' ' || (SELECT count(*) FROM runs) || ' ' || (SELECT count(*) FROM terms)
           || ' ' || (SELECT count(*) FROM _cutover_quarantine)",
    )
}

#[test]
fn a_backfill_by_a_mapping_keeps_the_contract() {
    let steps = [
        ("wide", "expand", r#"{ mapping = "m.toml", up = "new.sql" }"#),
        ("it", "backfill", r#"{ mapping = "m.toml", batch = 7 }"#),
    ];
    Conformance::new(plan(&steps))
        .file("m.toml", MAPPING)
        .file("new.sql", NEW)
        .root(system)
        .sabotage(|root| {
            sql(
                root,
                "UPDATE _cutover_guard SET origin = 'x'; DELETE FROM outputs WHERE id = 9; UPDATE _cutover_guard SET origin = NULL",
            );
        })
        .foreign(
            |root| sql(root, "INSERT INTO artifacts (spec, stage, json, made) VALUES ('s9', 'plan', 'theirs', '2025-11-14 00:00:00')"),
            |root| assert_eq!(ask(root, "SELECT content FROM outputs"), "theirs"),
        )
        .check();
}

#[test]
fn every_old_row_is_shown_once_with_its_parent_or_in_quarantine_with_the_reason() {
    let (root, _fixture, bench) = expanded("");
    let Ok(Applied::Changed(receipt)) = bench.apply("it") else { panic!("it applies") };
    assert_eq!(apart(root.path()), "0 0 0 0");
    assert_eq!(counts(root.path()), "35 6 20 2");
    assert_snapshot!(ask(root.path(), "SELECT group_concat(pair || ' ' || key || ' ' || reason, char(10)) FROM _cutover_quarantine"), @r"
    outputs 30 `at` is NULL
    outputs 7 `at` is NULL
    ");
    assert_eq!(receipt.rows, Some(55));
    assert_snapshot!(receipt.notes.join("\n"), @r"
    3 old rows had a new row, or are not mapped: skipped
    2 old rows do not fit and are in quarantine
    ");
    assert_eq!(bench.verify("it").expect("verifies"), Verdict::Holds);
    assert!(matches!(bench.apply("it"), Ok(Applied::AlreadyApplied(_))));
}

#[test]
fn a_crash_after_any_batch_goes_on_or_back_while_others_write_on_both_sides() {
    let (whole, _fixture, bench) = expanded("");
    bench.apply("it").expect("applies in one go");
    for stop in 1..=8_u32 {
        let (root, fixture, bench) = expanded(", batch = 6");
        let before = bench.fingerprints().expect("fingerprints");
        // The application's own rule stops the step inside a batch: what earlier batches did is durable.
        sql(
            root.path(),
            &format!(
                "CREATE TRIGGER no BEFORE INSERT ON outputs WHEN (SELECT count(*) FROM outputs) >= {0} BEGIN SELECT RAISE(ABORT, 'no'); END;
                 CREATE TRIGGER nor BEFORE INSERT ON terms WHEN (SELECT count(*) FROM terms) + 35 >= {0} BEGIN SELECT RAISE(ABORT, 'no'); END",
                stop * 6
            ),
        );
        assert!(bench.apply("it").expect_err("it is stopped").chain().contains("no"));
        bench.close().expect("closes");
        sql(root.path(), "DROP TRIGGER no; DROP TRIGGER nor");
        let guard = ask(root.path(), "SELECT coalesce(origin, 'free') FROM _cutover_guard");
        assert_eq!(guard, "free", "after {stop} batches");

        let next = fixture.open(root.path());
        assert!(matches!(next.inspect("it"), Ok(Standing::Partial(_))), "after {stop} batches");
        if stop % 2 == 0 {
            // Behind the cursor and before it, on the old side and on the new.
            sql(
                root.path(),
                "UPDATE artifacts SET json = 'edited' WHERE id IN (1, 39); DELETE FROM artifacts WHERE id IN (2, 38);
                 UPDATE artifacts SET spec = 's7' WHERE id IN (3, 37); UPDATE outputs SET content = 'new side' WHERE id = 5;
                 INSERT INTO outputs (run_id, content, at) SELECT min(id), 'made here', 1763000000 FROM runs;
                 UPDATE words SET n = n + 100 WHERE n IN (1, 20); DELETE FROM words WHERE n = 19",
            );
            next.apply("it").expect("goes on");
            assert_eq!(next.verify("it").expect("verifies"), Verdict::Holds);
            assert_eq!(apart(root.path()), "0 0 0 0", "after {stop} batches");
            let rows = ask(root.path(), "SELECT count(*) || ' ' || (SELECT count(*) FROM artifacts) FROM outputs");
            assert_eq!(rows, "34 39", "no row twice or lost, after {stop} batches");
            next.rollback("it", None).expect("rolls back without a receipt");
            assert_eq!(ask(root.path(), "SELECT count(*) FROM artifacts"), "39", "no old row is lost by the way back");
        } else {
            next.rollback("it", None).expect("rolls back without a receipt");
            let after = next.fingerprints().expect("fingerprints");
            assert_eq!(before["brain"].changes(&after["brain"]), Vec::<String>::new(), "after {stop} batches");
            assert_eq!(counts(root.path()).split(' ').next(), Some("0"));
            next.apply("it").expect("applies again");
            assert_eq!(counts(root.path()), counts(whole.path()));
        }
    }
}

#[test]
fn a_way_back_that_is_broken_off_goes_on_and_the_ledger_does_not_claim_the_step_meanwhile() {
    let (root, fixture, bench) = expanded(", batch = 6");
    let before = bench.fingerprints().expect("fingerprints");
    bench.apply("it").expect("applies");
    let receipt = bench.host().receipt("it");
    sql(
        root.path(),
        "CREATE TRIGGER no BEFORE DELETE ON outputs WHEN OLD.id = 15 BEGIN SELECT RAISE(ABORT, 'not now'); END",
    );
    assert!(bench.rollback("it", receipt.as_ref()).is_err());
    sql(root.path(), "DROP TRIGGER no");
    bench.close().expect("closes");
    let next = fixture.open(root.path());
    assert!(matches!(next.inspect("it"), Ok(Standing::Partial(_))));
    next.rollback("it", receipt.as_ref()).expect("goes on");
    let told = next.host().notes("it").join("\n");
    assert!(told.contains("is taken back in ") && told.contains("(RTO), with 0 rows lost (RPO)"), "{told}");
    let after = next.fingerprints().expect("fingerprints");
    assert_eq!(before["brain"].changes(&after["brain"]), Vec::<String>::new());
    assert_eq!(
        ask(root.path(), "SELECT count(*) FROM cutover_state WHERE key LIKE 'mirrored:%' OR key LIKE 'cursor:%'"),
        "0"
    );
    next.apply("it").expect("applies again");
    assert_eq!(apart(root.path()), "0 0 0 0");
}

#[test]
fn old_rows_of_one_batch_that_the_new_table_keeps_apart_are_quarantined() {
    let root = TempDir::new().expect("a temporary folder");
    sql(
        root.path(),
        "CREATE TABLE words (id INTEGER PRIMARY KEY AUTOINCREMENT, word TEXT);
         INSERT INTO words (word) VALUES ('a'), ('b'), ('A'), (NULL), (NULL), ('b')",
    );
    let mapping = "[[table]]\nname = 'w'\nold = 'words'\nnew = 'terms'\nkey = [{ old = 'id', new = 'id' }]\n\
        [table.forth]\nterm = 'lower(old.word)'\n[table.back]\nword = { sql = 'new.term', lossy = 'case' }\n";
    let steps = [
        ("wide", "expand", r#"{ mapping = "m.toml", up = "new.sql" }"#),
        ("it", "backfill", r#"{ mapping = "m.toml" }"#),
    ];
    let fixture = Fixture::new(plan(&steps))
        .file("m.toml", mapping)
        .file("new.sql", "CREATE TABLE terms (id INTEGER PRIMARY KEY AUTOINCREMENT, term TEXT UNIQUE);");
    let bench = fixture.open(root.path());
    bench.apply("wide").expect("expands");
    bench.apply("it").unwrap_or_else(|e| panic!("{}", e.chain()));
    assert_eq!(bench.verify("it").expect("verifies"), Verdict::Holds);
    assert_eq!(ask(root.path(), "SELECT group_concat(id || coalesce(term, '-'), ' ') FROM terms"), "1a 2b 4- 5-");
    assert_eq!(
        ask(root.path(), "SELECT group_concat(key || ' ' || reason, ', ') FROM _cutover_quarantine"),
        "3 another row has its (term), 6 another row has its (term)"
    );
}

#[test]
fn one_table_of_a_mapping_can_be_filled_and_what_is_not_expanded_is_told() {
    let (root, _fixture, bench) = expanded(", table = \"words\"");
    bench.apply("it").expect("applies");
    assert_eq!(counts(root.path()), "0 0 20 0");
    // A plan tells of what it fills, and of no other table.
    let told =
        |bench: &Bench| bench.step("it").step.describe().into_iter().map(|c| c.object).collect::<Vec<_>>().join(", ");
    assert_snapshot!(told(&bench), @"rows of table terms");
    assert_snapshot!(told(&expanded("").2), @"rows of table runs, rows of table outputs, rows of table terms");

    let bare = TempDir::new().expect("a temporary folder");
    system(bare.path());
    let error = fixture("").open(bare.path()).apply("it").expect_err("nothing is expanded");
    assert_snapshot!(format!("{}\nhelp: {}", error.chain(), error.help().unwrap_or("-")), @r"
    mapping `m` is at stage `old-only`: nothing keeps its tables in step
    help: put a `sqlite.expand` step of this mapping before it
    ");
    let mistakes = [
        fixture(", table = \"wrds\""),
        fixture(", into = \"terms\""),
        Fixture::new(plan(&[("it", "backfill", "{ into = \"t\", key = \"k\" }")])),
        Fixture::new(plan(&[(
            "it",
            "backfill",
            "{ into = \"t\", key = \"k\", rows = \"SELECT 1 AS k\", table = \"t\" }",
        )])),
    ];
    let told: Vec<String> = mistakes.iter().map(|f| f.try_compile().expect_err("it is refused").to_string()).collect();
    assert_snapshot!(told.join("\n"), @r"
    plan.toml:19:38: the mapping has no table `wrds` [P206]
    plan.toml:19:37: `into` beside `mapping` [P206]
    plan.toml:12:7: there is no `rows` [P206]
    plan.toml:14:65: `table` without a `mapping` [P206]
    ");
}
