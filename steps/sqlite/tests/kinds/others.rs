//! What others changed or put where a step had inserted is kept by its rollback, and counted.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::{ask, plan, sql};
use cutover_core::{Applied, Verdict};
use cutover_tests::{Bench, Fixture};
use tempfile::TempDir;

const TABLES: &str = "CREATE TABLE src (k INTEGER PRIMARY KEY, w TEXT);
    INSERT INTO src VALUES (1, 'one'), (2, 'two'), (3, 'three'), (4, 'four'), (5, 'five');
    CREATE TABLE dst (k, w, old TEXT DEFAULT 'as it was');
    CREATE TABLE cfg (k, v, old REAL DEFAULT 1);
    CREATE TABLE strict (k TEXT PRIMARY KEY, v) WITHOUT ROWID;";

const FILL: (&str, &str, &str) =
    ("it", "backfill", r#"{ into = "dst", rows = "SELECT k, w FROM src", key = "k", key-stored = true, batch = 2 }"#);

fn rows_of(table: &str) -> String {
    format!(
        r#"{{ table = "{table}", key = ["k"], rows = [{{ k = "a", v = 1 }}, {{ k = "b", v = 2 }}, {{ k = "c", v = 3 }}] }}"#
    )
}

/// The step `it` applied on these tables, after more SQL.
fn applied(root: &TempDir, step: (&str, &str, &str), more: &str) -> Bench {
    sql(root.path(), TABLES);
    sql(root.path(), more);
    let bench = Fixture::new(plan(&[step])).open(root.path());
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

fn all(root: &Path, table: &str, columns: &str) -> String {
    ask(root, &format!("SELECT group_concat({columns}, '; ') FROM (SELECT * FROM {table} ORDER BY k)"))
}

#[test]
fn a_filled_row_that_was_changed_or_replaced_since_is_kept_and_counted() {
    let root = root();
    let bench = applied(&root, FILL, "");
    sql(
        root.path(),
        "UPDATE dst SET w = 'users edit' WHERE k = 1; UPDATE dst SET old = 'their edit' WHERE k = 2;
         DELETE FROM dst WHERE k = 5; INSERT INTO dst (rowid, k, w) VALUES (5, 50, 'users row'), (9, 90, 'another');",
    );
    assert_eq!(undone(&bench), "3 rows of dst changed since: kept");
    assert_eq!(all(root.path(), "dst", "k || w"), "1users edit; 2two; 50users row; 90another");
    assert_eq!(ask(root.path(), "SELECT count(*) FROM cutover_state WHERE key <> 'epoch'"), "0");
}

#[test]
fn a_value_of_another_type_is_a_change() {
    let root = root();
    let bench = applied(&root, FILL, "");
    sql(root.path(), "UPDATE dst SET k = '3' WHERE k = 3");
    assert_eq!(undone(&bench), "1 row of dst changed since: kept");
}

#[test]
fn rows_that_the_tables_own_triggers_changed_are_still_the_steps() {
    let root = root();
    let bench = applied(
        &root,
        FILL,
        "CREATE TRIGGER stamped AFTER INSERT ON dst BEGIN
           UPDATE dst SET old = 'stamped' WHERE rowid = NEW.rowid;
           UPDATE dst SET old = 'no longer the last' WHERE k = NEW.k - 1;
         END",
    );
    assert_eq!(undone(&bench), "");
    assert_eq!(ask(root.path(), "SELECT count(*) FROM dst"), "0");
}

#[test]
fn an_edit_between_two_batches_is_not_taken_for_a_triggers_work() {
    let root = root();
    sql(root.path(), TABLES);
    sql(
        root.path(),
        "CREATE TRIGGER last AFTER INSERT ON dst BEGIN UPDATE dst SET old = 'earlier' WHERE k < NEW.k; END;
         CREATE TRIGGER no BEFORE INSERT ON dst WHEN NEW.k = 3 BEGIN SELECT RAISE(ABORT, 'not now'); END",
    );
    let bench = Fixture::new(plan(&[FILL])).open(root.path());
    bench.apply("it").expect_err("the trigger stops it");
    sql(root.path(), "DROP TRIGGER no; UPDATE dst SET w = 'users edit' WHERE k = 1");
    bench.apply("it").expect("it goes on");
    assert_eq!(undone(&bench), "1 row of dst changed since: kept");
    assert_eq!(all(root.path(), "dst", "k || w || old"), "1users editearlier");
}

#[test]
fn a_column_of_others_does_not_make_a_row_theirs_but_a_value_in_it_does() {
    for step in [FILL, ("it", "rows", &rows_of("cfg"))] {
        let root = root();
        let table = if step.1 == "rows" { "cfg" } else { "dst" };
        let bench = applied(&root, step, "");
        sql(
            root.path(),
            &format!(
                "ALTER TABLE {table} ADD COLUMN theirs TEXT DEFAULT 'x';
                 UPDATE {table} SET theirs = 'used' WHERE rowid = 2"
            ),
        );
        assert_eq!(undone(&bench), format!("1 row of {table} changed since: kept"));
        assert_eq!(ask(root.path(), &format!("SELECT group_concat(theirs) FROM {table}")), "used");
    }
}

#[test]
fn rows_without_a_column_that_they_had_are_kept() {
    for step in [FILL, ("it", "rows", &rows_of("cfg"))] {
        let root = root();
        let (table, rows) = if step.1 == "rows" { ("cfg", "3") } else { ("dst", "5") };
        let bench = applied(&root, step, "");
        sql(root.path(), &format!("ALTER TABLE {table} DROP COLUMN old"));
        let note = format!("table {table} no longer has the column old: the {rows} rows inserted are kept");
        assert_eq!(undone(&bench), note);
        assert_eq!(ask(root.path(), &format!("SELECT count(*) FROM {table}")), rows);
    }
}

#[test]
fn rows_whose_implicit_rowids_moved_are_found_again() {
    for (step, table) in [(FILL, "dst"), (("it", "rows", rows_of("cfg").as_str()), "cfg")] {
        let root = root();
        let bench = applied(&root, step, &format!("INSERT INTO {table} (k) VALUES ('before'), ('gone')"));
        sql(
            root.path(),
            &format!("DELETE FROM {table} WHERE k = 'gone'; INSERT INTO {table} (k) VALUES ('theirs'); VACUUM"),
        );
        assert_eq!(undone(&bench), "");
        assert_eq!(ask(root.path(), &format!("SELECT group_concat(k) FROM {table}")), "before,theirs");
    }
}

#[test]
fn a_declared_row_that_was_changed_or_replaced_since_is_kept_and_counted() {
    for (table, rowid) in [("cfg", true), ("strict", false)] {
        let root = root();
        let with = rows_of(table);
        let bench = applied(&root, ("it", "rows", &with), "");
        assert_eq!(bench.verify("it").expect("verifies"), Verdict::Holds);
        let replace = if rowid {
            "DELETE FROM cfg WHERE k = 'b'; INSERT INTO cfg (rowid, k, v) VALUES (2, 'z', 'users row')"
        } else {
            "DELETE FROM strict WHERE k = 'b'; INSERT INTO strict (k, v) VALUES ('b', 'users row')"
        };
        sql(root.path(), &format!("UPDATE {table} SET v = 'users edit' WHERE k = 'a'; {replace}"));
        assert_eq!(undone(&bench), format!("2 rows of {table} changed since: kept"));
        let b = if rowid { "z" } else { "b" };
        assert_eq!(all(root.path(), table, "k || v"), format!("ausers edit; {b}users row"));
    }
}

#[test]
fn a_counter_is_put_back_with_the_rows_and_stays_where_one_of_them_is_kept() {
    let counted = "CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, k, v);
        INSERT INTO counted (id, k) VALUES (7, 'before')";
    let fill = r#"{ into = "counted", rows = "SELECT k AS source, w AS k FROM src", key = "source", batch = 2 }"#;
    for (kind, with) in [("rows", rows_of("counted").as_str()), ("backfill", fill)] {
        for (edit, counter) in [("", "7"), ("UPDATE counted SET v = 'users' WHERE id = 8", "as it was")] {
            let root = root();
            let bench = applied(&root, ("it", kind, with), counted);
            let moved = ask(root.path(), "SELECT seq FROM sqlite_sequence");
            sql(root.path(), edit);
            undone(&bench);
            let expected = if counter == "7" { "7" } else { &moved };
            assert_eq!(ask(root.path(), "SELECT seq FROM sqlite_sequence"), expected, "{kind} {edit}");
        }
    }
}

#[test]
fn no_receipt_holds_a_value() {
    let steps = [
        ("it", "rows", rows_of("cfg").replace("\"a\"", "\"hunter2\"")),
        ("it", "rows", rows_of("strict").replace("\"a\"", "\"hunter2\"")),
        (
            "it",
            "backfill",
            r#"{ into = "dst", rows = "SELECT 'hunter2' AS source, 'hunter2' AS w", key = "source" }"#.to_owned(),
        ),
    ];
    for (id, kind, with) in steps {
        let root = root();
        let bench = applied(&root, (id, kind, &with), "");
        let receipt = bench.host().receipt("it").expect("a receipt");
        let text = serde_json::to_string(&receipt).expect("JSON");
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(ask(root.path(), "SELECT count(*) FROM cutover_ledger WHERE receipt LIKE '%hunter2%'"), "0");
        assert_eq!(bench.verify("it").expect("verifies"), Verdict::Holds);
    }
}

/// The files that a run of the step set aside, by their paths from the root; all are private.
fn aside(root: &Path, run: &str) -> Vec<String> {
    let folder = root.join(".cutover/aside").join(run);
    let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let mut names: Vec<String> = fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry"))
        .map(|entry| {
            assert_eq!(mode(&entry.path()), 0o600);
            format!(".cutover/aside/{run}/{}", entry.file_name().to_string_lossy())
        })
        .collect();
    names.sort();
    names
}

/// Loads SQL that was set aside, as an operator would.
fn load(root: &Path, file: &str) {
    cutover_tests::sqlite3(root.join("brain.db"), format!(".read {}", root.join(file).display()));
}

#[test]
fn the_rows_of_a_table_that_is_dropped_are_set_aside_and_load_again() {
    let root = root();
    let create = r#"{ create = ["CREATE TABLE fresh (k TEXT PRIMARY KEY, n REAL, b BLOB, twice AS (n * 2))", "CREATE TABLE empty (a)"] }"#;
    let bench = applied(&root, ("it", "tables", create), "");
    let written = "INSERT INTO fresh (k, n, b) VALUES ('it''s', 0.1, x'00ff'), (NULL, NULL, 'a\nb'), ('z', 1e300, 7)";
    sql(root.path(), written);
    let asked =
        "SELECT group_concat(quote(k) || quote(n) || quote(b) || quote(twice)) FROM (SELECT * FROM fresh ORDER BY k)";
    let before = ask(root.path(), asked);
    let file = ".cutover/aside/run-1-it/fresh.sql".to_owned();
    assert_eq!(undone(&bench), format!("table fresh is dropped; its 3 rows are kept in `{file}`"));
    assert_eq!(aside(root.path(), "run-1-it"), std::slice::from_ref(&file));

    bench.apply("it").expect("it applies again");
    load(root.path(), &file);
    assert_eq!(ask(root.path(), asked), before);
    sql(root.path(), "DELETE FROM fresh WHERE k IS NOT 'z'");
    undone(&bench);
    let second = ".cutover/aside/run-1-it/fresh-2.sql".to_owned();
    assert_eq!(aside(root.path(), "run-1-it"), [second, file], "the file of before is not written over");
}

#[test]
fn the_values_of_a_column_that_is_dropped_are_set_aside_and_load_again() {
    for table in ["(k TEXT PRIMARY KEY, v)", "(k, v)", "(k TEXT, v, PRIMARY KEY (v, k)) WITHOUT ROWID"] {
        let root = root();
        let with = r#"{ table = "there", add = ["extra TEXT", "flag INTEGER DEFAULT 1", "twice AS (v * 2)"] }"#;
        let made =
            format!("CREATE TABLE there {table}; INSERT INTO there VALUES ('a', 1), ('b', 2), ('c', 3), ('d', 4)");
        let bench = applied(&root, ("it", "columns", with), &made);
        sql(root.path(), "UPDATE there SET extra = 'users' WHERE k > 'b'; UPDATE there SET flag = NULL WHERE k = 'a'");
        if !table.contains("WITHOUT") {
            sql(root.path(), "INSERT INTO there (k, v, extra) VALUES (NULL, 5, 'of no key')");
        }
        let asked = "SELECT group_concat(quote(k) || quote(extra) || flag) FROM (SELECT * FROM there ORDER BY v)";
        let before = ask(root.path(), asked);
        let values = if table.contains("WITHOUT") { 2 } else { 3 };
        let told = format!(
            "column there.flag is dropped; its 1 value is kept in `.cutover/aside/run-1-it/there.flag.sql`\n\
             column there.extra is dropped; its {values} values are kept in `.cutover/aside/run-1-it/there.extra.sql`"
        );
        assert_eq!(undone(&bench), told);
        assert_eq!(ask(root.path(), "SELECT count(*) FROM pragma_table_xinfo('there')"), "2");

        bench.apply("it").expect("it applies again");
        for file in aside(root.path(), "run-1-it") {
            load(root.path(), &file);
        }
        assert_eq!(ask(root.path(), asked), before);
    }
}

#[test]
fn what_holds_nothing_of_others_leaves_no_file() {
    let root = root();
    let bench = applied(&root, ("it", "columns", r#"{ table = "src", add = ["flag INTEGER DEFAULT 1"] }"#), "");
    assert_eq!(undone(&bench), "");
    assert!(!root.path().join(".cutover/aside").exists());
}

#[test]
fn a_row_whose_id_is_the_rowid_of_an_inserted_one_is_not_taken_for_it() {
    for key in ["INTEGER PRIMARY KEY DESC", "INT PRIMARY KEY", "INTEGER UNIQUE"] {
        let root = root();
        let tables = format!("CREATE TABLE t (id {key}, name TEXT); INSERT INTO t VALUES (3, 'theirs'), (7, 'seven')");
        let rows = r#"{ table = "t", key = ["name"], rows = [{ id = 100, name = "seed" }] }"#;
        let bench = applied(&root, ("it", "rows", rows), &tables);
        assert_eq!(undone(&bench), "", "{key}");
        let left = ask(root.path(), "SELECT group_concat(name) FROM (SELECT name FROM t ORDER BY rowid)");
        assert_eq!(left, "theirs,seven", "{key}");
    }
}
