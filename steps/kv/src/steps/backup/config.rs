//! What `kv.backup` is asked to do.
//!
//! Owns the keys of its configuration, and what is refused about them before anything runs.

use std::time::Duration;

use cutover_core::{BuildContext, BuildError, duration};
use schemars::JsonSchema;
use serde::Deserialize;

use super::name::{STAMP, Stamped};
use crate::steps::{from, into};

/// What is written, and where.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BackupConfig {
    /// The target (`badger`, `sled` or `fjall`) whose records are written.
    pub from: Option<String>,
    /// Instead of a target, where a program has its database open: asks that for a backup since the version `{since}` (an
    /// argument, or part of one), which the command writes to its standard output. It is decoded and counted before it is kept.
    pub backup_command: Option<Vec<String>>,
    /// After this long the command and all of its children are ended: "500ms", "60s", "5m", "2h".
    #[serde(default = "ten_minutes")]
    pub timeout: String,
    /// The backup, relative to the root. Its manifest stands beside it. `{stamp}` in its name is the moment when it was begun,
    /// UTC: 20251201_030000; then a rollback leaves it where it is, and the next one has another name.
    pub into: String,
    /// With `{stamp}`: of the files with such names `prune` leaves so many, the newest, and deletes older ones when it is told
    /// to. Nothing else deletes any.
    pub keep: Option<usize>,
    /// Records of this version and later ones alone; 0 is all.
    #[serde(default)]
    pub since: u64,
    /// Instead of `since`: a `kv.copy` of this plan into that target. Only what was written after it is in the backup.
    pub after: Option<String>,
}

fn ten_minutes() -> String {
    "10m".to_owned()
}

impl BackupConfig {
    /// Fields that only tune.
    pub(super) const TUNING: &'static [&'static str] = &["keep", "timeout"];

    pub(super) fn timeout(&self) -> Duration {
        duration::parse(&self.timeout).unwrap_or_default()
    }

    pub(super) fn check(&self, cx: &BuildContext<'_>) -> Result<(), BuildError> {
        match (&self.from, &self.backup_command) {
            (Some(from), None) => from::readable(cx, from)?,
            (None, Some(argv)) if argv.first().is_none_or(String::is_empty) => {
                let error = BuildError::at("backup-command", "an empty command");
                return Err(error.with_help("a command is a list: [\"prog\", \"arg\"]"));
            }
            (None, Some(argv)) if !argv.iter().any(|word| word.contains("{since}")) => {
                let error = BuildError::at("backup-command", "no argument has `{since}`");
                return Err(error.with_help("put it where the command takes the version to begin with; 0 is all"));
            }
            (None, Some(_)) => {}
            (None, None) => {
                return Err(BuildError::at("from", "no source is named")
                    .with_help("name a target (`from`), or a command that writes a backup (`backup-command`)"));
            }
            (Some(_), Some(_)) => {
                let error = BuildError::at("from", "both `from` and `backup-command` are named");
                return Err(error.with_help("name one of them"));
            }
        }
        if duration::parse(&self.timeout).is_none() {
            return Err(BuildError::at("timeout", format!("`{}` is no duration", self.timeout))
                .with_help("write a whole number and a unit: \"500ms\", \"60s\", \"5m\" or \"2h\""));
        }
        if !cutover_core::plan::is_inside(self.into.as_ref()) {
            return Err(BuildError::at("into", format!("`{}` leaves the root", self.into))
                .with_help("name a file inside the root, without `..`"));
        }
        let stamped = Stamped::of(&self.into).is_some();
        if !stamped && self.into.contains(STAMP) {
            return Err(BuildError::at("into", format!("`{}` has `{STAMP}` twice, or in a folder's name", self.into))
                .with_help("put it into the name of the file, once"));
        }
        if self.keep.is_some_and(|keep| keep == 0 || !stamped) {
            let help = format!("name how many stay, one at least, beside an `into` with `{STAMP}`");
            return Err(BuildError::at("keep", "nothing can be told from it").with_help(help));
        }
        match (&self.after, &self.from) {
            (None, _) => Ok(()),
            (Some(_), _) if self.since > 0 => {
                Err(BuildError::at("since", "both `since` and `after` are given").with_help("name one of them"))
            }
            (Some(_), Some(from)) => into::known(cx, from, "from"),
            (Some(_), None) => Err(BuildError::at("after", "only a store knows of a copy into it")
                .with_help("name that store as `from`, or give a `since`")),
        }
    }
}
