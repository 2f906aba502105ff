//! Reads and writes of files that end early, as the kernel may let them: a command takes it in its stride.
//!
//! libfiu (`fiu-run`) cuts every other `pread` and `pwrite` short. A combination is a kind, how its plan is made and a
//! command: `short/kind/mode/grouping/way back/command` is its name; of each kind and command the seed draws one plan.

use std::process::Command;

use super::choice::Choice;
use super::failure::Failure;
use super::fault::Fault;
use super::kinds::{Axes, Row};
use super::tally::Tally;
use super::ways::{Ready, Way};
use crate::system::System;

const CUT: &[&str] = &["posix/io/rw/pwrite/reduce", "posix/io/rw/pread/reduce"];

#[test]
fn reads_and_writes_that_end_early_disturb_nothing() {
    if !fiu_works() {
        return;
    }
    let choice = Choice::of_environment();
    let mut met = Tally::default();
    for row in Row::asked_for().into_iter().filter(|row| !row.reads_fjall()) {
        for way in Way::ALL {
            let drawn = choice.draw(&format!("short/{}/{way:?}", row.name), Axes::ALL.len());
            for (i, axes) in Axes::ALL.into_iter().enumerate() {
                let name = format!("short/{}/{}/{}", row.name, axes.name(), way.line().0);
                if (choice.all() || i == drawn) && choice.allows(&name) {
                    met.add(tell(&name, &row, axes, way));
                }
            }
        }
    }
    met.end("C", "every other read and write ends early", &choice);
}

fn tell(name: &str, row: &Row, axes: Axes, way: Way) -> Tally {
    let mut met = Tally::default();
    let mut ready = match Ready::new(row, axes) {
        Ok(ready) => ready,
        Err(why) => {
            let why = format!("the plan cannot be applied undisturbed: {why}");
            met.failures.push(Failure { name: name.to_owned(), why, trail: String::new() });
            return met;
        }
    };
    ready.put_back(&format!("{way:?}"), "");
    met.faults += 1;
    let result = match ready.lab.run_with(way.line(), &fiu(CUT, "0.5")) {
        Some(0) => ready.goes_on(way, row),
        code => Err(format!("disturbed, it ended with {code:?}")),
    };
    met.way_out(name, result, ready.lab.trail());
    met
}

/// Our program, and what it starts, under `fiu-run`.
fn fiu(points: &[&str], probability: &str) -> Fault {
    let mut under = vec!["fiu-run".to_owned(), "-x".to_owned()];
    for point in points {
        under.extend(["-c".to_owned(), format!("enable_random name={point},probability={probability}")]);
    }
    Fault { under, env: Vec::new() }
}

/// Whether `fiu-run` is here and reaches our program: a write that it lets fail is noticed.
#[expect(clippy::print_stderr, reason = "whoever runs the tests wants to know what was left out")]
fn fiu_works() -> bool {
    let works = Command::new("fiu-run").args(["-x", "true"]).output().is_ok_and(|ran| ran.status.success());
    assert!(works || std::env::var_os("CI").is_none(), "this test needs `fiu-run` (fiu-utils)");
    if !works {
        eprintln!("left out: the test of reads and writes that end early needs `fiu-run` (fiu-utils)");
        return false;
    }
    let system = System::new("CREATE TABLE orders (id INTEGER PRIMARY KEY);", "");
    crate::system::scripts(&system, 1, 1, "");
    let ran = cutover_tests::run(&mut fiu(&["posix/io/rw/pwrite"], "1").command(system.command("apply", &[])));
    assert_eq!(ran.code, Some(66), "`fiu-run` does not reach the program: {}{}", ran.stdout, ran.stderr);
    true
}
