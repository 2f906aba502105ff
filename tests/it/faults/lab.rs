//! One small plan on its system: commands with and without a kill, the system set aside and put back, what it looks like.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cutover_core::disk::PARTIAL_SUFFIX;
use cutover_tests::{Ran, Tree, run};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

use super::damage::Damage;
use super::fault::Fault;
use super::plans::{MENDED, Proof, Small};
use crate::system::{System, pasted};

/// A command and its options.
pub(super) type Line = (&'static str, &'static [&'static str]);

/// What of a system is the user's: it must be as it was, or as it should be.
#[derive(Debug)]
pub(super) struct World {
    rows: String,
    records: String,
    files: Tree,
}

/// A system, and all that was done to it.
#[derive(Debug)]
pub(super) struct Lab<'a> {
    small: &'a Small,
    system: System,
    jobs: usize,
    /// Where the state folder is, if not in the root.
    state: Option<PathBuf>,
    trail: String,
}

impl<'a> Lab<'a> {
    pub(super) fn new(small: &'a Small, wal: bool) -> Self {
        // One step at a time: then a fault is always at the same place.
        Self { small, system: small.system(wal), state: None, jobs: 1, trail: String::new() }
    }

    /// From now on up to `jobs` steps at once.
    pub(super) fn with_jobs(&mut self, jobs: usize) {
        self.jobs = jobs;
    }

    /// With its state folder elsewhere.
    pub(super) fn with_state(self, state: Option<PathBuf>) -> Self {
        Self { state, ..self }
    }

    pub(super) fn state(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| self.root().join(".cutover"))
    }

    fn command(&self, command: &str, args: &[&str]) -> Command {
        let mut child = self.system.command(command, args);
        if let Some(state) = &self.state {
            child.arg("--state").arg(state);
        }
        child
    }

    /// Runs a command, undisturbed: its exit code.
    pub(super) fn run(&mut self, line: Line) -> Option<i32> {
        self.run_with(line, &Fault::default())
    }

    /// Runs a command while that goes wrong: its exit code, none when it was killed.
    /// Who is asked for an approval gives it, and runs the same again.
    pub(super) fn run_with(&mut self, line: Line, fault: &Fault) -> Option<i32> {
        let code = self.ran_with(line, fault).code;
        if line.0 != "apply" || code != Some(103) || !self.small.asks() {
            return code;
        }
        self.ran_with(("approve", &["--all", "--as", "ada", "--note", "a test"]), &Fault::default());
        self.ran_with(line, fault).code
    }

    /// The same: all that it said.
    pub(super) fn ran_with(&mut self, (command, args): Line, fault: &Fault) -> Ran {
        let mut child = self.command(command, args);
        child.arg("--jobs").arg(self.jobs.to_string());
        let ran = run(&mut fault.command(child));
        let line = format!("{}cutover {command} {} --jobs {}", fault.prefix(), args.join(" "), self.jobs);
        let _ = writeln!(self.trail, "$ {line}\n{}", self.system.seen(&ran));
        ran
    }

    /// What a command says that only looks.
    pub(super) fn says(&self, (command, args): Line) -> String {
        let ran = run(&mut self.command(command, args));
        format!("{}{}", ran.stdout, ran.stderr)
    }

    /// Adds to the transcript.
    pub(super) fn tell(&mut self, what: &str) {
        let _ = writeln!(self.trail, "# {what}");
    }

    /// Runs a command that must end with `expected`.
    pub(super) fn expect(&mut self, line: Line, expected: i32) -> Result<(), String> {
        match self.run(line) {
            Some(code) if code == expected => Ok(()),
            code => Err(format!("`{}` ended with {code:?} instead of {expected}", line.0)),
        }
    }

    /// What `explain` says, for machines.
    pub(super) fn explained(&self) -> Result<serde_json::Value, String> {
        let ran = self.system.cutover("explain", &["--format", "json"]);
        serde_json::from_str(&ran.stdout).map_err(|_| format!("explain says: {}", self.system.seen(&ran)))
    }

    /// Runs a command as the program printed it: its exit code.
    pub(super) fn paste(&mut self, line: &str) -> Option<i32> {
        let ran = run(&mut pasted(line));
        let _ = writeln!(self.trail, "$ {line}\n{}", self.system.seen(&ran));
        ran.code
    }

    /// What was done so far, as a transcript.
    pub(super) fn trail(&self) -> &str {
        &self.trail
    }

    /// Forgets what was done so far.
    pub(super) fn forget(&mut self) {
        self.trail.clear();
    }

    /// Keeps the whole root as it is now.
    pub(super) fn keep(&self, at: &Path) {
        clone(&self.system.root(), at);
        if let Some(state) = self.state.as_ref().filter(|state| state.exists()) {
            clone(state, &at.with_extension("state"));
        }
    }

    /// Puts the root back as it was kept, and what had been done by then. The path stays: snapshots are remembered by it.
    pub(super) fn put_back(&mut self, kept: &Path, trail: &str) {
        refill(&self.system.root(), kept);
        if let Some(state) = &self.state {
            refill(state, &kept.with_extension("state"));
        }
        trail.clone_into(&mut self.trail);
    }

    pub(super) fn lose_journal(&mut self) {
        self.trail.push_str("# the journal is deleted\n");
        self.remove_journal();
    }

    pub(super) fn damage_journal(&mut self) {
        self.trail.push_str("# the journal is overwritten\n");
        if self.remove_journal() {
            let journal = self.state().join("journal.db");
            fs::write(journal, "no database any more, but long enough to be looked at as one").unwrap();
        }
    }

    /// The root.
    pub(super) fn root(&self) -> PathBuf {
        self.system.root()
    }

    /// How long a file of the root is.
    pub(super) fn length(&self, path: &str) -> Option<usize> {
        fs::metadata(self.system.root().join(path)).ok().map(|m| usize::try_from(m.len()).unwrap())
    }

    /// Damages a file of the root.
    pub(super) fn damage(&mut self, path: &str, damage: Damage) {
        let _ = writeln!(self.trail, "# {path} is damaged: {damage}");
        let file = self.system.root().join(path);
        let mut bytes = fs::read(&file).unwrap();
        damage.of(&mut bytes);
        fs::write(file, bytes).unwrap();
    }

    /// Every file that is not the runner's own, byte by byte.
    pub(super) fn system_files(&self) -> Tree {
        let ours = |path: &str| path.starts_with(".cutover") || path.ends_with(".cutover-lock");
        Tree::of(&self.system.root()).filter(|path| !ours(path) && !path.ends_with("-shm"))
    }

    /// Runs a command that takes no jobs: its exit code.
    pub(super) fn run_looking(&mut self, command: &str) -> Option<i32> {
        let ran = self.system.cutover(command, &[]);
        let _ = writeln!(self.trail, "$ cutover {command}\n{}", self.system.seen(&ran));
        ran.code
    }

    /// Mends what makes a step of the plan fail, if one does.
    pub(super) fn mend(&mut self) {
        self.trail.push_str("# what failed is mended\n");
        self.system.write_root(MENDED, "");
    }

    /// True when there was one.
    fn remove_journal(&self) -> bool {
        let remove = |name: &str| fs::remove_file(self.state().join(name)).is_ok();
        let _ = (remove("journal.db-wal"), remove("journal.db-shm"));
        remove("journal.db")
    }

    /// Looking works whatever a crash has left, and leaves it as it is; `still` says that nobody else may be writing: a
    /// program that a killed runner had started goes on for a while.
    pub(super) fn look_while(&mut self, still: bool) -> Result<(), String> {
        // The first reader plays back what an interrupted transaction left of a rollback journal.
        let hot = Tree::of(&self.root()).paths().any(|path| path.ends_with(".db-journal"));
        let told = still && !hot;
        let trees =
            || [self.system.root(), self.state()].map(|path| if told { Tree::of(&path) } else { Tree::default() });
        let before = trees();
        for command in ["status", "explain", "history"] {
            let ran = run(&mut self.command(command, &[]));
            if ran.code != Some(0) {
                return Err(format!("looking ends badly: {command}\n{}", self.system.seen(&ran)));
            }
        }
        let after = trees();
        let changed = before.iter().zip(&after).flat_map(|(before, after)| before.differences(after));
        let changed: Vec<String> = changed.collect();
        if changed.is_empty() { Ok(()) } else { Err(format!("looking wrote: {}", changed.join("; "))) }
    }

    /// The same where nobody else writes.
    pub(super) fn look(&mut self) -> Result<(), String> {
        self.look_while(true)
    }

    /// A folder of the root.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.system.root().join(name)
    }

    /// Another program gives the pages of the database another size.
    pub(super) fn resize_pages(&mut self) {
        self.trail.push_str("# the pages of app.db get another size\n");
        self.system.ask("PRAGMA journal_mode = DELETE; PRAGMA page_size = 8192; VACUUM; PRAGMA journal_mode = WAL");
    }

    /// What the user has.
    pub(super) fn world(&self) -> World {
        let root = self.system.root();
        let ours = |path: &str| {
            [".cutover", "backups", "kept", "app.db", "more.db", MENDED].iter().any(|ours| path.starts_with(ours))
                || path.ends_with(".cutover-lock")
        };
        let rows = self.small.databases().iter().map(|db| rows(&root.join(db))).collect();
        let memory = self.small.memory();
        let records = memory.map(|memory| memory.seen(&root)).unwrap_or_default();
        let store = |path: &str| memory.is_some_and(|memory| memory.is_own(path));
        World { rows, records, files: Tree::of(&root).filter(|path| !ours(path) && !store(path)) }
    }

    /// Every file but those of the state folder, byte for byte.
    pub(super) fn outside_of_state(&self) -> Tree {
        Tree::of(&self.system.root()).filter(|path| !path.starts_with(".cutover"))
    }

    /// The user has what is in `expected`; the database at least, if not all is looked at.
    pub(super) fn is(&mut self, expected: &World, whole: bool) -> Result<(), String> {
        let now = self.world();
        let mut lines = if whole { expected.files.differences(&now.files) } else { Vec::new() };
        if expected.rows != now.rows {
            lines.push(format!("the database is\n{}instead of\n{}", now.rows, expected.rows));
        }
        if whole && expected.records != now.records {
            lines.push(format!("the store has {}", differing(&expected.records, &now.records)));
        }
        self.nothing(&lines)
    }

    /// Puts an empty file there.
    pub(super) fn leave(&self, path: &str) {
        self.system.write_root(path, "");
    }

    /// Whether the last command said that.
    pub(super) fn last_said(&self, text: &str) -> bool {
        self.trail.rsplit("\n$ ").next().is_some_and(|last| last.contains(text))
    }

    /// Whether a step of its plan is a command, of whose writes only a receipt knows.
    pub(super) fn runs_commands(&self) -> bool {
        self.small.runs_commands()
    }

    /// The state of each step, and whether the ledger of its target has it.
    pub(super) fn states(&self) -> Result<BTreeMap<String, (String, bool)>, String> {
        let ran = run(&mut self.command("status", &["--format", "json"]));
        let status: serde_json::Value =
            serde_json::from_str(&ran.stdout).map_err(|_| format!("status says: {}", self.system.seen(&ran)))?;
        let of = |step: &serde_json::Value| {
            let text = |key: &str| step[key].as_str().unwrap().to_owned();
            (text("id"), (text("state"), step["in-ledger"] == true))
        };
        Ok(status["steps"].as_array().unwrap().iter().map(of).collect())
    }

    /// What interrupted writing may have left lying about, outside of the state folder.
    pub(super) fn left_over(&self) -> Vec<String> {
        let left = |path: &&str| !path.starts_with(".cutover") && path.ends_with(PARTIAL_SUFFIX);
        Tree::of(&self.system.root()).paths().filter(left).map(str::to_owned).collect()
    }

    /// How many files there are under `path` in the root whose names begin so.
    pub(super) fn count(&self, beginning: &str) -> usize {
        Tree::of(&self.system.root()).paths().filter(|path| path.starts_with(beginning)).count()
    }

    /// Journal, ledger and system say the same of each step; of steps without a ledger too, if all is looked at. None is
    /// left begun, unless `begun` says that the command need not have come to it.
    pub(super) fn agrees(&mut self, whole: bool, begun: bool) -> Result<(), String> {
        let ran = run(&mut self.command("status", &["--format", "json"]));
        let Ok(status) = serde_json::from_str::<serde_json::Value>(&ran.stdout) else {
            return Err(format!("status says: {}", self.system.seen(&ran)));
        };
        let mut lines = Vec::new();
        let mut missing = None;
        for step in status["steps"].as_array().unwrap() {
            let (id, state) = (step["id"].as_str().unwrap(), step["state"].as_str().unwrap());
            match state {
                "started" | "intended" if begun => continue,
                "started" | "intended" | "rolling-back" | "stuck" => {
                    lines.push(format!("step `{id}` is {state} after a command that ended"));
                }
                _ => {}
            }
            let Some((_, proof)) = self.small.proofs.iter().find(|(step, _)| *step == id) else { continue };
            let applied = state == "applied";
            let there = match proof {
                Proof::Table(name) => {
                    let ledger = &step["in-ledger"];
                    if ledger.as_bool() != Some(applied) {
                        lines.push(format!("step `{id}` is {state}; in the ledger: {ledger}"));
                    }
                    match missing {
                        Some(other) if applied => {
                            lines.push(format!("`{id}` is applied on top of `{other}`, which is not"));
                        }
                        None if !applied && state != "skipped" => missing = Some(id),
                        _ => {}
                    }
                    table_exists(&self.system.db(), name)
                }
                Proof::File(name) if whole => self.system.root().join(name).exists(),
                Proof::File(_) => continue,
            };
            if there != applied {
                lines.push(format!("step `{id}` is {state}; {proof:?} is there: {there}"));
            }
        }
        self.nothing(&lines)
    }

    /// An error that says after which command, unless there is nothing to say.
    fn nothing(&self, lines: &[String]) -> Result<(), String> {
        let last = self.trail.lines().rfind(|line| line.starts_with("$ ")).unwrap_or_default();
        if lines.is_empty() { Ok(()) } else { Err(format!("after {last}: {}", lines.join("\n"))) }
    }
}

/// Makes a folder hold what another holds, if that is there. The folder itself stays: it may be a mount.
fn refill(folder: &Path, from: &Path) {
    fs::create_dir_all(folder).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
    if from.exists() {
        clone(&from.join("."), folder);
    }
}

fn clone(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "cannot copy {}", from.display());
}

/// How many lines there are, and the first of them that is another.
fn differing(expected: &str, now: &str) -> String {
    let (was, is) = (expected.lines().count(), now.lines().count());
    let other = expected.lines().zip(now.lines()).find(|(was, is)| was != is);
    format!("{is} lines instead of {was}, the first that differ: {other:?}")
}

fn open(db: &Path) -> Connection {
    Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap()
}

fn table_exists(db: &Path, name: &str) -> bool {
    open(db).table_exists(None, name).unwrap()
}

/// Every object and every row that is not bookkeeping.
fn rows(db: &Path) -> String {
    let db = open(db);
    let objects = "SELECT type, name, sql FROM sqlite_schema
        WHERE tbl_name NOT GLOB 'cutover_*' AND tbl_name NOT GLOB 'migrations*' AND name NOT GLOB 'sqlite_*'
        ORDER BY name";
    let mut objects = db.prepare(objects).unwrap();
    let objects = objects.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let mut found = String::new();
    for (kind, name, sql) in objects.map(Result::<(String, String, String), _>::unwrap) {
        let _ = writeln!(found, "{sql}");
        if kind != "table" {
            continue;
        }
        // Who moved a stage, and when, is another run each time.
        let what = if name == "_cutover_stage" { "name, stage" } else { "*" };
        let mut rows = db.prepare(&format!("SELECT {what} FROM \"{name}\" ORDER BY 1")).unwrap();
        let columns = rows.column_count();
        let rows = rows.query_map([], |row| (0..columns).map(|i| row.get(i)).collect::<Result<Vec<Value>, _>>());
        for row in rows.unwrap().map(Result::unwrap) {
            let _ = writeln!(found, "  {row:?}");
        }
    }
    found
}
