//! The programs of an application that live while their database is migrated: each is a process of its own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use cutover_demo::traffic::{self, Report, Role};

use crate::cli::Out;
use crate::error::{Result, RunnerError};
use crate::exit::Exit;

/// One of them: runs until its standard input ends, and prints what it saw, a line for each time that it is asked.
pub(crate) fn run(role: &str, name: &str, database: &Path, out: &Out) -> Result<Exit> {
    let role = Role::parse(role).ok_or_else(|| RunnerError::usage(format!("there is no program `{role}`")))?;
    traffic::run(role, name, database, |report| {
        // Its lists are plain texts and numbers: there is nothing that JSON could not hold.
        out.print(&format!("{}\n", serde_json::to_string(&report).unwrap_or_default()));
    });
    Ok(Exit::Done)
}

/// Programs that run, at most one of each role.
#[derive(Debug)]
pub(super) struct Programs {
    database: PathBuf,
    running: BTreeMap<&'static str, Program>,
    started: usize,
}

#[derive(Debug)]
struct Program {
    role: Role,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Programs {
    pub(super) fn of(database: &Path) -> Self {
        Self { database: database.to_owned(), running: BTreeMap::new(), started: 0 }
    }

    /// Starts those of these roles that do not run, and ends the others. Returns what the ended ones saw last.
    pub(super) fn only(&mut self, roles: &[Role]) -> Result<Vec<(Role, Report)>> {
        let mut last = Vec::new();
        for role in Role::ALL {
            if roles.contains(&role) {
                self.start(role)?;
            } else if let Some(mut program) = self.running.remove(role.name()) {
                drop(program.input.take());
                last.push((role, program.report()?));
                program.child.wait().map_err(|e| RunnerError::io("a program of the demo", e))?;
            }
        }
        Ok(last)
    }

    fn start(&mut self, role: Role) -> Result<()> {
        if self.running.contains_key(role.name()) {
            return Ok(());
        }
        let doing = "a program of the demo";
        let this = std::env::current_exe().map_err(|e| RunnerError::io("the program's own file", e))?;
        self.started += 1;
        let mut command = Command::new(&this);
        command.args(["demo-program", role.name(), &format!("{}-{}", role.name(), self.started)]).arg(&self.database);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| RunnerError::io(doing, e))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = output.ok_or_else(|| RunnerError::internal("a program of the demo has no output"))?;
        self.running.insert(role.name(), Program { role, child, input, output: BufReader::new(output) });
        Ok(())
    }

    /// What each saw since it was asked the last time.
    pub(super) fn reports(&mut self) -> Result<Vec<(Role, Report)>> {
        for program in self.running.values_mut() {
            if let Some(input) = &mut program.input {
                input.write_all(b"\n").map_err(|e| RunnerError::io("a program of the demo", e))?;
            }
        }
        self.running.values_mut().map(|program| Ok((program.role, program.report()?))).collect()
    }
}

impl Program {
    fn report(&mut self) -> Result<Report> {
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|e| RunnerError::io("a program of the demo", e))?;
        serde_json::from_str(&line)
            .map_err(|e| RunnerError::internal(format!("what the {} of the demo printed: {e}", self.role.name())))
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        for program in self.running.values_mut() {
            drop(program.input.take());
            let _ = program.child.wait();
        }
    }
}
