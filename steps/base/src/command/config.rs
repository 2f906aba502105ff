//! What `command.run` is asked to do.
//!
//! Owns the keys of its configuration and what is refused about them before anything runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use cutover_core::{BuildContext, BuildError, duration};
use schemars::JsonSchema;
use serde::Deserialize;

/// Commands as argument lists. No shell reads them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CommandConfig {
    /// Program and arguments. A status other than 0 is a failure.
    pub apply: Vec<String>,
    /// Run to prove the effect, and after a crash to find out whether it is there; must change nothing.
    pub verify: Option<Vec<String>>,
    /// Run to undo the effect; must tolerate that only a part of it is there.
    pub rollback: Option<Vec<String>>,
    /// Working folder, relative to the root.
    #[serde(default = "here")]
    pub cwd: String,
    /// After this long the command and all of its children are ended: "500ms", "60s", "5m", "2h".
    #[serde(default = "ten_minutes")]
    pub timeout: String,
    /// Added to the inherited environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// False: the command changes nothing (a test suite), so that there is nothing to undo.
    #[serde(default = "yes")]
    pub changes: bool,
    /// True: the command changes nothing outside of the root, so that a rehearsal may run it in a copy of that.
    #[serde(default)]
    pub contained: bool,
    /// Run in a rehearsal in place of `apply`, where that reaches outside of the root; nothing is undone then.
    pub rehearse: Option<Vec<String>>,
    /// A target whose snapshot is the way back, where there is no `rollback` command. While the command runs, a copy of
    /// the target is kept, to tell what the command wrote from what others write later.
    pub restore: Option<String>,
    /// Targets that the command reads.
    #[serde(default)]
    pub reads: Vec<String>,
    /// Targets that the command writes.
    #[serde(default)]
    pub writes: Vec<String>,
}

fn here() -> String {
    ".".to_owned()
}

fn ten_minutes() -> String {
    "10m".to_owned()
}

fn yes() -> bool {
    true
}

impl CommandConfig {
    /// Refuses what can be known to be wrong from the plan alone; returns the time limit.
    pub(super) fn check(&self, cx: &BuildContext<'_>) -> Result<Duration, BuildError> {
        let commands = [("apply", Some(&self.apply)), ("verify", self.verify.as_ref())];
        let more = [("rollback", self.rollback.as_ref()), ("rehearse", self.rehearse.as_ref())];
        for (field, argv) in commands.into_iter().chain(more) {
            if argv.is_some_and(|a| a.first().is_none_or(String::is_empty)) {
                return Err(
                    BuildError::at(field, "an empty command").with_help("a command is a list: [\"prog\", \"arg\"]")
                );
            }
        }
        let timeout = duration::parse(&self.timeout).ok_or_else(|| {
            BuildError::at("timeout", format!("`{}` is no duration", self.timeout))
                .with_help("write a whole number and a unit: \"500ms\", \"60s\", \"5m\" or \"2h\"")
        })?;
        for (field, names) in [("reads", &self.reads), ("writes", &self.writes)] {
            for (i, name) in names.iter().enumerate() {
                cx.known_target(name, None, &format!("{field}[{i}]"))?;
            }
        }
        if let Some(name) = &self.restore {
            cx.known_target(name, None, "restore")?;
            if self.rollback.is_some() {
                return Err(BuildError::at("restore", "both `restore` and `rollback` are given")
                    .with_help("keep the one that is the way back"));
            }
        }
        if self.rehearse.is_some() && (self.contained || !self.changes) {
            return Err(BuildError::at("rehearse", "a rehearsal runs `apply` itself, which stays inside the root")
                .with_help("leave out `rehearse`, or leave out `contained` and `changes = false`"));
        }
        if !self.changes && (self.rollback.is_some() || self.restore.is_some() || !self.writes.is_empty()) {
            return Err(BuildError::at("changes", "a command that changes nothing has nothing to write or to undo")
                .with_help("leave out `changes = false`, or leave out `rollback`, `restore` and `writes`"));
        }
        if !cutover_core::plan::is_inside(Path::new(&self.cwd)) {
            return Err(BuildError::at("cwd", format!("`{}` is not inside the root", self.cwd))
                .with_help("name a folder relative to the root, without `..`"));
        }
        Ok(timeout)
    }
}
