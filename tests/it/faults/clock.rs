//! The clock goes a year back or forth in mid-run: what comes first and what comes last is told by sequence and epoch,
//! how long something took by another clock.
//!
//! A combination is a kind, how its plan is made, a command, where its program is killed, which clock that has, and
//! which one the same command again: `kind/mode/grouping/way back/command/point/clocks` is its name. Then the other
//! way, on the real clock.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use cutover_tests::run;

use super::choice::Choice;
use super::fault::Fault;
use super::kinds::{Axes, Row};
use super::tally::Tally;
use super::ways::{Ready, Way};
use crate::system::{System, cutover};

const WORKERS: usize = 2;

/// What the clock says while a command runs and is killed, and while the same command runs again.
const CLOCKS: [(&str, &str); 5] = [("", "-1y"), ("", "+1y"), ("+1y", "-1y"), ("-1y", "+1y"), ("+1y", "")];

/// A library that gives whom it is loaded into another clock.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    folders.map(|folder| folder.path().join("faketime/libfaketime.so.1")).find(|library| library.exists())
}

/// The library, or the test is left out.
#[expect(clippy::print_stderr, reason = "whoever runs the tests wants to know what was left out")]
fn library_or_nothing() -> Option<PathBuf> {
    let found = library();
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "this test needs Debian's `faketime`");
        eprintln!("left out: tests of a clock that jumps need Debian's `faketime`");
    }
    found
}

/// A command, and all that it starts, has a clock that is off by so much. What measures time without a date goes on as
/// it does when somebody sets a clock.
fn off_by(library: &Path, time: &str, fault: Fault) -> Fault {
    let mut fault = fault;
    if !time.is_empty() {
        let mut set = |name: &str, value: &str| fault.env.push((name.to_owned(), value.to_owned()));
        set("LD_PRELOAD", &library.display().to_string());
        set("FAKETIME", time);
        set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        set("FAKETIME_DONT_RESET", "1");
    }
    fault
}

#[test]
fn a_clock_that_goes_a_year_back_or_forth_in_mid_run_changes_nothing() {
    let Some(library) = library_or_nothing() else { return };
    let choice = Choice::of_environment();
    let rows = Row::asked_for();
    let met = Tally::of(WORKERS, &rows, |row| tell(row, &library, &choice));
    met.end("H", "the clock a year back and forth in mid-run", &choice);
}

fn tell(row: &Row, library: &Path, choice: &Choice) -> Tally {
    let mut met = Tally::default();
    let drawn = |what: &str, of: usize| choice.draw(&format!("clock/{}/{what}", row.name), of);
    let first = drawn("axes", Axes::ALL.len());
    for (i, axes) in Axes::ALL.into_iter().enumerate() {
        for way in Way::ALL {
            let points = way.points(row);
            if points.is_empty() {
                continue;
            }
            let name = format!("clock/{}/{}/{}", row.name, axes.name(), way.line().0);
            let one = drawn(way.line().0, points.len() * CLOCKS.len());
            let places = points.iter().flat_map(|point| CLOCKS.map(|clocks| (*point, clocks))).enumerate();
            let wanted = places.filter(|(j, (point, (killed, again)))| {
                (choice.by_name() || (i == first && (choice.all() || *j == one)))
                    && choice.allows(&format!("{name}/{point}/{killed}then{again}"))
            });
            let wanted: Vec<_> = wanted.map(|(_, place)| place).collect();
            if wanted.is_empty() {
                continue;
            }
            let mut ready = match Ready::new(row, axes) {
                Ok(ready) => ready,
                Err(why) => {
                    met.way_out(&name, Err(why), "");
                    continue;
                }
            };
            for (point, (killed, again)) in wanted {
                let name = format!("{name}/{point}/{killed}then{again}");
                ready.put_back(if way == Way::Forth { "Forth" } else { "Back" }, "");
                let fault = off_by(library, killed, Fault::kill(point, 0));
                // Not each plan comes to each point: then the command ended on that clock.
                met.faults += usize::from(ready.lab.run_with(way.line(), &fault).is_none());
                let code = ready.lab.run_with(way.line(), &off_by(library, again, Fault::default()));
                let result = match code {
                    Some(0) => looked_at(&ready).and_then(|()| ready.goes_on(way, row)),
                    code => Err(format!("the same command again, on another clock, ended with {code:?}")),
                };
                met.way_out(&name, result, ready.lab.trail());
            }
        }
    }
    met
}

/// What is shown is in order, and nothing took less than no time.
fn looked_at(ready: &Ready) -> Result<(), String> {
    in_order(&ready.lab.says(("history", &["--format", "json"])))?;
    let status = ready.lab.says(("status", &["--format", "json"]));
    no_negative(&serde_json::from_str(&status).map_err(|_| format!("status says: {status}"))?)
}

/// The journal's records, as `history` shows them for machines.
fn in_order(history: &str) -> Result<(), String> {
    let mut last = (0, 0);
    for line in history.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).map_err(|_| format!("history says: {history}"))?;
        let at = (entry["seq"].as_u64().unwrap(), entry["epoch"].as_u64().unwrap());
        if at.0 <= last.0 || at.1 < last.1 {
            return Err(format!("record {} of epoch {} stands behind {last:?}", at.0, at.1));
        }
        last = at;
        no_negative(&entry)?;
    }
    Ok(())
}

fn no_negative(value: &serde_json::Value) -> Result<(), String> {
    match value {
        serde_json::Value::Object(fields) => fields.iter().try_for_each(|(name, value)| match value.as_f64() {
            Some(seconds) if name == "seconds" && !(0.0..3600.0).contains(&seconds) => {
                Err(format!("something took {seconds} seconds"))
            }
            _ => no_negative(value),
        }),
        serde_json::Value::Array(values) => values.iter().try_for_each(no_negative),
        _ => Ok(()),
    }
}

const PLAN: &str = r#"
name = "clocked"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "p"
layer = "storage"
[[phase.step]]
id = "copy"
use = "target.snapshot"
with = { targets = ["app"], into = "backups" }
[[phase]]
name = "q"
layer = "storage"
[[phase.step]]
id = "one"
use = "sqlite.script"
target = "app"
with = { up = "one.sql" }
[[phase]]
name = "r"
layer = "storage"
[[phase.step]]
id = "jump"
use = "command.run"
with = { apply = ["sh", "-c", "if [ -n \"$FAKETIME_TIMESTAMP_FILE\" ]; then echo \"$JUMP\" > \"$FAKETIME_TIMESTAMP_FILE\"; fi; sleep 0.1"], changes = false }
[[phase]]
name = "s"
layer = "storage"
[[phase.step]]
id = "rows"
use = "sqlite.rows"
target = "app"
with = { table = "t", key = ["a"], rows = [{ a = 7, n = 0 }] }
"#;

/// The clock of a run jumps while it runs: the step `jump` sets it.
#[test]
fn one_run_whose_clock_jumps_a_year_ends_as_any_other_and_so_does_its_way_back() {
    let Some(library) = library_or_nothing() else { return };
    let mut met = Tally::default();
    for (before, jump) in [("+0", "-1y"), ("+0", "+1y"), ("+1y", "-1y")] {
        let mut trail = String::new();
        let name = format!("clock/within/{before}/{jump}");
        met.faults += 1;
        met.way_out(&name, within(&library, before, jump, &mut trail), &trail);
    }
    met.end("H", "the clock of one run jumps", &Choice::of_environment());
}

fn system() -> System {
    let system = System::new("CREATE TABLE t (a INTEGER PRIMARY KEY, n); INSERT INTO t VALUES (1, 0);", PLAN);
    system.write("one.sql", "UPDATE t SET n = n + 1;");
    system
}

/// Runs a command on a clock; it must end with `expected`.
fn runs(
    system: &System,
    fault: &Fault,
    (command, args): (&str, &[&str]),
    expected: i32,
    trail: &mut String,
) -> Result<String, String> {
    let ran = run(&mut fault.command(system.command(command, args)));
    trail.push_str(&format!("$ cutover {command} {args:?} with {:?}\n{}\n", fault.env, system.seen(&ran)));
    match ran.code {
        Some(code) if code == expected => Ok(ran.stdout),
        code => Err(format!("`{command}` ended with {code:?} instead of {expected}")),
    }
}

const BACK: (&str, &[&str]) = ("rollback", &["--to", "start", "--yes"]);

fn within(library: &Path, before: &str, jump: &str, trail: &mut String) -> Result<(), String> {
    let system = system();
    let rest = &Fault::default();
    let clock = system.file("clock");
    std::fs::write(&clock, before).unwrap();
    let mut jumping = off_by(library, before, Fault::env("JUMP", jump));
    jumping.env.retain(|(name, _)| name != "FAKETIME");
    jumping.env.push(("FAKETIME_TIMESTAMP_FILE".to_owned(), clock.display().to_string()));
    jumping.env.push(("FAKETIME_NO_CACHE".to_owned(), "1".to_owned()));
    for round in 0..2 {
        std::fs::write(&clock, before).unwrap();
        runs(&system, &jumping, ("apply", &[]), 0, trail)?;
        if std::fs::read_to_string(&clock).unwrap().trim() != jump {
            return Err("the clock did not jump".to_owned());
        }
        let history = runs(&system, rest, ("history", &["--format", "json"]), 0, trail)?;
        in_order(&history)?;
        let years: BTreeSet<&str> =
            history.lines().filter_map(|line| line.split("\"at\":\"").nth(1)?.get(..4)).collect();
        if years.len() < 2 {
            return Err(format!("the journal saw no jump: {years:?}"));
        }
        no_negative(
            &serde_json::from_str(&runs(&system, rest, ("status", &["--format", "json"]), 0, trail)?).unwrap(),
        )?;
        runs(&system, rest, ("verify", &[]), 0, trail)?;
        runs(&system, if round == 0 { rest } else { &jumping }, BACK, 0, trail)?;
        if system.ask("SELECT a, n FROM t") != "1|0" {
            return Err(format!("rolled back, the table is {}", system.ask("SELECT a, n FROM t")));
        }
    }
    Ok(())
}

/// What was made on one clock holds on another: proofs, saved plans, locks, take-overs, and what `prune` keeps.
#[test]
fn proofs_saved_plans_locks_and_what_is_kept_do_not_depend_on_the_clock() {
    let Some(library) = library_or_nothing() else { return };
    let mut met = Tally::default();
    for (first, then) in [("+1y", ""), ("", "+1y"), ("+1y", "-1y")] {
        let mut trail = String::new();
        met.faults += 1;
        let clocks = [first, then].map(|time| off_by(&library, time, Fault::default()));
        met.way_out(&format!("clock/documents/{first}/{then}"), documents(&clocks, &mut trail), &trail);
        let mut trail = String::new();
        met.faults += 1;
        met.way_out(&format!("clock/locks/{first}/{then}"), locks(&clocks, &mut trail), &trail);
        let mut trail = String::new();
        met.faults += 1;
        met.way_out(&format!("clock/kept/{first}/{then}"), kept(&clocks, &mut trail), &trail);
    }
    met.end("H", "proofs, saved plans, locks and leftovers on other clocks", &Choice::of_environment());
}

fn documents([first, then]: &[Fault; 2], trail: &mut String) -> Result<(), String> {
    let rehearsed = system();
    runs(&rehearsed, first, ("rehearse", &[]), 0, trail)?;
    runs(&rehearsed, then, ("apply", &["--require-rehearsal"]), 0, trail)?;
    runs(&rehearsed, first, ("verify", &[]), 0, trail)?;
    runs(&rehearsed, first, BACK, 0, trail)?;
    let saved = system();
    let file = saved.file("saved.json");
    runs(&saved, first, ("plan", &["--out", &file.display().to_string()]), 0, trail)?;
    let mut apply = cutover();
    apply.arg("apply").arg(&file);
    let ran = run(&mut then.command(apply));
    trail.push_str(&format!("$ cutover apply saved.json\n{}\n", saved.seen(&ran)));
    match ran.code {
        Some(0) => runs(&saved, first, BACK, 0, trail).map(|_| ()),
        code => Err(format!("the saved plan ended with {code:?}")),
    }
}

fn locks([first, then]: &[Fault; 2], trail: &mut String) -> Result<(), String> {
    let system = system();
    let mut command = first.command(system.command("apply", &[]));
    command.env("FAILPOINTS", "sqlite.change-begun=1*sleep(1500)->off");
    let held = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while !system.root().join(".cutover/backups").exists() && !system.root().join("backups/manifest.json").exists() {
        assert!(Instant::now() < until, "the run does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    let result = (|| {
        let began = Instant::now();
        let refused = run(&mut then.command(system.command("apply", &["--lock-timeout", "200ms"])));
        trail.push_str(&format!("$ cutover apply --lock-timeout 200ms\n{}\n", system.seen(&refused)));
        if refused.code != Some(75) || !refused.stderr.contains(" since 20") {
            return Err(format!("a second runner ended with {:?}", refused.code));
        }
        if began.elapsed() > Duration::from_secs(60) {
            return Err("waiting for the lock took its time from a clock that was set".to_owned());
        }
        runs(&system, then, ("status", &[]), 0, trail)?;
        runs(&system, then, ("explain", &[]), 0, trail)?;
        runs(&system, then, ("apply", &["--lock-timeout", "60s"]), 0, trail).map(|_| ())
    })();
    let ended = held.wait_with_output().unwrap();
    result?;
    match ended.status.code() {
        Some(0) => runs(&system, then, BACK, 0, trail).map(|_| ()),
        code => Err(format!("the first runner ended with {code:?}")),
    }
}

fn kept([first, then]: &[Fault; 2], trail: &mut String) -> Result<(), String> {
    let system = system();
    for clock in [first, then, first, then] {
        // Sets and what a rollback sets aside never take each other's names, nor each other's places.
        runs(&system, clock, ("apply", &[]), 0, trail)?;
        runs(&system, clock, BACK, 0, trail)?;
    }
    runs(&system, first, ("apply", &[]), 0, trail)?;
    let sets = || {
        let entries = std::fs::read_dir(system.root()).unwrap().flatten();
        entries.filter(|e| e.file_name().to_string_lossy().starts_with("backups")).count()
    };
    if sets() != 5 {
        return Err(format!("{} sets of snapshots instead of 5", sets()));
    }
    runs(&system, then, ("prune", &["--keep", "1", "--yes"]), 0, trail)?;
    let aside: Vec<String> = std::fs::read_dir(system.root().join(".cutover/aside"))
        .unwrap()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    // The last of eight commands.
    if !matches!(aside.as_slice(), [only] if only.contains("-8-")) {
        return Err(format!("set aside are still {aside:?}"));
    }
    if sets() != 2 {
        return Err(format!("{} sets of snapshots instead of 2", sets()));
    }
    runs(&system, then, BACK, 0, trail)?;
    match system.ask("SELECT a, n FROM t").as_str() {
        "1|0" => Ok(()),
        other => Err(format!("rolled back, the table is {other}")),
    }
}
