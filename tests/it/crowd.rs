//! Many runners at once on one root: each step exactly once, whoever gets there.

use std::process::Child;

use crate::system::System;

const PLAN: &str = r#"
name = "crowded"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "p"
layer = "storage"
[[phase.step]]
id = "count"
use = "sqlite.script"
target = "app"
with = { up = "count.sql", down = "count.down.sql" }
[[phase.step]]
id = "log"
use = "command.run"
with = { apply = ["sh", "-c", "echo once >> log"], rollback = ["sh", "-c", "echo back >> log"] }
[[phase]]
name = "q"
layer = "storage"
[[phase.step]]
id = "more"
use = "sqlite.rows"
target = "app"
with = { table = "t", key = ["a"], rows = [{ a = 7, n = 0 }] }
"#;

fn all(system: &System, runners: usize, command: &str, args: &[&str]) {
    let started: Vec<Child> = (0..runners).map(|_| system.start(command, args)).collect();
    for child in started {
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(0), "{said}");
    }
}

#[test]
fn of_many_runners_at_once_each_waits_for_its_turn_and_every_step_runs_once() {
    for runners in [2, 5, 16] {
        let system = System::new("CREATE TABLE t (a INTEGER PRIMARY KEY, n); INSERT INTO t VALUES (1, 0);", PLAN);
        system.write("count.sql", "UPDATE t SET n = n + 1;");
        system.write("count.down.sql", "UPDATE t SET n = n - 1;");
        let log = || std::fs::read_to_string(system.root().join("log")).unwrap_or_default();
        let patient = ["--lock-timeout", "120s"];
        all(&system, runners, "apply", &patient);
        assert_eq!(system.ask("SELECT a, n FROM t"), "1|1\n7|0");
        assert_eq!(log(), "once\n");
        assert_eq!(system.ask("SELECT group_concat(step, ' ') FROM cutover_ledger"), "count more");
        all(&system, runners, "rollback", &["--to", "start", "--yes", "--lock-timeout", "120s"]);
        assert_eq!(system.ask("SELECT a, n FROM t"), "1|0");
        assert_eq!(log(), "once\nback\n");
        system.cutover("verify", &[]).expect_code(0);
    }
}
