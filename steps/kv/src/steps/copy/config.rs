//! What `kv.copy` is asked to do.
//!
//! Owns the keys of its configuration, and what is refused about them before anything runs.

use std::time::Duration;

use cutover_core::{BuildContext, BuildError, TargetKind, duration};
use cutover_steps_control::BesideConfig;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::steps::{from, into};
use crate::target::badger::BadgerTarget;

/// From where, and into which store.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CopyConfig {
    /// Badger backup files, relative to the root: a whole one, then what came since, the oldest first. Of two records with
    /// one key and version that of the later file counts.
    #[serde(default)]
    pub backups: Vec<String>,
    /// Instead of backups: the `kv.backup` of this plan whose backup is copied.
    pub backup_of: Option<String>,
    /// Instead of backups: the target (`badger`, `sled` or `fjall`) whose records are copied. A Badger directory is read by
    /// nobody while a program has it open. With `backup-command`: the Badger directory that the last pass reads.
    pub from: Option<String>,
    /// Records of this version and later ones alone; 0 is all.
    #[serde(default)]
    pub since: u64,
    /// The target (`sled` or `fjall`) that gets them. It is made, or it is there and has no records yet.
    pub into: String,
    /// Instead of backups, where a program has the Badger database open: asks it for a backup since the version `{since}`
    /// (an argument, or part of one), which the command writes to its standard output. It is asked again and again, each time
    /// for what came since, until a pass brings little.
    pub backup_command: Option<Vec<String>>,
    /// Run then: ends the program that has the Badger database open, and succeeds where that has ended already. What it wrote
    /// to its end comes in one more pass.
    pub stop_command: Option<Vec<String>>,
    /// On the way back: starts again what `stop-command` ended, and succeeds where that runs already.
    pub undo_stop_command: Option<Vec<String>>,
    /// Run last: starts the program that uses the store, and succeeds where that runs already.
    pub start_command: Option<Vec<String>>,
    /// On the way back: ends what `start-command` started, and succeeds where that has ended already.
    pub undo_start_command: Option<Vec<String>>,
    /// A pass that brings at most so many new records is the last one before `stop-command`, …
    #[serde(default = "thousand")]
    pub lag_records: u64,
    /// … if it took no longer than this: "500ms", "10s", "5m".
    #[serde(default = "ten_seconds")]
    pub lag: String,
    /// After so many passes that brought more the step fails.
    #[serde(default = "hundred")]
    pub passes: u32,
    /// Figures that are looked at beside each pass that the program lives through: one that is not what it may be fails the
    /// step behind that pass, before `stop-command`.
    pub beside: Option<BesideConfig>,
    /// After this long a command and all of its children are ended: "500ms", "60s", "5m", "2h".
    #[serde(default = "ten_minutes")]
    pub timeout: String,
    /// On the way back: a Badger backup of what is in the store, relative to the root, where something was written into it
    /// after the copy. Badger restores it, so that the way back loses nothing; the store is emptied then. `{stamp}` in its name
    /// is the moment, as in `kv.backup`. Without it, what was written after the copy stays in the store.
    pub back_into: Option<String>,
    /// What is in that backup.
    #[serde(default)]
    pub back: Back,
    /// On the way back: brings that backup (`{backup}`, an argument or part of one) into Badger, and succeeds where it is
    /// there already.
    pub restore_command: Option<Vec<String>>,
}

/// What goes back into Badger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Back {
    /// All that is in the store: for a Badger directory that is made anew.
    #[default]
    All,
    /// What was written after the copy: for a Badger that has the rest still.
    Later,
}

fn thousand() -> u64 {
    1_000
}

fn hundred() -> u32 {
    100
}

fn ten_seconds() -> String {
    "10s".to_owned()
}

fn ten_minutes() -> String {
    "10m".to_owned()
}

impl CopyConfig {
    /// Fields that only tune.
    pub(super) const TUNING: &'static [&'static str] = &["lag", "lag-records", "passes", "timeout"];

    /// Whether a program has the source open.
    pub(super) fn is_live(&self) -> bool {
        self.backup_command.is_some()
    }

    pub(super) fn lag(&self) -> Duration {
        duration::parse(&self.lag).unwrap_or_default()
    }

    pub(super) fn timeout(&self) -> Duration {
        duration::parse(&self.timeout).unwrap_or_default()
    }

    /// The commands that it has, by field.
    pub(super) fn commands(&self) -> impl Iterator<Item = (&'static str, &Vec<String>)> {
        let all = [
            ("backup-command", &self.backup_command),
            ("stop-command", &self.stop_command),
            ("undo-stop-command", &self.undo_stop_command),
            ("start-command", &self.start_command),
            ("undo-start-command", &self.undo_start_command),
            ("restore-command", &self.restore_command),
        ];
        all.into_iter().filter_map(|(field, argv)| Some((field, argv.as_ref()?)))
    }

    pub(super) fn check(&self, cx: &BuildContext<'_>) -> Result<(), BuildError> {
        into::known(cx, &self.into, "into")?;
        match (&self.backup_command, &self.from) {
            (None, from) => from::known(cx, &self.backups, self.backup_of.as_deref(), from.as_deref(), &self.into)?,
            (Some(_), _) if !self.backups.is_empty() || self.backup_of.is_some() || self.since > 0 => {
                let message = "`backup-command` takes neither `backups` nor `backup-of` nor `since`";
                return Err(BuildError::at("backup-command", message).with_help("name one source"));
            }
            (Some(_), Some(from)) => drop(cx.known_target(from, Some(BadgerTarget::KIND), "from")?),
            (Some(_), None) => {}
        }
        for (field, argv) in self.commands() {
            if argv.first().is_none_or(String::is_empty) {
                let error = BuildError::at(field, "an empty command");
                return Err(error.with_help("a command is a list: [\"prog\", \"arg\"]"));
            }
        }
        self.check_pairs()?;
        for (field, text) in [("lag", &self.lag), ("timeout", &self.timeout)] {
            if duration::parse(text).is_none() {
                return Err(BuildError::at(field, format!("`{text}` is no duration"))
                    .with_help("write a whole number and a unit: \"500ms\", \"60s\", \"5m\" or \"2h\""));
            }
        }
        match self.back_into.as_ref().filter(|path| !cutover_core::plan::is_inside(path.as_ref())) {
            Some(path) => Err(BuildError::at("back-into", format!("`{path}` leaves the root"))
                .with_help("name a file inside the root, without `..`")),
            None => Ok(()),
        }
    }

    /// What needs another field.
    fn check_pairs(&self) -> Result<(), BuildError> {
        let names = |argv: &Option<Vec<String>>, what: &str| {
            argv.as_ref().is_none_or(|argv| argv.iter().any(|word| word.contains(what)))
        };
        let live = self.is_live();
        let wants = [
            (live && !names(&self.backup_command, "{since}"), "backup-command", "no argument has `{since}`"),
            (live && self.stop_command.is_none(), "backup-command", "there is no `stop-command`"),
            (!live && self.stop_command.is_some(), "stop-command", "there is no `backup-command`"),
            (!live && self.start_command.is_some(), "start-command", "there is no `backup-command`"),
            (!live && self.beside.is_some(), "beside", "there is no `backup-command`"),
            (
                self.stop_command.is_some() != self.undo_stop_command.is_some(),
                "stop-command",
                "`stop-command` and `undo-stop-command` belong together",
            ),
            (
                self.start_command.is_some() != self.undo_start_command.is_some(),
                "start-command",
                "`start-command` and `undo-start-command` belong together",
            ),
            (self.restore_command.is_some() && self.back_into.is_none(), "restore-command", "there is no `back-into`"),
            (self.back == Back::Later && self.restore_command.is_none(), "back", "there is no `restore-command`"),
            (!names(&self.restore_command, "{backup}"), "restore-command", "no argument has `{backup}`"),
        ];
        match wants.into_iter().find(|(wrong, ..)| *wrong) {
            Some((_, field, what)) => {
                Err(BuildError::at(field, what).with_help("`cutover steps kv.copy` says what belongs together"))
            }
            None => Ok(()),
        }
    }
}
