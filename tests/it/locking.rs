//! Two runners, a frozen one, Ctrl-C, a lost journal.

use std::fs;
use std::io::Read;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::system::System;

/// A plan whose first step takes as long as the file `go` is absent.
pub(crate) fn slow() -> System {
    let plan = r#"
name = "slow"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "first"
layer = "storage"
[[phase.step]]
id = "begin"
use = "sqlite.script"
target = "app"
with = { up = "a.sql", down = "a.down.sql" }
[[phase]]
name = "second"
layer = "storage"
[[phase.step]]
id = "wait"
use = "command.run"
with = { apply = ["sh", "-c", "touch began; while [ ! -e go ]; do sleep 0.02; done"], changes = false, timeout = "60s" }
[[phase]]
name = "third"
layer = "storage"
[[phase.step]]
id = "end"
use = "sqlite.script"
target = "app"
with = { up = "b.sql", down = "b.down.sql" }
"#;
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY);", plan);
    for name in ["a", "b"] {
        system.write(&format!("{name}.sql"), &format!("CREATE TABLE {name} (x);"));
        system.write(&format!("{name}.down.sql"), &format!("DROP TABLE {name};"));
    }
    system
}

pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < limit, "waited for {what} in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").arg(name).arg(child.id().to_string()).status().unwrap().success());
}

pub(crate) fn end(mut child: Child) -> (Option<i32>, String) {
    let status = child.wait().unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    (status.code(), text)
}

#[test]
fn the_second_runner_ends_with_75_and_names_the_first() {
    let system = slow();
    let first = system.start("apply", &[]);
    until("the first runner", || system.root().join("began").exists());
    let second = system.cutover("apply", &[]).expect_code(75);
    assert!(second.stderr.contains(&format!("process {}", first.id())), "{}", second.stderr);
    assert!(second.stderr.contains("cutover apply"), "{}", second.stderr);
    // Looking takes no lock.
    let status = system.cutover("status", &[]).expect_code(0).stdout;
    assert!(status.contains(&format!("a run is under way: process {}", first.id())), "{status}");
    fs::write(system.root().join("go"), "").unwrap();
    assert_eq!(end(first).0, Some(0));
    system.cutover("apply", &[]).expect_code(0);
}

const LEDGER: &str = "SELECT group_concat(step, ' ') FROM cutover_ledger";

#[test]
fn a_take_over_is_refused_while_a_step_that_nothing_can_fence_is_under_way() {
    let system = slow();
    let busy = system.start("apply", &[]);
    until("the first runner", || system.root().join("began").exists());
    signal(&busy, "-STOP");
    let refused = system.cutover("apply", &["--take-over"]).expect_code(75).stderr;
    assert!(refused.contains("step `wait` is under way in process"), "{refused}");
    // Nothing was taken: the holder holds it still.
    system.cutover("apply", &[]).expect_code(75);
    signal(&busy, "-CONT");
    fs::write(system.root().join("go"), "").unwrap();
    assert_eq!(end(busy).0, Some(0));
    assert_eq!(system.ask(LEDGER), "begin end");
}

#[test]
fn a_program_that_outlives_its_killed_runner_is_waited_for_and_not_run_beside() {
    let step = r#"
name = "orphans"
[[phase]]
name = "p"
layer = "storage"
[[phase.step]]
id = "make"
use = "command.run"
with = { apply = ["sh", "-c", "echo begin >> log; while [ ! -e go ]; do sleep 0.02; done; touch made; echo end >> log"], verify = ["test", "-e", "made"], rollback = ["rm", "-f", "made"] }
"#;
    let system = System::new("", step);
    let log = || fs::read_to_string(system.root().join("log")).unwrap_or_default();
    let mut killed = system.start("apply", &[]);
    until("the program", || log() == "begin\n");
    killed.kill().unwrap();
    killed.wait().unwrap();
    for command in ["apply", "rollback"] {
        let refused = system.cutover(command, &["--yes"]).expect_code(75).stderr;
        assert!(refused.contains("the program of step `make` still runs, in process group"), "{refused}");
    }
    fs::write(system.root().join("go"), "").unwrap();
    system.cutover("apply", &["--lock-timeout", "30s"]).expect_code(0);
    assert_eq!(log(), "begin\nend\n", "it ran once");
    system.cutover("rollback", &["--yes"]).expect_code(0);
    assert!(!system.root().join("made").exists());
}

#[test]
fn ctrl_c_stops_after_the_step_and_the_same_command_goes_on() {
    let system = slow();
    let child = system.start("apply", &[]);
    until("the runner", || system.root().join("began").exists());
    signal(&child, "-INT");
    fs::write(system.root().join("go"), "").unwrap();
    let (code, text) = end(child);
    assert_eq!(code, Some(130), "{text}");
    assert_eq!(system.ask("SELECT group_concat(step, ' ') FROM cutover_ledger"), "begin");
    let again = system.cutover("apply", &[]).expect_code(0);
    assert_eq!(again.stdout.matches('✓').count(), 1, "{}", again.stdout);
    assert_eq!(system.ask("SELECT group_concat(step, ' ') FROM cutover_ledger"), "begin end");
}

#[test]
fn a_lost_or_damaged_journal_is_rebuilt_from_the_ledger_by_apply_and_by_rollback() {
    for (damage, back) in [("lost", false), ("damaged", false), ("lost", true), ("damaged", true)] {
        let system = slow();
        fs::write(system.root().join("go"), "").unwrap();
        system.cutover("apply", &[]).expect_code(0);
        let journal = system.root().join(".cutover/journal.db");
        if damage == "lost" {
            fs::remove_dir_all(system.root().join(".cutover")).unwrap();
        } else {
            fs::write(&journal, "no database any more, but long enough to be looked at as one").unwrap();
            let explained = system.cutover("explain", &[]).expect_code(0).stdout;
            assert!(explained.contains("cannot be believed"), "{explained}");
            // Who only settles one step does not rebuild it by the way.
            system.cutover("accept", &["begin", "--note", "no"]).expect_code(101);
        }
        if !back {
            system.cutover("apply", &[]).expect_code(0);
            let status = system.cutover("status", &[]).expect_code(0).stdout;
            assert!(status.contains("3 of 3 steps done"), "{damage}: {status}");
        }
        system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
        assert_eq!(system.ask("SELECT count(*) FROM sqlite_master WHERE name IN ('a', 'b')"), "0", "{damage}");
    }
}

#[test]
fn a_second_apply_writes_nothing_at_all() {
    let system = slow();
    fs::write(system.root().join("go"), "").unwrap();
    system.cutover("apply", &[]).expect_code(0);
    let before = cutover_tests::Tree::of(&system.root());
    let again = system.cutover("apply", &[]).expect_code(0);
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
    let quiet = |p: &str| !p.ends_with("-shm") && !p.ends_with("-wal");
    before.filter(quiet).assert_same(&cutover_tests::Tree::of(&system.root()).filter(quiet), "after a second apply");
}
