//! Journals that cannot be believed, and the names under which they are set aside.

use std::fs;
use std::path::{Path, PathBuf};

use cutover_core::disk;

use super::super::error::{JournalError, file};
use super::Journal;

/// How the names of damaged journals begin that were set aside.
pub(crate) const DAMAGED: &str = "journal.damaged-";

/// The number in the name of a damaged journal that was set aside, or of one of its log files.
pub(crate) fn damaged_number(name: &str) -> Option<u64> {
    name.strip_prefix(DAMAGED)?.split_once(".db")?.0.parse().ok()
}

impl Journal {
    /// Moves a damaged journal aside (with its log files) and returns where it is now: numbers tell which came last.
    pub fn set_aside(state: &Path) -> Result<PathBuf, JournalError> {
        let path = Self::path_in(state);
        let entries = fs::read_dir(state).map_err(|source| file(state, source))?.flatten();
        let last = entries.filter_map(|e| damaged_number(&e.file_name().to_string_lossy())).max().unwrap_or(0);
        let aside = state.join(format!("{DAMAGED}{}.db", last.saturating_add(1)));
        // The file itself goes last: a log without it would be deleted by whoever makes the next journal.
        for suffix in ["-shm", "-wal", ""] {
            let from = PathBuf::from(format!("{}{suffix}", path.display()));
            let to = PathBuf::from(format!("{}{suffix}", aside.display()));
            if from.exists() {
                disk::rename(&from, &to).map_err(|source| file(&from, source))?;
            }
        }
        Ok(aside)
    }
}
