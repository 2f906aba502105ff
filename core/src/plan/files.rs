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
        let full = self.0.join(path);
        if self.passes_a_link(path).map_err(unreadable)? {
            let folder = self.0.canonicalize().map_err(unreadable)?;
            if !full.canonicalize().map_err(unreadable)?.starts_with(&folder) {
                return Err(PlanFileError::LinkedOut(shown));
            }
        }
        std::fs::read(full).map(Arc::from).map_err(unreadable)
    }
}

impl FolderFiles {
    /// Whether a part of `path` is a symbolic link. Only then does it take the whole chain to know where it leads; a
    /// plan of thousands of scripts cannot afford that for each.
    fn passes_a_link(&self, path: &Path) -> std::io::Result<bool> {
        let mut full = self.0.clone();
        for part in path.components() {
            full.push(part);
            if full.symlink_metadata()?.is_symlink() {
                return Ok(true);
            }
        }
        Ok(false)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, FolderFiles) {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("plan/sql")).unwrap();
        std::fs::write(place.path().join("plan/sql/in.sql"), "in").unwrap();
        std::fs::write(place.path().join("out.sql"), "out").unwrap();
        let files = FolderFiles(place.path().join("plan"));
        (place, files)
    }

    #[test]
    fn files_of_the_folder_are_read_whole() {
        let (_place, files) = folder();
        assert_eq!(&*files.read(Path::new("./sql/in.sql")).unwrap(), b"in");
        let missing = files.read(Path::new("sql/none.sql"));
        assert!(matches!(missing, Err(PlanFileError::Unreadable { path, .. }) if path == "sql/none.sql"));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_inside_the_folder_and_refused_where_they_lead_out() {
        use std::os::unix::fs::symlink;

        let (place, files) = folder();
        let plan = place.path().join("plan");
        symlink("in.sql", plan.join("sql/again.sql")).unwrap();
        symlink("../../out.sql", plan.join("sql/out.sql")).unwrap();
        symlink(place.path(), plan.join("up")).unwrap();

        assert_eq!(&*files.read(Path::new("sql/again.sql")).unwrap(), b"in");
        assert_eq!(&*files.read(Path::new("up/plan/sql/in.sql")).unwrap(), b"in");
        for out in ["sql/out.sql", "up/out.sql", "up/plan/sql/out.sql"] {
            assert!(matches!(files.read(Path::new(out)), Err(PlanFileError::LinkedOut(_))), "{out}");
        }
    }
}
