//! Many runners at once on one root: each step exactly once, whoever gets there.

use std::process::Child;

use super::choice::Choice;
use super::tally::Tally;
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

const PATIENT: [&str; 2] = ["--lock-timeout", "120s"];

/// Starts all of them at once; each has to end with one of its codes.
fn all(system: &System, runners: &[(&'static str, Vec<&'static str>, &'static [i32])], met: &mut Tally) {
    let started: Vec<Child> = runners.iter().map(|(command, args, _)| system.start(command, args)).collect();
    for (child, (command, _, codes)) in started.into_iter().zip(runners) {
        let ended = child.wait_with_output().unwrap();
        let code = ended.status.code();
        let result = if code.is_some_and(|code| codes.contains(&code)) {
            Ok(())
        } else {
            Err(format!("`{command}` beside {} others ended with {code:?}", runners.len() - 1))
        };
        met.faults += 1;
        let said = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        met.way_out(&format!("crowd/{}/{command}", runners.len()), result, &said);
    }
}

fn system() -> System {
    let system = System::new("CREATE TABLE t (a INTEGER PRIMARY KEY, n); INSERT INTO t VALUES (1, 0);", PLAN);
    system.write("count.sql", "UPDATE t SET n = n + 1;");
    system.write("count.down.sql", "UPDATE t SET n = n - 1;");
    system
}

fn log(system: &System) -> String {
    std::fs::read_to_string(system.root().join("log")).unwrap_or_default()
}

#[test]
fn of_many_runners_at_once_each_waits_for_its_turn_and_every_step_runs_once() {
    let mut met = Tally::default();
    for runners in [2, 5, 16] {
        let system = system();
        let apply = ("apply", PATIENT.to_vec(), [0].as_slice());
        all(&system, &vec![apply; runners], &mut met);
        assert_eq!(system.ask("SELECT a, n FROM t"), "1|1\n7|0");
        assert_eq!(log(&system), "once\n");
        assert_eq!(system.ask("SELECT group_concat(step, ' ') FROM cutover_ledger"), "count more");
        let back = ("rollback", [["--to", "start", "--yes"].as_slice(), &PATIENT].concat(), [0].as_slice());
        all(&system, &vec![back; runners], &mut met);
        assert_eq!(system.ask("SELECT a, n FROM t"), "1|0");
        assert_eq!(log(&system), "once\nback\n");
        system.cutover("verify", &[]).expect_code(0);
    }
    met.end("E", "2, 5 and 16 runners of one command at once", &Choice::of_environment());
}

/// Whoever comes last: what is applied is applied once, journal and ledger and system say the same.
#[test]
fn runners_of_mixed_commands_at_once_leave_each_step_applied_once_or_not_at_all() {
    let mut met = Tally::default();
    for rounds in [1, 3] {
        let system = system();
        let apply = ("apply", PATIENT.to_vec(), [0].as_slice());
        let back = ("rollback", [["--to", "start", "--yes"].as_slice(), &PATIENT].concat(), [0].as_slice());
        // They take no lock: what they see may be in the middle of a run, and they say so.
        let verify = ("verify", vec![], [0, 102].as_slice());
        let status = ("status", vec![], [0].as_slice());
        let explain = ("explain", vec![], [0].as_slice());
        let history = ("history", vec![], [0].as_slice());
        let plan = ("plan", vec![], [0].as_slice());
        // It copies what is there, between two steps or in one; two at a time need two folders.
        let rehearse = ("rehearse", vec![], [0, 75].as_slice());
        let once = [apply, back, verify, status, explain, history, plan, rehearse];
        all(&system, &vec![once; rounds].concat(), &mut met);
        let (begun, back) = (log(&system).matches("once").count(), log(&system).matches("back").count());
        let applied = system.ask("SELECT group_concat(step, ' ') FROM cutover_ledger");
        assert!(begun == back || begun == back + 1, "{}", log(&system));
        if begun > back {
            assert_eq!((system.ask("SELECT a, n FROM t").as_str(), applied.as_str()), ("1|1\n7|0", "count more"));
        } else {
            assert_eq!((system.ask("SELECT a, n FROM t").as_str(), applied.as_str()), ("1|0", ""));
        }
        system.cutover("verify", &[]).expect_code(0);
        system.cutover("apply", &[]).expect_code(0);
        assert_eq!(system.ask("SELECT a, n FROM t"), "1|1\n7|0");
    }
    met.end("E", "8 and 24 runners of mixed commands at once", &Choice::of_environment());
}
