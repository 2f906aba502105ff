//! Why a journal cannot be used. Owns the line between a store that failed and a journal that cannot be believed.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rustix::fs::{Access, access};
use thiserror::Error;

use super::store::VERSION;

/// Why a journal cannot be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// No room is left for it.
    #[error("there is no room left on the file system of the journal `{path}`{}", if *.before { " (room for its end is kept there)" } else { "" })]
    NoRoom {
        /// The file.
        path: String,
        /// Room for the end of a run could not be kept, so that none was begun.
        before: bool,
    },
    /// The store failed.
    #[error("journal `{path}`: {source}")]
    Store {
        /// The file.
        path: String,
        /// The cause.
        source: rusqlite::Error,
    },
    /// Its path leads to nothing by now, or to another file.
    #[error("the journal `{path}` was deleted or replaced while it was in use")]
    Gone {
        /// The file.
        path: String,
    },
    /// The folder or file cannot be made.
    #[error("journal `{path}`: {source}")]
    File {
        /// The file or folder.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// Something else lies in the place of the state folder.
    #[error("`{path}`, where the state folder would be, is no folder")]
    NoFolder {
        /// The place.
        path: String,
    },
    /// Written by a newer version of this program.
    #[error("journal `{path}` has format version {found}; this program knows up to {VERSION}")]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        found: String,
    },
    /// Another runner took over.
    #[error("another runner took over (epoch {theirs}, ours is {ours}); nothing was written")]
    Fenced {
        /// The epoch found.
        theirs: u64,
        /// The epoch of this run.
        ours: u64,
    },
    /// What it says cannot be believed.
    #[error("journal `{path}` is damaged: {damage}")]
    Damaged {
        /// The file.
        path: String,
        /// How.
        damage: Damage,
    },
}

/// How a journal is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Damage {
    /// The file is no SQLite database, or pages of it are broken.
    #[error("{0}")]
    File(String),
    /// A record does not match its hash, or one is missing.
    #[error("record {0} does not match the hash chain")]
    Chain(u64),
    /// A record cannot be read.
    #[error("record {0} cannot be read: {1}")]
    Record(u64, String),
    /// A record cannot follow the one before.
    #[error("record {0}: {1}")]
    Transition(u64, String),
}

pub(super) const READ_ONLY: &str = "its header forbids to write it";

/// What SQLite says of the file at `path`: either its surroundings fail, or the file makes no sense. Our own statements do,
/// so that one which fails for another reason has met a file that was changed.
pub(super) fn store(path: &Path, source: rusqlite::Error) -> JournalError {
    let shown = path.display().to_string();
    let plain = source.sqlite_error().is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_READONLY);
    match source.sqlite_error_code() {
        Some(ErrorCode::ReadOnly) if plain && may_write(path) => {
            JournalError::Damaged { path: shown, damage: Damage::File(READ_ONLY.to_owned()) }
        }
        Some(ErrorCode::DiskFull) => JournalError::NoRoom { path: shown, before: false },
        // The shared memory of the write-ahead log could not grow.
        _ if source.sqlite_error().is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => {
            JournalError::NoRoom { path: shown, before: false }
        }
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::ApiMisuse,
        ) => JournalError::Store { path: shown, source },
        _ => JournalError::Damaged { path: shown, damage: Damage::File(source.to_string()) },
    }
}

/// Whether the system allows to write the file at `path`.
pub(super) fn may_write(path: &Path) -> bool {
    [Some(path), path.parent()].into_iter().flatten().all(|path| access(path, Access::WRITE_OK).is_ok())
}

/// Refuses a journal that this user may not write. What SQLite keeps beside it got the mode that it had at that time,
/// and gets back the one that it has.
pub(super) fn writable(path: &Path) -> Result<(), JournalError> {
    for at in [Some(path), path.parent()].into_iter().flatten() {
        access(at, Access::WRITE_OK).map_err(|e| file(at, e.into()))?;
    }
    for suffix in ["-wal", "-shm"] {
        let beside = PathBuf::from(format!("{}{suffix}", path.display()));
        let kept = access(&beside, Access::WRITE_OK).is_err();
        if kept && beside.symlink_metadata().is_ok_and(|found| found.is_file()) {
            set_permissions(&beside, Permissions::from_mode(0o600)).map_err(|e| file(&beside, e))?;
        }
    }
    Ok(())
}

/// What the operating system says of the file or folder at `path`.
pub(super) fn file(path: &Path, source: std::io::Error) -> JournalError {
    let path = path.display().to_string();
    match source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            JournalError::NoRoom { path, before: false }
        }
        _ => JournalError::File { path, source },
    }
}
