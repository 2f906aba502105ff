//! The commands of a copy, and how far it has come with them.
//!
//! Owns the document `progress.json` in the step's folder: a command is never begun before that is durable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cutover_core::process::{self, Program};
use cutover_core::{StepContext, StepError, disk};
use serde::{Deserialize, Serialize};

use super::Job;

const VERSION: u32 = 1;
/// What the names of files begin with that hold what a pass brought.
pub(super) const PASS: &str = "pass-";
/// Lines of output that an error shows.
const SHOWN: usize = 15;

/// How far a copy has come with the programs around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    /// No command but the one for backups was begun.
    #[default]
    Copying,
    /// `stop-command` may have run.
    Stopping,
    /// It has ended well.
    Stopped,
    /// `start-command` may have run.
    Starting,
    /// It has ended well.
    Started,
    /// On the way back: what was written after the copy is in Badger.
    Returned,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    stage: Stage,
}

impl Job<'_> {
    fn document(&self) -> PathBuf {
        self.cx.scratch_dir().join("progress.json")
    }

    /// What is durable.
    pub(super) fn stage(&self) -> Result<Stage, StepError> {
        let path = self.document();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Stage::default()),
            Err(error) => return Err(disk::io_error("cannot read", &path, error)),
        };
        let damaged = |error| StepError::failed(format!("`{}` is damaged", path.display())).caused_by(error);
        let found: Document = serde_json::from_slice(&bytes).map_err(damaged)?;
        if found.version > VERSION {
            return Err(StepError::failed(format!("`{}` has format version {}", path.display(), found.version))
                .with_help("use the build that wrote it"));
        }
        Ok(found.stage)
    }

    /// Makes it durable.
    pub(super) fn reached(&self, stage: Stage) -> Result<(), StepError> {
        let path = self.document();
        disk::private_dir(&self.cx.scratch_dir())?;
        let text = serde_json::to_vec(&Document { version: VERSION, stage })
            .map_err(|error| StepError::internal("a stage could not be written as JSON").caused_by(error))?;
        disk::write_atomic(&path, &text, disk::PRIVATE_FILE)
    }

    /// The copy is undone, or was never begun: what was asked for then is no part of the next one.
    pub(super) fn forget(&self) -> Result<(), StepError> {
        for file in std::fs::read_dir(self.cx.scratch_dir()).into_iter().flatten().flatten() {
            if file.file_name().to_string_lossy().starts_with(PASS) {
                disk::remove_file(&file.path())
                    .map_err(|error| disk::io_error("cannot remove", &file.path(), error))?;
            }
        }
        let path = self.document();
        match disk::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(disk::io_error("cannot remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    /// Runs a command of the copy.
    pub(super) fn run(
        &self,
        field: &str,
        argv: &[String],
        by: (&str, &str),
        output: Option<&Path>,
    ) -> Result<(), StepError> {
        asked(self.cx, field, argv, by, self.config.timeout(), output)
    }
}

/// Runs a command to its end, in the root, with `word` replaced in its arguments; what it writes goes to `output`.
pub(crate) fn asked(
    cx: &StepContext,
    field: &str,
    argv: &[String],
    (word, by): (&str, &str),
    timeout: Duration,
    output: Option<&Path>,
) -> Result<(), StepError> {
    let argv: Vec<_> = argv.iter().map(|argument| argument.replace(word, by)).collect();
    let program = Program {
        argv: &argv,
        cwd: cx.root().to_owned(),
        env: &BTreeMap::new(),
        timeout,
        log: None,
        output: output.map(Path::to_owned),
        running: Some(cx.running_file()),
    };
    let ran = process::run(&program, &|text| cx.mask(text))?;
    if ran.succeeded() {
        return Ok(());
    }
    let mut message = format!("`{field}`: `{}` {}", cx.mask(&argv.join(" ")), ran.how());
    for line in ran.last_lines(SHOWN) {
        message.push_str("\n  ");
        message.push_str(line);
    }
    Err(StepError::failed(message).with_help("mend what it says, then run the same command again"))
}
