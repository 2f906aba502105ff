//! G: what this user may not read or write, what is missing, and what belongs to somebody else.
//!
//! The program runs as nobody: root is stopped by no mode.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use cutover_tests::{Ran, Tree, run};

use super::choice::Choice;
use super::tally::Tally;
use crate::system::{System, folder_in_memory, scripts};

const NOBODY: u32 = 65534;

/// A path below the folder of plan and root, its mode, and the code that follows; mode 0o777777 takes it away, and one
/// with 0o100000 gives it to root.
const CASES: &[(&str, &str, u32, i32)] = &[
    ("root-read-only", "root", 0o555, 66),
    ("root-closed", "root", 0o000, 66),
    ("database-closed", "root/app.db", 0o000, 66),
    ("database-read-only", "root/app.db", 0o444, 66),
    ("database-of-somebody-else", "root/app.db", 0o100_644, 66),
    ("database-missing", "root/app.db", GONE, 66),
    ("state-read-only", "root/.cutover", 0o555, 66),
    ("state-of-somebody-else", "root/.cutover", 0o100_755, 66),
    ("state-closed", "root/.cutover", 0o000, 66),
    ("journal-closed", "root/.cutover/journal.db", 0o000, 66),
    ("journal-read-only", "root/.cutover/journal.db", 0o444, 66),
    ("lock-closed", "root/.cutover/lock", 0o000, 66),
    ("lock-of-the-target-closed", "root/.app.db.cutover-lock", 0o000, 66),
    ("lock-of-somebody-else", "root/.app.db.cutover-lock", 0o100_600, 66),
    ("plan-closed", "plan/plan.toml", 0o000, 65),
    ("script-closed", "plan/3.sql", 0o000, 65),
    ("root-missing", "root", GONE, 66),
];

const GONE: u32 = 0o777_777;

fn as_nobody(system: &System, command: &str, args: &[&str]) -> Ran {
    let inner = system.command(command, args);
    let mut outer = Command::new("setpriv");
    outer.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(inner.get_program()).args(inner.get_args());
    run(outer.env("NO_COLOR", "1").env("USER", "nobody").env_remove("FAILPOINTS"))
}

/// Everything belongs to nobody, and the first phase is applied.
fn scene() -> System {
    let system = System::in_folder(folder_in_memory(), "CREATE TABLE orders (id INTEGER PRIMARY KEY);", "");
    scripts(&system, 4, 2, "");
    let folder = system.root().join("..");
    let owned = Command::new("chown").args(["-R", "65534:65534"]).arg(&folder).status().unwrap();
    assert!(owned.success());
    system
}

fn meet(name: &str, path: &str, mode: u32, code: i32, tally: &mut Tally) {
    let system = scene();
    as_nobody(&system, "apply", &["--to", "p0"]).expect_code(0);
    let at = system.root().parent().unwrap().join(path);
    let away = system.root().with_file_name("away");
    let before = fs::metadata(&at).map(|m| m.permissions().mode()).unwrap_or(0o644);
    let user =
        || Tree::of(&system.root()).filter(|path| !path.starts_with(".cutover") && !path.ends_with(".cutover-lock"));
    let content = user();
    match mode {
        GONE => fs::rename(&at, &away).unwrap(),
        _ => fs::set_permissions(&at, Permissions::from_mode(mode & 0o7777)).unwrap(),
    }
    if mode != GONE && mode > 0o7777 {
        chown(&at, Some(0), Some(0)).unwrap();
    }
    tally.faults += 1;
    let refused = as_nobody(&system, "apply", &[]);
    let seen = system.seen(&refused);
    let file_name = Path::new(path).file_name().unwrap().to_string_lossy().into_owned();
    let mut result = Ok(());
    if refused.code != Some(code) {
        result = Err(format!("it ended with {:?} instead of {code}", refused.code));
    } else if !seen.contains(&file_name) && !seen.contains("app.db") {
        result = Err(format!("it does not name `{file_name}`"));
    } else if !seen.contains("help: ") {
        result = Err("it does not say what to do".to_owned());
    }
    // Put right, the same command goes on.
    match mode {
        GONE => fs::rename(&away, &at).unwrap(),
        _ => {
            chown(&at, Some(NOBODY), Some(NOBODY)).unwrap();
            fs::set_permissions(&at, Permissions::from_mode(before & 0o7777)).unwrap();
        }
    }
    let changed: Vec<_> =
        content.differences(&user()).into_iter().filter(|line| !line.starts_with("~ app.db: mode")).collect();
    if result.is_ok() && !changed.is_empty() {
        result = Err(format!("refused, and changed: {}", changed.join("; ")));
    }
    let again = as_nobody(&system, "apply", &[]);
    if result.is_ok() && again.code != Some(0) {
        result = Err(format!("put right, it does not go on: {}", system.seen(&again)));
    }
    tally.way_out(name, result, &format!("{seen}\n{}", system.seen(&again)));
}

#[test]
fn what_this_user_may_not_do_is_said_with_path_and_remedy_and_leaves_nothing_half_done() {
    let choice = Choice::of_environment();
    let able = Command::new("setpriv").args(["--reuid=65534", "--clear-groups", "true"]).status();
    if !able.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "this test becomes another user: it needs root and setpriv");
        println!("not run: it needs root and `setpriv` to become another user");
        return;
    }
    let mut tally = Tally::default();
    for (name, path, mode, code) in CASES {
        let name = format!("access/{name}");
        if choice.allows(&name) {
            meet(&name, path, *mode, *code, &mut tally);
        }
    }
    tally.end("G", "what may not be read or written", &choice);
}
