//! Whatever a kill has left, and whatever became of the journal then: who follows what `explain` says, command by
//! command, comes to where nothing is left to do.
//!
//! A combination is a small plan, the journal mode of its database, a command, the number of its kill and what became of
//! the journal; `advice/plan/mode/command/kill/journal` is its name. See `choice`.

use super::choice::Choice;
use super::kills::Kill;
use super::lab::{Lab, Line, World};
use super::plans::Small;
use super::tally::Tally;
use crate::system::folder_in_memory;

const APPLY: Line = ("apply", &[]);

/// The command that is killed, and whether the plan is applied before.
const FIRST: &[(&str, bool, Line)] = &[
    ("apply", false, APPLY),
    ("apply-some", false, ("apply", &["--to", "a"])),
    ("rollback-start", true, ("rollback", &["--to", "start", "--yes"])),
    ("rollback-some", true, ("rollback", &["--to", "a", "--yes"])),
];

/// What becomes of the journal, where something does.
type Damage = Option<fn(&mut Lab<'_>)>;

const JOURNAL: &[(&str, Damage)] =
    &[("kept", None), ("lost", Some(|lab| lab.lose_journal())), ("damaged", Some(|lab| lab.damage_journal()))];

/// In a sample: of how many kills one is met.
const PACE: usize = 16;
/// Where more than the sample is wanted, every record so much closer to the next.
const MORE: usize = 4;
/// No command here is as long as this.
const KILLS: usize = 500;
/// No advice is longer than this.
const COMMANDS: usize = 5;
const WORKERS: usize = 4;

#[test]
fn who_follows_the_advice_after_a_kill_comes_to_where_nothing_is_left_to_do() {
    let choice = Choice::of_environment();
    let plans: Vec<Small> = Small::all().into_iter().filter(|s| s.ends == 0 || s.can_be_mended()).collect();
    let stories = plans.iter().flat_map(|small| FIRST.iter().map(move |first| (small, first)));
    let met = Tally::of(WORKERS, stories, |(small, first)| {
        let modes = [("delete", false), ("wal", true)];
        let drawn = choice.draw(&format!("advice/{}/{}", small.name, first.0), modes.len());
        let mut met = Tally::default();
        for (_, mode) in modes.into_iter().enumerate().filter(|(i, _)| choice.all() || *i == drawn) {
            met.add(tell(&choice, small, mode, first));
        }
        met
    });
    met.end("A", "advice followed after a kill", &choice);
}

/// One command of one plan, killed wherever it is chosen to be.
fn tell(choice: &Choice, small: &Small, mode: (&str, bool), first: &(&str, bool, Line)) -> Tally {
    let (first, applied_before, line) = *first;
    let name = format!("advice/{}/{}/{first}", small.name, mode.0);
    let mut met = Tally::default();
    if !choice.allows(&name) {
        return met;
    }
    let mut lab = Lab::new(small, mode.1);
    let folder = folder_in_memory();
    let (ready, killed) = (folder.path().join("ready"), folder.path().join("killed"));
    lab.keep(&ready);
    if small.can_be_mended() {
        lab.mend();
    }
    let code = lab.run(APPLY);
    assert_eq!(code, Some(0), "{name} undisturbed:\n{}", lab.trail());
    let after = lab.world();
    if applied_before {
        std::fs::remove_dir_all(&ready).unwrap();
        lab.keep(&ready);
    } else {
        lab.forget();
    }
    let trail = lab.trail().to_owned();
    let pace = if choice.by_name() { 1 } else { PACE / if choice.all() { MORE } else { 1 } };
    for kill in (choice.draw(&name, pace)..KILLS).step_by(pace) {
        let name = format!("{name}/{kill}");
        if !choice.allows(&name) {
            continue;
        }
        lab.put_back(&ready, &trail);
        let over = lab.run_with(line, &Kill(kill).fault()).is_some();
        met.faults += usize::from(!over);
        let _ = std::fs::remove_dir_all(&killed);
        lab.keep(&killed);
        let trail = lab.trail().to_owned();
        let drawn = choice.draw(&name, JOURNAL.len());
        for (_, (journal, damage)) in JOURNAL.iter().enumerate().filter(|(i, _)| choice.all() || *i == drawn) {
            let name = format!("{name}/{journal}");
            if !choice.allows(&name) {
                continue;
            }
            lab.put_back(&killed, &trail);
            if let Some(damage) = damage {
                damage(&mut lab);
            }
            // What no ledger knows is lost with the journal: then only the database is looked at.
            let whole = damage.is_none() || small.ledger_knows_all();
            let result = follow(small, &mut lab, &after, whole);
            met.way_out(&name, result, lab.trail());
        }
        if over {
            break;
        }
    }
    met
}

/// Runs what `explain` says until it says nothing any more.
fn follow(small: &Small, lab: &mut Lab<'_>, after: &World, whole: bool) -> Result<(), String> {
    if small.can_be_mended() {
        lab.mend();
    }
    for _ in 0..=COMMANDS {
        let advice = lab.explained()?;
        let Some(next) = advice["next"].as_str() else {
            lab.agrees(whole, false)?;
            lab.is(after, whole)?;
            let states = lab.states()?;
            let open = states.iter().find(|(_, (state, _))| !["applied", "skipped"].contains(&state.as_str()));
            return match open {
                Some((id, (state, _))) => Err(format!("nothing is left to do, and step `{id}` is {state}")),
                None => Ok(()),
            };
        };
        match lab.paste(next) {
            Some(0 | 100 | 104) => {}
            code => return Err(format!("the advice `{next}` ended with {code:?}: {}", advice["headline"])),
        }
    }
    Err(format!("no end after {COMMANDS} commands: {}", lab.explained()?["headline"]))
}
