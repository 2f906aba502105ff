//! A command is killed at each of its records, then another at each of its own: the way out must still be there.
//!
//! A combination is a small plan, the journal mode of its database, a first command with its kill, and a second command
//! with its kill; `plan/mode/command/kill/command/kill` is its name. Then the second command again, all back, all
//! forward. A sample is met by default, see `choice`.

use std::fs;
use std::path::Path;

use super::super::choice::Choice;
use super::super::failure::Failure;
use super::super::lab::{Lab, Line, World};
use super::super::plans::Small;
use super::super::tally::Tally;
use super::Kill;
use crate::system::folder_in_memory;

const APPLY: Line = ("apply", &[]);
const BACK: Line = ("rollback", &["--to", "start", "--yes"]);
const BACK_A_PHASE: Line = ("rollback", &["--yes"]);
const APPLY_SOME: Line = ("apply", &["--to", "a"]);
const BACK_SOME: Line = ("rollback", &["--to", "a", "--yes"]);

/// The command that is killed first, and whether the plan is applied before.
const FIRST: &[(&str, bool, Line)] = &[
    ("apply", false, APPLY),
    ("rollback-start", true, BACK),
    ("rollback-phase", true, BACK_A_PHASE),
    ("apply-some", false, APPLY_SOME),
    ("rollback-some", true, BACK_SOME),
];

/// What happens before the second command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    Nothing,
    JournalLost,
    JournalDamaged,
    /// What made a step fail is mended.
    Mended,
}

/// What an operator may do next.
const SECOND: &[(&str, Between, Line)] = &[
    ("apply", Between::Nothing, APPLY),
    ("rollback-start", Between::Nothing, BACK),
    ("rollback-phase", Between::Nothing, BACK_A_PHASE),
    ("take-over", Between::Nothing, ("apply", &["--take-over"])),
    ("take-over-back", Between::Nothing, ("rollback", &["--to", "start", "--yes", "--take-over"])),
    ("lost-apply", Between::JournalLost, APPLY),
    ("lost-rollback", Between::JournalLost, BACK),
    ("damaged-apply", Between::JournalDamaged, APPLY),
    ("damaged-rollback", Between::JournalDamaged, BACK),
    ("apply-some", Between::Nothing, APPLY_SOME),
    ("rollback-some", Between::Nothing, BACK_SOME),
    ("lost-apply-some", Between::JournalLost, APPLY_SOME),
    ("lost-rollback-some", Between::JournalLost, BACK_SOME),
    ("mended-apply", Between::Mended, APPLY),
];

/// In a sample, which also meets each plan in one of the modes only: of how many first kills one is met, and below which
/// number each is followed by one second kill.
const PACE: usize = 6;
/// How many times as many are met where all of the matrix is wanted, and not every pair.
const MORE: usize = 3;
const SECOND_KILLS: usize = 20;
/// No command here is as long as this.
const KILLS: usize = 500;
/// Stories at once: they wait for the disk more than they compute.
const WORKERS: usize = 4;

#[test]
fn two_kills_in_two_commands_always_leave_a_way_out() {
    let choice = Choice::of_environment();
    let plans = Small::all();
    let met = Tally::of(WORKERS, Story::all(&plans, &choice), |story| story.tell(&choice));
    met.end("A", "two kills -9 in two commands", &choice);
}

/// A plan on a system, and the command that is killed first.
#[derive(Debug)]
struct Story<'a> {
    name: String,
    small: &'a Small,
    wal: bool,
    applied_before: bool,
    first: Line,
}

/// What an undisturbed apply makes of the system.
#[derive(Debug)]
struct Forward {
    ends: i32,
    world: World,
}

/// What the system is before everything, after an undisturbed apply, and after one of the mended plan.
#[derive(Debug)]
struct Worlds {
    before: World,
    after: Forward,
    mended: Option<Forward>,
}

impl<'a> Story<'a> {
    fn all(plans: &'a [Small], choice: &Choice) -> Vec<Self> {
        let mut all = Vec::new();
        for small in plans {
            for (first, applied_before, line) in FIRST {
                let modes = [("delete", false), ("wal", true)];
                let drawn = choice.draw(&format!("{}/{first}", small.name), modes.len());
                for (_, (mode, wal)) in modes.into_iter().enumerate().filter(|(i, _)| choice.pairs() || *i == drawn) {
                    let name = format!("{}/{mode}/{first}", small.name);
                    all.push(Story { name, small, wal, applied_before: *applied_before, first: *line });
                }
            }
        }
        all.retain(|story| choice.allows(&story.name));
        all
    }

    /// The first command, killed wherever it is chosen to be, and all that follows from each.
    fn tell(&self, choice: &Choice) -> Tally {
        let mut met = Tally::default();
        let mut lab = Lab::new(self.small, self.wal);
        let folder = folder_in_memory();
        let (ready, killed) = (folder.path().join("ready"), folder.path().join("killed"));
        let before = lab.world();
        lab.keep(&ready);
        let mended = self.small.can_be_mended().then(|| {
            lab.mend();
            self.undisturbed(&mut lab, 0)
        });
        lab.put_back(&ready, "");
        let after = self.undisturbed(&mut lab, self.small.ends);
        if self.applied_before {
            fs::remove_dir_all(&ready).unwrap();
            lab.keep(&ready);
        } else {
            lab.forget();
        }
        let worlds = Worlds { before, after, mended };
        let trail = lab.trail().to_owned();

        let pace = if choice.pairs() { 1 } else { PACE / if choice.all() { MORE } else { 1 } };
        for kill in (choice.draw(&self.name, pace)..KILLS).step_by(pace) {
            let name = format!("{}/{kill}", self.name);
            if !choice.allows(&name) {
                continue;
            }
            lab.put_back(&ready, &trail);
            let over = lab.run_with(self.first, &Kill(kill).fault()).is_some();
            met.faults += usize::from(!over);
            if let Err(why) = lab.look() {
                met.failures.push(Failure { name: name.clone(), why, trail: lab.trail().to_owned() });
            }
            let _ = fs::remove_dir_all(&killed);
            lab.keep(&killed);
            met.add(self.go_on(choice, &name, &mut lab, &killed, &worlds));
            if over {
                break;
            }
        }
        met
    }

    fn undisturbed(&self, lab: &mut Lab<'_>, ends: i32) -> Forward {
        let code = lab.run(APPLY);
        assert_eq!(code, Some(ends), "{} undisturbed:\n{}", self.name, lab.trail());
        Forward { ends, world: lab.world() }
    }

    /// From one first kill: the second commands that are chosen, killed wherever they are chosen to be.
    fn go_on(&self, choice: &Choice, name: &str, lab: &mut Lab<'_>, killed: &Path, worlds: &Worlds) -> Tally {
        let mut met = Tally::default();
        let trail = lab.trail().to_owned();
        let second: Vec<_> = SECOND.iter().filter(|s| s.1 != Between::Mended || worlds.mended.is_some()).collect();
        let drawn = choice.draw(name, second.len());
        for (_, (second, between, line)) in
            second.into_iter().enumerate().filter(|(i, _)| choice.pairs() || *i == drawn)
        {
            let name = format!("{name}/{second}");
            let kills = if choice.pairs() { 0..KILLS } else { one(choice.draw(&name, SECOND_KILLS)) };
            for kill in kills {
                let name = format!("{name}/{kill}");
                if !choice.allows(&name) {
                    continue;
                }
                lab.put_back(killed, &trail);
                lab.meanwhile(*between);
                let mut code = lab.run_with(*line, &Kill(kill).fault());
                let over = code.is_some();
                if !over {
                    met.faults += 1;
                    code = lab.run(*line);
                }
                // What no ledger knows is lost with the journal: then only the database is looked at.
                let whole = matches!(between, Between::Nothing | Between::Mended) || self.small.ledger_knows_all();
                let forward = if *between == Between::Mended { worlds.mended.as_ref() } else { None };
                let way = Way {
                    before: &worlds.before,
                    forward: forward.unwrap_or(&worlds.after),
                    whole,
                    unwinding: self.applied_before || self.small.ends == 100,
                };
                let result = way.out(lab, *line, code);
                met.way_out(&name, result, lab.trail());
                if over {
                    break;
                }
            }
        }
        met
    }
}

/// What must come of all back and all forward.
#[derive(Debug)]
struct Way<'a> {
    before: &'a World,
    forward: &'a Forward,
    /// Whether files count, and not the database alone.
    whole: bool,
    /// Whether the first command may have left an unwinding: an apply then ends it, with 100, and does nothing else.
    unwinding: bool,
}

impl Way<'_> {
    /// The second command ended with `code`.
    fn out(&self, lab: &mut Lab<'_>, line: Line, code: Option<i32>) -> Result<(), String> {
        let (whole, after) = (self.whole, &self.forward.world);
        let forward = line.0 == "apply";
        // What lies outside of its reach stays as the first command left it.
        let partial = [APPLY_SOME, BACK_SOME].contains(&line);
        let expected = if forward && !partial { self.forward.ends } else { 0 };
        if code != Some(expected) && !(forward && self.unwinding && code == Some(100)) {
            return Err(format!("`{}` ended with {code:?} instead of {expected}", line.0));
        }
        lab.agrees(whole, partial)?;
        if forward {
            lab.expect(APPLY, self.forward.ends)?;
            lab.agrees(whole, false)?;
            lab.is(after, whole)?;
        } else if line != BACK_A_PHASE && !partial {
            lab.is(self.before, whole)?;
        }
        lab.expect(BACK, 0)?;
        lab.is(self.before, whole)?;
        lab.expect(APPLY, self.forward.ends)?;
        lab.is(after, whole)?;
        if self.forward.ends == 0 { lab.expect(("verify", &[]), 0) } else { Ok(()) }
    }
}

fn one(n: usize) -> std::ops::Range<usize> {
    n..n + 1
}

impl Lab<'_> {
    fn meanwhile(&mut self, between: Between) {
        match between {
            Between::Nothing => {}
            Between::JournalLost => self.lose_journal(),
            Between::JournalDamaged => self.damage_journal(),
            Between::Mended => self.mend(),
        }
    }
}
