//! Copies share their blocks with the original where the file system can, and are whole copies where it cannot. On XFS
//! with and without reflinks, where this user may mount it.

use std::fs;

use crate::disk::Disk;
use crate::system::System;

const PLAN: &str = r#"
name = "large"
[targets.app]
kind = "sqlite"
path = "app.db"
[targets.docs]
kind = "dir"
path = "docs"
[[phase]]
name = "p"
layer = "storage"
[[phase.step]]
id = "copy"
use = "target.snapshot"
with = { targets = ["app", "docs"], into = "backups" }
[[phase.step]]
id = "change"
use = "sqlite.script"
target = "app"
needs = ["copy"]
with = { up = "change.sql", down = "back.sql" }
"#;

/// About 24 MB.
const ROWS: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
    INSERT INTO t SELECT i, printf('%.4000c', 'x') FROM n;";
const LARGE: u64 = 24_000_000;

/// A database and a folder, both large; a plan that copies them and changes little.
fn large(disk: &Disk) -> System {
    let system = disk.system(ROWS, PLAN);
    system.write("change.sql", "CREATE TABLE made (id INTEGER PRIMARY KEY);");
    system.write("back.sql", "DROP TABLE made;");
    system.write_root("docs/page", "");
    fs::write(system.root().join("docs/large"), vec![7; LARGE as usize]).unwrap();
    assert!(fs::metadata(system.db()).unwrap().len() >= LARGE);
    system
}

/// By how many bytes the use of the disk grows while the command is run.
fn growth(disk: &Disk, system: &System, command: &str, args: &[&str]) -> (u64, String) {
    let before = disk.used();
    let said = system.cutover(command, args).expect_code(0).stdout;
    (disk.used().saturating_sub(before), said)
}

#[test]
fn a_rehearsal_and_snapshots_share_the_blocks_of_the_original_where_the_file_system_can() {
    let Some(disk) = Disk::xfs(true) else { return };
    let system = large(&disk);
    for (command, args) in [("rehearse", &["--keep"][..]), ("apply", &[])] {
        let (grown, said) = growth(&disk, &system, command, args);
        assert!(grown < LARGE / 2, "{command}: {grown} bytes more in use\n{said}");
        assert!(command == "apply" || said.contains("sharing blocks (reflink)"), "{said}");
    }
    for copy in ["backups/app/app.db", "backups/docs/files/large", ".cutover/scratch/root/app.db"] {
        let size = fs::metadata(system.root().join(copy)).unwrap().len();
        assert!(size >= LARGE, "{copy} is all of it, not {size} bytes");
    }
    system.cutover("verify", &[]).expect_code(0);
}

#[test]
fn they_need_no_room_for_what_is_shared() {
    let Some(disk) = Disk::xfs(true) else { return };
    let system = large(&disk);
    disk.fill(LARGE);
    system.cutover("rehearse", &[]).expect_code(0);
    system.cutover("apply", &[]).expect_code(0);
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
}

#[test]
fn a_rehearsal_asks_for_room_for_targets_that_lie_on_other_file_systems_than_the_copy() {
    let Some(disk) = Disk::xfs(true) else { return };
    let Some(other) = Disk::in_memory("64m") else { return };
    let system = large(&disk);
    let elsewhere = other.path().join("app.db");
    fs::copy(system.db(), &elsewhere).unwrap();
    let bind = format!("app={}", elsewhere.display());
    disk.fill(LARGE);
    let said = system.cutover("rehearse", &["--bind", &bind]).expect_code(66).stderr;
    assert!(said.contains("not enough free space for the rehearsal (the copy 23."), "{said}");
    fs::remove_file(disk.filler()).unwrap();
    let said = system.cutover("rehearse", &["--bind", &bind]).expect_code(0).stdout;
    assert!(!said.contains("reflink"), "not all of it is shared: {said}");
}

#[test]
fn where_the_file_system_cannot_share_blocks_a_rehearsal_and_snapshots_are_whole_copies() {
    let Some(disk) = Disk::xfs(false) else { return };
    let system = large(&disk);
    for (command, args) in [("rehearse", &["--keep"][..]), ("apply", &[])] {
        let (grown, said) = growth(&disk, &system, command, args);
        assert!(grown >= 2 * LARGE, "{command}: only {grown} bytes more in use\n{said}");
        assert!(!said.contains("reflink"), "{said}");
    }
}

#[test]
fn a_database_whose_log_holds_rows_is_copied_by_pages_and_the_room_for_them_is_asked_for_first() {
    let Some(disk) = Disk::xfs(true) else { return };
    let system = large(&disk);
    system.ask("PRAGMA journal_mode = WAL");
    let application = rusqlite::Connection::open(system.db()).unwrap();
    application.execute("INSERT INTO t VALUES (-1, 'in the log')", []).unwrap();
    disk.fill(LARGE / 2);
    let said = system.cutover("apply", &[]).expect_code(100).stdout;
    assert!(said.contains("not enough free space for the snapshots"), "{said}");
    assert!(!system.root().join("backups/app/app.db").exists());
    fs::remove_file(disk.filler()).unwrap();
    system.cutover("apply", &[]).expect_code(0);
    let copied = cutover_tests::sqlite3(system.root().join("backups/app/app.db"), "SELECT count(*) FROM t");
    assert_eq!(copied.trim(), "6001");
}
