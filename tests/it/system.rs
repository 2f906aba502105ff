//! A small system with a plan, and the real program run on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cutover_runner::demo;
use cutover_tests::{Ran, run, sqlite3};
use tempfile::TempDir;

/// A folder with a plan and a root.
#[derive(Debug)]
pub(crate) struct System {
    folder: TempDir,
}

/// A folder in memory where there is such a place: what is killed and not cut off from power needs no disk.
pub(crate) fn folder_in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The real program, as a command.
pub(crate) fn cutover() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("cutover"));
    command.env("NO_COLOR", "1").env("USER", "tester").env_remove("FAILPOINTS");
    command
}

impl System {
    /// A root with one database `app.db` that `sql` made, and a plan of that text.
    pub(crate) fn new(sql: &str, plan: &str) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), sql, plan)
    }

    /// The same, in that folder.
    pub(crate) fn in_folder(folder: TempDir, sql: &str, plan: &str) -> Self {
        let system = Self { folder };
        fs::create_dir_all(system.root()).unwrap();
        fs::create_dir_all(system.file("")).unwrap();
        sqlite3(system.db(), sql);
        system.write("plan.toml", plan);
        system
    }

    /// The demo system of a plan inside the program, with that plan.
    pub(crate) fn of_demo(folder: TempDir, plan: &str, shape: &str) -> Self {
        let system = Self { folder };
        demo::build(plan, shape, &system.root()).unwrap_or_else(|e| panic!("cannot build shape {shape}: {e}"));
        impatient(plan, &system.file(""));
        system
    }

    /// The root.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The database.
    pub(crate) fn db(&self) -> PathBuf {
        self.root().join("app.db")
    }

    /// A file of the plan.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("plan").join(name)
    }

    /// Writes a file of the plan.
    pub(crate) fn write(&self, name: &str, text: &str) {
        write(&self.file(name), text);
    }

    /// Writes a file of the root.
    pub(crate) fn write_root(&self, name: &str, text: &str) {
        write(&self.root().join(name), text);
    }

    /// What sqlite3 says of the database.
    pub(crate) fn ask(&self, sql: &str) -> String {
        sqlite3(self.db(), sql).trim_end().to_owned()
    }

    /// `cutover <command> plan.toml --root root <args>`, not run yet.
    pub(crate) fn command(&self, command: &str, args: &[&str]) -> Command {
        on(&self.file("plan.toml"), &self.root(), command, args)
    }

    /// The same, run to its end.
    pub(crate) fn cutover(&self, command: &str, args: &[&str]) -> Ran {
        run(&mut self.command(command, args))
    }

    /// The same, in the background.
    pub(crate) fn start(&self, command: &str, args: &[&str]) -> Child {
        self.command(command, args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What a person saw: paths of this run, times and sizes made equal.
    pub(crate) fn seen(&self, ran: &Ran) -> String {
        let text = format!("{}{}exit {:?}", ran.stdout, ran.stderr, ran.code);
        text.replace(&self.folder.path().display().to_string(), "DIR")
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Writes a plan that is inside the program into `dir`; its week of watching is as short as a run waits for by itself.
pub(crate) fn impatient(plan: &str, dir: &Path) -> PathBuf {
    let file = demo::write_plan(plan, dir).unwrap_or_else(|e| panic!("cannot write the plan: {e}"));
    let text = fs::read_to_string(&file).unwrap();
    let short =
        text.replace("window = \"7d\"", "window = \"400ms\"").replace("interval = \"1h\"", "interval = \"100ms\"");
    // Its rows are of the autumn of 2025.
    fs::write(&file, short.replace("as_of = \"now\"", "as_of = \"2025-11-08\"")).unwrap();
    file
}

/// A command on any plan and root.
pub(crate) fn on(plan: &Path, root: &Path, subcommand: &str, args: &[&str]) -> Command {
    let mut command = cutover();
    command.arg(subcommand).arg(plan).args(args).arg("--root").arg(root);
    command
}

/// A command that the program printed, as a person pastes it into a shell, and agrees to a rollback.
pub(crate) fn pasted(line: &str) -> Command {
    let program = assert_cmd::cargo::cargo_bin("cutover");
    let yes = if line.starts_with("cutover rollback ") { " --yes" } else { "" };
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{}{yes}", line.replacen("cutover", &program.display().to_string(), 1)));
    shell.env("NO_COLOR", "1").env("USER", "tester").env_remove("FAILPOINTS").stdin(Stdio::null());
    shell
}

/// `count` scripts, each a table and an index on `app`, named s0, s1, … in phases of `per_phase`.
pub(crate) fn scripts(system: &System, count: usize, per_phase: usize, head: &str) {
    let mut plan = format!("name = \"scripts\"\n{head}\n[targets.app]\nkind = \"sqlite\"\npath = \"app.db\"\n");
    for i in 0..count {
        if i % per_phase == 0 {
            plan.push_str(&format!("\n[[phase]]\nname = \"p{}\"\nlayer = \"storage\"\n", i / per_phase));
        }
        plan.push_str(&format!(
            "\n[[phase.step]]\nid = \"s{i}\"\nuse = \"sqlite.script\"\ntarget = \"app\"\nwith = {{ up = \"{i}.sql\", down = \"{i}.down.sql\" }}\n"
        ));
        system.write(&format!("{i}.sql"), &format!("CREATE TABLE t{i} (a TEXT);\nCREATE INDEX i{i} ON t{i}(a);\n"));
        system.write(&format!("{i}.down.sql"), &format!("DROP TABLE t{i};\n"));
    }
    system.write("plan.toml", &plan);
}
