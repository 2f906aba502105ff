//! What parity finds, on both ways of looking, beside what SQLite says when it compares the whole tables at once.

use rusqlite::Connection;

use super::{Asked, Report, parity};
use crate::mapping::Mapping;

const MAPPING: &str = r#"
name = "consensus"
[[table]]
name = "outputs"
old = "artifacts"
new = "outputs"
key = [{ old = "id", new = "id" }]
when = "old.stage <> 'draft'"
[table.forth]
agent = "old.agent"
content = "old.content_json"
at = "CAST(strftime('%s', old.created_at) AS INTEGER) * 1000"
[table.back]
spec = "parent.spec"
stage = "parent.stage"
agent = "new.agent"
content_json = "new.content"
created_at = { sql = "strftime('%Y-%m-%d %H:%M:%S', new.at / 1000, 'unixepoch')", lossy = "seconds" }
[table.check]
at = { from = "2000-01-01", to = "2100-01-01", unit = "ms" }
[table.parent]
new = "runs"
id = "id"
refers = "run"
key = { spec = "old.spec", stage = "old.stage", at = "CAST(strftime('%s', old.created_at) AS INTEGER) * 1000" }
set = { ok = "1" }
"#;

const TABLES: &str = "
CREATE TABLE artifacts (id INTEGER PRIMARY KEY AUTOINCREMENT, spec TEXT NOT NULL, stage TEXT NOT NULL, agent TEXT NOT NULL,
  content_json TEXT NOT NULL, response TEXT, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, spec TEXT, stage TEXT, at INTEGER, ok BOOLEAN, UNIQUE (spec, stage, at));
CREATE TABLE outputs (id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, agent TEXT NOT NULL COLLATE NOCASE,
  model TEXT, content TEXT NOT NULL, at INTEGER NOT NULL);
CREATE TABLE _cutover_quarantine (pair TEXT, side TEXT, key TEXT, reason TEXT, row TEXT, at TEXT, PRIMARY KEY (pair, side, key));
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
INSERT INTO artifacts (spec, stage, agent, content_json, response, created_at)
  SELECT 'S' || (i / 100), 'plan', 'a' || (i % 4), 'content ' || i, CASE WHEN i % 500 = 0 THEN 'said' END,
    CASE i % 3 WHEN 0 THEN strftime('%Y-%m-%dT%H:%M:%SZ', 1763000000 + i, 'unixepoch')
      ELSE datetime(1763000000 + i, 'unixepoch') END FROM n;
INSERT INTO artifacts (spec, stage, agent, content_json) VALUES ('S1', 'draft', 'a', 'not mapped');
INSERT INTO runs (spec, stage, at, ok)
  SELECT DISTINCT spec, stage, CAST(strftime('%s', created_at) AS INTEGER) * 1000, 1 FROM artifacts WHERE stage <> 'draft';
INSERT INTO outputs (id, run, agent, content, at)
  SELECT a.id, r.id, a.agent, a.content_json, r.at FROM artifacts a JOIN runs r ON r.spec = a.spec AND r.stage = a.stage
    AND r.at = CAST(strftime('%s', a.created_at) AS INTEGER) * 1000 WHERE a.stage <> 'draft';
";

fn database() -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(TABLES).unwrap();
    conn
}

fn mapping() -> Mapping {
    Mapping::of(MAPPING)
}

fn look(conn: &Connection, asked: &Asked) -> Report {
    parity(conn, &mapping(), asked, &|_, _| {}).unwrap()
}

/// The failures after `sql`, the same whichever way it is looked.
fn failures(sql: &str) -> String {
    let conn = database();
    conn.execute_batch(sql).unwrap();
    let thorough = look(&conn, &Asked::default());
    let quick = look(&conn, &Asked { quick: true, ..Asked::default() });
    assert_eq!(thorough.failures, quick.failures);
    thorough.failures.join("\n")
}

#[test]
fn two_schemas_that_show_the_same_pass_and_what_is_lost_on_a_way_is_told() {
    let report = look(&database(), &Asked::default());
    assert_eq!((report.failures.as_slice(), report.rows), ([].as_slice(), 2500));
    insta::assert_snapshot!(report.notes.join("\n"));
}

#[test]
fn each_sort_of_difference_is_told_with_its_first_rows() {
    insta::assert_snapshot!("missing", failures("DELETE FROM outputs WHERE id IN (7, 1500, 1501, 2500)"));
    insta::assert_snapshot!(
        "unlike",
        failures("UPDATE outputs SET content = 'x' || content, agent = 'A1' WHERE id = 1001")
    );
    insta::assert_snapshot!("surplus", failures("INSERT INTO outputs VALUES (9000, 1, 'a', NULL, 'x', 1763000001000)"));
    insta::assert_snapshot!("orphan", failures("DELETE FROM runs WHERE id = 12"));
    insta::assert_snapshot!("seconds", failures("UPDATE outputs SET at = at / 1000 WHERE id = 5"));
    insta::assert_snapshot!("unmapped", failures("UPDATE artifacts SET stage = 'draft' WHERE id = 77"));
    insta::assert_snapshot!("nothing-there", failures("DELETE FROM outputs"));
}

#[test]
fn a_new_time_with_more_than_the_old_column_holds_is_no_difference() {
    assert_eq!(failures("UPDATE outputs SET at = at + 321 WHERE id < 1200"), "");
    let moved = failures("UPDATE outputs SET at = at + 1000 WHERE id = 3");
    assert!(
        moved.contains("created_at is \"2025-11-13 02:13:23\" and would come back as \"2025-11-13 02:13:24\""),
        "{moved}"
    );
}

#[test]
fn a_column_that_loses_without_the_mapping_saying_so_is_a_difference() {
    let conn = database();
    let text = MAPPING.replace(", lossy = \"seconds\"", "");
    let mapping = Mapping::of(&text);
    let report = parity(&conn, &mapping, &Asked::default(), &|_, _| {}).unwrap();
    assert!(report.failures[0].starts_with("outputs: 833 rows of `artifacts` are otherwise"), "{:?}", report.failures);
}

#[test]
fn rows_in_quarantine_are_named_and_pass_only_by_leave() {
    let sql = "UPDATE artifacts SET created_at = 'garbage' WHERE id = 150; DELETE FROM outputs WHERE id = 150;
        INSERT INTO _cutover_quarantine VALUES ('outputs', 'old', quote(150), 'at is NULL', '{}', '')";
    insta::assert_snapshot!(failures(sql));
    let conn = database();
    conn.execute_batch(sql).unwrap();
    let allowed = look(&conn, &Asked { quarantined: 1, ..Asked::default() });
    assert_eq!(allowed.failures, [""; 0]);
    assert!(allowed.notes[0].contains("150 of `artifacts` (at is NULL)"), "{:?}", allowed.notes);
}

#[test]
fn keys_of_several_columns_and_of_text_are_cut_into_ranges_too() {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(
        "CREATE TABLE o (a TEXT COLLATE NOCASE, b INTEGER, v TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
         CREATE TABLE n (x TEXT, y INTEGER, w TEXT, PRIMARY KEY (x, y));
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
         INSERT INTO o SELECT CASE i % 2 WHEN 0 THEN 'k' ELSE 'K' END || (i % 50), i, 'v' || i FROM n;
         INSERT INTO n SELECT a, b, v FROM o; DELETE FROM n WHERE y IN (1, 2500, 5000); UPDATE n SET w = 'W' WHERE y = 77;
         INSERT INTO n VALUES ('a', 0, 'first'), ('z', 0, 'last')",
    )
    .unwrap();
    let text = "[[table]]\nname = 'p'\nold = 'o'\nnew = 'n'\nkey = [{ old = 'a', new = 'x' }, { old = 'b', new = 'y' }]\n\
        [table.forth]\nw = 'old.v'\n[table.back]\nv = 'new.w'\n";
    let mapping = Mapping::of(text);
    for quick in [false, true] {
        let report = parity(&conn, &mapping, &Asked { quick, ..Asked::default() }, &|_, _| {}).unwrap();
        assert_eq!(
            report.failures,
            [
                "p: 3 rows of `o` are not in `n`: a \"K1\", b 1; a \"k0\", b 2500; a \"k0\", b 5000",
                "p: 1 row of `o` is otherwise in `n`: a \"K27\", b 77, v is \"v77\" and would come back as \"W\"",
                "p: 2 rows of `n` are not in `o`: x \"a\", y 0; x \"z\", y 0",
            ]
        );
    }
}

const WORDS: &str = "[[table]]\nname = 'words'\nold = 'words'\nnew = 'terms'\nkey = [{ old = 'word', new = 'term' }]\n\
    when = 'old.n < 10'\n[table.forth]\nn = 'old.n'\n[table.back]\nn = 'new.n'\n";

/// 5,000 words of which ten are mapped, by a key that is unique whatever its case.
fn words() -> (Connection, Mapping) {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(
        "CREATE TABLE words (word TEXT PRIMARY KEY COLLATE NOCASE, n INTEGER);
         CREATE TABLE terms (term TEXT PRIMARY KEY COLLATE NOCASE, n INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4999)
         INSERT INTO words SELECT CASE i % 2 WHEN 0 THEN 'w' ELSE 'W' END || printf('%05d', i * 7 % 5000), i FROM n;
         INSERT INTO terms SELECT word, n FROM words WHERE n < 10;",
    )
    .unwrap();
    (conn, Mapping::of(WORDS))
}

#[test]
fn a_range_ends_by_the_rows_that_are_visited() {
    let (conn, mapping) = words();
    let sides = super::Sides::of(&conn, &mapping.pairs[0]).unwrap();
    let mut rows = Vec::new();
    let mut range = Some(super::Range::first(&conn, &sides, 1000).unwrap());
    while let Some(at) = range {
        let part = at.part(&sides);
        let sql = format!("SELECT count(*) FROM words AS old WHERE 1{}", part.old);
        let count: i64 = conn.query_row(&sql, rusqlite::params_from_iter(&part.values), |row| row.get(0)).unwrap();
        rows.push(count);
        range = at.next(&conn, &sides, 1000).unwrap();
    }
    assert_eq!(rows.iter().sum::<i64>(), 5000);
    assert!(rows.iter().all(|rows| *rows <= 1000) && rows.len() >= 5, "{rows:?}");
}

#[test]
fn a_key_is_walked_by_its_own_collation_and_compared_byte_by_byte() {
    let (conn, mapping) = words();
    let sides = super::Sides::of(&conn, &mapping.pairs[0]).unwrap();
    let second = super::Range::first(&conn, &sides, 1000).unwrap().next(&conn, &sides, 1000).unwrap().unwrap();
    let part = second.part(&sides);
    for (side, from) in [(&part.old, "words AS old"), (&part.new, "terms AS new")] {
        let plan: String = conn
            .query_row(
                &format!("EXPLAIN QUERY PLAN SELECT 1 FROM {from} WHERE 1{}", side),
                rusqlite::params_from_iter(&part.values),
                |row| row.get(3),
            )
            .unwrap();
        assert!(plan.starts_with("SEARCH"), "{plan}");
    }
    assert_eq!(parity(&conn, &mapping, &Asked::default(), &|_, _| {}).unwrap().failures, Vec::<String>::new());
    conn.execute_batch("UPDATE terms SET term = upper(term) WHERE n = 4").unwrap();
    let found = parity(&conn, &mapping, &Asked::default(), &|_, _| {}).unwrap().failures.join("; ");
    assert!(
        found.contains("1 row of `words` is not in `terms`: word \"w00028\"") && found.contains("W00028"),
        "{found}"
    );
}
