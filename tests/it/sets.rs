//! Whose a set of snapshots is: what another plan or step needs for its way back is neither set aside nor deleted.

use std::fs;

use cutover_tests::Ran;
use rusqlite::Connection;

use crate::system::{System, on};

/// A plan with a snapshot in that folder and a change that only its restore takes back.
fn plan(name: &str, into: &str) -> String {
    format!(
        "name = \"{name}\"\n[targets.app]\nkind = \"sqlite\"\npath = \"app.db\"\n[[phase]]\nname = \"p\"\nlayer = \"storage\"\n\
         [[phase.step]]\nid = \"copies\"\nuse = \"target.snapshot\"\nwith = {{ targets = [\"app\"], into = \"{into}\" }}\n\
         [[phase.step]]\nid = \"{name}\"\nuse = \"sqlite.script\"\ntarget = \"app\"\nwith = {{ up = \"{name}.sql\" }}\n"
    )
}

/// Two plans on one root, `plan.toml` and `other.toml`.
fn two(into: &str, other: &str) -> System {
    let system = System::new("CREATE TABLE t (a); INSERT INTO t VALUES ('one');", &plan("first", into));
    system.write("other.toml", &plan("second", other));
    system.write("first.sql", "UPDATE t SET a = a || ' first';");
    system.write("second.sql", "UPDATE t SET a = a || ' second';");
    system
}

fn other(system: &System, command: &str, args: &[&str]) -> Ran {
    cutover_tests::run(&mut on(&system.file("other.toml"), &system.root(), command, args))
}

const BACK: [&str; 3] = ["--to", "start", "--yes"];

#[test]
fn pruning_one_plan_keeps_the_living_set_of_another_whose_folder_is_called_alike() {
    let system = two("before", "before-2");
    other(&system, "apply", &[]).expect_code(0);
    for _ in 0..2 {
        system.cutover("apply", &[]).expect_code(0);
        system.cutover("rollback", &BACK).expect_code(0);
    }
    let pruned = system.cutover("prune", &["--keep", "0", "--yes"]).expect_code(0).stdout;
    assert!(pruned.contains("an earlier set of snapshots") && !pruned.contains("before-2/"), "{pruned}");
    let sets = fs::read_dir(system.root()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut sets: Vec<_> = sets.filter(|name| name.starts_with("before")).collect();
    sets.sort();
    assert_eq!(sets, ["before", "before-2"], "the earlier set of the plan itself went");
    other(&system, "rollback", &BACK).expect_code(0);
    assert_eq!(system.ask("SELECT a FROM t"), "one");
}

#[test]
fn an_earlier_set_is_not_deleted_for_a_step_of_another_name() {
    let system = two("before", "elsewhere");
    for _ in 0..2 {
        system.cutover("apply", &[]).expect_code(0);
        system.cutover("rollback", &BACK).expect_code(0);
    }
    // The same folder, for a step that took none of the sets.
    system.write("other.toml", &plan("second", "before"));
    let pruned = other(&system, "prune", &["--keep", "0", "--yes"]).expect_code(0).stdout;
    assert!(!pruned.contains("snapshots"), "{pruned}");
}

#[test]
fn a_set_that_another_plan_needs_is_in_the_way_before_anything_is_written() {
    for (first, second, said) in [
        ("backups", "backups", "holds the snapshots of step `copies` of plan `first`"),
        ("backups", "backups/second", "lies in a set of snapshots of step `copies` of plan `first`"),
    ] {
        let system = two(first, second);
        system.cutover("apply", &[]).expect_code(0);
        let refused = other(&system, "apply", &[]).expect_code(100).stderr;
        assert!(refused.contains(said) && refused.contains("nothing was changed"), "{refused}");
        assert!(refused.contains("choose another `into`"), "{refused}");
        assert_eq!(system.ask("SELECT a FROM t"), "one first");
        system.cutover("rollback", &BACK).expect_code(0);
        assert_eq!(system.ask("SELECT a FROM t"), "one");
    }
}

#[test]
fn a_set_whose_step_was_rolled_back_makes_way_for_another_plans() {
    let system = two("backups", "backups");
    system.cutover("apply", &[]).expect_code(0);
    system.cutover("rollback", &BACK).expect_code(0);
    other(&system, "apply", &[]).expect_code(0);
    assert_eq!(system.ask("SELECT a FROM t"), "one second");
    other(&system, "rollback", &BACK).expect_code(0);
    assert_eq!(system.ask("SELECT a FROM t"), "one");
}

/// The log is beside the file, not beside the link to it.
#[test]
fn a_target_behind_a_link_is_copied_with_what_its_log_holds() {
    for bound in [false, true] {
        let system = two("backups", "elsewhere");
        let (real, name) = (system.root().join("store/app.db"), system.db());
        fs::create_dir(system.root().join("store")).unwrap();
        fs::rename(&name, &real).unwrap();
        let outside = tempfile::tempdir().unwrap();
        let link = if bound { outside.path().join("link.db") } else { name };
        std::os::unix::fs::symlink(&real, &link).unwrap();
        // A program that is using it: nothing of this is in the file itself.
        let living = Connection::open(&real).unwrap();
        living
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE logged (a);
                 INSERT INTO logged VALUES (1); INSERT INTO t VALUES ('two')",
            )
            .unwrap();
        let bind = format!("app={}", link.display());
        let place: &[&str] = if bound { &["--bind", &bind] } else { &[] };
        system.cutover("rehearse", place).expect_code(0);
        system.cutover("apply", place).expect_code(0);
        // A rehearsal that copied less finds rows that only the original has.
        system.cutover("rehearse", place).expect_code(0);
        system.cutover("rollback", &[place, &BACK].concat()).expect_code(0);
        let ask = |sql: &str| living.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(ask("SELECT group_concat(a) FROM t"), "one,two", "bound: {bound}");
        assert_eq!(ask("SELECT count(*) || '' FROM logged"), "1", "bound: {bound}");
    }
}
