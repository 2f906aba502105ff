//! `notify.file`: a line of JSON for each notice, appended to a file.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use cutover_core::disk::{inside, io_error, make_dir};
use cutover_core::{BuildContext, BuildError, Notice, Notifier, NotifierKind, StepError, register_notifier};
use schemars::JsonSchema;
use serde::Deserialize;

/// Appends notices to a file.
#[derive(Debug)]
pub struct NotifyFile {
    path: String,
}

/// Which file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// The file, relative to the root; not one that belongs to a target. It is made when it is not there (0600).
    pub path: String,
}

register_notifier!(NotifyFile);

impl NotifierKind for NotifyFile {
    const KIND: &'static str = "notify.file";
    const SUMMARY: &'static str = "append the notice to a file, as a line of JSON";
    const EXAMPLE: &'static str = r#"use = "notify.file"
on = ["waiting", "failed", "rolled-back", "milestone"]
with = { path = "notices.jsonl" }
"#;
    type Config = FileConfig;

    fn build(config: FileConfig, _: &BuildContext<'_>) -> Result<Self, BuildError> {
        let path = Path::new(&config.path);
        if path.file_name().is_none() || !cutover_core::plan::is_inside(path) {
            return Err(BuildError::at("path", format!("`{}` is no file inside the root", config.path))
                .with_help("name it relative to the root, without `..`"));
        }
        Ok(Self { path: config.path })
    }
}

impl Notifier for NotifyFile {
    fn tell(&self, notice: &Notice, root: &Path) -> Result<(), StepError> {
        let mut line = serde_json::to_vec(notice)
            .map_err(|e| StepError::internal("the notice cannot be written as JSON").caused_by(e))?;
        line.push(b'\n');
        let path = inside(root, &self.path, true)?;
        if let Some(folder) = path.parent() {
            make_dir(folder)?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        // One write, so that the lines of two notices never mix.
        file.and_then(|mut file| file.write_all(&line)).map_err(|e| io_error("cannot append to", &path, e))
    }
}
