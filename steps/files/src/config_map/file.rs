//! The mapped file on disk: what is there, and what was there before.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cutover_core::disk::{inside, io_error, remove_partial, sync_parent, write_atomic};
use cutover_core::{StepError, fault};

use super::Made;
use crate::images::Image;

/// A file's bytes and mode; none when there is no file.
pub(super) fn present(path: &Path) -> Result<Option<(Vec<u8>, u32)>, StepError> {
    match fs::read(path) {
        Ok(bytes) => {
            let found = fs::metadata(path).map_err(|e| io_error("cannot look at", path, e))?;
            Ok(Some((bytes, found.permissions().mode() & 0o7777)))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error("cannot read", path, e)),
    }
}

/// Puts back what was before, unless somebody else has written the file since.
pub(super) fn put_back(folder: &Path, scratch: &Path, made: &Made) -> Result<(), StepError> {
    let path = inside(folder, &made.path, true)?;
    remove_partial(&path)?;
    let now = present(&path)?;
    let hash = now.as_ref().map(|(bytes, _)| Image::of(bytes, 0).blake3);
    if hash.as_ref() == made.before.as_ref().map(|image| &image.blake3) {
        // Nothing was written, or a crash came when it was put back already.
        return remove_folders(folder, made);
    }
    if hash.as_ref() != Some(&made.after.blake3) {
        let error = StepError::failed(format!("`{}` was changed by somebody else since this step wrote it", made.path));
        let kept = made
            .before
            .as_ref()
            .map(|image| format!(" (the file before is kept in `{}`)", image.place(scratch).display()));
        return Err(error.with_help(format!(
            "move it elsewhere and put back what the step wrote, or make it what it was before{}; then roll back again",
            kept.unwrap_or_default()
        )));
    }
    match &made.before {
        Some(image) => write_atomic(&path, &image.load(scratch)?, image.mode)?,
        None => {
            cutover_core::disk::remove_file(&path).map_err(|e| io_error("cannot remove", &path, e))?;
            sync_parent(&path)?;
        }
    }
    fault::point(fault::CONFIG_PUT_BACK);
    remove_folders(folder, made)
}

/// Removes the folders that were made for the file.
fn remove_folders(folder: &Path, made: &Made) -> Result<(), StepError> {
    for made in made.folders.iter().rev() {
        // Not empty, or gone: not ours to remove any more.
        let _ = cutover_core::disk::remove_dir(&inside(folder, made, false)?);
    }
    Ok(())
}
