//! The programs of an application that live while their database is migrated: each is a process of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use cutover_demo::traffic::{self, Report, Role};

use crate::cli::Out;
use crate::error::{Result, RunnerError};
use crate::exit::Exit;

/// One of them: runs until its standard input ends, then prints what it saw.
pub(crate) fn run(role: &str, name: &str, database: &Path, out: &Out) -> Result<Exit> {
    let role = Role::parse(role).ok_or_else(|| RunnerError::usage(format!("there is no program `{role}`")))?;
    let report = traffic::run(role, name, database);
    let line = serde_json::to_string(&report).map_err(|e| RunnerError::internal(format!("a report: {e}")))?;
    out.print(&format!("{line}\n"));
    Ok(Exit::Done)
}

/// Programs that run.
#[derive(Debug)]
pub(super) struct Programs(Vec<(Role, Child)>);

impl Programs {
    /// Starts one of each role; `tag` goes into what they write.
    pub(super) fn start(roles: impl IntoIterator<Item = Role>, tag: &str, database: &Path) -> Result<Self> {
        let this = std::env::current_exe().map_err(|e| RunnerError::io("the program's own file", e))?;
        let mut started = Self(Vec::new());
        for role in roles {
            let mut command = Command::new(&this);
            command.args(["demo-program", role.name(), &format!("{}-{tag}", role.name())]).arg(database);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            started.0.push((role, command.spawn().map_err(|e| RunnerError::io("a program of the demo", e))?));
        }
        Ok(started)
    }

    /// Ends them, and returns what each saw.
    pub(super) fn end(mut self) -> Result<Vec<(Role, Report)>> {
        self.0.iter_mut().for_each(|(_, child)| drop(child.stdin.take()));
        let mut reports = Vec::new();
        for (role, child) in self.0.drain(..) {
            let ran = child.wait_with_output().map_err(|e| RunnerError::io("a program of the demo", e))?;
            let report = serde_json::from_slice(&ran.stdout)
                .map_err(|e| RunnerError::internal(format!("what the {} of the demo printed: {e}", role.name())))?;
            reports.push((role, report));
        }
        Ok(reports)
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        for (_, child) in &mut self.0 {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}
