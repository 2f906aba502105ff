//! What happens to rows while their old table is gone: each comes back as its new row says.

use std::path::Path;

use crate::support::{ask, plan, sql};
use cutover_core::{Applied, Standing, Verdict};
use cutover_tests::{Bench, Fixture};
use tempfile::TempDir;

const MAPPING: &str = "
[[table]]
name = 'notes'
old = 'notes'
new = 'remarks'
key = [{ old = 'id', new = 'id' }]
[table.forth]
body = 'old.text'
tag = 'old.tag'
[table.back]
text = 'new.body'
tag = 'new.tag'
";

const NEW: &str = "CREATE TABLE remarks (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT, tag TEXT);";

const OLD: &str = "
CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, tag TEXT UNIQUE, colour TEXT DEFAULT 'red');
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12)
INSERT INTO notes (text, tag, colour) SELECT 'text ' || i, 'tag ' || i, 'colour ' || i FROM n;
";

const STEPS: [&str; 6] = ["wide", "fill", "readers", "writers", "copy", "gone"];

/// The steps of a way up to contract, with that mapping; each allows ten rows in quarantine.
fn open(mapping: &str, new: &str, old: &str) -> (TempDir, Bench) {
    opened(mapping, new, old, false)
}

/// The same, with its end.
fn opened(mapping: &str, new: &str, old: &str, ends: bool) -> (TempDir, Bench) {
    let root = TempDir::new().expect("a temporary folder");
    sql(root.path(), old);
    let to = |stage: &str| format!(r#"{{ mapping = "m.toml", to = "{stage}", quarantined = 10 }}"#);
    let text = plan(&[
        ("wide", "expand", r#"{ mapping = "m.toml", up = "new.sql" }"#),
        ("fill", "backfill", r#"{ mapping = "m.toml" }"#),
        ("readers", "cutover", &to("prefer-new")),
        ("writers", "cutover", &to("new-only")),
    ]) + "[[phase.step]]\nid = \"copy\"\nuse = \"testkit.snapshot\"\nwith = { targets = [\"brain\"] }\n\
          [[phase.step]]\nid = \"gone\"\nuse = \"sqlite.contract\"\ntarget = \"brain\"\nwith = { mapping = \"m.toml\", quarantined = 10 }\n";
    let end = "[[phase.step]]\nid = \"end\"\nuse = \"sqlite.retire\"\ntarget = \"brain\"\nirreversible = \"it is long ago\"\n\
        with = { mapping = \"m.toml\", one-way = true }\n";
    let text = if ends { text + end } else { text };
    let bench = Fixture::new(text).file("m.toml", mapping).file("new.sql", new).open(root.path());
    (root, bench)
}

fn applied(bench: &Bench, step: &str) {
    let result = bench.apply(step);
    assert!(matches!(result, Ok(Applied::Changed(_))), "{step}: {result:?}");
    assert_eq!(bench.verify(step).expect(step), Verdict::Holds, "{step}");
}

fn back(bench: &Bench, step: &str) {
    let receipt = bench.host().receipt(step);
    bench.rollback(step, receipt.as_ref()).unwrap_or_else(|e| panic!("{step}: {}", e.chain()));
}

fn rows(root: &Path) -> String {
    ask(
        root,
        "SELECT group_concat(id || ' ' || quote(text) || ' ' || quote(tag) || ' ' || quote(colour), char(10)) FROM (SELECT * FROM notes ORDER BY id)",
    )
}

fn quarantine(root: &Path) -> String {
    ask(
        root,
        "SELECT group_concat(key || ' ' || shown || ' ' || reason || ' ' || row, char(10)) \
         FROM (SELECT * FROM _cutover_quarantine ORDER BY CAST(key AS INTEGER))",
    )
}

/// New rows that cannot be shown on the old side (a NULL, and a tag that another has): nine of old rows, three of their own.
fn spoilt(root: &Path) {
    sql(
        root,
        "UPDATE remarks SET body = NULL, tag = 'lost ' || id WHERE id < 9; UPDATE remarks SET tag = 'tag 12' WHERE id = 9;
         INSERT INTO remarks (id, body) VALUES (20, NULL), (21, NULL), (22, NULL)",
    );
}

#[test]
fn rows_in_quarantine_come_back_as_they_were_where_nobody_wrote_them() {
    let (root, bench) = open(MAPPING, NEW, OLD);
    STEPS[..3].iter().for_each(|step| applied(&bench, step));
    spoilt(root.path());
    sql(root.path(), "DELETE FROM remarks WHERE id > 20");
    let before = (
        rows(root.path()),
        ask(root.path(), "SELECT group_concat(quote(row) || at || reason || shown || key) FROM _cutover_quarantine"),
    );
    assert_eq!(ask(root.path(), "SELECT count(*) FROM _cutover_quarantine"), "10");
    STEPS[3..].iter().for_each(|step| applied(&bench, step));
    back(&bench, "gone");
    let after = (
        rows(root.path()),
        ask(root.path(), "SELECT group_concat(quote(row) || at || reason || shown || key) FROM _cutover_quarantine"),
    );
    assert_eq!(after, before);
}

#[test]
fn rows_in_quarantine_follow_what_became_of_their_new_rows_after_contract() {
    let (root, bench) = open(MAPPING, NEW, OLD);
    STEPS[..2].iter().for_each(|step| applied(&bench, step));
    spoilt(root.path());
    sql(root.path(), "DELETE FROM remarks WHERE id IN (8, 22)");
    STEPS[2..].iter().for_each(|step| applied(&bench, step));
    sql(
        root.path(),
        "DELETE FROM remarks WHERE id = 1;
         UPDATE remarks SET body = 'mended' WHERE id = 2;
         UPDATE remarks SET tag = 'lost again' WHERE id = 4;
         UPDATE remarks SET id = 50, body = 'moved' WHERE id = 5;
         DELETE FROM remarks WHERE id = 6; INSERT INTO remarks (id, body) VALUES (6, 'anew');
         UPDATE remarks SET id = 70 WHERE id = 7;
         UPDATE remarks SET tag = 'free' WHERE id = 12; UPDATE remarks SET body = 'text nine' WHERE id = 9;
         UPDATE remarks SET body = 'mended too' WHERE id = 20; DELETE FROM remarks WHERE id = 21;
         INSERT INTO remarks (id, body) VALUES (30, NULL)",
    );
    back(&bench, "gone");
    insta::assert_snapshot!(rows(root.path()), @"
    2 'mended' 'lost 2' 'colour 2'
    3 'text 3' 'tag 3' 'colour 3'
    4 'text 4' 'tag 4' 'colour 4'
    6 'anew' NULL 'red'
    9 'text nine' 'tag 12' 'colour 9'
    10 'text 10' 'tag 10' 'colour 10'
    11 'text 11' 'tag 11' 'colour 11'
    12 'text 12' 'free' 'colour 12'
    20 'mended too' NULL 'red'
    50 'moved' 'lost 5' 'colour 5'
    ");
    insta::assert_snapshot!(quarantine(root.path()), @r#"
    3 1 `text` is NULL {"id":3,"body":null,"tag":"lost 3"}
    4 1 NOT NULL constraint failed: notes.text {"id":4,"body":null,"tag":"lost again"}
    30 0 NOT NULL constraint failed: notes.text {"id":30,"body":null,"tag":null}
    70 0 NOT NULL constraint failed: notes.text {"id":70,"body":null,"tag":"lost 7"}
    "#);
    // Both sides are in step again, and go on together.
    sql(
        root.path(),
        "UPDATE remarks SET body = 'at last' WHERE id = 3; UPDATE remarks SET body = 'there' WHERE id = 70",
    );
    back(&bench, "writers");
    assert_eq!(
        ask(
            root.path(),
            "SELECT group_concat(text || colour) FROM (SELECT * FROM notes WHERE id IN (3, 70) ORDER BY id)"
        ),
        "at lastcolour 3,therered"
    );
    applied(&bench, "writers");
}

const GROUPED: &str = "
[[table]]
name = 'outputs'
old = 'artifacts'
new = 'outputs'
key = [{ old = 'id', new = 'id' }]
[table.forth]
content = 'old.json'
[table.back]
spec = 'parent.spec'
json = 'new.content'
[table.parent]
new = 'runs'
id = 'id'
refers = 'run_id'
key = { spec = 'old.spec' }
";

const GROUPED_NEW: &str = "
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, spec TEXT NOT NULL UNIQUE);
CREATE TABLE outputs (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id INTEGER, content TEXT NOT NULL);
";

const GROUPED_OLD: &str = "
CREATE TABLE artifacts (id INTEGER PRIMARY KEY AUTOINCREMENT, spec TEXT NOT NULL, json TEXT NOT NULL);
INSERT INTO artifacts (spec, json) VALUES ('a', 'one'), ('a', 'two'), ('b', 'three'), ('c', 'four');
";

#[test]
fn a_row_whose_parent_was_gone_comes_back_as_it_was_or_as_its_new_parent_says() {
    let (root, bench) = open(GROUPED, GROUPED_NEW, GROUPED_OLD);
    STEPS[..4].iter().for_each(|step| applied(&bench, step));
    sql(root.path(), "DELETE FROM runs WHERE spec IN ('a', 'b')");
    STEPS[4..].iter().for_each(|step| applied(&bench, step));
    sql(root.path(), "INSERT INTO runs (id, spec) VALUES (2, 'late'); UPDATE outputs SET content = 'TWO' WHERE id = 2");
    back(&bench, "gone");
    assert_eq!(
        ask(root.path(), "SELECT group_concat(id || spec || json, ' ') FROM (SELECT * FROM artifacts ORDER BY id)"),
        "1aone 2atwo 3latethree 4cfour"
    );
    assert_eq!(
        ask(root.path(), "SELECT group_concat(key || reason || shown, '; ') FROM _cutover_quarantine"),
        "1its parent is gone1; 2its parent is gone1"
    );
}

#[test]
fn a_snapshot_of_before_the_cutover_is_none_for_a_contract() {
    let to = |stage: &str| format!(r#"{{ mapping = "m.toml", to = "{stage}" }}"#);
    let copy = "[[phase.step]]\nid = \"copy\"\nuse = \"testkit.snapshot\"\nwith = { targets = [\"brain\"] }\n";
    let steps = |ids: &[(&str, &str, &str)]| plan(ids).split_once("[[phase.step]]").expect("a step").1.to_owned();
    let text = plan(&[("wide", "expand", r#"{ mapping = "m.toml", up = "new.sql" }"#)])
        + copy
        + "[[phase.step]]"
        + &steps(&[("readers", "cutover", &to("prefer-new")), ("writers", "cutover", &to("new-only"))])
        + "[[phase.step]]\nid = \"gone\"\nuse = \"sqlite.contract\"\ntarget = \"brain\"\nwith = { mapping = \"m.toml\" }\n";
    let root = TempDir::new().expect("a temporary folder");
    sql(root.path(), "CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, tag TEXT)");
    let bench = Fixture::new(text).file("m.toml", MAPPING).file("new.sql", NEW).open(root.path());
    ["wide", "copy", "readers", "writers"].iter().for_each(|step| applied(&bench, step));
    let early = "the snapshot of `brain` by step `copy` comes before the cutover `writers`";
    assert!(matches!(bench.inspect("gone"), Ok(Standing::Conflict(why)) if why.contains(early)));
    assert!(bench.apply("gone").expect_err("it is refused").to_string().contains(early));
    assert_eq!(ask(root.path(), "SELECT count(*) FROM notes"), "0");
}

#[test]
fn a_migration_ends_with_nothing_left_but_its_stage() {
    let (root, bench) = opened(MAPPING, NEW, OLD, true);
    STEPS[..2].iter().for_each(|step| applied(&bench, step));
    spoilt(root.path());
    sql(root.path(), "DELETE FROM remarks WHERE id > 20");
    STEPS[2..].iter().for_each(|step| applied(&bench, step));
    let Ok(Applied::Changed(receipt)) = bench.apply("end") else { panic!("it ends") };
    insta::assert_snapshot!(receipt.notes.join("\n"), @"
    table _cutover_raw_notes is dropped; its 12 rows are kept in `.cutover/aside/run-1-end/_cutover_raw_notes.sql`
    table _cutover_quarantine is dropped; its 10 rows are kept in `.cutover/aside/run-1-end/_cutover_quarantine.sql`
    the old tables of m cannot come back any more
    ");
    insta::assert_snapshot!(
        ask(root.path(), "SELECT group_concat(name, ' ') FROM (SELECT name FROM sqlite_master WHERE name LIKE '\\_cutover%' ESCAPE '\\' ORDER BY 1)"),
        @"_cutover_stage"
    );
    assert_eq!(ask(root.path(), "SELECT stage FROM _cutover_stage"), "retired");
    let all = ["wide", "fill", "readers", "writers", "gone", "end"];
    all.iter().for_each(|step| assert_eq!(bench.verify(step).expect(step), Verdict::Holds, "{step}"));
    assert_eq!(bench.inspect("gone").expect("inspects"), Standing::Applied);
    let receipt = bench.host().receipt("gone");
    let error = bench.rollback("gone", receipt.as_ref()).expect_err("there is nothing to make it of");
    assert!(error.to_string().contains("mapping `m` is at stage retired"), "{error}");
    // What was kept is there to be read.
    let text =
        std::fs::read_to_string(root.path().join(".cutover/aside/run-1-end/_cutover_raw_notes.sql")).expect("kept");
    assert!(text.contains("colour 3"), "{text}");
}

/// Notes belong to users, who are no part of the mapping.
const OWNED: &str = "
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, tag TEXT REFERENCES users(name) ON UPDATE CASCADE ON DELETE SET NULL,
  owner INTEGER REFERENCES users ON DELETE CASCADE);
INSERT INTO users VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO notes (text, tag, owner) VALUES ('one', 'a', 1), ('two', 'b', 2), ('three', 'a', 3), ('four', NULL, NULL);
";

#[test]
fn what_foreign_keys_do_to_closed_tables_goes_on() {
    let (root, bench) = open(MAPPING, NEW, OWNED);
    STEPS[..4].iter().for_each(|step| applied(&bench, step));
    let refused = |text: &str| {
        let conn = rusqlite::Connection::open(root.path().join("brain.db")).expect("opens");
        conn.execute_batch(text).expect_err(text).to_string()
    };
    assert!(refused("DELETE FROM notes WHERE id = 1").contains("closed to writes"));
    assert!(refused("UPDATE notes SET text = 'x' WHERE id = 4").contains("closed to writes"));
    sql(
        root.path(),
        "PRAGMA foreign_keys = ON; DELETE FROM users WHERE id = 2; UPDATE users SET name = 'A' WHERE id = 1",
    );
    let new = "SELECT group_concat(id || body || coalesce(tag, '-'), ' ') FROM (SELECT * FROM remarks ORDER BY id)";
    assert_eq!(ask(root.path(), new), "1oneA 3threeA 4four-");
    sql(root.path(), "PRAGMA foreign_keys = ON; DELETE FROM users WHERE id = 1");
    assert_eq!(ask(root.path(), new), "3three- 4four-");

    STEPS[4..].iter().for_each(|step| applied(&bench, step));
    sql(root.path(), "DELETE FROM users");
    back(&bench, "gone");
    assert_eq!(
        ask(root.path(), "SELECT group_concat(id || text || coalesce(owner, '-'), ' ') FROM notes"),
        "3three3 4four-"
    );
    let told = bench.host().notes("gone").join("\n");
    assert!(told.contains("notes: 1 row refers to a row that is not there"), "{told}");
}

#[test]
fn nothing_moves_whose_way_back_takes_longer_than_is_allowed() {
    let to = |stage: &str, more: &str| format!(r#"{{ mapping = "m.toml", to = "{stage}"{more} }}"#);
    let text = plan(&[
        ("wide", "expand", r#"{ mapping = "m.toml", up = "new.sql" }"#),
        ("fill", "backfill", r#"{ mapping = "m.toml" }"#),
        ("hasty", "cutover", &to("prefer-new", ", rto = \"50ms\"")),
        ("readers", "cutover", &to("prefer-new", "")),
        ("writers", "cutover", &to("new-only", "")),
    ]) + "[[phase.step]]\nid = \"copy\"\nuse = \"testkit.snapshot\"\nwith = { targets = [\"brain\"] }\n\
          [[phase.step]]\nid = \"gone\"\nuse = \"sqlite.contract\"\ntarget = \"brain\"\nwith = { mapping = \"m.toml\", rto = \"50ms\" }\n";
    let root = TempDir::new().expect("a temporary folder");
    sql(root.path(), OLD);
    let bench = Fixture::new(text).file("m.toml", MAPPING).file("new.sql", NEW).open(root.path());
    let refused = |step: &str, said: &str| {
        let error = bench.apply(step).expect_err(step);
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.help().expect("help").starts_with("allow it with `rto = \"1s\"`"), "{error:?}");
    };
    ["wide", "fill"].iter().for_each(|step| applied(&bench, step));
    refused("hasty", "would take about 0.1 s (RTO)");
    assert_eq!(ask(root.path(), "SELECT stage FROM _cutover_stage"), "dual-write");
    ["readers", "writers", "copy"].iter().for_each(|step| applied(&bench, step));
    refused("gone", "would take about 0.1 s (RTO)");
    assert_eq!(ask(root.path(), "SELECT count(*) FROM notes"), "12");
}

#[test]
fn what_a_way_back_takes_is_known_from_the_way_there_and_refused_before_anything_goes() {
    let mapping = "[[table]]\nname = 'a'\nold = 'a'\nnew = 'b'\nkey = [{ old = 'id', new = 'id' }]\n\
        [table.forth]\nx = 'old.x'\n[table.back]\nx = 'new.x'\n";
    // 11,000 rows come back in 0.11 s at the very least, which is allowed; nobody compares and keeps them in a half of that.
    let old = "CREATE TABLE a (id INTEGER PRIMARY KEY, x TEXT);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 11000) INSERT INTO a SELECT i, 'x ' || i FROM n;";
    let text = plan(&[
        ("wide", "expand", r#"{ mapping = "m.toml", up = "new.sql" }"#),
        ("fill", "backfill", r#"{ mapping = "m.toml" }"#),
        ("readers", "cutover", r#"{ mapping = "m.toml", to = "prefer-new" }"#),
        ("writers", "cutover", r#"{ mapping = "m.toml", to = "new-only" }"#),
    ]) + "[[phase.step]]\nid = \"copy\"\nuse = \"testkit.snapshot\"\nwith = { targets = [\"brain\"] }\n\
          [[phase.step]]\nid = \"gone\"\nuse = \"sqlite.contract\"\ntarget = \"brain\"\nwith = { mapping = \"m.toml\", rto = \"111ms\" }\n";
    let root = TempDir::new().expect("a temporary folder");
    sql(root.path(), old);
    let new = "CREATE TABLE b (id INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT);";
    let bench = Fixture::new(text).file("m.toml", mapping).file("new.sql", new).open(root.path());
    ["wide", "fill", "readers", "writers", "copy"].iter().for_each(|step| applied(&bench, step));
    let schema = "SELECT group_concat(name) FROM (SELECT name FROM sqlite_master ORDER BY name)";
    let before = ask(root.path(), schema);
    let error = bench.apply("gone").expect_err("it takes too long").to_string();
    assert!(error.contains("the way back would take about") && error.contains("0.1 s are allowed"), "{error}");
    assert_eq!(ask(root.path(), schema), before);
    assert_eq!(ask(root.path(), "SELECT stage FROM _cutover_stage"), "new-only");
}

#[test]
fn a_view_under_the_old_name_makes_room_for_the_table_that_comes_back() {
    let (root, bench) = open(MAPPING, NEW, OLD);
    STEPS.iter().for_each(|step| applied(&bench, step));
    sql(
        root.path(),
        "CREATE VIEW notes AS SELECT id, body AS text, tag, 'red' AS colour FROM remarks;
         CREATE TRIGGER notes_in INSTEAD OF INSERT ON notes BEGIN INSERT INTO remarks (body) VALUES (NEW.text); END;
         INSERT INTO notes (text) VALUES ('by the view')",
    );
    assert_eq!(bench.verify("gone").expect("verified"), Verdict::Holds);
    back(&bench, "gone");
    assert!(rows(root.path()).ends_with("13 'by the view' NULL 'red'"), "{}", rows(root.path()));
    let told = bench.host().notes("gone").join("\n");
    let path = told.split('`').find(|part| part.ends_with("notes.sql")).expect("where it is kept");
    let kept = std::fs::read_to_string(root.path().join(path)).expect("the file");
    assert!(kept.contains("CREATE VIEW notes AS") && kept.contains("CREATE TRIGGER notes_in"), "{kept}");
    // What is kept can be loaded where the table is gone again.
    applied(&bench, "gone");
    sql(root.path(), &kept);
    assert_eq!(ask(root.path(), "SELECT count(*) FROM notes"), "13");
}

#[test]
fn a_mistake_is_told_with_what_helps_against_it_alone() {
    let (root, bench) = open(MAPPING, NEW, OLD);
    STEPS[..2].iter().for_each(|step| applied(&bench, step));
    let conn = rusqlite::Connection::open(root.path().join("brain.db")).expect("opens");
    conn.execute_batch("UPDATE _cutover_guard SET origin = 'x'; UPDATE remarks SET tag = 'other' WHERE id = 2; UPDATE _cutover_guard SET origin = NULL")
        .expect("writes past the triggers");
    let help = bench.apply("readers").expect_err("one row differs").help().expect("help").to_owned();
    assert_eq!(help, "mend the rows that are named, on the side that is wrong; then run the same command again");
    conn.execute_batch("UPDATE remarks SET tag = 'tag 2' WHERE id = 2; WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 111)
        INSERT INTO remarks (id) SELECT i FROM n").expect("writes");
    let help = bench.apply("readers").expect_err("new rows are in quarantine").help().expect("help").to_owned();
    assert!(help.starts_with("mend or delete the new rows in quarantine") && !help.contains("old rows"), "{help}");
}

#[test]
fn of_a_row_only_what_differs_is_kept() {
    let (root, bench) = open(MAPPING, NEW, OLD);
    STEPS.iter().for_each(|step| applied(&bench, step));
    let kept = "SELECT count(*) || ' ' || count(v0) || ' ' || count(n0) || ' ' || count(u0) FROM _cutover_raw_notes";
    assert_eq!(ask(root.path(), kept), "12 0 0 12");
    let told = bench.host().receipt("gone").expect("a receipt").notes.join("\n");
    assert!(told.contains("for 12 of them values are kept"), "{told}");
}
