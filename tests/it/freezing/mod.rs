//! A freeze from outside: who reads and who cannot write, from which moment to which, and whatever becomes of the run.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cutover_tests::{run, sqlite3};
use rusqlite::Connection;

use crate::system::{System, folder_in_memory};

const PLAN: &str = r#"
name = "shop"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "quiet"
layer = "storage"
[[phase.step]]
id = "freeze"
use = "sqlite.freeze"
target = "app"
with = { lease = "60s" }
[[phase]]
name = "change"
layer = "storage"
[[phase.step]]
id = "priority"
use = "sqlite.columns"
target = "app"
with = { table = "orders", add = ["priority INTEGER DEFAULT 1"] }
[[phase.step]]
id = "levels"
use = "sqlite.script"
target = "app"
with = { up = "levels.sql", down = "levels.down.sql" }
[[phase.step]]
id = "thaw"
use = "sqlite.thaw"
target = "app"
with = { freeze = "freeze" }
"#;

const WRITE: &str = "INSERT INTO orders (what) VALUES ('theirs')";

fn shop(script: &str) -> System {
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT);", PLAN);
    system.write("levels.sql", script);
    system.write("levels.down.sql", "DELETE FROM orders WHERE what = 'ours';");
    system
}

const GOOD: &str = "INSERT INTO orders (what) VALUES ('ours');";

/// What an application is told that writes.
fn told(system: &System) -> String {
    let conn = Connection::open(system.db()).unwrap();
    match conn.execute_batch(WRITE) {
        Ok(()) => "done".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn is_clean(system: &System) {
    assert_eq!(told(system), "done");
    assert_eq!(system.ask("SELECT count(*) FROM sqlite_master WHERE name LIKE '%freeze%'"), "0");
}

#[test]
fn what_is_done_under_a_freeze_is_done_and_the_way_back_keeps_what_others_wrote_then() {
    let system = shop(GOOD);
    let said = system.cutover("apply", &[]).expect_code(0).stdout;
    assert!(said.contains("nobody else could write for "), "{said}");
    is_clean(&system);
    let verified = system.cutover("verify", &[]).expect_code(0).stdout;
    assert!(verified.contains("superseded by thaw"), "{verified}");
    assert!(system.cutover("apply", &[]).expect_code(0).stdout.contains("nothing to do"));
    system.cutover("rollback", &["--to", "start", "--yes"]).expect_code(0);
    is_clean(&system);
    assert_eq!(system.ask("SELECT DISTINCT what FROM orders"), "theirs");
}

#[test]
fn a_run_that_fails_lets_others_write_again_and_the_next_one_freezes_anew() {
    let system = shop("INSERT INTO nowhere VALUES (1);");
    let said = system.cutover("apply", &[]).expect_code(100).stdout;
    assert!(said.contains("others may write to app again: a freeze ends with its run"), "{said}");
    is_clean(&system);
    system.write("levels.sql", GOOD);
    let said = system.cutover("apply", &[]).expect_code(0).stdout;
    assert!(said.contains("nobody else writes: 1 tables are frozen"), "{said}");
    is_clean(&system);
}

#[test]
fn a_run_that_is_killed_leaves_a_freeze_that_the_next_one_lifts_and_makes_anew() {
    for (point, command) in [("sqlite.change-made=2*off->return", "apply"), ("sqlite.committed=return", "rollback")] {
        let system = shop(GOOD);
        run(system.command("apply", &[]).env("FAILPOINTS", point));
        let refused = told(&system);
        assert!(refused.starts_with("frozen by the migration `shop`"), "{point}: {refused}");
        let more: &[&str] = if command == "apply" { &[] } else { &["--to", "start", "--yes"] };
        let said = system.cutover(command, more).expect_code(0).stdout;
        assert!(said.contains("the run that froze app is over: others may write there again"), "{said}");
        assert_eq!(said.contains("nobody else could write for "), command == "apply", "{said}");
        is_clean(&system);
    }
}

#[test]
fn a_freeze_of_a_killed_run_ends_with_its_lease_and_the_next_run_keeps_what_was_written_then() {
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT);", &PLAN.replace("60s", "5s"));
    system.write("levels.sql", GOOD);
    system.write("levels.down.sql", "DELETE FROM orders WHERE what = 'ours';");
    run(system.command("apply", &[]).env("FAILPOINTS", "sqlite.change-made=2*off->return"));
    let killed = Instant::now();
    assert!(told(&system).starts_with("frozen by the migration `shop`"));
    // Nobody comes: the application goes on by itself.
    while told(&system) != "done" {
        assert!(killed.elapsed() < Duration::from_secs(60), "it never ends");
        std::thread::sleep(Duration::from_millis(200));
    }
    let said = system.cutover("apply", &[]).expect_code(0).stdout;
    assert!(said.contains("the run that froze app is over"), "{said}");
    is_clean(&system);
    assert_eq!(
        system.ask("SELECT group_concat(what) FROM (SELECT what FROM orders ORDER BY id)"),
        "theirs,ours,theirs"
    );
}

#[test]
fn in_one_phase_a_freeze_that_is_made_anew_comes_before_what_is_left_of_it() {
    let plan = PLAN.replace("[[phase]]\nname = \"change\"\nlayer = \"storage\"\n", "");
    for n in 0..40 {
        let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT);", &plan);
        system.write("levels.sql", GOOD);
        system.write("levels.down.sql", "DELETE FROM orders WHERE what = 'ours';");
        let killed = run(system.command("apply", &[]).env("FAILPOINTS", format!("journal-append={n}*off->return")));
        system.cutover("apply", &["--jobs", "4"]).expect_code(0);
        is_clean(&system);
        if killed.code == Some(0) {
            assert!(n > 5, "it was killed at each record");
            return;
        }
    }
    panic!("a run has fewer records");
}

#[test]
fn a_thaw_that_is_taken_back_has_the_next_run_freeze_again() {
    let system = shop(GOOD);
    system.cutover("apply", &[]).expect_code(0);
    system.cutover("rollback", &["--to", "quiet", "--yes"]).expect_code(0);
    is_clean(&system);
    let said = system.cutover("apply", &[]).expect_code(0).stdout;
    assert!(said.contains("nobody else writes: 1 tables are frozen"), "{said}");
    is_clean(&system);
}

#[test]
fn a_baseline_adopts_a_freeze_with_its_thaw_and_settings_that_are_there() {
    let settings = "\n[[phase.step]]\nid = \"version\"\nuse = \"sqlite.settings\"\ntarget = \"app\"\n\
        with = { set = { user_version = 2 }, at-most = 2 }\n";
    let script = PLAN.split("[[phase.step]]").find(|step| step.contains("sqlite.script")).unwrap();
    let plan = PLAN.replace(&format!("[[phase.step]]{script}"), "") + settings;
    let there =
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT, priority INTEGER DEFAULT 1); PRAGMA user_version = 2;";
    let system = System::new(there, &plan);
    system.cutover("baseline", &["--to", "version"]).expect_code(0);
    let said = system.cutover("apply", &[]).expect_code(0).stdout;
    assert!(said.contains("nothing to do"), "{said}");
    system.cutover("verify", &[]).expect_code(0);
}

/// The whole CORTEX plan beneath programs that go on reading and writing all three tiers.
#[test]
fn readers_of_a_brain_are_never_blocked_and_its_writers_wait_for_the_thaw() {
    for journal in ["wal", "delete"] {
        let system = System::of_demo(folder_in_memory(), "cortex-2.0", "a");
        let tiers = ["tier1/conversations.db", "tier2/knowledge_graph.db", "tier3/context.db"]
            .map(|tier| system.root().join("cortex-brain").join(tier));
        for tier in &tiers {
            let setup =
                format!("PRAGMA journal_mode = {journal}; CREATE TABLE app_log (id INTEGER PRIMARY KEY, what TEXT)");
            sqlite3(tier, &setup);
        }
        let stop = system.root().with_file_name("stop");
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/it/freezing/application.py");
        let mut application = Command::new("python3")
            .args(["-B", program])
            .arg(&stop)
            .args(&tiers)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(application.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        let said = system.cutover("apply", &[]);
        std::fs::write(&stop, "").unwrap();
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        assert!(application.wait().unwrap().success(), "{text}");
        let said = said.expect_code(0).stdout;
        let told: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!(told["failed_reads"], serde_json::json!([]), "{journal}");
        assert_eq!(told["errors"], serde_json::json!([]), "{journal}");
        assert!(told["refused"].as_u64() > Some(0), "nobody was frozen out: {text}");
        for tier in &tiers {
            let written = told["writes"][tier.to_str().unwrap()].as_u64().unwrap();
            let found = sqlite3(tier, "SELECT count(*) FROM app_log");
            assert_eq!(found.trim(), written.to_string(), "{journal}: what {} holds", tier.display());
        }
        // All copies are of one moment: no row came in between the first tier's and the last one's.
        assert_eq!(said.matches("nobody else could write for ").count(), 3, "{said}");
        let ms = |name: &str| told[name].as_f64().unwrap() * 1000.0;
        println!(
            "{journal}: {} reads, none failed, the longest {:.0} ms; {} writes, the longest stall {:.0} ms",
            told["reads"],
            ms("longest_read"),
            told["writes"].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum::<u64>(),
            ms("stall")
        );
    }
}
