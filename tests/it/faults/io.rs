//! A system call fails: the first of its kind on a file of root or state, the second, and so on until a command is not
//! disturbed; then the same command again ends.
//!
//! `strace` makes them fail, with EIO. It counts for each thread and process by itself: where two have come to the Nth
//! call, both fail. Files whose names are of one run alone are left out. A combination is a kind, how its plan is made,
//! a command, a system call and N: `kind/mode/grouping/way back/command/call/N` is its name. By default the seed draws
//! for each kind and command a plan and few calls, each once. `CUTOVER_KILLS=all` meets for each kind and command every
//! call, on one of the plans, and its first, second, fourth, eighth and so on, as long as the command goes on; a name meets every one below it. See `choice`. Reads and writes that end early are met in `short`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use cutover_tests::{Ran, run};

use super::choice::Choice;
use super::failure::Failure;
use super::fault::Fault;
use super::kinds::{Axes, Row};
use super::tally::Tally;
use super::ways::{Ready, Way};
use crate::system::{System, folder_in_memory, scripts};

/// Those that touch files; what a machine does not have is left out by `?`.
const CALLS: &[&str] = &[
    "pwrite64",
    "write",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fallocate",
    "rename",
    "unlink",
    "mkdir",
    "openat",
    "pread64",
    "read",
];
/// How many calls are drawn for a kind and a command.
const DRAWN: usize = 4;
const WORKERS: usize = 2;

#[test]
fn when_a_system_call_fails_the_same_command_again_ends() {
    if !strace_works() {
        return;
    }
    let choice = Choice::of_environment();
    // sled and fjall do not survive all of them (RELIABILITY.md, Known defects): met where they are asked for.
    let asked = choice.all() || choice.name().is_some();
    let rows: Vec<Row> =
        Row::asked_for().into_iter().filter(|row| (asked || !row.has_store()) && !row.asks()).collect();
    let met = Tally::of(WORKERS, &rows, |row| tell(row, &choice));
    met.end("C", "EIO at the Nth system call", &choice);
}

/// The signal of the limit would end the process in the middle of whatever it does.
#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_not_a_kill() {
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY);", "");
    scripts(&system, 1, 1, "");
    let apply = system.command("apply", &[]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f 8; exec \"$@\"", "sh"]).arg(apply.get_program()).args(apply.get_args());
    let ran = run(&mut limited).expect_code(66);
    assert!(ran.stderr.contains("nothing was changed") && ran.stderr.contains("same command again"), "{}", ran.stderr);
    system.cutover("apply", &[]).expect_code(0);
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests wants to know what was left out")]
fn strace_works() -> bool {
    let works = Command::new("strace").args(["-f", "--seccomp-bpf", "-o", "/dev/null", "true"]).output();
    let works = works.is_ok_and(|ran| ran.status.success());
    assert!(works || std::env::var_os("CI").is_none(), "this test needs `strace`, and to be allowed to trace");
    if !works {
        eprintln!("left out: the test of failing system calls needs `strace`, and to be allowed to trace");
    }
    works
}

fn tell(row: &Row, choice: &Choice) -> Tally {
    let mut met = Tally::default();
    for way in Way::ALL {
        let first = choice.draw(&format!("{}/{way:?}", row.name), Axes::ALL.len());
        for (i, axes) in Axes::ALL.into_iter().enumerate() {
            let name = format!("{}/{}/{}", row.name, axes.name(), way.line().0);
            if (choice.all() || i == first) && choice.allows(&name) {
                met.add(each_call(&name, row, axes, way, choice));
            }
        }
    }
    met
}

fn each_call(name: &str, row: &Row, axes: Axes, way: Way, choice: &Choice) -> Tally {
    let mut met = Tally::default();
    let folder = folder_in_memory();
    let log = folder.path().join("log");
    let mut fail =
        |name: &str, why: String| met.failures.push(Failure { name: name.to_owned(), why, trail: String::new() });
    let mut ready = match Ready::new(row, axes) {
        Ok(ready) => ready,
        Err(why) => {
            fail(name, format!("the plan cannot be applied undisturbed: {why}"));
            return met;
        }
    };
    ready.put_back(&format!("{way:?}"), "");
    let traced = ready.lab.ran_with(way.line(), &strace(&log, CALLS, &BTreeSet::new(), None));
    if traced.code != Some(0) {
        fail(name, format!("traced, it ended with {:?}", traced.code));
        return met;
    }
    let (paths, counts) = calls_on(&ready.lab.root(), &fs::read_to_string(&log).unwrap());
    let mut calls: Vec<&str> = CALLS.iter().copied().filter(|call| counts.contains_key(call)).collect();
    if choice.all() && !choice.by_name() {
        let here = |call: &str| choice.draw(&format!("{}/{way:?}/{call}", row.name), Axes::ALL.len());
        calls.retain(|call| Axes::ALL[here(call)].name() == axes.name());
    }
    while !choice.all() && calls.len() > DRAWN {
        calls.remove(choice.draw(&format!("{name}/{}", calls.len()), calls.len()));
    }
    for call in calls {
        for n in numbers(name, call, counts[call], choice) {
            let name = format!("{name}/{call}/{n}");
            if !choice.allows(&name) {
                continue;
            }
            ready.put_back(&format!("{way:?}"), "");
            let ran = ready.lab.ran_with(way.line(), &strace(&log, &[call], &paths, Some(n)));
            if !fs::read_to_string(&log).unwrap().contains("(INJECTED)") {
                break;
            }
            met.faults += 1;
            let result = stopped(&ran).and_then(|()| ready.lab.look()).and_then(|()| ready.converges(way, row));
            met.way_out(&name, result, ready.lab.trail());
        }
    }
    met
}

/// Which of the calls are to fail, one after the other: a trace counted `count` of them, another run may make some more.
fn numbers(name: &str, call: &str, count: usize, choice: &Choice) -> Box<dyn Iterator<Item = usize>> {
    if choice.by_name() {
        return Box::new(1..=10 * count);
    }
    if !choice.all() {
        return Box::new(std::iter::once(1 + choice.draw(&format!("{name}/{call}"), count)));
    }
    Box::new(std::iter::successors(Some(1), |n| Some(n * 2)))
}

/// Our program under `strace`: it writes down those calls on these files (on all, if none are named), or lets the Nth fail.
fn strace(log: &Path, calls: &[&str], paths: &BTreeSet<String>, fails: Option<usize>) -> Fault {
    let mut under: Vec<String> =
        ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "0", "-o"].map(str::to_owned).into();
    let calls = calls.join(",");
    under.extend([log.display().to_string(), "-e".to_owned(), format!("trace={calls}")]);
    if let Some(n) = fails {
        under.extend(["-e".to_owned(), format!("inject={calls}:error=EIO:when={n}")]);
    }
    under.extend(paths.iter().flat_map(|path| ["-P".to_owned(), path.clone()]));
    Fault { under, env: Vec::new() }
}

/// The files under `root` that a trace names, and of each call how many there are on them, at most in one thread.
fn calls_on(root: &Path, trace: &str) -> (BTreeSet<String>, BTreeMap<&'static str, usize>) {
    let root = format!("{}/", root.display());
    let mut paths = BTreeSet::new();
    let mut counts = BTreeMap::new();
    let mut of_each = BTreeMap::new();
    for line in trace.lines() {
        let mut on_ours = false;
        for (at, _) in line.match_indices(&root) {
            let path = line[at..].split(['>', '"']).next().unwrap_or_default();
            paths.insert(path.trim_end_matches(" (deleted)").to_owned());
            on_ours = true;
        }
        let mut words = line.split_whitespace();
        let (thread, call) = (words.next(), words.next().and_then(|rest| rest.split('(').next()));
        if let Some(call) = CALLS.iter().find(|known| call == Some(**known)).filter(|_| on_ours) {
            let count: &mut usize = of_each.entry((thread, *call)).or_default();
            *count += 1;
            let most: &mut usize = counts.entry(*call).or_default();
            *most = (*most).max(*count);
        }
    }
    (paths, counts)
}

/// A disturbed command ends with a code that says how things stand, or took it in its stride.
fn stopped(ran: &Ran) -> Result<(), String> {
    let said = format!("{}{}", ran.stdout, ran.stderr);
    match ran.code {
        Some(0) => Ok(()),
        Some(66 | 100 | 101 | 104) if !said.contains("panicked") => Ok(()),
        code => Err(format!("disturbed, it ended with {code:?}")),
    }
}
