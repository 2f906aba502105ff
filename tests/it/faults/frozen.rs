//! A runner is frozen where it is about to write, taken over by another, and woken: it never writes again.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cutover_core::fault;

use super::choice::Choice;
use super::tally::Tally;
use crate::system::{System, scripts};

const LEDGER: &str = "SELECT group_concat(step, ' ') FROM cutover_ledger";

/// Where it falls asleep: a point, how often it was passed before, and whether SQLite's own lock is held there. Who is
/// frozen inside a transaction keeps that lock: nothing can be taken over before its process ends.
const PLACES: [(&str, usize, bool); 7] = [
    (fault::JOURNAL_APPEND, 1, false),
    (fault::JOURNAL_APPENDED, 1, false),
    (fault::JOURNAL_APPEND, 2, false),
    (fault::JOURNAL_APPENDED, 2, false),
    (fault::SQLITE_CHANGE_BEGUN, 0, true),
    (fault::SQLITE_COMMIT, 0, true),
    (fault::SQLITE_COMMITTED, 0, false),
];

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").arg(name).arg(child.id().to_string()).status().unwrap().success());
}

/// A runner that is stopped while it sleeps at `point`.
fn frozen(system: &System, point: &str, passages: usize) -> Child {
    let mut command = system.command("apply", &[]);
    command.env("FAILPOINTS", format!("{point}={passages}*off->1*sleep(2000)->off"));
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while !asleep(child.id()) {
        assert!(Instant::now() < until, "it never came to {point}");
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, "-STOP");
    child
}

/// Whether one of its threads is in a sleep (nothing else of it calls that: waiting for each other is a futex).
pub(super) fn asleep(process: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return false };
    let sleeps = |thread: std::io::Result<std::fs::DirEntry>| {
        let call = thread.and_then(|t| std::fs::read_to_string(t.path().join("syscall")));
        // clock_nanosleep on x86-64, and on arm64.
        call.is_ok_and(|call| call.starts_with("230 ") || call.starts_with("115 "))
    };
    threads.into_iter().any(sleeps)
}

#[test]
fn a_frozen_runner_that_is_taken_over_can_never_write_again() {
    let mut met = Tally::default();
    for (point, passages, locked) in PLACES {
        let name = format!("frozen/{point}/{passages}");
        met.faults += 1;
        let mut trail = String::new();
        let result = taken_over(point, passages, locked, &mut trail);
        met.way_out(&name, result, &trail);
    }
    met.end("F", "frozen, taken over, woken", &Choice::of_environment());
}

fn taken_over(point: &str, passages: usize, locked: bool, trail: &mut String) -> Result<(), String> {
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY);", "");
    scripts(&system, 2, 1, "");
    let sleeper = frozen(&system, point, passages);
    let mut runs = |args: &[&str], codes: &[i32]| {
        let ran = system.cutover("apply", args);
        trail.push_str(&format!("$ cutover apply {args:?}\n{}\n", system.seen(&ran)));
        let fits = ran.code.is_some_and(|code| codes.contains(&code));
        fits.then_some(()).ok_or(format!("`apply` {args:?} ended with {:?} instead of {codes:?}", ran.code))
    };
    let result = runs(&[], &[75]).and_then(|()| match locked {
        true => runs(&["--take-over"], &[66, 75, 100]),
        false => runs(&["--take-over"], &[0]),
    });
    signal(&sleeper, "-CONT");
    let ended = sleeper.wait_with_output().unwrap();
    let said = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    trail.push_str(&format!("# woken, it ends with {:?}\n{said}", ended.status.code()));
    result?;
    if !locked && (ended.status.code() != Some(75) || !said.contains("another runner")) {
        return Err(format!("the woken runner ended with {:?}", ended.status.code()));
    }
    let ran = system.cutover("apply", &[]);
    trail.push_str(&system.seen(&ran));
    if ran.code != Some(0) || system.ask(LEDGER) != "s0 s1" {
        return Err(format!("at last `apply` ends with {:?}, and the ledger has {}", ran.code, system.ask(LEDGER)));
    }
    let verified = system.cutover("verify", &[]);
    if verified.code == Some(0) { Ok(()) } else { Err(system.seen(&verified)) }
}
