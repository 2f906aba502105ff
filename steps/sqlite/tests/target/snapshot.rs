//! Snapshots and restores.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use cutover_core::{RestoreOptions, Restored, SnapshotManifest, StepError, StepErrorKind, Target};
use pollster::block_on;

use crate::support::{Opened, World, shown};

const START: &str = "
CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'one'), (2, 'two');
CREATE TABLE keyed(k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO keyed VALUES ('k', 1);";

fn snapshot(world: &World, opened: &Opened) -> SnapshotManifest {
    block_on(opened.target.snapshot(&opened.cx, &world.folder.path().join("backups/pre"))).unwrap()
}

fn restore(world: &World, opened: &Opened, from: &SnapshotManifest, accept_loss: bool) -> Result<Restored, StepError> {
    undo(world, opened, from, accept_loss, &["one"])
}

/// Restores to undo `steps`.
fn undo(
    world: &World,
    opened: &Opened,
    from: &SnapshotManifest,
    accept_loss: bool,
    steps: &[&str],
) -> Result<Restored, StepError> {
    let undone = steps.iter().map(|step| ((*step).to_owned(), None)).collect();
    let options = RestoreOptions { aside: world.folder.path().join("aside"), accept_loss, undone };
    block_on(opened.target.restore(&opened.cx, from, &options))
}

fn mode(path: PathBuf) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_snapshot_is_private_hashed_described_and_never_replaced() {
    let world = World::new(START);
    world.sql("PRAGMA journal_mode=wal");
    let opened = world.open(1);
    let first = snapshot(&world, &opened);
    assert_eq!((first.files[0].path.as_str(), first.counts["t"]), ("app.db", 2));
    assert_eq!((mode(first.folder.clone()), mode(first.folder.join("app.db"))), (0o700, 0o600));
    let stored: SnapshotManifest =
        serde_json::from_slice(&fs::read(first.folder.join("app.db.manifest.json")).unwrap()).unwrap();
    assert_eq!(stored, first);
    let bytes = fs::read(first.folder.join("app.db")).unwrap();
    assert_eq!(cutover_core::blake3_hex(&bytes), first.files[0].blake3);
    opened.change("one", "INSERT INTO t VALUES (3, 'three')").unwrap();
    assert_eq!(snapshot(&world, &opened).files[0].path, "app.2.db");
    assert_eq!(fs::read(first.folder.join("app.db")).unwrap(), bytes);
    let mut names: Vec<_> = fs::read_dir(&first.folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["app.2.db", "app.2.db.manifest.json", "app.db", "app.db.manifest.json"]);
}

#[test]
fn a_restore_goes_into_the_living_file_and_keeps_what_it_replaces() {
    for mode in ["wal", "delete"] {
        let world = World::new(START);
        world.sql(&format!("PRAGMA journal_mode={mode}"));
        let opened = world.open(7);
        let before = opened.print();
        let manifest = snapshot(&world, &opened);
        let other = rusqlite::Connection::open(world.db()).unwrap();
        let count = || other.query_row("SELECT count(*) FROM t", [], |r| r.get::<_, i64>(0)).unwrap();
        assert_eq!(count(), 2);
        opened.change("one", "ALTER TABLE t ADD COLUMN b; CREATE TABLE u(x)").unwrap();
        let restored = restore(&world, &opened, &manifest, false).unwrap();
        assert!(restored.lost.is_empty());
        assert_eq!(before, opened.print(), "{mode}");
        assert_eq!(count(), 2);
        other.execute("INSERT INTO t VALUES (3, 'by a program that had it open')", []).unwrap();
        assert_eq!(world.sql("SELECT count(*) FROM t; PRAGMA integrity_check"), "3\nok\n");
        assert_eq!(cutover_tests::sqlite3(&restored.aside, "SELECT count(*) FROM u"), "0\n");
        assert_eq!(world.sql("SELECT value FROM cutover_state WHERE key = 'epoch'"), "7\n");
    }
}

#[test]
fn rows_of_others_are_counted_exported_and_lost_only_when_that_is_accepted() {
    let world = World::new(START);
    let opened = world.open(1);
    let before = opened.print();
    let manifest = snapshot(&world, &opened);
    world.sql("INSERT INTO t VALUES (5, 'it''s new'); UPDATE t SET a = 'changed' WHERE id = 2; INSERT INTO keyed VALUES ('m', x'00ff')");
    let now = opened.print();
    let error = restore(&world, &opened, &manifest, false).unwrap_err();
    insta::assert_snapshot!(shown(&world, &error), @r"
    conflict: restoring `ROOT/app.db` would lose rows that others wrote since the snapshot: 1 of `keyed`, 2 of `t`
    help: they are exported to `ROOT/aside/app.db.lost-rows.sql`; run again with `--accept-loss` to restore all the same. Nothing was changed
    ");
    assert_eq!(now, opened.print());
    let restored = restore(&world, &opened, &manifest, true).unwrap();
    assert_eq!(restored.lost, [("keyed".to_owned(), 1), ("t".to_owned(), 2)].into());
    assert_eq!(before, opened.print());
    world.sql("DELETE FROM t WHERE id = 2");
    world.sql(&format!(".read {}", world.folder.path().join("aside/app.2.db.lost-rows.sql").display()));
    assert_eq!(now, opened.print());
}

#[test]
fn a_damaged_snapshot_and_a_newer_format_are_refused_before_anything_is_touched() {
    let world = World::new(START);
    let opened = world.open(1);
    let manifest = snapshot(&world, &opened);
    let newer = SnapshotManifest { version: 99, ..manifest.clone() };
    assert!(restore(&world, &opened, &newer, true).unwrap_err().to_string().contains("99"));
    let file = manifest.folder.join("app.db");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = restore(&world, &opened, &manifest, true).unwrap_err();
    assert_eq!(error.kind(), StepErrorKind::Unavailable);
    assert!(!world.folder.path().join("aside").exists());
}

#[test]
fn a_zero_byte_database_is_snapshotted_and_restored() {
    for mode in ["wal", "delete"] {
        let world = World::new("");
        let opened = world.open(1);
        let before = opened.print();
        let manifest = snapshot(&world, &opened);
        opened.change("one", "CREATE TABLE t(a)").unwrap();
        world.sql(&format!("PRAGMA journal_mode={mode}"));
        restore(&world, &opened, &manifest, false).unwrap();
        assert_eq!(before, opened.print());
        assert_eq!(world.sql("PRAGMA integrity_check; PRAGMA journal_mode"), format!("ok\n{mode}\n"));
    }
}

/// What a step did, the rows as they are after it, and what only others did then: each is told apart.
fn told_apart(start: &str, step: &str, theirs: &str, lost: &[(&str, u64)]) {
    for mode in ["wal", "delete"] {
        let world = World::new(start);
        world.sql(&format!("PRAGMA journal_mode={mode}"));
        let opened = world.open(1);
        let before = opened.print();
        let manifest = snapshot(&world, &opened);
        opened.change("one", step).unwrap();
        let restored = restore(&world, &opened, &manifest, false).map_err(|e| e.to_string());
        assert_eq!(restored.map(|r| r.lost), Ok([].into()), "{mode}: {step}");
        assert_eq!(before, opened.print(), "{mode}: {step}");

        opened.change("one", step).unwrap();
        world.sql(theirs);
        let error = restore(&world, &opened, &manifest, false).unwrap_err();
        assert_eq!(error.kind(), StepErrorKind::Conflict, "{mode}: {error}");
        let restored = restore(&world, &opened, &manifest, true).unwrap();
        let lost = lost.iter().map(|(table, n)| ((*table).to_owned(), *n)).collect();
        assert_eq!(restored.lost, lost, "{mode}: {step}");
        assert_eq!(before, opened.print(), "{mode}: {step}");
    }
}

#[test]
fn rows_of_a_step_in_a_table_without_rowid_are_its_own() {
    told_apart(
        START,
        "INSERT INTO keyed VALUES ('m', 2), ('o', 3); UPDATE keyed SET v = 9 WHERE k = 'k'; REPLACE INTO keyed VALUES ('m', 7)",
        "INSERT INTO keyed VALUES ('theirs', 1)",
        &[("keyed", 1)],
    );
    let start = "CREATE TABLE it(a TEXT COLLATE NOCASE, \"b c\" BLOB, v, PRIMARY KEY (\"b c\", a)) WITHOUT ROWID;
        CREATE TABLE parent(id INTEGER PRIMARY KEY); INSERT INTO parent VALUES (1);
        CREATE TABLE child(p REFERENCES parent(id) ON UPDATE CASCADE, n, PRIMARY KEY (p, n)) WITHOUT ROWID;
        INSERT INTO child VALUES (1, 1), (1, 2);
        CREATE TRIGGER copies AFTER INSERT ON parent BEGIN INSERT INTO it VALUES (new.id, x'00', 'by a trigger'); END;";
    told_apart(
        start,
        "UPDATE parent SET id = 5; INSERT INTO parent VALUES (6); INSERT INTO it VALUES ('A', x'01', 1);
         UPDATE it SET a = 'a', v = 2 WHERE a = 'A'; ALTER TABLE it RENAME COLUMN a TO z",
        "INSERT INTO child VALUES (5, 3); UPDATE it SET v = 'theirs' WHERE z = '6'; UPDATE it SET z = 'q' WHERE z = 'a'",
        &[("child", 1), ("it", 2)],
    );
}

#[test]
fn a_watched_table_may_be_altered_in_every_way_while_rows_are_written() {
    let start = "CREATE TABLE w(\"it's\" TEXT, k INT, v, x, PRIMARY KEY (k, \"it's\")) WITHOUT ROWID;
        INSERT INTO w VALUES ('a', 1, 1, 1), ('b', 2, 1, 1); CREATE VIEW seen AS SELECT v FROM w;
        CREATE TABLE \"o'dd\"(id TEXT PRIMARY KEY) WITHOUT ROWID;";
    told_apart(
        start,
        "INSERT INTO w VALUES ('c', 3, 1, 1) ON CONFLICT DO UPDATE SET v = 8; ALTER TABLE w DROP COLUMN x;
         ALTER TABLE w ADD COLUMN y DEFAULT 4; ALTER TABLE w RENAME COLUMN v TO z; INSERT INTO \"o'dd\" VALUES ('q');
         INSERT INTO w(\"it's\", k) VALUES ('b', 2) ON CONFLICT DO UPDATE SET z = 8; CREATE INDEX i ON w(z)",
        "INSERT INTO w VALUES ('theirs', 9, 1, 1)",
        &[("w", 1)],
    );
}

#[test]
fn rows_of_tables_that_a_step_made_rebuilt_or_renamed_are_its_own() {
    told_apart(
        START,
        "CREATE TABLE fresh(id TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO fresh VALUES ('a', 1);
         CREATE TABLE copy AS SELECT * FROM t; ALTER TABLE keyed RENAME TO other",
        "INSERT INTO fresh VALUES ('theirs', 1); INSERT INTO copy VALUES (9, 'theirs'); INSERT INTO other VALUES ('x', 1)",
        &[("copy", 1), ("fresh", 1), ("other", 1)],
    );
    told_apart(
        START,
        "CREATE TABLE t2(id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t2 SELECT * FROM t; UPDATE t2 SET a = upper(a);
         DROP TABLE t; ALTER TABLE t2 RENAME TO t; INSERT INTO t VALUES (4, 'ours');
         DROP TABLE keyed; CREATE TABLE keyed(k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO keyed VALUES ('new', 1);",
        "INSERT INTO t VALUES (5, 'theirs'); UPDATE keyed SET v = 2",
        &[("keyed", 1), ("t", 1)],
    );
}

#[test]
fn a_row_of_a_step_that_somebody_changed_since_is_theirs() {
    told_apart(
        START,
        "UPDATE t SET a = upper(a); INSERT INTO t VALUES (7, 'ours'); ALTER TABLE t ADD COLUMN b DEFAULT 'q'",
        "UPDATE t SET a = 'their edit' WHERE id = 1; DELETE FROM t WHERE id = 7; INSERT INTO t VALUES (7, 'theirs', 0)",
        &[("t", 2)],
    );
}

#[test]
fn what_every_change_and_batch_of_the_undone_steps_wrote_is_theirs_to_take_back() {
    let world = World::new(START);
    let opened = world.open(1);
    let manifest = snapshot(&world, &opened);
    let batch = |sql: &'static str| {
        let work = move |conn: &rusqlite::Connection| {
            conn.execute_batch(sql).unwrap();
            Ok(())
        };
        block_on(opened.target.batch(&opened.step("long"), work)).unwrap();
    };
    batch("INSERT INTO t VALUES (11, 'a'), (12, 'b')");
    batch("INSERT INTO t VALUES (13, 'c'); INSERT INTO keyed VALUES ('x', 1)");
    opened.change("long", "DELETE FROM t WHERE id = 13").unwrap();
    opened.change("one", "UPDATE t SET a = 'z' WHERE id = 12").unwrap();
    let error = undo(&world, &opened, &manifest, false, &["one"]).unwrap_err();
    insta::assert_snapshot!(shown(&world, &error), @r"
    conflict: restoring `ROOT/app.db` would undo steps that were applied since the snapshot: `long` of plan `p`
    help: roll those steps back first, or run again with `--accept-loss`: their rows are exported then, and lost. Nothing was changed
    ");
    assert_eq!(undo(&world, &opened, &manifest, false, &["one", "long"]).unwrap().lost, [].into());

    // What was undone by its inverse is not known as a step's any more.
    opened.change("one", "INSERT INTO t VALUES (21, 'ours')").unwrap();
    assert_eq!(world.sql("SELECT count(*) FROM cutover_state WHERE key LIKE 'wrote:%'"), "1\n");
    opened.reverse("one", "DELETE FROM t WHERE id = 21").unwrap();
    assert_eq!(world.sql("SELECT count(*) FROM cutover_state WHERE key LIKE 'wrote:%'"), "0\n");
    world.sql("INSERT INTO t VALUES (21, 'ours')");
    assert!(restore(&world, &opened, &manifest, false).unwrap_err().to_string().contains("1 of `t`"));
}

#[test]
fn what_another_plan_applied_since_stands_in_the_way_and_its_rows_are_exported() {
    let world = World::new(START);
    let opened = world.open(1);
    let manifest = snapshot(&world, &opened);
    opened.change("one", "INSERT INTO t VALUES (3, 'ours')").unwrap();
    let info = cutover_core::StepInfo { plan: "other".to_owned(), id: "one".to_owned(), ..opened.cx.info().clone() };
    let insert = |conn: &rusqlite::Connection| {
        conn.execute_batch("INSERT INTO t VALUES (4, 'of another plan')").unwrap();
        Ok(cutover_core::Receipt::nothing())
    };
    block_on(opened.target.change(&opened.cx.for_step(info), insert)).unwrap();
    let now = opened.print();
    let error = restore(&world, &opened, &manifest, false).unwrap_err();
    insta::assert_snapshot!(shown(&world, &error), @r"
    conflict: restoring `ROOT/app.db` would undo steps that were applied since the snapshot: `one` of plan `other`
    help: roll plan `other` back first, or run again with `--accept-loss`: their rows are exported then, and lost. Nothing was changed
    ");
    assert_eq!(now, opened.print());
    let restored = restore(&world, &opened, &manifest, true).unwrap();
    assert_eq!(restored.lost, [("t".to_owned(), 1)].into());
    let export = fs::read_to_string(format!("{}.lost-rows.sql", restored.aside.display())).unwrap();
    assert!(export.contains("of another plan") && !export.contains("ours"), "{export}");
}

#[test]
fn what_a_program_wrote_is_found_by_comparing_with_a_copy() {
    for mode in ["wal", "delete"] {
        let world = World::new(START);
        world.sql(&format!("PRAGMA journal_mode={mode}"));
        let opened = world.open(1);
        let manifest = snapshot(&world, &opened);
        world.sql("INSERT INTO t VALUES (8, 'before it')");
        let copy = block_on(opened.target.snapshot(&opened.cx, &world.folder.path().join("copy"))).unwrap();
        world.sql(
            "INSERT INTO t VALUES (9, 'by it'); UPDATE keyed SET v = 2; CREATE TABLE n(a); INSERT INTO n VALUES (1)",
        );
        let wrote = block_on(opened.target.changes_since(&opened.cx, &copy)).unwrap();
        let receipt = cutover_core::Receipt { wrote: [("app".to_owned(), wrote)].into(), ..Default::default() };
        let options = RestoreOptions {
            aside: world.folder.path().join("aside"),
            accept_loss: true,
            undone: [("run".to_owned(), Some(receipt))].into(),
        };
        world.sql("INSERT INTO n VALUES (2)");
        let restored = block_on(opened.target.restore(&opened.cx, &manifest, &options)).unwrap();
        assert_eq!(restored.lost, [("n".to_owned(), 1), ("t".to_owned(), 1)].into(), "{mode}");
    }
}
