//! A run watched from outside: its metrics, traces and logs, read by programs of the projects that they are for.

mod collector;
mod logs;
mod metrics;
mod traces;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::system::System;

/// A table, a figure that is looked at, and a program that goes on until the file `go` is there, and fails unless it says so.
const PLAN: &str = r#"
name = "seen"
[targets.app]
kind = "sqlite"
path = "app.db"

[[phase]]
name = "one"
layer = "storage"
[[phase.step]]
id = "table"
use = "sqlite.tables"
target = "app"
with.create = ["CREATE TABLE notes (id INTEGER PRIMARY KEY)"]

[[phase]]
name = "two"
layer = "storage"
[[phase.step]]
id = "rows"
use = "gate.metric"
with = { what = "rows \"of\" a", max = 5, samples = 2, every = "1ms", probe = { use = "measure", target = "app", query = "SELECT count(*) FROM a", unit = "rows" } }
[[phase.step]]
id = "work"
use = "command.run"
needs = ["rows"]
with = { apply = ["sh", "-c", "for i in $(seq 999); do [ -e go ] && break; sleep 0.02; done; echo said $TOKEN; cat go; grep -q well go"], verify = ["true"], rollback = ["true", "${env.TOKEN}"] }
"#;

const TOKEN: &str = "s3cret-of-the-work";

fn system() -> System {
    System::new("CREATE TABLE a (x); INSERT INTO a VALUES (1), (2);", PLAN)
}

fn command(system: &System, name: &str, args: &[&str]) -> Command {
    let mut command = system.command(name, args);
    command.env("TOKEN", TOKEN).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A program of tests/peers/telemetry, if its environment was made; without it the test has nothing to compare with: it says
/// so and is to end, but where `CI` is set it fails.
#[expect(clippy::print_stderr, reason = "a test that does not run says so")]
fn peer(program: &str) -> Option<(PathBuf, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../target/peers/telemetry/bin/python3");
    if python.is_file() {
        return Some((python, root.join("peers/telemetry").join(program)));
    }
    let why = "this test needs Python packages: `tests/peers/telemetry/build` installs them";
    assert!(std::env::var_os("CI").is_none(), "{why}");
    eprintln!("{why}");
    None
}

/// What the peer makes of `text`: a JSON document a line.
fn read_by((python, program): &(PathBuf, PathBuf), text: &str) -> Vec<Value> {
    let mut command = Command::new(python);
    command.arg(program).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}\nof\n{text}", String::from_utf8_lossy(&ended.stderr));
    let said = String::from_utf8(ended.stdout).unwrap();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
