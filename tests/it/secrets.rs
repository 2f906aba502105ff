//! A secret that a plan takes from the environment is in nothing that the program says or keeps.

use std::fs;
use std::path::Path;

use crate::system::System;

const SECRET: &str = "t0ken/for?the=service";

/// A command that prints its secret, and a configuration that gets it.
const PLAN: &str = r#"name = "secret"
[targets.app]
kind = "sqlite"
path = "app.db"
[targets.config]
kind = "dir"
path = "config"
[[phase]]
name = "all"
layer = "storage"
[[phase.step]]
id = "print"
use = "command.run"
with = { apply = ["echo", "${env.SERVICE_TOKEN}"], verify = ["true"], rollback = ["echo", "${env.SERVICE_TOKEN}"] }
[[phase.step]]
id = "configuration"
use = "config.map"
target = "config"
with = { from = "c.json", to = "c.json", set = { token = "${env.SERVICE_TOKEN}" } }
[[phase.step]]
id = "row"
use = "sqlite.rows"
target = "app"
with = { table = "t", key = ["k"], rows = [{ k = "token", v = "${env.SERVICE_TOKEN}" }] }
[[phase.step]]
id = "keyed"
use = "sqlite.rows"
target = "app"
with = { table = "t", key = ["k"], rows = [{ k = "${env.SERVICE_TOKEN}", v = "known by it" }] }
[[phase.step]]
id = "keyed-without-rowid"
use = "sqlite.rows"
target = "app"
with = { table = "w", key = ["k"], rows = [{ k = "${env.SERVICE_TOKEN}", v = "known by it" }] }
[[phase.step]]
id = "filled"
use = "sqlite.backfill"
target = "app"
with = { into = "t", rows = "SELECT '${env.SERVICE_TOKEN}' AS source, 'filled' AS k, '${env.SERVICE_TOKEN}' AS v", key = "source" }
"#;

#[test]
fn a_secret_is_in_no_output_and_not_in_state() {
    let system = System::new(
        "CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT); CREATE TABLE w (k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID;",
        PLAN,
    );
    let config = system.root().join("config");
    fs::create_dir(&config).unwrap();
    fs::write(config.join("c.json"), "{}").unwrap();
    let run = |command: &str, args: &[&str], code: i32| {
        let ran = cutover_tests::run(system.command(command, args).env("SERVICE_TOKEN", SECRET)).expect_code(code);
        for text in [&ran.stdout, &ran.stderr] {
            assert!(!text.contains(SECRET), "{command} {args:?} shows the secret:\n{text}");
        }
    };
    run("plan", &[], 0);
    run("plan", &["--format", "json"], 0);
    run("apply", &["-v"], 0);
    assert_eq!(system.ask("SELECT v FROM t WHERE k = 'token'"), SECRET);
    let in_ledger = format!(
        "SELECT count(*) FROM cutover_ledger WHERE coalesce(receipt, '') || coalesce(error_message, '') LIKE '%{SECRET}%'"
    );
    assert_eq!(system.ask("SELECT count(*) > 3 FROM cutover_ledger WHERE receipt IS NOT NULL"), "1");
    assert_eq!(system.ask(&in_ledger), "0", "the ledger holds the secret");
    system.ask("UPDATE t SET v = 'another'");
    let configured = fs::read(config.join("c.json")).unwrap();
    fs::write(config.join("c.json"), "{\"token\": \"another\"}").unwrap();
    run("verify", &[], 102);
    run("verify", &["--format", "json"], 102);
    for command in ["status", "explain"] {
        run(command, &[], 0);
    }
    run("history", &["--format", "json"], 0);
    fs::write(config.join("c.json"), configured).unwrap();
    run("rollback", &["--yes", "-v"], 0);
    assert_eq!(system.ask(&in_ledger), "0", "the ledger holds the secret");
    assert!(nothing_holds_it(&system.root().join(".cutover")) > 2, "the state folder is somewhere else");
    let refused = PLAN.replace("verify = [\"true\"]", "timeout = \"${env.SERVICE_TOKEN}\"");
    system.write("plan.toml", &refused);
    run("check", &[], 65);
    run("check", &["--format", "json"], 65);
}

/// How many files of a folder were looked at.
fn nothing_holds_it(folder: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files += nothing_holds_it(&path);
        } else {
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(SECRET.len()).any(|w| w == SECRET.as_bytes());
            assert!(!found, "{} holds the secret", path.display());
            files += 1;
        }
    }
    files
}

#[test]
fn a_secret_that_json_escapes_is_in_no_line_either() {
    const PLAN: &str = r#"name = "secret"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "all"
layer = "storage"
[[phase.step]]
id = "row"
use = "sqlite.rows"
target = "app"
with = { table = "t", key = ["k"], rows = [{ k = "${env.SERVICE_TOKEN}", v = "x${env.SERVICE_TOKEN}y" }] }
"#;
    let run = |system: &System, command: &str, args: &[&str], code: i32| {
        let ran =
            cutover_tests::run(system.command(command, args).env("SERVICE_TOKEN", "s3cr\"et\\va'l")).expect_code(code);
        for text in [&ran.stdout, &ran.stderr] {
            assert!(!text.contains("s3cr"), "{command} {args:?} shows the secret:\n{text}");
        }
        ran.stdout
    };
    let system = System::new("CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT)", PLAN);
    run(&system, "apply", &[], 0);
    system.ask("UPDATE t SET v = 'another'");
    assert!(run(&system, "verify", &[], 102).contains("***"));
    assert!(run(&system, "verify", &["--format", "json"], 102).contains("***"));
    system.ask("DELETE FROM t");
    assert!(run(&system, "verify", &[], 102).contains("***"));

    // What verify says after an apply is kept.
    let changed = System::new(
        "CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT);
         CREATE TRIGGER changes AFTER INSERT ON t BEGIN UPDATE t SET v = 'another'; END",
        PLAN,
    );
    run(&changed, "apply", &[], 100);
    let kept = changed.ask("SELECT count(*) FROM cutover_ledger WHERE error_message LIKE '%***%'");
    assert_eq!(kept, "1", "the ledger says what verify said");
    assert_eq!(changed.ask("SELECT count(*) FROM cutover_ledger WHERE error_message LIKE '%s3cr%'"), "0");
    assert!(!run(&changed, "history", &["--format", "json"], 0).is_empty());
}
