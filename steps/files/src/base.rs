//! The folder that a step's paths are relative to, and whether a path belongs to the step's target.
//!
//! With a `target` of kind `dir` it is the target's folder (so that `--bind` moves the step along), else the root.

use std::path::PathBuf;

use cutover_core::{BuildContext, BuildError, StepContext, StepError, TargetKind, Use};

use crate::dir::{DirConfig, DirTarget};

/// Where a step's relative paths begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    target: Option<String>,
}

impl Base {
    /// The base of the step being built; its `target`, if any, must be of kind `dir`.
    pub(crate) fn of(cx: &BuildContext<'_>) -> Result<Self, BuildError> {
        let target = cx.target.map(|_| cx.target_of(<DirTarget as TargetKind>::KIND)).transpose()?;
        Ok(Self { target })
    }

    /// Refuses a path that the target does not cover: its fingerprint would not show the change.
    pub(crate) fn covers(&self, cx: &BuildContext<'_>, field: &str, path: &str) -> Result<(), BuildError> {
        let Some(spec) = self.target.as_ref().and_then(|name| cx.targets.get(name)) else { return Ok(()) };
        let config: DirConfig = serde_json::from_value(spec.config.clone()).unwrap_or_default();
        if config.covers(path) {
            return Ok(());
        }
        Err(BuildError::at(field, format!("target `{}` does not include `{path}`", spec.name))
            .with_help("add it to the target's `include`, or take it out of its `exclude`"))
    }

    /// The target's name, if the step has one.
    pub(crate) fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// The target as a step uses it.
    pub(crate) fn uses(&self) -> Vec<Use> {
        self.target.iter().map(Use::write).collect()
    }

    /// The folder itself.
    pub(crate) fn folder(&self, cx: &StepContext) -> Result<PathBuf, StepError> {
        match &self.target {
            Some(name) => Ok(cx.any_target(name)?.path().to_owned()),
            None => Ok(cx.root().to_owned()),
        }
    }
}
