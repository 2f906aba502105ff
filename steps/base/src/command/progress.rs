//! How far a command has come, in its step's scratch folder.

use std::fs;
use std::path::PathBuf;

use cutover_core::disk::{PRIVATE_FILE, io_error, private_dir, write_atomic};
use cutover_core::{StepContext, StepError};
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;

/// How far the command has come. Durable, in the scratch folder: a crash may come before the journal hears of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Progress {
    version: u32,
    /// Which try this is about.
    pub(super) attempt: String,
    pub(super) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Started,
    Applied,
    RolledBack,
}

fn progress_file(cx: &StepContext) -> PathBuf {
    cx.scratch_dir().join("command.json")
}

/// How far it has come; none when it was never started.
pub(super) async fn read_progress(cx: &StepContext) -> Result<Option<Progress>, StepError> {
    let path = progress_file(cx);
    cx.blocking(move || match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            StepError::failed(format!("`{}` cannot be read", path.display()))
                .with_help("remove it if the command may run again")
                .caused_by(e)
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error("cannot read", &path, e)),
    })
    .await
}

/// Makes durable how far it has come.
pub(super) async fn write_progress(cx: &StepContext, attempt: String, state: State) -> Result<(), StepError> {
    let path = progress_file(cx);
    cx.blocking(move || {
        let progress = Progress { version: VERSION, attempt, state };
        let bytes = serde_json::to_vec(&progress)
            .map_err(|e| StepError::internal("a record could not be written as JSON").caused_by(e))?;
        if let Some(folder) = path.parent() {
            private_dir(folder)?;
        }
        write_atomic(&path, &bytes, PRIVATE_FILE)
    })
    .await
}
