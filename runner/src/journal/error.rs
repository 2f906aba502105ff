//! Why a journal cannot be used. Owns the line between a store that failed and a journal that cannot be believed.

use std::path::Path;

use thiserror::Error;

use super::store::VERSION;

/// Why a journal cannot be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The store failed.
    #[error("journal `{path}`: {source}")]
    Store {
        /// The file.
        path: String,
        /// The cause.
        source: rusqlite::Error,
    },
    /// The folder or file cannot be made.
    #[error("journal `{path}`: {source}")]
    File {
        /// The file or folder.
        path: String,
        /// The cause.
        source: std::io::Error,
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

/// What SQLite says of the file at `path`: a file that it cannot make sense of is damaged, the rest is a failure.
pub(super) fn store(path: &Path, source: rusqlite::Error) -> JournalError {
    let path = path.display().to_string();
    match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
            JournalError::Damaged { path, damage: Damage::File(source.to_string()) }
        }
        _ if source.to_string().contains("no such table") => {
            JournalError::Damaged { path, damage: Damage::File(source.to_string()) }
        }
        _ => JournalError::Store { path, source },
    }
}
