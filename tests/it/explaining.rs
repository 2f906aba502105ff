//! What `explain` says, in every state that a system can be brought into; and its next command, which leads on.

use std::fs;
use std::process::Stdio;

use cutover_tests::{run, sqlite3};
use serde_json::Value;

use crate::locking::{end, signal, slow, until};
use crate::system::{System, cutover, pasted, scripts};

/// A table, a configuration file and a program, each of which undoes itself.
const SORTS: &str = r#"
name = "sorts"
ON_FAILURE
[targets.app]
kind = "sqlite"
path = "app.db"
[targets.files]
kind = "dir"
path = "conf"
[[phase]]
name = "one"
layer = "storage"
[[phase.step]]
id = "table"
use = "sqlite.tables"
target = "app"
with.create = ["CREATE TABLE notes (id INTEGER PRIMARY KEY)"]
[[phase.step]]
id = "audit"
use = "sqlite.tables"
target = "app"
with.create = ["CREATE TABLE audit (id INTEGER PRIMARY KEY)"]
[[phase]]
name = "two"
layer = "storage"
[[phase.step]]
id = "settings"
use = "config.map"
target = "files"
with = { from = "app.json", to = "app.json", set = { version = 2 }, keep = ["name"] }
[[phase.step]]
id = "notify"
use = "command.run"
with = { apply = ["sh", "-c", "[ ! -e broken ] && touch told"], verify = ["test", "-e", "told"], rollback = ["sh", "-c", "[ ! -e glued ] && rm -f told"] }
"#;

fn sorts(on_failure: &str) -> System {
    let plan = SORTS.replace("ON_FAILURE", on_failure);
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY);", &plan);
    system.write_root("conf/app.json", "{ \"name\": \"shop\" }");
    system
}

/// What it says, with what differs from run to run made equal.
fn explained(system: &System, name: &str) {
    let text = system.seen(&system.cutover("explain", &[]));
    let filters = vec![
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
        (r"rocess \d+", "rocess PID"),
        (r"process group \d+", "process group PID"),
        (r"rocess PID on [^\s,]+", "rocess PID on HOST"),
        (r"`/\S+/cutover ", "`cutover "),
        (r"kill (-\w+|--) -?\d+", "kill $1 PID"),
        (r"\d+(\.\d)? (B|KiB|MiB|kB|MB)\b", "SIZE"),
    ];
    insta::with_settings!({ filters => filters, omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(format!("explain-{name}"), text);
    });
}

fn advice(system: &System) -> Value {
    let ran = system.cutover("explain", &["--format", "json"]).expect_code(0);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// The command that it says, run as a person would paste it.
fn do_next(system: &System) -> Option<i32> {
    let next = advice(system)["next"].as_str().expect("there is a next command").to_owned();
    run_line(&next)
}

fn run_line(line: &str) -> Option<i32> {
    run(&mut pasted(line)).code
}

/// Following the advice ends where nothing is left to do.
#[track_caller]
fn leads_to_done(system: &System) {
    for _ in 0..5 {
        if advice(system)["next"].is_null() {
            return system.cutover("apply", &[]).expect_code(0).stdout.clear();
        }
        do_next(system);
    }
    panic!("no end in sight:\n{}", system.seen(&system.cutover("explain", &[])));
}

fn killed(system: &System, command: &str, args: &[&str], point: &str) {
    let mut child = system.command(command, args);
    child.args(["--jobs", "1"]).env("FAILPOINTS", format!("{point}->return"));
    assert_eq!(run(&mut child).code, None, "{point} was not passed");
}

#[test]
fn never_run_and_applied_whole() {
    let system = sorts("");
    explained(&system, "never-run");
    leads_to_done(&system);
    explained(&system, "applied");
}

#[test]
fn killed_in_a_step_of_each_sort() {
    for (name, point) in [
        ("killed-in-group", "sqlite.change-made=1*off"),
        ("killed-after-commit", "sqlite.committed=0*off"),
        ("killed-in-intent", "config.map:written=0*off"),
        ("killed-in-program", "command.run:ended=0*off"),
        ("killed-after-all", "journal-append=5*off"),
    ] {
        let system = sorts("");
        killed(&system, "apply", &[], point);
        explained(&system, name);
        leads_to_done(&system);
    }
}

#[test]
fn killed_in_a_rollback_of_a_step_of_each_sort() {
    for (name, point) in [
        ("killed-undoing-table", "sqlite.reverse-made=0*off"),
        ("killed-undoing-settings", "config.map:put-back=0*off"),
        ("killed-undoing-program", "command.run:undo=0*off"),
    ] {
        let system = sorts("");
        system.cutover("apply", &[]).expect_code(0);
        killed(&system, "rollback", &["--to", "start", "--yes"], point);
        explained(&system, name);
        assert_eq!(do_next(&system), Some(0));
        explained(&system, &format!("{name}-then"));
        leads_to_done(&system);
    }
}

#[test]
fn failed_as_each_policy_says() {
    for policy in ["rollback-step", "rollback-phase", "rollback-all", "pause"] {
        let system = sorts(&format!("on-failure = \"{policy}\""));
        system.write_root("broken", "");
        system.cutover("apply", &[]).expect_code(if policy == "pause" { 104 } else { 100 });
        explained(&system, &format!("failed-{policy}"));
        fs::remove_file(system.root().join("broken")).unwrap();
        leads_to_done(&system);
    }
}

#[test]
fn stuck_and_settled_by_mending() {
    let system = sorts("");
    system.cutover("apply", &[]).expect_code(0);
    system.write_root("glued", "");
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(101);
    explained(&system, "stuck");
    fs::remove_file(system.root().join("glued")).unwrap();
    leads_to_done(&system);
}

#[test]
fn stuck_in_a_step_that_the_plan_no_longer_has() {
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY);", "");
    scripts(&system, 2, 1, "");
    system.write("1.down.sql", "SELECT nowhere();");
    system.cutover("apply", &[]).expect_code(0);
    system.cutover("rollback", &["--yes"]).expect_code(101);
    let whole = fs::read_to_string(system.file("plan.toml")).unwrap();
    system.write("plan.toml", &whole[..whole.find("\n[[phase]]\nname = \"p1\"").unwrap()]);
    explained(&system, "stuck-and-gone");
    // It is put back, its way back mended and accepted, as the next screen says.
    system.write("plan.toml", &whole);
    system.write("1.down.sql", "DROP TABLE t1;");
    system.cutover("accept", &["s1", "--note", "mended"]).expect_code(0);
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
}

#[test]
fn an_unwinding_after_a_failure_was_killed() {
    let system = sorts("on-failure = \"rollback-all\"");
    system.write_root("broken", "");
    killed(&system, "apply", &[], "config.map:put-back=0*off");
    explained(&system, "unwinding");
    fs::remove_file(system.root().join("broken")).unwrap();
    leads_to_done(&system);
}

#[test]
fn a_plan_that_was_edited_after_it_was_applied() {
    let system = sorts("");
    system.cutover("apply", &[]).expect_code(0);
    let plan = fs::read_to_string(system.file("plan.toml")).unwrap();
    system.write("plan.toml", &plan.replace("audit (id INTEGER PRIMARY KEY)", "audit (id INTEGER PRIMARY KEY, x)"));
    explained(&system, "edited");
    let accept = advice(&system)["instead"][0]["command"].as_str().unwrap().to_owned();
    assert_eq!(run_line(&accept), Some(0));
    leads_to_done(&system);
    let gone = plan.split("[[phase.step]]\nid = \"notify\"").next().unwrap();
    system.write("plan.toml", &gone.replace("audit (id INTEGER PRIMARY KEY)", "audit (id INTEGER PRIMARY KEY, x)"));
    explained(&system, "disappeared");
    let back = advice(&system)["instead"][0]["command"].as_str().unwrap().to_owned();
    assert_eq!(run_line(&back), Some(0));
    leads_to_done(&system);
}

#[test]
fn what_others_did_to_the_database() {
    let system = sorts("");
    system.cutover("apply", &[]).expect_code(0);
    system.ask("CREATE TABLE foreigner (x)");
    explained(&system, "foreign-table");
    assert_eq!(do_next(&system), Some(0));

    let system = sorts("");
    system.cutover("apply", &[]).expect_code(0);
    system.ask("INSERT INTO cutover_ledger SELECT * FROM cutover_ledger WHERE 0");
    let columns = system
        .ask("SELECT group_concat(name) FROM pragma_table_info('cutover_ledger') WHERE name NOT IN ('step', 'id')");
    system.ask(&format!(
        "INSERT INTO cutover_ledger (step, {columns}) SELECT 'stranger', {columns} FROM cutover_ledger WHERE step = 'table'"
    ));
    explained(&system, "foreign-row");
}

#[test]
fn a_ledger_row_that_was_deleted_by_hand_is_written_again_after_its_change_is_proven() {
    let system = sorts("");
    system.cutover("apply", &[]).expect_code(0);
    let row = system.ask("SELECT receipt, digest FROM cutover_ledger WHERE step = 'audit'");
    system.ask("DELETE FROM cutover_ledger WHERE step = 'audit'");
    explained(&system, "row-deleted");
    assert_eq!(do_next(&system), Some(0));
    assert_eq!(system.ask("SELECT receipt, digest FROM cutover_ledger WHERE step = 'audit'"), row);
    leads_to_done(&system);
    // It is ours still: it goes when it is rolled back.
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    assert_eq!(system.ask("SELECT count(*) FROM sqlite_schema WHERE name IN ('audit', 'notes')"), "0");
}

#[test]
fn a_claim_about_a_deleted_row_is_refused_when_the_change_is_gone_too() {
    let system = sorts("");
    system.cutover("apply", &[]).expect_code(0);
    system.ask("DELETE FROM cutover_ledger WHERE step = 'audit'; DROP TABLE audit");
    let claim = ["audit", "--as", "applied", "--note", "it is there"];
    let refused = system.cutover("resolve", &claim).expect_code(101).stderr;
    assert!(refused.contains("is not true: inspection says: nothing of it is there"), "{refused}");
    leads_to_done(&system);
}

#[test]
fn a_target_that_was_replaced_by_an_older_copy_or_is_missing_or_held() {
    let system = sorts("");
    let older = system.root().join("older.db");
    fs::copy(system.db(), &older).unwrap();
    system.cutover("apply", &[]).expect_code(0);
    let newer = fs::read(system.db()).unwrap();
    fs::copy(&older, system.db()).unwrap();
    explained(&system, "older-copy");

    fs::remove_file(system.db()).unwrap();
    explained(&system, "target-missing");
    fs::write(system.db(), newer).unwrap();
    leads_to_done(&system);

    let held = rusqlite::Connection::open(system.db()).unwrap();
    held.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;").unwrap();
    explained(&system, "target-held");
    drop(held);
    fs::copy(&older, system.db()).unwrap();
    leads_to_done(&system);
}

#[test]
fn a_journal_that_is_missing_damaged_or_newer() {
    for (name, ledger) in [("with-ledger", true), ("without-ledger", false)] {
        let system = sorts("");
        system.cutover("apply", &["--to", "settings"]).expect_code(0);
        let journal = system.root().join(".cutover/journal.db");
        if !ledger {
            system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
        }
        let whole = fs::read(&journal).unwrap();
        for left in ["journal.db-wal", "journal.db-shm"] {
            let _ = fs::remove_file(system.root().join(".cutover").join(left));
        }
        fs::write(&journal, "no database any more, but long enough to be looked at as one").unwrap();
        explained(&system, &format!("journal-damaged-{name}"));
        fs::remove_file(&journal).unwrap();
        explained(&system, &format!("journal-missing-{name}"));
        fs::write(&journal, whole).unwrap();
        sqlite3(&journal, "UPDATE meta SET value = 99 WHERE key = 'version'; PRAGMA user_version = 99");
        explained(&system, &format!("journal-newer-{name}"));
        fs::remove_file(&journal).unwrap();
        leads_to_done(&system);
    }
}

#[test]
fn a_run_that_is_under_way_frozen_or_left_its_program_behind() {
    let system = slow();
    let busy = system.start("apply", &[]);
    until("the runner", || system.root().join("began").exists());
    explained(&system, "under-way");
    assert_eq!(do_next(&system), Some(0));
    signal(&busy, "-STOP");
    explained(&system, "frozen-unfenced");
    signal(&busy, "-KILL");
    end(busy);
    explained(&system, "program-left");
    fs::write(system.root().join("go"), "").unwrap();
    leads_to_done(&system);

    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY);", "");
    scripts(&system, 2, 1, "");
    let mut slow = system.command("apply", &[]);
    slow.env("FAILPOINTS", "journal-appended=2*off->1*sleep(1500)->off");
    let frozen = slow.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let there = || system.ask("SELECT name FROM sqlite_master WHERE name = 'cutover_ledger'") == "cutover_ledger";
    until("the first step", || there() && system.ask("SELECT group_concat(step) FROM cutover_ledger") == "s0");
    std::thread::sleep(std::time::Duration::from_millis(200));
    signal(&frozen, "-STOP");
    explained(&system, "frozen");
    assert_eq!(do_next(&system), Some(0));
    signal(&frozen, "-CONT");
    assert_eq!(end(frozen).0, Some(75));
    leads_to_done(&system);
}

#[test]
fn stopped_by_its_operator() {
    let system = slow();
    let busy = system.start("apply", &[]);
    until("the runner", || system.root().join("began").exists());
    signal(&busy, "-INT");
    fs::write(system.root().join("go"), "").unwrap();
    assert_eq!(end(busy).0, Some(130));
    explained(&system, "stopped");
    leads_to_done(&system);
}

#[test]
fn a_saved_plan_that_holds_and_one_that_does_not() {
    let system = sorts("");
    let file = system.root().join("saved.json");
    let saved = file.to_str().unwrap();
    system.cutover("plan", &["--out", saved]).expect_code(0);
    let asked = |name: &str| {
        let ran = run(cutover().arg("explain").arg(&file));
        let text = system.seen(&ran);
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("explain-{name}"), text);
        });
        let ran = run(cutover().arg("explain").arg(&file).args(["--format", "json"]));
        let advice: Value = serde_json::from_str(&ran.stdout).unwrap();
        advice["next"].as_str().map(run_line)
    };
    system.ask("CREATE TABLE foreigner (x)");
    assert_eq!(asked("saved-stale"), Some(Some(0)));
    assert_eq!(asked("saved-holds"), Some(Some(0)));
    assert_eq!(asked("saved-applied"), None);
}

#[test]
fn what_lies_about_is_named_with_the_command_that_shows_it() {
    let system = sorts("");
    system.cutover("apply", &[]).expect_code(0);
    system.write_root(".cutover/scratch/root/big", &"x".repeat(5000));
    explained(&system, "leftovers");
    assert!(advice(&system)["next"].is_null());
    let prune = advice(&system)["findings"][0]["next"].as_str().unwrap().to_owned();
    assert_eq!(run_line(&format!("{prune} --yes")), Some(0));
    assert!(advice(&system)["findings"].as_array().unwrap().is_empty());
}

#[test]
fn something_else_in_the_place_of_the_state_folder_is_said_to_be_that() {
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY);", "");
    scripts(&system, 1, 1, "");
    system.write_root(".cutover", "x");
    let shown = system.cutover("explain", &[]).expect_code(0).stdout;
    assert!(
        shown.contains("is no folder") && shown.contains("move it away") && !shown.contains("never run"),
        "{shown}"
    );
    for command in ["apply", "status", "rehearse"] {
        let refused = system.cutover(command, &[]).expect_code(66).stderr;
        assert!(refused.contains("is no folder") && refused.contains("move it away"), "{command}: {refused}");
    }
    fs::remove_file(system.root().join(".cutover")).unwrap();
    system.cutover("apply", &[]).expect_code(0);
}
