//! The probe `file`: a number in a file below the root.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use async_trait::async_trait;
use cutover_core::{BuildContext, BuildError, StepContext, StepError, disk};
use schemars::JsonSchema;
use serde::Deserialize;

use super::command::number;
use super::json::{check_pointer, figure_of};
use super::{Probe, ProbeKind};
use crate::register_probe;

/// A file that is longer is refused.
const MOST: u64 = 4 * 1024 * 1024;

/// A number in a file.
#[derive(Debug)]
pub(crate) struct InFile(FileConfig);

/// The keys of `file`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileConfig {
    /// The file, relative to the root.
    path: String,
    /// Where the number stands in it, as a JSON pointer: "/scores/overall". Without one the file is the number.
    pointer: Option<String>,
}

register_probe!(InFile);

impl ProbeKind for InFile {
    const KIND: &'static str = "file";
    const SUMMARY: &'static str = "a number in a file below the root, plain or in JSON";
    type Config = FileConfig;

    fn build(config: FileConfig, _: &BuildContext<'_>) -> Result<Self, BuildError> {
        check_pointer(config.pointer.as_deref().unwrap_or_default())?;
        if !cutover_core::plan::is_inside(config.path.as_ref()) {
            return Err(BuildError::at("path", format!("`{}` is not inside the root", config.path))
                .with_help("name a file relative to the root, without `..`"));
        }
        Ok(Self(config))
    }
}

#[async_trait]
impl Probe for InFile {
    fn shown(&self) -> String {
        format!("{} {}", self.0.path, self.0.pointer.as_deref().unwrap_or_default()).trim_end().to_owned()
    }

    async fn read(&self, cx: &StepContext, _limit: Duration) -> Result<f64, StepError> {
        let (inner, path) = (cx.clone(), self.0.path.clone());
        let text = cx.blocking(move || {
            let path = disk::inside(inner.root(), &path, true)?;
            let mut text = String::new();
            let read = File::open(&path).and_then(|file| file.take(MOST + 1).read_to_string(&mut text));
            read.map_err(|e| disk::io_error("cannot read", &path, e))?;
            match text.len() as u64 > MOST {
                true => Err(StepError::failed(format!("`{}` is longer than 4 MiB", path.display()))),
                false => Ok(text),
            }
        });
        let text = text.await?;
        match &self.0.pointer {
            Some(pointer) => figure_of(&text, pointer),
            None => number(&text).map_err(|e| StepError::failed(cx.mask(&e))),
        }
    }
}
