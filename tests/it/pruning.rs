//! `prune`: deletes what no rollback needs, after showing it, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::system::System;

const PLAN: &str = r#"
name = "pruned"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "copies"
layer = "storage"
[[phase.step]]
id = "copies"
use = "target.snapshot"
with = { targets = ["app"], into = "backups/set" }
[[phase]]
name = "change"
layer = "storage"
[[phase.step]]
id = "rewrite"
use = "sqlite.script"
target = "app"
with = { up = "rewrite.sql" }
"#;

#[test]
fn earlier_sets_and_what_was_set_aside_go_and_what_a_rollback_needs_stays() {
    let system = System::new("CREATE TABLE t (a); INSERT INTO t VALUES ('one');", PLAN);
    system.write("rewrite.sql", "UPDATE t SET a = upper(a);");
    assert!(system.cutover("prune", &[]).expect_code(0).stdout.contains("nothing to delete"));
    for _ in 0..3 {
        system.cutover("apply", &[]).expect_code(0);
        system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
        // Sets are named by the second in which they were taken.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    system.cutover("apply", &[]).expect_code(0);
    let backups = || fs::read_dir(system.root().join("backups")).unwrap().count();
    assert_eq!(backups(), 4);
    let refused = system.cutover("prune", &[]).expect_code(2);
    assert!(
        refused.stdout.contains("an earlier set of snapshots") && refused.stdout.contains("what a rollback set aside")
    );
    assert_eq!(backups(), 4, "it was not confirmed");
    let listed = system.cutover("prune", &["--format", "json"]).expect_code(0).stdout;
    assert!(listed.contains("\"deleted\": false") && listed.contains("an earlier set of snapshots"), "{listed}");
    assert_eq!(backups(), 4, "a program was told what there is");
    fs::write(system.root().join(".cutover/journal.damaged-1.db"), "damaged").unwrap();
    let shown = system.cutover("prune", &["--keep", "0", "--yes"]).expect_code(0).stdout;
    assert!(shown.contains("7 leftovers, ") && shown.ends_with("deleted\n"), "{shown}");
    assert_eq!(backups(), 1);
    // The way back is whole.
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT a FROM t"), "one");
}

const LOGGED: &str = r#"
name = "pruned"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "p"
layer = "storage"
[[phase.step]]
id = "copies"
use = "target.snapshot"
with = { targets = ["app"], into = "backups/set" }
[[phase.step]]
id = "rewrite"
use = "sqlite.script"
target = "app"
with = { up = "rewrite.sql" }
[[phase.step]]
id = "log"
use = "command.run"
with = { apply = ["sh", "-c", "echo once"], rollback = ["sh", "-c", "echo back"], verify = ["true"] }
"#;

/// Makes all that is in a folder look as if it had come then.
fn set_clock(folder: &Path, time: SystemTime) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            set_clock(&entry.path(), time);
        }
        fs::File::open(entry.path()).unwrap().set_modified(time).unwrap();
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

/// The clock goes back a day before every round: what came last looks as if it had come first.
#[test]
fn of_each_sort_what_came_last_stays_whatever_the_clock_said() {
    let system = System::new("CREATE TABLE t (a); INSERT INTO t VALUES ('one');", LOGGED);
    system.write("rewrite.sql", "UPDATE t SET a = upper(a);");
    let state = system.root().join(".cutover");
    let places = [state.join("aside"), system.root().join("backups"), state.join("steps/pruned/log")];
    let mut last = Vec::new();
    // More than nine: a tenth comes after a ninth, though not in the alphabet.
    for round in 0..10 {
        let before = places.each_ref().map(|place| names(place));
        system.cutover("apply", &[]).expect_code(0);
        system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
        last = places.iter().zip(&before).map(|(place, before)| &names(place) - before).collect();
        let past = SystemTime::now() - Duration::from_secs(round * 86_400);
        for (place, new) in places.iter().zip(&last) {
            for name in new {
                let path = place.join(name);
                set_clock(&path, past);
                fs::File::open(&path).unwrap().set_modified(past).unwrap();
            }
        }
    }
    system.cutover("prune", &["--keep", "1", "--yes"]).expect_code(0);
    let kept = places.each_ref().map(|place| names(place));
    // Of the last round all that it set aside; of the outputs the last one alone.
    assert_eq!(kept[0], last[0], "what a rollback set aside");
    assert!(kept[1].is_superset(&last[1]) && kept[1].len() == 2, "snapshots: {:?}", kept[1]);
    assert_eq!(kept[2].iter().filter(|name| name.starts_with("output-")).collect::<Vec<_>>(), ["output-10.log"]);
    // What comes next comes last, though numbers before it are free by now.
    system.cutover("apply", &[]).expect_code(0);
    assert!(names(&places[2]).contains("output-11.log"), "{:?}", names(&places[2]));
}

/// A damaged journal is a file or three, and one thing.
#[test]
fn a_damaged_journal_that_was_set_aside_stays_or_goes_with_its_log() {
    let system = System::new("CREATE TABLE t (a);", PLAN);
    system.write("rewrite.sql", "UPDATE t SET a = upper(a);");
    let state = system.root().join(".cutover");
    for _ in 0..2 {
        system.cutover("apply", &[]).expect_code(0);
        fs::write(state.join("journal.db"), "no journal any more").unwrap();
    }
    system.cutover("apply", &[]).expect_code(0);
    assert_eq!(names(&state).iter().filter(|name| name.starts_with("journal.damaged-")).count(), 2);
    for number in [1, 2] {
        for log in ["-wal", "-shm"] {
            fs::write(state.join(format!("journal.damaged-{number}.db{log}")), "its log").unwrap();
        }
    }
    system.cutover("prune", &["--keep", "1", "--yes"]).expect_code(0);
    let damaged: Vec<_> = names(&state).into_iter().filter(|name| name.starts_with("journal.damaged-")).collect();
    assert_eq!(damaged, ["journal.damaged-2.db", "journal.damaged-2.db-shm", "journal.damaged-2.db-wal"]);
}
