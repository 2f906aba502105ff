//! What others did between a snapshot and the steps that a restore takes back is told apart, whatever the steps did.

use std::fs;

use cutover_core::{RestoreOptions, Restored, SnapshotManifest, StepError, StepErrorKind, Target};
use pollster::block_on;

use crate::support::{Opened, World};

const START: &str = "
CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, flag); INSERT INTO t VALUES (1, 'one', 0), (2, 'two', 0), (3, 'three', 0);
CREATE TABLE free(a, b); INSERT INTO free VALUES ('x', 1), ('y', 2);
CREATE TABLE keyed(k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO keyed VALUES ('k', 1), ('l', 2);";

fn restore(world: &World, opened: &Opened, from: &SnapshotManifest, accept_loss: bool) -> Result<Restored, StepError> {
    let undone = ["one", "two", "three"].map(|step| (step.to_owned(), None)).into();
    let options = RestoreOptions { aside: world.folder.path().join("aside"), accept_loss, undone };
    block_on(opened.target.restore(&opened.cx, from, &options))
}

/// Does `steps`, each as a step of its own, in one transaction or in several.
fn apply(opened: &Opened, steps: &[&str], grouped: bool) {
    let ledger = opened.target.ledger().unwrap();
    if grouped {
        block_on(ledger.begin(&opened.cx)).unwrap();
    }
    for (step, id) in steps.iter().zip(["one", "two", "three"]) {
        opened.change(id, step).unwrap();
    }
    if grouped {
        block_on(ledger.commit(&opened.cx)).unwrap();
    }
}

/// After `theirs` the `steps` are theirs to take back, but for `lost`: rows by table, and objects by name.
fn kept_apart(start: &str, theirs: &str, steps: &[&str], lost: &[(&str, u64)], objects: &[&str]) {
    for (mode, grouped) in [("wal", false), ("wal", true), ("delete", false), ("delete", true)] {
        let shown = format!("{mode}, grouped {grouped}: {theirs} then {steps:?}");
        let world = World::new(start);
        world.sql(&format!("PRAGMA journal_mode={mode}"));
        let opened = world.open(1);
        let before = opened.print();
        let manifest = block_on(opened.target.snapshot(&opened.cx, &world.folder.path().join("pre"))).unwrap();
        apply(&opened, steps, grouped);
        let restored = restore(&world, &opened, &manifest, false).map_err(|e| e.to_string());
        assert_eq!(restored.map(|r| r.lost), Ok([].into()), "their own: {shown}");
        assert_eq!(before, opened.print(), "{shown}");

        world.sql(theirs);
        apply(&opened, steps, grouped);
        let now = opened.print();
        match restore(&world, &opened, &manifest, false) {
            Err(error) if !lost.is_empty() || !objects.is_empty() => {
                assert_eq!(error.kind(), StepErrorKind::Conflict, "{shown}: {error}");
                let named: Vec<_> = objects.iter().filter(|o| !error.to_string().contains(**o)).collect();
                assert!(named.is_empty(), "{shown}: {named:?} not in {error}");
                assert_eq!(now, opened.print());
                let restored = restore(&world, &opened, &manifest, true).unwrap();
                let lost = lost.iter().map(|(table, n)| ((*table).to_owned(), *n)).collect();
                assert_eq!(restored.lost, lost, "{shown}");
                assert!(fs::metadata(format!("{}.lost-rows.sql", restored.aside.display())).is_ok(), "{shown}");
            }
            Ok(restored) => assert!(restored.lost.is_empty() && lost.is_empty() && objects.is_empty(), "{shown}"),
            Err(error) => panic!("{shown}: {error}"),
        }
        assert_eq!(before, opened.print(), "{shown}");
    }
}

#[test]
fn a_row_that_others_wrote_before_the_step_touched_it_is_theirs() {
    let theirs = "INSERT INTO t VALUES (4, 'theirs', 0); UPDATE t SET a = 'edited' WHERE id = 1";
    kept_apart(START, theirs, &["UPDATE t SET flag = 1"], &[("t", 2)], &[]);
    kept_apart(START, theirs, &["UPDATE t SET flag = 1", "UPDATE t SET flag = 2, a = upper(a)"], &[("t", 2)], &[]);
    kept_apart(START, theirs, &["REPLACE INTO t VALUES (1, 'ours', 1), (2, 'ours', 1)"], &[("t", 2)], &[]);
    let upsert = "INSERT INTO t VALUES (1, 'q', 1), (2, 'q', 1), (7, 'q', 1) ON CONFLICT DO UPDATE SET flag = 5";
    kept_apart(START, theirs, &[upsert], &[("t", 2)], &[]);
    let theirs = "INSERT INTO keyed VALUES ('m', 3); UPDATE keyed SET v = 'edited' WHERE k = 'k'";
    kept_apart(START, theirs, &["UPDATE keyed SET v = v || '!'"], &[("keyed", 2)], &[]);
    kept_apart(START, theirs, &["UPDATE keyed SET k = k || '!'", "UPDATE keyed SET v = 0"], &[("keyed", 2)], &[]);
    kept_apart(
        START,
        theirs,
        &["INSERT INTO keyed VALUES ('k', 9), ('o', 9) ON CONFLICT DO UPDATE SET v = 0"],
        &[("keyed", 2)],
        &[],
    );
    let theirs = "INSERT INTO free VALUES ('theirs', 3); UPDATE free SET b = 'edited' WHERE a = 'x'";
    kept_apart(START, theirs, &["UPDATE free SET b = b || '!'"], &[("free", 2)], &[]);
}

#[test]
fn rows_of_others_that_a_step_gave_another_rowid_are_asked_about() {
    let theirs = "INSERT INTO t VALUES (4, 'theirs', 0)";
    kept_apart(START, theirs, &["UPDATE t SET id = id + 100"], &[("t", 4)], &[]);
    kept_apart(START, theirs, &["UPDATE t SET id = id + 100", "UPDATE t SET flag = 9"], &[("t", 4)], &[]);
}

#[test]
fn rows_of_others_in_a_table_that_a_step_rebuilt_are_theirs() {
    let rebuild = "CREATE TABLE t2(id INTEGER PRIMARY KEY, a TEXT, flag, extra DEFAULT 0);
        INSERT INTO t2(id, a, flag) SELECT * FROM t; DROP TABLE t; ALTER TABLE t2 RENAME TO t";
    let theirs = "INSERT INTO t VALUES (4, 'theirs', 0); UPDATE t SET a = 'edited' WHERE id = 1";
    kept_apart(START, theirs, &[rebuild], &[("t", 2)], &[]);
    kept_apart(START, theirs, &[rebuild, "UPDATE t SET extra = 1"], &[("t", 2)], &[]);
    let parts: Vec<&str> = rebuild.rsplitn(3, ';').collect();
    kept_apart(START, theirs, &[parts[2], parts[1], parts[0]], &[("t", 2)], &[]);
    let copied = ["CREATE TABLE t2(id INTEGER PRIMARY KEY, a)", "INSERT INTO t2 SELECT id, a FROM t", "DROP TABLE t"];
    kept_apart(START, theirs, &copied, &[("t2", 4)], &[]);
    // Rows without a key cannot be followed: all are asked about, but only when some are theirs.
    let rebuild = "CREATE TABLE f2(a, b, c); INSERT INTO f2 SELECT a, b, 0 FROM free; DROP TABLE free; ALTER TABLE f2 RENAME TO free";
    kept_apart(START, "INSERT INTO free VALUES ('theirs', 3)", &[rebuild], &[("free", 3)], &[]);
    kept_apart(
        START,
        "INSERT INTO keyed VALUES ('m', 3)",
        &["ALTER TABLE keyed RENAME TO other"],
        &[("other", 3)],
        &[],
    );
    kept_apart(
        START,
        "INSERT INTO keyed VALUES ('m', 3)",
        &["ALTER TABLE keyed RENAME TO other", "UPDATE other SET v = 0"],
        &[("other", 3)],
        &[],
    );
}

#[test]
fn columns_that_steps_add_rename_and_drop_between_leave_their_rows_theirs() {
    let steps =
        ["UPDATE t SET flag = 1", "ALTER TABLE t ADD COLUMN z INT DEFAULT '7'", "UPDATE t SET z = 8 WHERE id < 3"];
    kept_apart(START, "INSERT INTO t VALUES (4, 'theirs', 0)", &steps, &[("t", 1)], &[]);
    let steps = ["UPDATE t SET flag = 1", "ALTER TABLE t DROP COLUMN flag", "UPDATE t SET a = upper(a)"];
    kept_apart(START, "INSERT INTO t VALUES (4, 'theirs', 0)", &steps, &[("t", 1)], &[]);
    let steps = ["UPDATE t SET flag = 1", "ALTER TABLE t RENAME COLUMN flag TO mark", "UPDATE t SET mark = mark + 1"];
    kept_apart(START, "INSERT INTO t VALUES (4, 'theirs', 0)", &steps, &[("t", 1)], &[]);
}

#[test]
fn schema_objects_that_others_made_or_changed_are_named_and_exported() {
    let theirs = "CREATE TABLE empty(q); CREATE INDEX their_index ON t(a); CREATE VIEW their_view AS SELECT a FROM t;
        CREATE TRIGGER their_trigger AFTER DELETE ON t BEGIN SELECT 1; END; PRAGMA user_version = 9; PRAGMA application_id = 8";
    let named = [
        "table `empty`",
        "index `their_index`",
        "view `their_view`",
        "trigger `their_trigger`",
        "`user_version` = 9",
        "`application_id` = 8",
    ];
    kept_apart(START, theirs, &["UPDATE t SET flag = 1"], &[], &named);
    kept_apart(
        START,
        theirs,
        &["CREATE TABLE ours(a); CREATE INDEX ours_i ON t(flag); ALTER TABLE keyed ADD COLUMN ours"],
        &[],
        &named,
    );
    // Ours, whatever we made of it, and whatever came before.
    let steps = [
        "CREATE VIEW v AS SELECT 1; PRAGMA user_version = 3",
        "DROP VIEW v; CREATE VIEW v AS SELECT 2",
        "CREATE INDEX i ON v_t(a)",
    ];
    let start = format!("{START} CREATE TABLE v_t(a); CREATE INDEX old_i ON t(flag);");
    kept_apart(&start, "DROP INDEX old_i", &steps, &[], &[]);
    kept_apart(
        &start,
        "CREATE VIEW v AS SELECT 8",
        &["DROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT 2"],
        &[],
        &["view `v`"],
    );
}

#[test]
fn a_column_that_others_added_is_named_and_its_values_are_exported() {
    let theirs = "ALTER TABLE t ADD COLUMN app INT NOT NULL DEFAULT 7; UPDATE t SET app = 8 WHERE id = 2";
    kept_apart(START, theirs, &["UPDATE t SET flag = 1"], &[("t", 1)], &["table `t`"]);
    kept_apart(START, theirs, &["UPDATE keyed SET v = 1"], &[("t", 1)], &["table `t`"]);
    kept_apart(START, "ALTER TABLE t ADD COLUMN app", &["UPDATE t SET flag = 1"], &[], &["table `t`"]);

    let world = World::new(START);
    let opened = world.open(1);
    let manifest = block_on(opened.target.snapshot(&opened.cx, &world.folder.path().join("pre"))).unwrap();
    opened.change("one", "UPDATE t SET flag = 1").unwrap();
    world.sql(&format!("{theirs}; CREATE INDEX i ON t(app); PRAGMA user_version = 4"));
    let restored = restore(&world, &opened, &manifest, true).unwrap();
    assert_eq!(restored.lost, [("t".to_owned(), 1)].into());
    world.sql("DELETE FROM t WHERE id = 2");
    world.sql(&format!(".read {}.lost-rows.sql", restored.aside.display()));
    assert_eq!(
        world.sql(
            "SELECT id, app FROM t ORDER BY id; PRAGMA user_version; SELECT name FROM sqlite_master WHERE name = 'i'"
        ),
        "1|7\n2|8\n3|7\n4\ni\n"
    );
}

#[test]
fn rows_of_others_in_a_full_text_table_are_counted_and_those_of_a_step_are_its_own() {
    let start = "CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES ('old');
        CREATE TABLE doc(id INTEGER PRIMARY KEY, body);
        CREATE VIRTUAL TABLE follows USING fts5(body, content='doc', content_rowid='id');
        CREATE TRIGGER doc_i AFTER INSERT ON doc BEGIN INSERT INTO follows(rowid, body) VALUES (new.id, new.body); END;";
    let step =
        "INSERT INTO f VALUES ('ours'); UPDATE f SET body = body || ' edited'; INSERT INTO doc VALUES (7, 'ours')";
    kept_apart(start, "INSERT INTO f VALUES ('precious')", &[step], &[("f", 1)], &[]);
    kept_apart(start, "INSERT INTO f VALUES ('precious')", &["INSERT INTO doc VALUES (1, 'a')"], &[("f", 1)], &[]);
    kept_apart(start, "INSERT INTO doc VALUES (5, 'theirs')", &[step], &[("doc", 1)], &[]);
    kept_apart(
        start,
        "",
        &["CREATE VIRTUAL TABLE g USING fts5(x); INSERT INTO g VALUES ('q')", "INSERT INTO g VALUES ('r')"],
        &[],
        &[],
    );
}

#[test]
fn what_follows_from_a_step_is_its_own() {
    let start = "CREATE TABLE p(id INTEGER PRIMARY KEY, n); INSERT INTO p VALUES (1, 1), (2, 2);
        CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p(id) ON UPDATE CASCADE ON DELETE SET NULL, g AS (p * 2), s AS (p * 3) STORED);
        INSERT INTO c(id, p) VALUES (1, 1), (2, 2);
        CREATE TABLE log(what); CREATE TABLE wlog(k INTEGER PRIMARY KEY, what) WITHOUT ROWID;
        CREATE TRIGGER follows AFTER UPDATE ON p BEGIN INSERT INTO log VALUES (new.n); REPLACE INTO wlog VALUES (1, new.n); END;
        CREATE VIEW v AS SELECT id, n FROM p;
        CREATE TRIGGER instead INSTEAD OF INSERT ON v BEGIN INSERT INTO p VALUES (new.id, new.n); END;";
    let step = "UPDATE p SET n = n + 1; UPDATE p SET id = 10 WHERE id = 1; INSERT INTO v VALUES (20, 20); DELETE FROM p WHERE id = 2";
    kept_apart(start, "", &[step], &[], &[]);
    kept_apart(start, "INSERT INTO log VALUES ('theirs')", &[step], &[("log", 1)], &[]);
    kept_apart(start, "INSERT INTO c(id, p) VALUES (3, 1)", &[step], &[("c", 1)], &[]);
    kept_apart(start, "INSERT INTO wlog VALUES (1, 'theirs')", &[step], &[("wlog", 1)], &[]);
}
