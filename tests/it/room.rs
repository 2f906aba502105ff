//! Too little room: said before the first byte is written, with how much is missing. On a small file system in memory,
//! where this user may mount one.

use std::fs;
use std::path::Path;
use std::process::Command;

use cutover_tests::Tree;
use tempfile::TempDir;

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

/// About 2 MB.
const ROWS: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
    INSERT INTO t SELECT i, printf('%.4000c', 'x') FROM n;";

/// A file system of that size, until it is dropped.
struct Small(TempDir);

impl Small {
    /// None, and a line that says so, where this user may not mount; in CI that is a failure.
    #[expect(clippy::print_stdout, reason = "a test that was not run has to say so")]
    fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(folder.path());
        let mounted = mount.output().is_ok_and(|ran| ran.status.success());
        assert!(mounted || std::env::var_os("CI").is_none(), "cannot mount a file system in memory: run as root");
        if !mounted {
            println!("not run: a file system in memory cannot be mounted here; run as root");
            return None;
        }
        Some(Self(folder))
    }

    fn system(&self) -> System {
        let system = System::in_folder(tempfile::tempdir_in(self.0.path()).unwrap(), ROWS, PLAN);
        system.write("change.sql", "DELETE FROM t WHERE id > 100;");
        system
    }

    /// Leaves no more than so many bytes free.
    fn fill(&self, free: u64) {
        let stat = Command::new("df").args(["--output=avail", "-B1"]).arg(self.0.path()).output().unwrap();
        let avail: u64 = String::from_utf8_lossy(&stat.stdout).lines().nth(1).unwrap().trim().parse().unwrap();
        fs::write(self.filler(), vec![1; usize::try_from(avail.saturating_sub(free)).unwrap()]).unwrap();
    }

    fn filler(&self) -> std::path::PathBuf {
        self.0.path().join("filler")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

fn without_state(root: &Path) -> Tree {
    Tree::of(root).filter(|p| !p.starts_with(".cutover") && !p.ends_with(".cutover-lock"))
}

#[test]
fn a_rehearsal_without_room_says_what_it_needs_before_it_copies_and_goes_elsewhere() {
    let Some(disk) = Small::new("8m") else { return };
    let system = disk.system();
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
    let Some(disk) = Small::new("8m") else { return };
    let system = disk.system();
    disk.fill(1_900_000);
    let before = without_state(&system.root());
    let ran = system.cutover("apply", &[]).expect_code(100);
    assert!(ran.stdout.contains("not enough free space for the snapshots: 2."), "{}", ran.stdout);
    before.assert_same(&without_state(&system.root()), "after refused snapshots");
    fs::remove_file(disk.filler()).unwrap();
    system.cutover("apply", &[]).expect_code(0);
}

#[test]
fn a_restore_without_room_touches_nothing_and_the_same_command_goes_on_when_there_is_room() {
    let Some(disk) = Small::new("16m") else { return };
    let system = disk.system();
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
