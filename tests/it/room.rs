//! Too little room: said before the first byte is written, with how much is missing. On a small file system in memory,
//! where this user may mount one.

use std::fs;
use std::path::Path;

use cutover_tests::Tree;

use crate::disk::Disk;
use crate::system::System;

const PLAN: &str = r#"
name = "large"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "p"
layer = "storage"
[[phase.step]]
id = "copy"
use = "target.snapshot"
with = { targets = ["app"], into = "backups" }
[[phase.step]]
id = "change"
use = "sqlite.script"
target = "app"
needs = ["copy"]
with = { up = "change.sql" }
"#;

const FAILS_ON_A_FULL_DISK: &str = r#"
[[phase.step]]
id = "fill"
use = "command.run"
needs = ["change"]
with = { apply = ["sh", "-c", "head -c 700000 /dev/zero > spare; cat /dev/zero > filler; rm spare; false"], changes = false }
"#;

/// About 2 MB.
const ROWS: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
    INSERT INTO t SELECT i, printf('%.4000c', 'x') FROM n;";

fn system(disk: &Disk) -> System {
    let system = disk.system(ROWS, PLAN);
    system.write("change.sql", "DELETE FROM t WHERE id > 100;");
    system
}

fn without_state(root: &Path) -> Tree {
    Tree::of(root).filter(|p| !p.starts_with(".cutover") && !p.ends_with(".cutover-lock"))
}

#[test]
fn a_rehearsal_without_room_says_what_it_needs_before_it_copies_and_goes_elsewhere() {
    let Some(disk) = Disk::in_memory("8m") else { return };
    let system = system(&disk);
    // There is room for one copy, and not for its snapshot too.
    disk.fill(3_000_000);
    let before = Tree::of(&system.root());
    let said = system.cutover("rehearse", &[]).expect_code(66).stderr;
    for words in
        ["not enough free space for the rehearsal (the copy ", "needed", " free in `", "missing", "--scratch DIR"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    before.assert_same(&Tree::of(&system.root()).filter(|p| p != ".cutover"), "after a refused rehearsal");
    let elsewhere = tempfile::tempdir().unwrap();
    let ran = system.cutover("rehearse", &["--scratch", &elsewhere.path().join("copy").display().to_string()]);
    assert!(ran.expect_code(0).stdout.contains("measured on another file system"));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "the copy is removed");
}

#[test]
fn snapshots_without_room_are_refused_before_anything_is_written() {
    let Some(disk) = Disk::in_memory("8m") else { return };
    let system = system(&disk);
    disk.fill(1_900_000);
    let before = without_state(&system.root());
    let ran = system.cutover("apply", &[]).expect_code(100);
    assert!(ran.stdout.contains("not enough free space for the snapshots: 2."), "{}", ran.stdout);
    before.assert_same(&without_state(&system.root()), "after refused snapshots");
    fs::remove_file(disk.filler()).unwrap();
    system.cutover("apply", &[]).expect_code(0);
}

#[test]
fn what_had_no_room_to_be_undone_is_undone_by_the_same_command_when_there_is_room() {
    let Some(disk) = Disk::in_memory("16m") else { return };
    let system = disk.system(ROWS, &format!("{PLAN}{FAILS_ON_A_FULL_DISK}"));
    system.write("change.sql", "DELETE FROM t WHERE id > 100;");
    let said = system.cutover("apply", &[]).expect_code(101).stdout;
    assert!(said.contains("not enough free space for the restore of `"), "{said}");
    assert!(said.contains("next: ") && said.contains("(after making room or mending the cause"), "{said}");
    fs::remove_file(system.root().join("filler")).unwrap();
    system.cutover("apply", &[]).expect_code(100);
    assert_eq!(system.ask("SELECT count(*) FROM t"), "500");
}

#[test]
fn a_restore_without_room_touches_nothing_and_the_same_command_goes_on_when_there_is_room() {
    let Some(disk) = Disk::in_memory("16m") else { return };
    let system = system(&disk);
    system.cutover("apply", &[]).expect_code(0);
    disk.fill(1_500_000);
    let before = without_state(&system.root());
    let said = system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(101).stdout;
    assert!(said.contains("not enough free space for the restore of `"), "{said}");
    before.assert_same(&without_state(&system.root()), "after a refused restore");
    fs::remove_file(disk.filler()).unwrap();
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT count(*) FROM t"), "500");
}

#[test]
fn prune_makes_room_on_a_full_state_folder() {
    for free in [0, 8 << 10, 40 << 10, 200 << 10] {
        let Some(disk) = Disk::in_memory("24m") else { return };
        let system = system(&disk);
        system.cutover("apply", &[]).expect_code(0);
        system.cutover("rehearse", &["--keep"]).expect_code(0);
        let scratch = system.root().join(".cutover/scratch");
        // Whoever opens a journal that was closed needs room for the memory that its users share.
        for log in ["-shm", "-wal"] {
            let _ = fs::remove_file(system.root().join(format!(".cutover/journal.db{log}")));
        }
        disk.fill(free);
        let said = system.cutover("prune", &["--yes", "--keep", "0"]).expect_code(0).stdout;
        assert!(said.contains("the copy of a rehearsal") && !scratch.exists(), "{free}: {said}");
        // What it borrowed is given back.
        let reserve = fs::metadata(system.root().join(".cutover/reserve")).unwrap();
        assert!(std::os::unix::fs::MetadataExt::blocks(&reserve) * 512 >= 1 << 20, "{free}: {reserve:?}");
        system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    }
}
