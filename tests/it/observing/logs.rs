//! Logs: their lines, their levels, and what is in none of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use cutover_tests::run;
use serde_json::Value;

use super::{TOKEN, command, system};

#[test]
fn logs_say_what_happened_and_what_went_on_beneath() {
    let system = system();
    system.write_root("go", "well\n");
    let file = system.file("cutover.log");
    let path = file.display().to_string();
    let plain = run(&mut command(&system, "plan", &[])).expect_code(0);
    let logged = run(&mut command(&system, "plan", &["--log-file", &path])).expect_code(0);
    assert_eq!((&plain.stdout, &plain.stderr), (&logged.stdout, &logged.stderr), "logs change nothing that is said");
    run(&mut command(&system, "apply", &["--log", "json", "--log-level", "trace", "--log-file", &path])).expect_code(0);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains(TOKEN), "{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |message: &'static str| lines.iter().filter(move |line| line["message"] == message);
    assert_eq!(find("step applied").map(|line| &line["step"]).collect::<Vec<_>>(), ["table", "rows", "work"]);
    assert!(find("run finished").all(|line| line["outcome"] == "done" && line["level"] == "INFO"));
    // What a crate says beneath a step says of which step.
    for (message, step) in [("program started", "work"), ("probe read", "rows")] {
        let line = find(message).next().unwrap_or_else(|| panic!("no `{message}` in {text}"));
        assert_eq!(line["spans"][0]["id"], step, "{line}");
    }
    assert!(find("group committed").count() == 1 && find("journalled").count() > 2 && find("lock taken").count() == 2);
    let passed: Vec<&str> = find("passed").filter_map(|line| line["point"].as_str()).collect();
    assert!(passed.contains(&"sqlite.committed") && passed.contains(&"command.run:ended"), "{passed:?}");
}

#[test]
fn logs_go_where_nothing_else_is_read_and_only_when_somebody_asks() {
    let system = system();
    system.write_root("go", "badly\n");
    let quiet = run(&mut command(&system, "apply", &["--format", "json"])).expect_code(100);
    assert_eq!(quiet.stderr, "");
    let mut apply = command(&system, "apply", &["--format", "json"]);
    let ran = run(apply.env("CUTOVER_LOG", "warn")).expect_code(100);
    assert!(ran.stdout.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{}", ran.stdout);
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert!(lines.iter().all(|line| line.contains(" WARN ") || line.contains(" ERROR ")), "{}", ran.stderr);
    assert!(lines.iter().any(|line| line.contains("step failed") && line.contains("said ***")), "{}", ran.stderr);
    let named = run(command(&system, "status", &[]).env("CUTOVER_LOG", "cutover_runner::session=debug")).expect_code(0);
    assert_eq!(named.stderr.lines().count(), 1, "{}", named.stderr);
    assert!(named.stderr.contains("plan opened"), "{}", named.stderr);
}
