//! The program is killed at each point of each kind, on the way there and on the way back, then goes on or turns round.
//!
//! A combination is a kind (`+` and what it does, where a kind is met more than once), how its plan is made, a command, a point that the kind declares and a number of passages;
//! `kind/mode/grouping/way back/command/point/passages` is its name. By default each point is met once, in a plan that
//! the seed draws; see `choice`. A kind that declares a point which is never passed is a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;

use cutover_core::fault;

use super::super::choice::Choice;
use super::super::failure::Failure;
use super::super::fault::Fault;
use super::super::kinds::{Axes, Needs, Row};
use super::super::tally::Tally;
use super::super::ways::{Ready, Way};
use crate::system::folder_in_memory;

/// No point is passed as often in one command.
const PASSAGES: usize = 100;
const WORKERS: usize = 4;

#[test]
fn every_point_of_the_list_is_declared_and_every_kind_declares_some() {
    let rows = Row::all();
    let mut declared = BTreeSet::from([fault::JOURNAL_APPEND, fault::JOURNAL_APPENDED]);
    declared.extend(fault::REHEARSAL);
    for row in &rows {
        assert!(!row.faults.apply.is_empty(), "{} declares no point of its way there", row.kind);
        // Who looks changes nothing; a freeze ends with its run at the latest. Their rollbacks find nothing to undo. What a
        // retirement ended or a drop took comes back by the target's own restore alone, on which every kill of `sqlite`
        // is met.
        let looks = ["kv.verify", "sqlite.check", "sqlite.parity", "target.wait"];
        let nothing = [looks.as_slice(), &["sqlite.drop", "sqlite.freeze", "sqlite.retire"]].concat();
        let nothing = nothing.contains(&row.kind) || row.kind.starts_with("gate.");
        let undone = !row.faults.rollback.is_empty() || nothing;
        assert!(undone, "{} declares no point of its way back", row.kind);
        declared.extend(row.faults.apply.iter().chain(row.faults.rollback));
    }
    let listed: BTreeSet<&str> = fault::ALL.iter().map(|p| p.name).collect();
    let missing: Vec<_> = listed.difference(&declared).collect();
    assert!(missing.is_empty(), "no kind declares {missing:?}");
    let unlisted =
        |name: &&&str| !listed.contains(**name) && !rows.iter().any(|r| name.starts_with(&format!("{}:", r.kind)));
    let unlisted: Vec<_> = declared.iter().filter(unlisted).collect();
    assert!(unlisted.is_empty(), "neither in the list nor named after its kind: {unlisted:?}");
}

/// `docs/failpoints.md` is made from the list and from what the kinds declare; `INSTA_UPDATE=always` writes it anew.
#[test]
fn the_documented_failpoints_are_those_of_the_list() {
    let mut text = "# Failpoints\n\n\
        Places where tests kill the program, in builds with the feature `failpoints` only.\n\
        `FAILPOINTS='sqlite.commit=3*off->return'` kills it when it passes there for the fourth time. This page is made\n\
        from `core/src/fault.rs` and from what each kind declares: *apply* is a target's snapshot too, *rollback* its\n\
        restore.\n\n\
        | point | what has happened, and what has not | apply of | rollback of |\n|---|---|---|---|\n"
        .to_owned();
    let rows = Row::all();
    for point in fault::ALL {
        let of = |points: fn(&Row) -> &'static [&'static str]| {
            let declares = |kind: &str| rows.iter().any(|row| row.kind == kind && points(row).contains(&point.name));
            let kinds = rows.iter().filter(|row| row.is_plain() && declares(row.kind)).map(|row| row.kind);
            kinds.collect::<Vec<_>>().join(", ")
        };
        let (forth, back) = (of(|row| row.faults.apply), of(|row| row.faults.rollback));
        text.push_str(&format!("| `{}` | {} | {forth} | {back} |\n", point.name, point.what.trim()));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/failpoints.md");
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), text, "`just snapshots` writes it anew");
}

#[test]
fn a_kill_at_any_point_of_any_kind_leaves_both_ways_open() {
    let choice = Choice::of_environment();
    let rows = Row::asked_for();
    let met = Tally::of(WORKERS, &rows, |row| Story::new(row, &choice).tell());
    met.end("A", "kill -9 at each point of each kind", &choice);
}

/// One kind and all of its points.
#[derive(Debug)]
struct Story<'a> {
    row: &'a Row,
    choice: &'a Choice,
    ready: BTreeMap<String, Ready>,
    met: Tally,
}

impl<'a> Story<'a> {
    fn new(row: &'a Row, choice: &'a Choice) -> Self {
        Self { row, choice, ready: BTreeMap::new(), met: Tally::default() }
    }

    fn tell(mut self) -> Tally {
        let first = self.choice.draw(self.row.name, Axes::ALL.len());
        for way in Way::ALL {
            for (i, point) in way.points(self.row).iter().enumerate() {
                let mut met = false;
                let mut asked = false;
                if matches!(self.row.needs(point), Some(Needs::Device(_))) && !can_mount() {
                    continue;
                }
                for j in 0..Axes::ALL.len() {
                    let axes = Axes::ALL[(first + i + j) % Axes::ALL.len()];
                    let name = format!("{}/{}/{}/{point}", self.row.name, axes.name(), way.line().0);
                    if !self.choice.allows(&name) || (met && !self.choice.all()) {
                        continue;
                    }
                    asked = true;
                    met |= self.meet(&name, axes, way, point);
                }
                if asked && !met && self.met.failures.is_empty() {
                    let why = "the kind declares this point and never passes it".to_owned();
                    let name = format!("{}/*/*/*/{}/{point}", self.row.name, way.line().0);
                    self.met.failures.push(Failure { name, why, trail: String::new() });
                }
            }
        }
        self.met
    }

    /// Kills at the passages of a point; whether one of them was in the kind's own step.
    fn meet(&mut self, name: &str, axes: Axes, way: Way, point: &str) -> bool {
        if !self.ready.contains_key(&axes.name()) {
            match Ready::new(self.row, axes) {
                Ok(ready) => drop(self.ready.insert(axes.name(), ready)),
                Err(why) => {
                    let why = format!("the plan cannot be applied undisturbed: {why}");
                    self.met.failures.push(Failure { name: name.to_owned(), why, trail: String::new() });
                    return false;
                }
            }
        }
        let Some(ready) = self.ready.get_mut(&axes.name()) else { return false };
        let step = if way == Way::Forth { self.row.forth } else { self.row.back };
        let mut met = false;
        for passage in 0..PASSAGES {
            let name = format!("{name}/{passage}");
            if !self.choice.allows(&name) {
                continue;
            }
            ready.put_back(&format!("{way:?}"), "");
            let fault = Fault::kill(point, passage);
            let fault = match self.row.needs(point) {
                Some(Needs::Device(name)) => fault.on_its_device(&ready.lab.folder(name)),
                Some(Needs::OtherPageSize) if !axes.wal => break,
                Some(Needs::OtherPageSize) => {
                    ready.lab.resize_pages();
                    fault
                }
                None => fault,
            };
            if ready.lab.run_with(way.line(), &fault).is_some() {
                break;
            }
            self.met.faults += 1;
            let inside = ready.lab.states().map(|states| states.get(step).is_some_and(|(state, _)| way.met(state)));
            if inside == Ok(false) && !self.choice.all() {
                continue;
            }
            met |= inside == Ok(true);
            let trail = ready.lab.trail().to_owned();
            let killed = folder_in_memory();
            let kept = killed.path().join("root");
            ready.lab.keep(&kept);
            let result = inside.map(drop).and_then(|()| ready.lab.look()).and_then(|()| ready.goes_on(way, self.row));
            self.met.way_out(&name, result, ready.lab.trail());
            ready.lab.put_back(&kept, &trail);
            let result = ready.turns_round(way, self.row);
            self.met.way_out(&name, result, ready.lab.trail());
            if !self.choice.all() {
                break;
            }
        }
        met
    }
}

/// Whether a folder can be mounted here as it is on a device of its own. CI has to be able to.
#[expect(clippy::print_stdout, reason = "whoever runs the matrix wants to know what was left out")]
fn can_mount() -> bool {
    static CAN: LazyLock<bool> = LazyLock::new(|| {
        let folder = folder_in_memory();
        let fault = Fault::default().on_its_device(folder.path());
        let mut command = Command::new(&fault.under[0]);
        let can = command.args(&fault.under[1..]).arg("true").output().is_ok_and(|ran| ran.status.success());
        assert!(can || std::env::var_os("CI").is_none(), "`unshare -rm` and `mount --bind` do not work here");
        if !can {
            println!("left out: points of moves between devices; `unshare -rm` and `mount --bind` do not work here");
        }
        can
    });
    *CAN
}
