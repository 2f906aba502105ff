//! The journal of a run that ended one way or another is cut or changed: it is an earlier one, or set aside and rebuilt.
//!
//! `torn/STATE/FILE/DAMAGE` is a combination's name. What the store itself makes of thousands of damages, its own tests
//! look at (`runner/src/journal/store/torn.rs`).

use super::choice::Choice;
use super::damage::Damage;
use super::fault::Fault;
use super::lab::{Lab, Line, World};
use super::plans::{Small, script, step};
use super::tally::Tally;
use crate::system::folder_in_memory;

const APPLY: Line = ("apply", &[]);
const BACK: Line = ("rollback", &["--to", "start", "--yes"]);
const BACK_ACCEPTING: Line = ("rollback", &["--to", "start", "--yes", "--accept-loss"]);
const FILES: &[&str] = &[".cutover/journal.db", ".cutover/journal.db-wal"];
/// How many damages of each form each file of each state gets, in a sample and where all are met.
const SAMPLE: usize = 2;
const ALL: usize = 20;
const WORKERS: usize = 3;
/// How many commands in a row may be asked for until all is settled.
const PATIENCE: usize = 4;

#[test]
fn a_damaged_journal_is_an_earlier_one_or_rebuilt() {
    let choice = Choice::of_environment();
    let met = Tally::of(
        WORKERS,
        State::all().into_iter().filter(|state| choice.allows(&format!("torn/{}", state.name))),
        |state| state.tell(&choice),
    );
    met.end("D", "the journal cut, and bits of it turned", &choice);
}

/// Where the journal is when it is damaged: what was run by then, and what of it was killed after how many records.
#[derive(Debug)]
struct State {
    name: String,
    small: Small,
    commands: Vec<(Line, Option<usize>)>,
}

impl State {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        let mut add = |name: &str, plan: &Small, commands: &[(Line, Option<usize>)]| {
            all.push(Self {
                name: format!("{}-{name}", plan.name),
                small: plan.clone(),
                commands: commands.to_owned(),
            });
        };
        let plans = Small::all();
        let named = |name: &str| plans.iter().find(|p| p.name == name).unwrap().clone();
        for plan in [named("grouped"), named("mixed"), named("restored")] {
            add("complete", &plan, &[(APPLY, None)]);
            add("killed", &plan, &[(APPLY, Some(1))]);
            add("unwinding", &plan, &[(APPLY, None), (BACK, Some(1))]);
            add("again", &plan, &[(APPLY, None), (BACK, None), (APPLY, Some(1))]);
        }
        add("paused", &named("failing-pause"), &[(APPLY, None)]);
        add("stuck", &stuck(), &[(APPLY, None), (BACK, None)]);
        all
    }

    fn tell(&self, choice: &Choice) -> Tally {
        let mut met = Tally::default();
        let mut lab = Lab::new(&self.small, true);
        let folder = folder_in_memory();
        let before = lab.world();
        let start = folder.path().join("start");
        lab.keep(&start);
        lab.mend();
        lab.expect(APPLY, 0).unwrap();
        let after = lab.world();
        lab.put_back(&start, "");
        for (line, killed) in &self.commands {
            let fault = killed.map_or_else(Fault::default, |records| Fault::kill("journal-appended", records));
            let code = lab.run_with(*line, &fault);
            assert_eq!(code.is_none(), killed.is_some(), "{}: {}", self.name, lab.trail());
        }
        let (kept, trail) = (folder.path().join("kept"), lab.trail().to_owned());
        lab.keep(&kept);
        for file in FILES {
            let Some(length) = lab.length(file).filter(|length| *length > 0) else { continue };
            for damage in damages(choice, &format!("torn/{}/{file}", self.name), length) {
                let name = format!("torn/{}/{}/{damage}", self.name, file.trim_start_matches(".cutover/"));
                if !choice.allows(&name) {
                    continue;
                }
                lab.put_back(&kept, &trail);
                lab.damage(file, damage);
                met.faults += 1;
                let mut settled = 0;
                let result = self.way_out(&mut lab, &before, &after, &mut settled);
                met.way_out(&name, result, lab.trail());
                met.settled += settled.min(1);
            }
        }
        met
    }

    fn way_out(&self, lab: &mut Lab<'_>, before: &World, after: &World, settled: &mut usize) -> Result<(), String> {
        for command in ["status", "explain", "history"] {
            match lab.run_looking(command) {
                Some(0) => {}
                Some(101) if lab.last_said("is damaged") && lab.last_said("cutover apply") => {}
                code => return Err(format!("`{command}` ended with {code:?}")),
            }
        }
        lab.mend();
        let whole = self.small.ledger_knows_all();
        for _ in 0..PATIENCE {
            match lab.run(APPLY) {
                Some(0) => break,
                // It ended a rollback that was under way, or what failed before the mend is undone.
                Some(100) => {}
                // A stuck rollback, and what a restore asks about: the message names the command.
                Some(101) => {
                    *settled += 1;
                    let asks = lab.last_said("--accept-loss");
                    lab.expect(if asks { BACK_ACCEPTING } else { BACK }, 0)?;
                }
                code => return Err(format!("`apply` ended with {code:?}")),
            }
        }
        lab.expect(APPLY, 0)?;
        lab.agrees(whole, false)?;
        lab.is(after, whole)?;
        lab.expect(("verify", &[]), 0)?;
        if lab.run(BACK) != Some(0) {
            if !lab.last_said("--accept-loss") {
                return Err("`rollback` did not end well".to_owned());
            }
            *settled += 1;
            lab.expect(BACK_ACCEPTING, 0)?;
        }
        lab.agrees(whole, false)?;
        lab.is(before, whole)
    }
}

/// Its first rollback fails.
fn stuck() -> Small {
    let run = "use = \"command.run\"\nwith.apply = [\"touch\", \"made\"]\nwith.verify = [\"test\", \"-e\", \"made\"]\n\
               with.rollback = [\"sh\", \"-c\", \"test -e mended && rm -f made\"]";
    Small::new("sticking", "", &[&[script("a", ""), step("run", run)], &[script("b", "")]])
}

/// Every place of a small file is drawn once, the tail more often.
fn damages(choice: &Choice, name: &str, length: usize) -> Vec<Damage> {
    let each = if choice.by_name() {
        return every(length);
    } else if choice.all() {
        ALL
    } else {
        SAMPLE
    };
    let tail = length.min(3 * 4096);
    let draw = |what: String, limit| choice.draw(&format!("{name}/{what}"), limit);
    let drawn = (0..each).flat_map(|i| {
        let cut = Damage::Cut(length - 1 - draw(format!("cut-{i}"), tail));
        let bit = Damage::Bit(draw(format!("at-{i}"), length), draw(format!("bit-{i}"), 8));
        [cut, bit, Damage::Bit(length - 1 - draw(format!("tail-{i}"), tail), draw(format!("tail-bit-{i}"), 8))]
    });
    drawn.collect()
}

fn every(length: usize) -> Vec<Damage> {
    let bits = (0..length).flat_map(|at| (0..8).map(move |bit| Damage::Bit(at, bit)));
    (0..length).map(Damage::Cut).chain(bits).collect()
}
