//! What can be wrong with a key-value store or with a file of Badger's: where, and what.
//!
//! Owns one error type for the whole crate, and what an operator does about each.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use cutover_core::{StepError, StepErrorKind};
use thiserror::Error;

/// A failure to read or write a store, a backup file or a file of a Badger directory.
#[derive(Debug, Error)]
pub struct KvError {
    /// The file or folder that it is about.
    pub path: PathBuf,
    /// The byte of the file where what is wrong begins, where there is one.
    pub offset: Option<u64>,
    /// What is wrong.
    #[source]
    pub kind: KvErrorKind,
}

/// What is wrong.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KvErrorKind {
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Writing a file of ours failed.
    #[error(transparent)]
    Disk(#[from] StepError),
    /// The store's own library failed.
    #[error("{0}")]
    Store(String),
    /// The file ends inside what it announces.
    #[error("{0}")]
    Truncated(String),
    /// Not what the format allows there.
    #[error("{0}")]
    Malformed(String),
    /// Longer than the limit, or than the format allows.
    #[error("{0}")]
    TooLarge(String),
    /// A checksum does not match.
    #[error("{0}")]
    Checksum(String),
    /// A format, version or option that this build does not read.
    #[error("{0}")]
    Unsupported(String),
    /// Another process has it open.
    #[error("{0}")]
    InUse(String),
    /// It was not closed, and reading it as it is would miss what its log holds.
    #[error("{0}")]
    Unclean(String),
    /// It is encrypted, and the key is missing or another one.
    #[error("{0}")]
    Encrypted(String),
    /// Nothing is there.
    #[error("{0}")]
    Missing(String),
}

/// The result of what may fail in this crate.
pub type Result<T, E = KvError> = std::result::Result<T, E>;

impl KvError {
    /// What is wrong with a file or folder as a whole.
    pub fn of(path: &Path, kind: impl Into<KvErrorKind>) -> Self {
        Self { path: path.to_owned(), offset: None, kind: kind.into() }
    }

    /// What is wrong from the byte `offset` of a file on.
    pub fn at(path: &Path, offset: u64, kind: impl Into<KvErrorKind>) -> Self {
        Self { path: path.to_owned(), offset: Some(offset), kind: kind.into() }
    }
}

impl fmt::Display for KvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        write!(f, ": {}", self.kind)
    }
}

impl KvErrorKind {
    fn help(&self) -> &'static str {
        match self {
            Self::Io(_) | Self::Disk(_) | Self::Store(_) => {
                "mend what the message says, then run the same command again"
            }
            Self::Truncated(_) | Self::Malformed(_) | Self::TooLarge(_) | Self::Checksum(_) => {
                "what is there is damaged: take it again from the database that it comes from"
            }
            Self::Unsupported(_) => {
                "use a build of cutover that reads it, or write it with a version that this one reads"
            }
            Self::InUse(_) => "stop the program that has it open, then run the same command again",
            Self::Unclean(_) => "open and close it with the program that owns it, or read a copy with `replay = true`",
            Self::Encrypted(_) => "name the file that holds its key",
            Self::Missing(_) => "check the path in the plan",
        }
    }

    fn step_kind(&self) -> StepErrorKind {
        match self {
            Self::Io(error) if cutover_core::disk::is_of_storage(error) => StepErrorKind::Storage,
            Self::InUse(_) => StepErrorKind::Busy,
            Self::Io(_) | Self::Disk(_) | Self::Store(_) => StepErrorKind::Failed,
            _ => StepErrorKind::Unavailable,
        }
    }
}

impl From<KvError> for StepError {
    fn from(error: KvError) -> Self {
        if let KvErrorKind::Disk(error) = error.kind {
            return error;
        }
        let told = Self::new(error.kind.step_kind(), error.to_string()).with_help(error.kind.help());
        match error.kind {
            KvErrorKind::Io(cause) => told.caused_by(cause),
            _ => told,
        }
    }
}
