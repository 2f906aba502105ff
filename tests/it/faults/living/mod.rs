//! A database is restored while an application reads and writes it, undisturbed and killed at each point of the way.
//!
//! A combination is what was done to the database, its journal mode, and a fault: a kill at a point of the restore, after
//! which the same command goes on, or a pause there, in which the application gets the time to do what it likes;
//! `change/mode/fault` is its name. By default the seed draws which change is met with which mode and fault.

mod application;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use cutover_core::fault;
use cutover_tests::{Ran, run, sqlite3};

use super::choice::Choice;
use super::fault::Fault;
use super::kinds::Row;
use super::tally::Tally;
use crate::system::{System, folder_in_memory};
use application::{Application, Seen};

const WORKERS: usize = 4;

/// Where the application gets more time than it needs to slip in a row.
const PAUSES: [&str; 3] = [fault::SQLITE_RESTORE_ASIDE, fault::SQLITE_RESTORE_EXPORTED, fault::SQLITE_RESTORE_LOCKED];

const BEFORE: &str = "CREATE TABLE version (n INTEGER); INSERT INTO version VALUES (1);
    CREATE TABLE debit (id INTEGER PRIMARY KEY, amount INTEGER, pad TEXT);
    CREATE TABLE credit (id INTEGER PRIMARY KEY, amount INTEGER, pad TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
    INSERT INTO debit SELECT i, 1, printf('%.1500c', 'x') FROM n;
    INSERT INTO credit SELECT * FROM debit;";

const CHANGE: &str = "UPDATE debit SET amount = amount * 10 WHERE id <= 400;
    UPDATE credit SET amount = amount * 10 WHERE id <= 400;
    ALTER TABLE debit ADD COLUMN unit TEXT DEFAULT 'x'; ALTER TABLE credit ADD COLUMN unit TEXT DEFAULT 'x';
    UPDATE version SET n = 2;";

/// The database that an export is loaded into: a row that is in it twice is there twice.
const LOADED: &str = "CREATE TABLE debit (id, amount, pad, unit); CREATE TABLE credit (id, amount, pad, unit);";

const BACK: &[&str] = &["--to", "start", "--yes", "--accept-loss"];

/// What was done to the database, and is undone by restoring it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Script,
    /// What others write while it runs counts as its own, so the application is started after it.
    Command,
}

impl Change {
    const ALL: [Self; 2] = [Self::Script, Self::Command];

    fn name(self) -> &'static str {
        if self == Self::Script { "script" } else { "command" }
    }

    fn plan(self) -> String {
        let step = match self {
            Self::Script => "use = \"sqlite.script\"\ntarget = \"app\"\nwith = { up = \"change.sql\" }".to_owned(),
            Self::Command => format!(
                "use = \"command.run\"\nwith.restore = \"app\"\n\
                 with.apply = [\"sqlite3\", \"app.db\", \"\"\"BEGIN IMMEDIATE; {CHANGE} COMMIT\"\"\"]"
            ),
        };
        format!(
            "name = \"living\"\n[targets.app]\nkind = \"sqlite\"\npath = \"app.db\"\n\
             [[phase]]\nname = \"copies\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"copy\"\n\
             use = \"target.snapshot\"\nwith = {{ targets = [\"app\"], into = \"backups\" }}\n\
             [[phase]]\nname = \"change\"\nlayer = \"storage\"\n[[phase.step]]\nid = \"change\"\n{step}\n"
        )
    }
}

/// What happens on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Nothing,
    Kill(&'static str),
    Pause(&'static str),
}

impl Event {
    fn all() -> Vec<Self> {
        let sqlite = Row::all().into_iter().find(|row| row.kind == "sqlite").unwrap();
        // The application keeps the database open: its pages keep their size.
        let kills = sqlite.faults.rollback.iter().filter(|point| sqlite.needs(point).is_none());
        let kills = kills.map(|point| Self::Kill(point));
        [Self::Nothing].into_iter().chain(PAUSES.map(Self::Pause)).chain(kills).collect()
    }

    fn name(self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Kill(point) => format!("kill {point}"),
            Self::Pause(point) => format!("pause {point}"),
        }
    }

    fn fault(self) -> Fault {
        match self {
            Self::Nothing => Fault::default(),
            Self::Kill(point) => Fault::kill(point, 0),
            Self::Pause(point) => Fault::env("FAILPOINTS", &format!("{point}=sleep(300)")),
        }
    }
}

/// How often a command is run that finds the database locked.
const TRIES: usize = 5;

#[test]
fn a_restore_under_a_living_application_loses_no_row_and_shows_no_mixture() {
    let choice = Choice::of_environment();
    let mut stories = Vec::new();
    for mode in ["wal", "delete"] {
        for event in Event::all() {
            let drawn = choice.draw(&format!("{mode}/{}", event.name()), Change::ALL.len());
            for (i, change) in Change::ALL.into_iter().enumerate() {
                let name = format!("{}/{mode}/{}", change.name(), event.name().replace(' ', "/"));
                if choice.allows(&name) && (choice.all() || i == drawn) {
                    stories.push((name, change, mode, event));
                }
            }
        }
    }
    let queue = Mutex::new(stories.into_iter());
    let met = Mutex::new((Tally::default(), Counts::default()));
    let worker = || {
        loop {
            let Some((name, change, mode, event)) = queue.lock().unwrap().next() else { break };
            let mut story = Story::new(change, mode, event);
            let result = story.tell();
            let mut met = met.lock().unwrap();
            met.0.faults += 1;
            let result = result.map(|counts| met.1.add(&counts));
            met.0.way_out(&name, result, &story.trail);
        }
    };
    std::thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(worker))));
    let (tally, counts) = met.into_inner().unwrap();
    println!("{}", counts.line());
    tally.end("L", "restore under a living application, killed on its way", &choice);
}

#[test]
fn a_row_that_comes_after_the_look_and_before_the_lock_is_asked_about() {
    for mode in ["wal", "delete"] {
        let story = Story::new(Change::Script, mode, Event::Pause(fault::SQLITE_RESTORE_EXPORTED));
        let system = &story.system;
        system.cutover("apply", &[]).expect_code(0);
        let mut paused = system.command("rollback", &["--yes"]);
        let fault = format!("{}=sleep(1500)", fault::SQLITE_RESTORE_EXPORTED);
        let paused = paused.env("FAILPOINTS", fault).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let looked = || cutover_tests::Tree::of(&system.root()).paths().any(|path| path.ends_with("/app.db"));
        while !looked() || system.root().join(".cutover/aside").read_dir().is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(300));
        system.ask("INSERT INTO debit (id, amount) VALUES (1000, 1)");
        let said = paused.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&said.stdout);
        assert!(said.status.code() == Some(101) && text.contains("1 of `debit`"), "{mode}: {text}");
        assert_eq!(system.ask("SELECT count(*) FROM debit; SELECT n FROM version"), "401\n2", "nothing was changed");
        assert_eq!(story.exports().len(), 1, "each look has an export of its own");
        system.cutover("rollback", &["--yes", "--accept-loss"]).expect_code(0);
        assert_eq!(system.ask("SELECT count(*) FROM debit; SELECT n FROM version"), "400\n1");
    }
}

/// What the applications saw and wrote.
#[derive(Debug, Default)]
struct Counts {
    reads: u64,
    rows: usize,
    exported: usize,
    busy: u64,
    stall: Duration,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.reads += other.reads;
        self.rows += other.rows;
        self.exported += other.exported;
        self.busy += other.busy;
        self.stall = self.stall.max(other.stall);
    }

    fn line(&self) -> String {
        let Self { reads, rows, exported, busy, stall } = self;
        format!(
            "{reads} reads, {rows} rows written, {exported} of them exported, {busy} times busy, longest wait {} ms",
            stall.as_millis()
        )
    }
}

/// One system, its application, and what was done.
#[derive(Debug)]
struct Story {
    change: Change,
    event: Event,
    system: System,
    trail: String,
}

impl Story {
    fn new(change: Change, mode: &str, event: Event) -> Self {
        let sql = format!("PRAGMA journal_mode = {mode}; {BEFORE}");
        let system = System::in_folder(folder_in_memory(), &sql, &change.plan());
        system.write("change.sql", CHANGE);
        Self { change, event, system, trail: String::new() }
    }

    fn tell(&mut self) -> Result<Counts, String> {
        let mut application = None;
        if self.change == Change::Script {
            application = Some(self.started()?);
        }
        self.runs("apply", &[], &Fault::default(), Some(0))?;
        let mut application = application.map_or_else(|| self.started(), Ok)?;
        application.gets_on()?;
        let killed = matches!(self.event, Event::Kill(_));
        let said = self.runs("rollback", BACK, &self.event.fault(), (!killed).then_some(0))?;
        application.gets_on()?;
        let said = if killed { self.runs("rollback", BACK, &Fault::default(), Some(0))? } else { said };
        application.gets_on()?;
        let seen = application.end()?;
        let counted = (!killed).then(|| counted(&said));
        self.is_whole(&seen, counted)
    }

    fn started(&self) -> Result<Application, String> {
        let mut application = Application::start(&self.system);
        application.gets_on()?;
        Ok(application)
    }

    fn runs(&mut self, command: &str, args: &[&str], fault: &Fault, code: Option<i32>) -> Result<Ran, String> {
        for _ in 0..TRIES {
            let mut child = self.system.command(command, args);
            let ran = run(child.envs(fault.env.iter().map(|(k, v)| (k, v))));
            self.trail.push_str(&format!("$ {:?} cutover {command}\n{}\n", fault.env, self.system.seen(&ran)));
            // The application may be at it for as long as we wait: then we are told to run again.
            let busy = ran.code == Some(101) && ran.stdout.contains("database is locked");
            if ran.code == code {
                return Ok(ran);
            }
            if !busy {
                return Err(format!("`{command}` ended with {:?} instead of {code:?}", ran.code));
            }
        }
        Err(format!("`{command}` found the database locked {TRIES} times"))
    }

    /// Each row that was committed is in the database or in an export; what the program counted is what it exported.
    fn is_whole(&self, seen: &Seen, counted: Option<usize>) -> Result<Counts, String> {
        let mut wrong = seen.wrong.clone();
        let mut exported = 0;
        for table in ["debit", "credit"] {
            let here = numbers(&self.system.ask(&format!("SELECT id FROM {table} WHERE id > 400")));
            let mut set_aside = BTreeSet::new();
            for export in self.exports() {
                let loaded = self.system.file("loaded.db");
                let _ = fs::remove_file(&loaded);
                sqlite3(&loaded, LOADED);
                sqlite3(&loaded, format!(".read '{}'", export.display()));
                let found = numbers(&sqlite3(&loaded, format!("SELECT id FROM {table}")));
                let each: BTreeSet<u64> = found.iter().copied().collect();
                if each.len() < found.len() {
                    wrong.push(format!("rows of `{table}` are in `{}` twice", export.display()));
                }
                set_aside.extend(each);
            }
            let here: BTreeSet<u64> = here.into_iter().collect();
            let committed: BTreeSet<u64> = seen.committed.iter().copied().collect();
            let everywhere: BTreeSet<u64> = here.union(&set_aside).copied().collect();
            let each = [
                ("lost", committed.difference(&everywhere).copied().collect::<Vec<_>>()),
                ("in the database and in an export", here.intersection(&set_aside).copied().collect()),
                ("never committed", everywhere.difference(&committed).copied().collect()),
            ];
            for (what, ids) in each.into_iter().filter(|(_, ids)| !ids.is_empty()) {
                wrong.push(format!("rows of `{table}` that are {what}: {ids:?}"));
            }
            exported += set_aside.len();
        }
        if counted.is_some_and(|counted| counted != exported) {
            wrong.push(format!("{counted:?} rows were counted and {exported} exported"));
        }
        if seen.reads.get("2").is_none_or(|reads| *reads == 0) || seen.reads.get("1").is_none_or(|reads| *reads == 0) {
            wrong.push(format!("the application did not see both versions: {:?}", seen.reads));
        }
        let health = self.system.ask("PRAGMA integrity_check; SELECT n FROM version");
        if health != "ok\n1" {
            wrong.push(format!("the database is {health}"));
        }
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        let (reads, rows) = (seen.reads.values().sum(), seen.committed.len());
        Ok(Counts { reads, rows, exported: exported / 2, busy: seen.busy, stall: seen.stall })
    }

    fn exports(&self) -> Vec<PathBuf> {
        let tree = cutover_tests::Tree::of(&self.system.root());
        let exports = tree.paths().filter(|path| path.ends_with(".lost-rows.sql"));
        exports.map(|path| self.system.root().join(path)).collect()
    }
}

fn numbers(text: &str) -> Vec<u64> {
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// How many rows the program said that it set aside.
fn counted(ran: &Ran) -> usize {
    let lines = ran.stdout.lines().filter(|line| line.contains("written since the snapshot, set aside there"));
    let number = |line: &str| line.split_whitespace().find_map(|word| word.parse::<usize>().ok());
    lines.filter_map(number).sum()
}
