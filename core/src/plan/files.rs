//! The files that belong to a plan: inside its folder, read whole, never through a way out.
//!
//! Owns [`PlanFiles`] with its two sources: the plan's folder, and what was stored when a step was applied.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::Read;
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
pub struct FolderFiles {
    folder: PathBuf,
    /// Folders below it that were found to be no links: not looked at again for each of their files.
    plain: RefCell<BTreeSet<PathBuf>>,
}

impl PlanFiles for FolderFiles {
    fn read(&self, path: &Path) -> Result<Arc<[u8]>, PlanFileError> {
        let shown = path.display().to_string();
        if !is_inside(path) {
            return Err(PlanFileError::Outside(shown));
        }
        let unreadable = |source| PlanFileError::Unreadable { path: shown.clone(), source };
        let full = self.folder.join(path);
        match self.size_without_links(path).map_err(unreadable)? {
            Some(size) => read_whole(&full, size).map(Arc::from).map_err(unreadable),
            None => {
                let folder = self.folder.canonicalize().map_err(unreadable)?;
                if !full.canonicalize().map_err(unreadable)?.starts_with(&folder) {
                    return Err(PlanFileError::LinkedOut(shown));
                }
                std::fs::read(full).map(Arc::from).map_err(unreadable)
            }
        }
    }
}

/// The whole file, with one read where it is as long as it was said to be.
fn read_whole(path: &Path, size: u64) -> std::io::Result<Vec<u8>> {
    let size = usize::try_from(size).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
    let mut file = File::open(path)?;
    let mut bytes = vec![0; size];
    let got = file.read(&mut bytes)?;
    bytes.truncate(got);
    if got < size || size == 0 {
        file.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

impl FolderFiles {
    /// The files of `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), plain: RefCell::default() }
    }

    /// The size of the file, where no part of `path` is a symbolic link. Only with a link does it take the whole chain
    /// to know where it leads; a plan of thousands of scripts cannot afford that for each.
    fn size_without_links(&self, path: &Path) -> std::io::Result<Option<u64>> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if !self.plain.borrow().contains(parent) {
            let mut folder = self.folder.clone();
            for part in parent.components() {
                folder.push(part);
                if folder.symlink_metadata()?.is_symlink() {
                    return Ok(None);
                }
            }
            self.plain.borrow_mut().insert(parent.to_owned());
        }
        let file = self.folder.join(path).symlink_metadata()?;
        Ok((!file.is_symlink()).then_some(file.len()))
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
        let files = FolderFiles::new(place.path().join("plan"));
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
