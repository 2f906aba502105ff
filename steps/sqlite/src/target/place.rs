//! Whether the path of a database still leads to the file that is open.
//!
//! SQLite goes on reading and writing a file that was deleted or replaced, and says nothing of it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cutover_core::StepError;

/// Which file it is.
type Identity = (u64, u64);

/// The file that the connections of a target have open.
#[derive(Debug, Default)]
pub(super) struct OpenFile(Mutex<Option<Identity>>);

impl OpenFile {
    /// Opens it, and remembers which file that is. A second connection must be to the same file.
    pub(super) fn open<T>(
        &self,
        path: &Path,
        open: impl FnOnce(&Path) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        let before = identity(path);
        let opened = open(path)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(before.unwrap_or_default());
        self.unmoved(path)?;
        Ok(opened)
    }

    /// Refuses when the path leads to nothing, or to another file.
    pub(super) fn unmoved(&self, path: &Path) -> Result<(), StepError> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = identity(path);
        match known {
            Some(known) if now != Some(known) => {
                let what = if now.is_some() { "was replaced by another file" } else { "was deleted or moved away" };
                let shown = path.display();
                Err(StepError::unavailable(format!("`{shown}` {what} while it was in use; what was written since may be in the file that was there before"))
                    .with_help("put that file back where it was, with its `-wal` if there is one, then run the same command again"))
            }
            _ => Ok(()),
        }
    }

    /// Nothing is open any more.
    pub(super) fn closed(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}
