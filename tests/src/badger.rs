//! Badger itself: the program of tests/peers/badger, which makes databases and says what Badger sees in one.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use serde_json::Value;

use crate::process::{Ran, run};
use crate::tree::copy_folder;

/// The program, built with Debian's Badger v2.2007.2.
#[derive(Debug, Clone)]
pub struct BadgerPeer(PathBuf);

/// One version of one key, as Badger's own iterator gives it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BadgerRecord {
    /// The key.
    pub key: Vec<u8>,
    /// The commit.
    pub version: u64,
    /// The value; empty where Badger gives none.
    pub value: Vec<u8>,
    /// The application's byte.
    pub user_meta: u8,
    /// Badger's bits, all of them.
    pub meta: u8,
    /// Seconds since 1970; 0: never.
    pub expires_at: u64,
}

impl BadgerPeer {
    /// The program, if it was built; `CUTOVER_BADGER` names another one, of another version of Badger. Without it the test has
    /// nothing to compare with: it says so and is to end, but where `CI` is set it fails.
    #[track_caller]
    #[expect(clippy::print_stderr, reason = "a test that does not run says so")]
    pub fn find() -> Option<Self> {
        let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/badger");
        let path = std::env::var_os("CUTOVER_BADGER").map_or_else(built, PathBuf::from);
        if path.is_file() {
            return Some(Self(path));
        }
        let why = "this test needs Badger: `tests/peers/badger/build` makes it of Debian's packages";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("{why}");
        None
    }

    /// The program with arguments, to be run.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        command.args(args);
        command
    }

    /// Makes a database. With `--unclean` the program kills itself, as a crash would.
    #[track_caller]
    pub fn make(&self, folder: &Path, flags: &[&str]) -> Ran {
        let ran = run(self.command(&["make"]).arg(folder).args(flags));
        match flags.contains(&"--unclean") {
            true => assert_eq!(ran.code, None, "it was to be killed: {}", ran.stderr),
            false => drop(ran.clone().expect_code(0)),
        }
        ran
    }

    /// Every version of every key that Badger finds in a copy of `folder`: opening it may write.
    #[track_caller]
    pub fn dump(&self, folder: &Path, flags: &[&str]) -> Vec<BadgerRecord> {
        let scratch = tempfile::tempdir().unwrap_or_else(|e| panic!("no scratch folder: {e}"));
        let copy = scratch.path().join("copy");
        copy_folder(folder, &copy);
        let ran = run(self.command(&["dump"]).arg(&copy).args(flags)).expect_code(0);
        BadgerRecord::read(&ran.stdout)
    }
}

impl BadgerRecord {
    /// The lines of a dump.
    #[track_caller]
    pub fn read(lines: &str) -> Vec<Self> {
        lines.lines().map(record).collect()
    }
}

#[track_caller]
fn record(line: &str) -> BadgerRecord {
    let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("no line of a dump: {e}: {line}"));
    let number = |name: &str| line[name].as_u64().unwrap_or_else(|| panic!("no {name}: {line}"));
    let bytes = |name: &str| {
        let text = line[name].as_str().unwrap_or_default();
        base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_else(|e| panic!("{name}: {e}: {line}"))
    };
    BadgerRecord {
        key: bytes("key"),
        version: number("version"),
        value: bytes("value"),
        user_meta: number("user_meta") as u8,
        meta: number("meta") as u8,
        expires_at: number("expires_at"),
    }
}
