//! The program is killed at each point of each kind, on the way there and on the way back, then goes on or turns round.
//!
//! A combination is a kind, how its plan is made, a command, a point that the kind declares and a number of passages;
//! `kind/mode/grouping/way back/command/point/passages` is its name. By default each point is met once, in a plan that
//! the seed draws; see `choice`. A kind that declares a point which is never passed is a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;

use cutover_core::fault;
use tempfile::TempDir;

use super::choice::Choice;
use super::kinds::{Axes, Row};
use super::lab::{Lab, Line, World};
use super::plans::Small;
use crate::system::folder_in_memory;

const APPLY: Line = ("apply", &[]);
const BACK: Line = ("rollback", &["--to", "start", "--yes"]);
const VERIFY: Line = ("verify", &[]);

/// No point is passed as often in one command.
const PASSAGES: usize = 100;
const WORKERS: usize = 4;
/// How many failures are told in full.
const SHOWN: usize = 3;

/// Which command is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Forth,
    Back,
}

impl Way {
    const ALL: [Self; 2] = [Self::Forth, Self::Back];

    fn line(self) -> Line {
        if self == Self::Forth { APPLY } else { BACK }
    }

    fn points(self, row: &Row) -> &'static [&'static str] {
        if self == Self::Forth { row.faults.apply } else { row.faults.rollback }
    }

    /// Whether a step in that state was met by the kill.
    fn met(self, state: &str) -> bool {
        match self {
            Self::Forth => ["started", "intended"].contains(&state),
            Self::Back => state == "rolling-back",
        }
    }
}

#[test]
fn every_point_of_the_list_is_declared_and_every_kind_declares_some() {
    let rows = Row::all();
    let mut declared = BTreeSet::from([fault::JOURNAL_APPEND, fault::JOURNAL_APPENDED]);
    for row in &rows {
        assert!(!row.faults.apply.is_empty(), "{} declares no point of its way there", row.kind);
        // A check changes nothing, and its rollback does nothing.
        let undone = !row.faults.rollback.is_empty() || row.kind == "sqlite.check";
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

#[test]
fn a_kill_at_any_point_of_any_kind_leaves_both_ways_open() {
    let choice = Choice::of_environment();
    let rows = Row::all();
    let queue = Mutex::new(rows.iter());
    let met = Mutex::new(Met::default());
    let worker = || {
        loop {
            let Some(row) = queue.lock().unwrap().next() else { break };
            let found = Story::new(row, &choice).tell();
            met.lock().unwrap().add(found);
        }
    };
    std::thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(worker))));
    let Met { points, kills, failures } = met.into_inner().unwrap();
    let seed = choice.seed();
    println!("{points} points of {} kinds met, {kills} kills, CUTOVER_SEED={seed}", rows.len());
    assert!(
        kills > 0,
        "no kill came: is there a combination of that name? `just faults` builds the program with its points"
    );
    let shown: Vec<_> = failures.iter().take(SHOWN).map(Failure::whole).collect();
    let lines: Vec<_> = failures.iter().map(Failure::line).collect();
    assert!(
        failures.is_empty(),
        "{}\n\n{} failures (CUTOVER_SEED={seed}):\n{}",
        shown.join("\n\n"),
        failures.len(),
        lines.join("\n")
    );
}

#[derive(Debug, Default)]
struct Met {
    points: usize,
    kills: usize,
    failures: Vec<Failure>,
}

impl Met {
    fn add(&mut self, other: Met) {
        self.points += other.points;
        self.kills += other.kills;
        self.failures.extend(other.failures);
    }
}

#[derive(Debug)]
struct Failure {
    name: String,
    why: String,
    trail: String,
}

impl Failure {
    fn line(&self) -> String {
        format!("  {}: {}", self.name, self.why.lines().next().unwrap_or_default())
    }

    fn whole(&self) -> String {
        let Self { name, why, trail } = self;
        format!(
            "== {name}\n{why}\n-- again: CUTOVER_FAULT={name} cargo test --workspace --test it a_kill_at_any_point\n{trail}"
        )
    }
}

/// A plan on its system: as it is before, and as it is when all is applied.
#[derive(Debug)]
struct Ready {
    lab: Lab<'static>,
    folder: TempDir,
    before: World,
    after: World,
}

impl Ready {
    fn new(row: &Row, axes: Axes) -> Result<Self, String> {
        // The test ends with the process.
        let small: &'static Small = Box::leak(Box::new(row.plan(axes)));
        let mut lab = Lab::new(small, axes.wal);
        let folder = folder_in_memory();
        let before = lab.world();
        lab.keep(&folder.path().join("Forth"));
        lab.expect(APPLY, 0).map_err(|why| format!("{why}\n{}", lab.trail()))?;
        let after = lab.world();
        lab.keep(&folder.path().join("Back"));
        lab.forget();
        Ok(Self { lab, folder, before, after })
    }

    fn put_back(&mut self, kept: &str, trail: &str) {
        let kept = self.kept(kept);
        self.lab.put_back(&kept, trail);
    }

    fn kept(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Everything is applied, once.
    fn forth(&mut self, row: &Row) -> Result<(), String> {
        self.lab.expect(APPLY, 0)?;
        self.lab.agrees(true, false)?;
        self.lab.is(&self.after, true)?;
        self.nothing_left(1)?;
        let ledgered = row.faults.apply.contains(&fault::SQLITE_CHANGE_RECORDED);
        match self.lab.states()?.get("k") {
            Some((state, in_ledger)) if state != "applied" || *in_ledger != ledgered => {
                Err(format!("step `k` is {state}; in the ledger: {in_ledger}"))
            }
            _ => Ok(()),
        }
    }

    /// Everything is as it was.
    fn back(&mut self) -> Result<(), String> {
        self.lab.expect(BACK, 0)?;
        self.is_back()
    }

    fn is_back(&mut self) -> Result<(), String> {
        self.lab.agrees(true, false)?;
        self.lab.is(&self.before, true)?;
        self.nothing_left(0)?;
        match self.lab.states()?.iter().find(|(_, (state, in_ledger))| state == "applied" || *in_ledger) {
            Some((id, (state, in_ledger))) => Err(format!("step `{id}` is {state}; in the ledger: {in_ledger}")),
            None => Ok(()),
        }
    }

    fn nothing_left(&self, reports: usize) -> Result<(), String> {
        let left = self.lab.left_over();
        if !left.is_empty() {
            return Err(format!("left lying about: {}", left.join(", ")));
        }
        match self.lab.count("backups/assess/migration-plan-") {
            found if found > reports => Err(format!("{found} reports instead of {reports}")),
            _ => Ok(()),
        }
    }

    /// The same command again.
    fn goes_on(&mut self, way: Way, row: &Row) -> Result<(), String> {
        match way {
            Way::Forth => {
                self.forth(row)?;
                self.lab.expect(VERIFY, 0)?;
                self.back()
            }
            Way::Back => {
                self.back()?;
                self.forth(row)
            }
        }
    }

    /// The other command.
    fn turns_round(&mut self, way: Way, row: &Row) -> Result<(), String> {
        match way {
            Way::Forth => self.back()?,
            // It ends the rollback first, and says so.
            Way::Back => match self.lab.run(APPLY, None) {
                Some(0 | 100) => {}
                code => return Err(format!("`apply` ended with {code:?}")),
            },
        }
        self.forth(row)?;
        self.back()
    }
}

/// One kind and all of its points.
#[derive(Debug)]
struct Story<'a> {
    row: &'a Row,
    choice: &'a Choice,
    ready: BTreeMap<String, Ready>,
    met: Met,
}

impl<'a> Story<'a> {
    fn new(row: &'a Row, choice: &'a Choice) -> Self {
        Self { row, choice, ready: BTreeMap::new(), met: Met::default() }
    }

    fn tell(mut self) -> Met {
        let first = self.choice.draw(self.row.kind, Axes::ALL.len());
        for way in Way::ALL {
            for (i, point) in way.points(self.row).iter().enumerate() {
                let mut met = false;
                let mut asked = false;
                for j in 0..Axes::ALL.len() {
                    let axes = Axes::ALL[(first + i + j) % Axes::ALL.len()];
                    let name = format!("{}/{}/{}/{point}", self.row.kind, axes.name(), way.line().0);
                    if !self.choice.allows(&name) || (met && !self.choice.all()) {
                        continue;
                    }
                    asked = true;
                    met |= self.meet(&name, axes, way, point);
                }
                self.met.points += usize::from(met);
                if asked && !met && self.met.failures.is_empty() {
                    let why = "the kind declares this point and never passes it".to_owned();
                    let name = format!("{}/*/*/*/{}/{point}", self.row.kind, way.line().0);
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
            if ready.lab.run_with(way.line(), Some(&format!("{point}={passage}*off->return"))).is_some() {
                break;
            }
            self.met.kills += 1;
            let inside = ready.lab.states().map(|states| states.get(step).is_some_and(|(state, _)| way.met(state)));
            if inside == Ok(false) && !self.choice.all() {
                continue;
            }
            met |= inside == Ok(true);
            let trail = ready.lab.trail().to_owned();
            let killed = folder_in_memory();
            let kept = killed.path().join("root");
            ready.lab.keep(&kept);
            let mut failed = |ready: &Ready, result: Result<(), String>| {
                if let Err(why) = result {
                    self.met.failures.push(Failure { name: name.clone(), why, trail: ready.lab.trail().to_owned() });
                }
            };
            let result = inside.map(drop).and_then(|()| ready.lab.look()).and_then(|()| ready.goes_on(way, self.row));
            failed(ready, result);
            ready.lab.put_back(&kept, &trail);
            let result = ready.turns_round(way, self.row);
            failed(ready, result);
            if !self.choice.all() {
                break;
            }
        }
        met
    }
}
