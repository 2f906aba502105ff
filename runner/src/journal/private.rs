//! Folders and files that only their owner may enter or read. Knows nothing of what will be in them.

use std::fs;
use std::path::Path;

use cutover_core::disk;

use super::JournalError;
use super::error::file;

/// Makes a folder that only its owner may enter. Parents are made as usual.
pub(crate) fn make_private_folder(path: &Path) -> Result<(), JournalError> {
    use std::os::unix::fs::DirBuilderExt;
    let failed = |source| file(path, source);
    if path.is_dir() {
        return Ok(());
    }
    refuse_no_folder(path)?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(failed),
    }
}

/// Refuses what lies in the place of a folder and is none.
pub(super) fn refuse_no_folder(path: &Path) -> Result<(), JournalError> {
    if path.is_dir() || path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(JournalError::NoFolder { path: path.display().to_string() })
}

/// Makes an empty file that only its owner may read, unless it is there. A symbolic link on the way is refused.
pub(crate) fn make_private_file(path: &Path) -> Result<(), JournalError> {
    disk::open_or_create(path).map(drop).map_err(|source| file(path, source))
}
