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
    let options = RestoreOptions { aside: world.folder.path().join("aside"), accept_loss };
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
    let world = World::new("");
    let opened = world.open(1);
    let before = opened.print();
    let manifest = snapshot(&world, &opened);
    opened.change("one", "CREATE TABLE t(a)").unwrap();
    restore(&world, &opened, &manifest, false).unwrap();
    assert_eq!(before, opened.print());
}
