//! A rehearsal is killed at each of its points: the real system is as it was, the next rehearsal or `prune` removes what
//! is left of the copy, and the plan applies.
//!
//! A combination is how the plan of a snapshot is made, a point, and what comes next; `mode/point/next` is its name.

use cutover_core::fault;
use cutover_tests::Tree;

use super::super::choice::Choice;
use super::super::fault::Fault;
use super::super::lab::{Lab, Line};
use super::super::plans::Small;
use super::super::tally::Tally;

const REHEARSE: Line = ("rehearse", &[]);
const NEXT: &[(&str, Line)] = &[("rehearse", REHEARSE), ("prune", ("prune", &["--yes"])), ("apply", ("apply", &[]))];

/// The points of what runs on the copy are met too, each at its first passage.
const INSIDE: &[&str] = &[fault::JOURNAL_APPENDED, fault::SQLITE_COMMITTED, fault::SQLITE_COPY_MADE];

#[test]
fn a_rehearsal_that_is_killed_at_any_of_its_points_leaves_the_system_as_it_was_and_no_copy_for_long() {
    let choice = Choice::of_environment();
    let mut met = Tally::default();
    let small = Small::all().into_iter().find(|small| small.name == "restored-beside").unwrap();
    for (mode, wal) in [("delete", false), ("wal", true)] {
        for (i, point) in fault::REHEARSAL.iter().chain(INSIDE).enumerate() {
            // Both modes and all that may come next where everything is asked for; else one of each, drawn by the seed.
            let drawn = choice.draw(&format!("rehearsal/{point}"), 2 * NEXT.len());
            for (j, (next, line)) in NEXT.iter().enumerate() {
                let name = format!("rehearsal/{mode}/{point}/{next}");
                let sampled = (drawn + i) % (2 * NEXT.len()) == 2 * j + usize::from(wal);
                if !choice.allows(&name) || !(choice.all() || sampled) {
                    continue;
                }
                let mut lab = Lab::new(&small, wal);
                let result = meet(&mut lab, point, *line);
                met.faults += 1;
                met.way_out(&name, result, lab.trail());
            }
        }
    }
    met.end("A", "kill -9 in a rehearsal", &choice);
}

fn meet(lab: &mut Lab<'_>, point: &str, next: Line) -> Result<(), String> {
    let before = lab.outside_of_state();
    if let Some(code) = lab.run_with(REHEARSE, &Fault::kill(point, 0)) {
        return Err(format!("the rehearsal never passes {point}: it ended with {code}"));
    }
    unchanged(&before, &lab.outside_of_state(), "the killed rehearsal")?;
    lab.look()?;
    lab.expect(next, 0)?;
    if next.0 == "apply" {
        lab.agrees(true, false)?;
        lab.expect(("rollback", &["--to", "start", "--yes"]), 0)?;
        return lab.expect(("prune", &["--yes", "--keep", "0"]), 0).and_then(|()| no_copy(lab));
    }
    no_copy(lab)?;
    if next.0 == "rehearse" {
        unchanged(&before, &lab.outside_of_state(), "the next rehearsal")?;
        lab.expect(("apply", &["--require-rehearsal"]), 0)?;
    } else {
        lab.expect(("apply", &[]), 0)?;
    }
    lab.agrees(true, false)
}

fn no_copy(lab: &Lab<'_>) -> Result<(), String> {
    match lab.count(".cutover/scratch") {
        0 => Ok(()),
        n => Err(format!("{n} files of the copy are left")),
    }
}

fn unchanged(before: &Tree, after: &Tree, by: &str) -> Result<(), String> {
    let lines = before.differences(after);
    if lines.is_empty() { Ok(()) } else { Err(format!("{by} changed the real system: {}", lines.join("; "))) }
}
