//! A restore into a database whose page size others changed since the snapshot.

use std::fs;

use cutover_core::{RestoreOptions, Restored, SnapshotManifest, StepError, Target};
use pollster::block_on;
use rusqlite::Connection;

use crate::support::{Opened, World, python, shown};

fn snapshot(world: &World, opened: &Opened) -> SnapshotManifest {
    block_on(opened.target.snapshot(&opened.cx, &world.folder.path().join("backups"))).unwrap()
}

fn restore(world: &World, opened: &Opened, from: &SnapshotManifest) -> Result<Restored, StepError> {
    let undone = [("one".to_owned(), None)].into();
    let options = RestoreOptions { aside: world.folder.path().join("aside"), accept_loss: false, undone };
    block_on(opened.target.restore(&opened.cx, from, &options))
}

/// Gives the database other pages, as an application would, and ends in `mode`.
fn repaged(world: &World, size: u32, mode: &str) {
    world.sql(&format!("PRAGMA journal_mode=delete; PRAGMA page_size={size}; VACUUM; PRAGMA journal_mode={mode}"));
}

const ROWIDS: &str = "SELECT group_concat(rowid || ':' || x) FROM bare";

#[test]
fn a_restore_goes_into_a_database_whose_page_size_changed_since() {
    for mode in ["wal", "delete"] {
        for (old, new) in [(512, 8192), (8192, 512), (4096, 65536)] {
            let world = World::new(&format!(
                "PRAGMA page_size={old}; PRAGMA user_version=7; CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT);
                 INSERT INTO t SELECT value, hex(zeroblob(value)) FROM generate_series(1, 300);
                 CREATE TABLE bare(x); INSERT INTO bare(rowid, x) VALUES (3, 'three'), (70, 'seventy')"
            ));
            let opened = world.open(4);
            let (before, rowids) = (opened.print(), world.sql(ROWIDS));
            let manifest = snapshot(&world, &opened);
            opened.change("one", "ALTER TABLE t ADD COLUMN b; UPDATE t SET a = 'other'; DELETE FROM bare").unwrap();
            block_on(opened.target.close(&opened.cx)).unwrap();
            repaged(&world, new, mode);
            let other = Connection::open(world.db()).unwrap();
            let count = || other.query_row("SELECT count(*) FROM t", [], |r| r.get::<_, i64>(0)).unwrap();
            assert_eq!(count(), 300);
            let opened = world.open(5);
            restore(&world, &opened, &manifest).unwrap_or_else(|e| panic!("{mode} {old} {new}: {}", shown(&world, &e)));
            assert_eq!(before, opened.print(), "{mode} {old} {new}");
            assert_eq!(rowids, world.sql(ROWIDS), "{mode} {old} {new}");
            assert_eq!(count(), 300);
            other.execute("INSERT INTO t VALUES (1000, 'by a program that had it open')", []).unwrap();
            let told = world.sql("SELECT count(*) FROM t; PRAGMA integrity_check; PRAGMA user_version");
            assert_eq!(told, "301\nok\n7\n");
            assert_eq!(world.sql("PRAGMA journal_mode"), format!("{mode}\n"));
            let left = fs::read_dir(world.folder.path().join("aside")).unwrap().count();
            assert_eq!(left, 1, "only what was replaced is kept");
        }
    }
}

/// Runs SQL as an application with a collation of its own.
fn application(world: &World, sql: &str) {
    let program = format!(
        "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
         c.create_collation('own', lambda a, b: (a < b) - (a > b))\nfor s in \"{sql}\".split(';'): c.execute(s)\n"
    );
    python(&program, &world.db());
}

#[test]
fn a_snapshot_that_cannot_be_written_in_other_pages_says_what_to_do_and_that_leads_out() {
    let world = World::new("PRAGMA page_size=512; CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT)");
    application(&world, "CREATE TABLE o(a TEXT COLLATE own); CREATE INDEX oi ON o(a); INSERT INTO o VALUES ('x')");
    let opened = world.open(4);
    let manifest = snapshot(&world, &opened);
    opened.change("one", "ALTER TABLE t ADD COLUMN b").unwrap();
    block_on(opened.target.close(&opened.cx)).unwrap();
    application(&world, "PRAGMA page_size=4096; VACUUM; PRAGMA journal_mode=wal");
    let opened = world.open(5);
    let error = restore(&world, &opened, &manifest).unwrap_err();
    insta::assert_snapshot!(shown(&world, &error));
    block_on(opened.target.close(&opened.cx)).unwrap();
    world.sql("PRAGMA journal_mode=delete");
    restore(&world, &world.open(6), &manifest).unwrap();
    assert_eq!(world.sql("SELECT count(*) FROM pragma_table_info('t')"), "2\n");
}
