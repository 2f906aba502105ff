//! Programs that tests run, and what they said.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a program said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Ran {
    /// Itself, or a panic that shows all it said unless its exit code is `code`.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert!(
            self.code == Some(code),
            "exit code {:?} instead of {code}\n--- stdout\n{}--- stderr\n{}",
            self.code,
            self.stdout,
            self.stderr
        );
        self
    }
}

/// Runs `command` to its end, without input.
#[track_caller]
pub fn run(command: &mut Command) -> Ran {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// What the `sqlite3` command prints for `sql` on `database`: an opinion on the file that is not ours.
#[track_caller]
pub fn sqlite3(database: impl AsRef<Path>, sql: impl AsRef<OsStr>) -> String {
    run(Command::new("sqlite3")
        .args(["-cmd", ".timeout 5000"])
        .arg("-batch")
        .arg("-bail")
        .arg(database.as_ref())
        .arg(sql))
    .expect_code(0)
    .stdout
}
