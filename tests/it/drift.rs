//! What may change in a plan after it was applied, and what may not.

use std::fs;

use crate::system::{System, scripts};

fn applied() -> System {
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY);", "");
    scripts(&system, 3, 3, "");
    system.cutover("apply", &[]).expect_code(0);
    system
}

#[test]
fn an_edited_script_that_was_applied_is_drift_and_names_the_step() {
    let system = applied();
    system.write("1.sql", "CREATE TABLE t1 (a TEXT, b TEXT);\nCREATE INDEX i1 ON t1(a);\n");
    for command in ["apply", "plan", "verify"] {
        let ran = system.cutover(command, &[]).expect_code(102);
        assert!(ran.stderr.contains("step `s1` was applied and has changed since"), "{command}: {}", ran.stderr);
    }
}

#[test]
fn comments_and_line_endings_are_no_drift() {
    let system = applied();
    system.write("1.sql", "-- why\r\nCREATE TABLE t1 (a TEXT);\r\n/* more */ CREATE INDEX i1 ON t1(a);   \r\n");
    let ran = system.cutover("apply", &[]).expect_code(0);
    assert!(ran.stdout.contains("nothing to do"), "{}", ran.stdout);
}

#[test]
fn a_step_added_to_a_finished_plan_is_all_that_runs() {
    let system = applied();
    scripts(&system, 4, 4, "");
    let ran = system.cutover("apply", &[]).expect_code(0);
    let ran_steps: Vec<_> = ran.stdout.lines().filter(|l| l.contains('✓')).collect();
    assert_eq!(ran_steps.len(), 1, "{}", ran.stdout);
    assert!(ran_steps[0].contains("s3"), "{}", ran.stdout);
    assert_eq!(system.ask("SELECT count(*) FROM t3"), "0");
}

#[test]
fn a_deliberate_edit_is_accepted_and_rollback_still_undoes_what_was_applied() {
    let system = applied();
    // The new down script would fail: rollback must use the one that was stored.
    system.write("1.sql", "CREATE TABLE t1 (a TEXT COLLATE NOCASE);\nCREATE INDEX i1 ON t1(a);\n");
    system.write("1.down.sql", "DROP TABLE never_there;\n");
    system.cutover("apply", &[]).expect_code(102);
    system.cutover("accept", &["s1", "--note", "collation was set by hand"]).expect_code(0);
    system.cutover("apply", &[]).expect_code(0);
    system.cutover("verify", &[]).expect_code(0);
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT count(*) FROM sqlite_master WHERE name LIKE 't_'"), "0");
}

#[test]
fn an_applied_step_that_disappeared_is_drift_and_a_pending_one_is_not() {
    let system = applied();
    let plan = fs::read_to_string(system.file("plan.toml")).unwrap();
    let without = plan.split("\n[[phase.step]]").take(3).collect::<Vec<_>>().join("\n[[phase.step]]");
    system.write("plan.toml", &without);
    let ran = system.cutover("apply", &[]).expect_code(102);
    assert!(ran.stderr.contains("step `s2` was applied and is no longer in the plan"), "{}", ran.stderr);

    system.write("plan.toml", &plan);
    system.cutover("rollback", &["--to", "s1", "--yes"]).expect_code(0);
    system.write("plan.toml", &without);
    let ran = system.cutover("apply", &[]).expect_code(0);
    assert!(ran.stdout.contains("nothing to do"), "{}", ran.stdout);
}

#[test]
fn two_applied_steps_that_changed_places_are_drift() {
    let system = applied();
    let plan = fs::read_to_string(system.file("plan.toml")).unwrap();
    let parts: Vec<_> = plan.split("\n[[phase.step]]").collect();
    system.write("plan.toml", &[parts[0], parts[2], parts[1], parts[3]].join("\n[[phase.step]]"));
    let ran = system.cutover("apply", &[]).expect_code(102);
    assert!(
        ran.stderr.contains("step `s1` came after `s0` when they were applied, and now comes before it"),
        "{}",
        ran.stderr
    );
}

/// The plan with a script step of that id put before its step `before`.
fn with_step(system: &System, id: &str, before: &str) -> String {
    system.write(&format!("{id}.sql"), &format!("CREATE TABLE {id} (a TEXT);"));
    system.write(&format!("{id}.down.sql"), &format!("DROP TABLE {id};"));
    let step = format!(
        "[[phase.step]]\nid = \"{id}\"\nuse = \"sqlite.script\"\ntarget = \"app\"\nwith = {{ up = \"{id}.sql\", down = \"{id}.down.sql\" }}\n\n"
    );
    let plan = fs::read_to_string(system.file("plan.toml")).unwrap();
    let place = plan.find(&format!("[[phase.step]]\nid = \"{before}\"")).unwrap();
    format!("{}{step}{}", &plan[..place], &plan[place..])
}

#[test]
fn steps_put_into_the_middle_of_a_finished_plan_run_alone_and_keep_their_place_from_then_on() {
    let system = applied();
    for (id, before, done) in [("m1", "s1", 4), ("m2", "s1", 5), ("m0", "s0", 6)] {
        system.write("plan.toml", &with_step(&system, id, before));
        let ran = system.cutover("apply", &[]).expect_code(0);
        assert_eq!(ran.stdout.matches('✓').count(), 1, "{}", ran.stdout);
        for command in ["apply", "plan", "verify", "status"] {
            let ran = system.cutover(command, &[]).expect_code(0);
            assert!(!ran.stdout.contains("drift"), "{command}: {}", ran.stdout);
        }
        assert_eq!(system.ask("SELECT count(*) FROM cutover_ledger"), done.to_string());
    }
    // Also where the same run first has to learn from the ledger what is applied.
    fs::remove_dir_all(system.root().join(".cutover")).unwrap();
    system.write("plan.toml", &with_step(&system, "m3", "s2"));
    for _ in 0..2 {
        system.cutover("apply", &[]).expect_code(0);
    }
    // The order is m0 s0 m1 m2 s1 m3 s2; what was put in later moves as little as anything else.
    let plan = fs::read_to_string(system.file("plan.toml")).unwrap();
    let parts: Vec<_> = plan.split("[[phase.step]]").collect();
    let order = [0, 1, 2, 4, 3, 5, 6, 7];
    system.write("plan.toml", &order.map(|i| parts[i]).join("[[phase.step]]"));
    let ran = system.cutover("apply", &[]).expect_code(102);
    assert!(ran.stderr.contains("step `m2` came after `m1` when they were applied"), "{}", ran.stderr);
    system.write("plan.toml", &plan);
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT count(*) FROM sqlite_master WHERE name GLOB '[tm][0-9]'"), "0");
}

#[test]
fn a_step_that_its_target_lost_runs_again_in_its_place() {
    let system = applied();
    system.ask("DROP TABLE t1; DELETE FROM cutover_ledger WHERE step = 's1'");
    let plan = system.cutover("plan", &[]).expect_code(0).stdout;
    assert!(plan.contains("s1 [sqlite.script on app] to apply"), "{plan}");
    system.cutover("apply", &[]).expect_code(0);
    let again = system.cutover("apply", &[]).expect_code(0);
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
}

#[test]
fn a_target_with_another_ledger_or_another_path_is_drift_and_nothing_runs_twice() {
    let system = applied();
    let plan = fs::read_to_string(system.file("plan.toml")).unwrap();
    let path = "path = \"app.db\"";
    fs::copy(system.db(), system.root().join("copy.db")).unwrap();
    cutover_tests::sqlite3(system.root().join("other.db"), "CREATE TABLE orders (id INTEGER PRIMARY KEY);");

    system.write("plan.toml", &plan.replace(path, &format!("{path}\nledger = \"migrations\"")));
    for command in ["apply", "plan", "verify"] {
        let ran = system.cutover(command, &[]).expect_code(102);
        assert!(ran.stderr.contains("was the default ledger, and now it is ledger `migrations`"), "{}", ran.stderr);
    }
    system.cutover("rollback", &["--yes"]).expect_code(102);
    let refused = system.cutover("accept", &["s0", "--note", "no"]).expect_code(102).stderr;
    assert!(!refused.contains("cutover accept"), "{refused}");
    let explained = system.cutover("explain", &[]).expect_code(0).stdout;
    assert!(!explained.contains("runs it again"), "{explained}");
    assert_eq!(system.ask("SELECT count(*) FROM sqlite_master WHERE name = 'migrations'"), "0");

    system.write("plan.toml", &plan.replace(path, "path = \"other.db\""));
    let ran = system.cutover("apply", &[]).expect_code(102);
    assert!(ran.stderr.contains("target `app` was `app.db`, and now it is `other.db`"), "{}", ran.stderr);
    let bound = system.root().join("other.db").display().to_string();
    system.write("plan.toml", &plan);
    system.cutover("apply", &["--bind", &format!("app={bound}")]).expect_code(102);

    // The same database in another place: its ledger says so.
    system.write("plan.toml", &plan.replace(path, "path = \"copy.db\""));
    let ran = system.cutover("apply", &[]).expect_code(0);
    assert!(ran.stdout.contains("nothing to do"), "{}", ran.stdout);
}

#[test]
fn a_rollback_reaches_a_target_that_the_plan_no_longer_has() {
    let system = applied();
    let step =
        "[[phase.step]]\nid = \"other\"\nuse = \"command.run\"\nwith = { apply = [\"true\"], changes = false }\n";
    system.write("plan.toml", &format!("name = \"scripts\"\n[[phase]]\nname = \"p9\"\nlayer = \"storage\"\n{step}"));
    system.cutover("apply", &[]).expect_code(102);
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT group_concat(name) FROM sqlite_master WHERE name LIKE 't_'"), "");
    assert_eq!(system.ask("SELECT count(*) FROM cutover_ledger"), "0");
}

#[test]
fn a_phase_that_disappeared_is_what_a_rollback_takes_back_first_and_by_the_printed_command_alone() {
    for printed in [true, false] {
        let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY);", "");
        scripts(&system, 4, 2, "");
        system.cutover("apply", &[]).expect_code(0);
        let plan = fs::read_to_string(system.file("plan.toml")).unwrap();
        let second = plan.find("\n[[phase]]\nname = \"p1\"").unwrap();
        system.write("plan.toml", &plan[..second]);
        let refused = system.cutover("apply", &[]).expect_code(102).stderr;
        assert!(refused.contains("--to s1`"), "{refused}");
        let args = if printed { &["--yes", "--to", "s1"][..] } else { &["--yes"] };
        system.cutover("rollback", args).expect_code(0);
        assert_eq!(system.ask("SELECT group_concat(step, ' ') FROM cutover_ledger"), "s0 s1");
        system.cutover("apply", &[]).expect_code(0);
    }
}

#[test]
fn a_step_that_only_a_ledger_knows_is_neither_passed_over_nor_left_behind() {
    let system = applied();
    let plan = fs::read_to_string(system.file("plan.toml")).unwrap();
    let without = plan.split("\n[[phase.step]]").take(3).collect::<Vec<_>>().join("\n[[phase.step]]");
    system.write("plan.toml", &without);
    fs::remove_dir_all(system.root().join(".cutover")).unwrap();
    for (command, args) in [("apply", &[][..]), ("plan", &[]), ("rollback", &["--to", "start", "--yes"])] {
        let ran = system.cutover(command, args).expect_code(102);
        assert!(ran.stderr.contains("the ledger of `app` has step `s2`"), "{command}: {}", ran.stderr);
    }
    system.write("plan.toml", &plan);
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT count(*) FROM cutover_ledger"), "0");
}

#[test]
fn an_edit_is_drift_also_when_only_the_ledger_knows_the_step_and_nothing_is_undone_by_another_text() {
    let system = applied();
    fs::remove_dir_all(system.root().join(".cutover")).unwrap();
    let was = fs::read_to_string(system.file("1.down.sql")).unwrap();
    system.write("1.down.sql", "DROP TABLE t1; DELETE FROM orders;");
    for (command, args) in [("apply", &[][..]), ("rollback", &["--to", "start", "--yes"])] {
        let ran = system.cutover(command, args).expect_code(102);
        assert!(ran.stderr.contains("step `s1` was applied and has changed since"), "{command}: {}", ran.stderr);
    }
    assert_eq!(system.ask("SELECT count(*) FROM cutover_ledger"), "3");
    system.write("1.down.sql", &was);
    system.cutover("rollback", &["--to", "s1", "--yes"]).expect_code(0);

    // Accepted, it is undone as it is now: nothing else is left to go by.
    fs::remove_dir_all(system.root().join(".cutover")).unwrap();
    system.write("1.down.sql", "DROP TABLE t1; INSERT INTO orders VALUES (7);");
    system.cutover("accept", &["s1", "--note", "the journal is lost"]).expect_code(0);
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT group_concat(id) FROM orders"), "7");
}

#[test]
fn a_journal_that_is_older_than_the_ledger_follows_it() {
    let system = applied();
    let (state, old) = (system.root().join(".cutover"), system.root().join("old"));
    fs::rename(&state, &old).unwrap();
    fs::create_dir(&state).unwrap();
    for file in fs::read_dir(&old).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), state.join(file.file_name())).unwrap();
    }
    system.cutover("rollback", &["--to", "s0", "--yes"]).expect_code(0);
    system.write("1.sql", "CREATE TABLE z1 (a TEXT);");
    system.write("1.down.sql", "DROP TABLE z1;");
    system.cutover("apply", &[]).expect_code(0);
    fs::remove_dir_all(&state).unwrap();
    fs::rename(&old, &state).unwrap();
    for command in ["plan", "status"] {
        let ran = system.cutover(command, &[]).expect_code(0);
        assert!(!ran.stdout.contains("drift"), "{command}: {}", ran.stdout);
    }
    let verified = system.cutover("verify", &[]).expect_code(102).stdout;
    assert!(verified.contains("step s1: only its ledger has it"), "{verified}");
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT count(*) FROM sqlite_master WHERE name GLOB '[tz][0-9]'"), "0");
}
