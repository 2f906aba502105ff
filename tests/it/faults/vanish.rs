//! A target, the journal or a lock is deleted or replaced in the middle of a run: nothing is recorded as a success that
//! is not to be found there, the run says what to put back, and then the same command goes on.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use cutover_core::fault;

use super::choice::Choice;
use super::tally::Tally;
use crate::system::System;

const PLAN: &str = r#"
name = "vanishing"
HEAD
[targets.app]
kind = "sqlite"
path = "app.db"
[targets.files]
kind = "dir"
path = "files"
[[phase]]
name = "p"
layer = "storage"
[[phase.step]]
id = "one"
use = "sqlite.script"
target = "app"
ATOMIC
with = { up = "one.sql", down = "one.down.sql" }
[[phase.step]]
id = "two"
use = "sqlite.rows"
target = "app"
ATOMIC
with = { table = "t", key = ["a"], rows = [{ a = 7, n = 0 }] }
[[phase]]
name = "q"
layer = "storage"
[[phase.step]]
id = "settings"
use = "config.map"
target = "files"
with = { from = "old.json", to = "new.json", set = { version = 2 }, keep = ["name"] }
[[phase.step]]
id = "command"
use = "command.run"
needs = ["settings"]
with = { apply = ["sh", "-c", "if [ -e act ]; then . ./act; rm act; fi; echo once >> log"], rollback = ["rm", "-f", "log"] }
[[phase]]
name = "r"
layer = "storage"
[[phase.step]]
id = "three"
use = "sqlite.script"
target = "app"
with = { up = "three.sql", down = "three.down.sql" }
"#;

const APPLY: (&str, &[&str]) = ("apply", &["--jobs", "1"]);
const BACK: (&str, &[&str]) = ("rollback", &["--to", "start", "--yes", "--jobs", "1"]);
/// What documented codes a run ends with that cannot go on.
const STOPPED: [i32; 4] = [66, 100, 101, 104];

fn system(wal: bool, alone: bool) -> System {
    let plan = PLAN.replace("HEAD", "").replace("ATOMIC", if alone { "atomic = false" } else { "" });
    let mode = if wal { "PRAGMA journal_mode = WAL;" } else { "" };
    let sql = format!("{mode} CREATE TABLE t (a INTEGER PRIMARY KEY, n); INSERT INTO t VALUES (1, 1);");
    let system = System::in_folder(crate::system::folder_in_memory(), &sql, &plan);
    system.write("one.sql", "UPDATE t SET n = n + 1;");
    system.write("one.down.sql", "UPDATE t SET n = n - 1;");
    system.write("three.sql", "UPDATE t SET n = n * 3;");
    system.write("three.down.sql", "UPDATE t SET n = n / 3;");
    system.write_root("files/old.json", r#"{ "name": "shop" }"#);
    system
}

/// What goes wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vanishing {
    /// Its name is gone.
    Away,
    /// An older copy has its name.
    Older,
    /// A file with nothing in it has its name.
    Empty,
}

impl Vanishing {
    const ALL: [Self; 3] = [Self::Away, Self::Older, Self::Empty];

    fn of(self, path: &Path, older: &Path) {
        fs::rename(path, aside(path)).unwrap();
        match self {
            Self::Away => {}
            Self::Older => drop(fs::copy(older, path).unwrap()),
            Self::Empty => fs::write(path, "").unwrap(),
        }
    }
}

fn aside(path: &Path) -> std::path::PathBuf {
    path.with_extension("aside")
}

/// One after the other, with what they said.
struct Story<'a> {
    system: &'a System,
    trail: String,
}

impl Story<'_> {
    fn run(&mut self, (command, args): (&str, &[&str]), expected: &[i32]) -> Result<String, String> {
        let ran = self.system.cutover(command, args);
        self.trail.push_str(&format!("$ cutover {command} {args:?}\n{}\n", self.system.seen(&ran)));
        let fits = ran.code.is_some_and(|code| expected.contains(&code));
        let said = format!("{}{}", ran.stdout, ran.stderr);
        fits.then_some(said).ok_or(format!("`{command}` ended with {:?} instead of {expected:?}", ran.code))
    }

    /// Starts a command and waits until it sleeps at the point.
    fn asleep(&mut self, (command, args): (&str, &[&str]), point: &str, passages: usize) -> Child {
        let mut command = self.system.command(command, args);
        command.env("FAILPOINTS", format!("{point}={passages}*off->1*sleep(400)->off"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        while !super::frozen::asleep(child.id()) {
            assert!(Instant::now() < until, "it never came to {point}");
            std::thread::sleep(Duration::from_millis(2));
        }
        child
    }

    fn ends(&mut self, child: Child, expected: &[i32]) -> Result<String, String> {
        let ended = child.wait_with_output().unwrap();
        let said = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        let code = ended.status.code();
        self.trail.push_str(&format!("# it ends with {code:?}\n{said}\n"));
        let fits = code.is_some_and(|code| expected.contains(&code));
        fits.then_some(said).ok_or(format!("it ended with {code:?} instead of {expected:?}"))
    }

    /// All is applied once; then all is as it was.
    fn there_and_back(&mut self) -> Result<(), String> {
        self.run(APPLY, &[0])?;
        self.run(("verify", &[]), &[0])?;
        let now = self.system.ask("SELECT a, n FROM t");
        if now != "1|6\n7|0" {
            return Err(format!("applied, the table is {now}"));
        }
        self.is_back()
    }

    fn is_back(&mut self) -> Result<(), String> {
        self.run(BACK, &[0])?;
        match self.system.ask("SELECT a, n FROM t").as_str() {
            "1|1" => Ok(()),
            now => Err(format!("rolled back, the table is {now}")),
        }
    }
}

/// Where a run is when its database vanishes.
const PLACES: [(&str, usize); 8] = [
    (fault::JOURNAL_APPEND, 0),
    (fault::JOURNAL_APPENDED, 0),
    (fault::SQLITE_CHANGE_BEGUN, 0),
    (fault::SQLITE_CHANGE_RECORDED, 0),
    (fault::SQLITE_COMMIT, 0),
    (fault::SQLITE_COMMITTED, 0),
    (fault::SQLITE_CHANGE_BEGUN, 2),
    (fault::CONFIG_INTENDED, 0),
];

#[test]
fn a_database_that_vanishes_in_mid_run_is_missed_and_put_back_the_run_goes_on() {
    let choice = Choice::of_environment();
    let mut met = Tally::default();
    for (i, (point, passages)) in PLACES.into_iter().enumerate() {
        for (j, vanishing) in Vanishing::ALL.into_iter().enumerate() {
            for (k, (wal, alone)) in
                [(false, false), (true, true), (true, false), (false, true)].into_iter().enumerate()
            {
                let name = format!("vanish/app/{point}/{passages}/{vanishing:?}/{wal}/{alone}");
                let drawn = choice.draw(&format!("vanish/{i}/{j}"), 4) == k;
                if !(choice.all() || drawn) || !choice.allows(&name) {
                    continue;
                }
                met.faults += 1;
                let system = system(wal, alone);
                let mut story = Story { system: &system, trail: String::new() };
                let result = database(&mut story, point, passages, vanishing);
                let trail = std::mem::take(&mut story.trail);
                met.way_out(&name, result, &trail);
            }
        }
    }
    met.end("G", "a database deleted or replaced in mid-run", &choice);
}

fn database(story: &mut Story<'_>, point: &str, passages: usize, vanishing: Vanishing) -> Result<(), String> {
    let db = story.system.db();
    let older = db.with_extension("older");
    fs::copy(&db, &older).unwrap();
    let child = story.asleep(APPLY, point, passages);
    vanishing.of(&db, &older);
    let said = story.ends(child, &STOPPED);
    if vanishing != Vanishing::Older && said.as_ref().is_ok_and(|said| !said.contains("app.db")) {
        return Err("it does not say what vanished".to_owned());
    }
    for command in ["explain", "history"] {
        story.run((command, &[]), &[0])?;
    }
    // A target that is not there has no ledger to show.
    story.run(("status", &[]), if vanishing == Vanishing::Away { &[66] } else { &[0] })?;
    said?;
    fs::rename(aside(&db), &db).unwrap();
    story.there_and_back()
}

#[test]
fn what_a_program_of_a_step_deletes_beneath_the_run_is_missed_before_the_step_counts() {
    let mut met = Tally::default();
    let acts = [
        ("app.db", "mv app.db app.aside"),
        ("app.db", "mv app.db app.aside; cp app.older app.db"),
        ("files", "mv files files.aside"),
        (".cutover/journal.db", "mv .cutover/journal.db .cutover/journal.aside"),
        (".cutover/journal.db", "mv .cutover/journal.db .cutover/journal.aside; : > .cutover/journal.db"),
        (".cutover/journal.db", "rm .cutover/journal.db"),
        (".cutover/journal.db", "rm .cutover/journal.db*"),
    ];
    for (what, act) in acts {
        met.faults += 1;
        let system = system(true, false);
        fs::copy(system.db(), system.db().with_extension("older")).unwrap();
        system.write_root("act", act);
        let mut story = Story { system: &system, trail: format!("# the command: {act}\n") };
        let result = beneath(&mut story, what);
        let trail = std::mem::take(&mut story.trail);
        met.way_out(&format!("vanish/beneath/{act}"), result, &trail);
    }
    met.end("G", "deleted by a step's own program", &Choice::of_environment());
}

fn beneath(story: &mut Story<'_>, what: &str) -> Result<(), String> {
    let said = story.run(APPLY, &STOPPED)?;
    if !said.contains(what) {
        return Err(format!("it does not say that `{what}` vanished"));
    }
    let path = story.system.root().join(what);
    if aside(&path).exists() {
        if path.exists() {
            fs::remove_file(&path).unwrap();
        }
        fs::rename(aside(&path), &path).unwrap();
    }
    story.there_and_back()
}

#[test]
fn a_lock_that_is_deleted_in_mid_run_lets_no_two_runners_write() {
    let mut met = Tally::default();
    for (point, passages) in [
        (fault::JOURNAL_APPENDED, 0),
        (fault::JOURNAL_APPEND, 1),
        (fault::SQLITE_CHANGE_BEGUN, 0),
        (fault::SQLITE_COMMITTED, 0),
        (fault::COMMAND_STARTED, 0),
        (fault::JOURNAL_APPEND, 4),
    ] {
        met.faults += 1;
        let system = system(false, true);
        let mut story = Story { system: &system, trail: String::new() };
        let result = unlocked(&mut story, point, passages);
        let trail = std::mem::take(&mut story.trail);
        met.way_out(&format!("vanish/locks/{point}/{passages}"), result, &trail);
    }
    met.end("G", "lock files deleted in mid-run", &Choice::of_environment());
}

fn unlocked(story: &mut Story<'_>, point: &str, passages: usize) -> Result<(), String> {
    let root = story.system.root();
    let first = story.asleep(APPLY, point, passages);
    for lock in [".cutover/lock", ".app.db.cutover-lock", ".files.cutover-lock"] {
        fs::remove_file(root.join(lock)).unwrap();
    }
    let second = story.run(APPLY, &[0, 75, 66, 100, 104]);
    let first = story.ends(first, &[0, 75]);
    second?;
    first?;
    story.run(APPLY, &[0])?;
    let log = fs::read_to_string(root.join("log")).unwrap();
    if log != "once\n" {
        return Err(format!("the command ran more than once: {log}"));
    }
    story.there_and_back()
}
