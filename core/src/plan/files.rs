//! The files that belong to a plan: inside its folder, read whole, never through a way out.
//!
//! Owns [`PlanFiles`] with its two sources: the plan's folder, and what was stored when a step was applied.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

/// A source of plan files by relative path.
pub trait PlanFiles: fmt::Debug {
    /// The whole file.
    fn read(&self, path: &Path) -> Result<Arc<[u8]>, PlanFileError>;
}

/// Why a plan file cannot be read.
#[derive(Debug, Error)]
pub enum PlanFileError {
    /// Absolute, with `..`, or with a NUL.
    #[error("`{0}` leaves the plan's folder")]
    Outside(String),
    /// A symbolic link leads out.
    #[error("`{0}` leads out of the plan's folder through a symbolic link")]
    LinkedOut(String),
    /// Not there, or not readable.
    #[error("cannot read `{path}`: {source}")]
    Unreadable {
        /// As written in the plan.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// Not stored when the step was applied.
    #[error("`{0}` was not stored when the step was applied")]
    NotStored(String),
}

impl PlanFileError {
    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Outside(_) | Self::LinkedOut(_) => {
                Some("files that belong to a plan lie in its folder, named relative to the plan file")
            }
            Self::Unreadable { .. } => Some("paths are relative to the plan file"),
            Self::NotStored(_) => None,
        }
    }
}

/// Whether `path` is relative and free of `..` and NUL. The one place that decides it.
pub fn is_inside(path: &Path) -> bool {
    !path.as_os_str().is_empty()
        && !path.as_os_str().as_encoded_bytes().contains(&0)
        && path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir))
}

/// The plan's folder on disk.
#[derive(Debug, Clone)]
pub struct FolderFiles(pub PathBuf);

impl PlanFiles for FolderFiles {
    fn read(&self, path: &Path) -> Result<Arc<[u8]>, PlanFileError> {
        let shown = path.display().to_string();
        if !is_inside(path) {
            return Err(PlanFileError::Outside(shown));
        }
        let unreadable = |source| PlanFileError::Unreadable { path: shown.clone(), source };
        let folder = self.0.canonicalize().map_err(unreadable)?;
        let full = folder.join(path).canonicalize().map_err(unreadable)?;
        if !full.starts_with(&folder) {
            return Err(PlanFileError::LinkedOut(shown));
        }
        std::fs::read(full).map(Arc::from).map_err(unreadable)
    }
}

/// Files stored when a step was applied.
#[derive(Debug, Clone, Default)]
pub struct StoredFiles(pub BTreeMap<String, Arc<[u8]>>);

impl PlanFiles for StoredFiles {
    fn read(&self, path: &Path) -> Result<Arc<[u8]>, PlanFileError> {
        let shown = path.display().to_string();
        self.0.get(&shown).cloned().ok_or(PlanFileError::NotStored(shown))
    }
}

/// No files at all.
#[derive(Debug, Clone, Copy)]
pub struct NoFiles;

impl PlanFiles for NoFiles {
    fn read(&self, path: &Path) -> Result<Arc<[u8]>, PlanFileError> {
        Err(PlanFileError::NotStored(path.display().to_string()))
    }
}
