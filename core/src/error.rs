//! What can go wrong inside a step or a target, with what to do next.
//!
//! Owns one error type. The runner decides from its [`StepErrorKind`] which exit code and which remedy follow.

use std::error::Error as StdError;
use std::{fmt, io};

use thiserror::Error;

use crate::disk;

/// A failure of a step or of a target.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct StepError {
    kind: StepErrorKind,
    message: String,
    help: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Which sort of failure it is; the runner's reaction follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepErrorKind {
    /// The step tried and failed.
    Failed,
    /// Something of another shape is in the way; nothing was written.
    Conflict,
    /// The target is missing, unreadable, encrypted, corrupt or read-only.
    Unavailable,
    /// Another runner took over: this one may not write any more.
    Fenced,
    /// The target is busy longer than we may wait.
    Busy,
    /// No room on the disk, or reading or writing it failed: the same may work when that is mended.
    Storage,
    /// The operator asked again to stop, and what ran was broken off: what it had done is undone.
    Interrupted,
    /// A defect of ours.
    Internal,
}

impl StepError {
    /// An error of `kind`; `message` is a lowercase fragment, user text in backticks.
    pub fn new(kind: StepErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: None, source: None }
    }

    /// The step tried and failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(StepErrorKind::Failed, message)
    }

    /// Something of another shape is in the way.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StepErrorKind::Conflict, message)
    }

    /// The target cannot be used.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StepErrorKind::Unavailable, message)
    }

    /// A defect of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StepErrorKind::Internal, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Which sort of failure.
    pub fn kind(&self) -> StepErrorKind {
        self.kind
    }

    /// Whether it, or what caused it, is the storage's doing: no room, or reading or writing failed.
    pub fn is_of_storage(&self) -> bool {
        self.is_or_comes_of(StepErrorKind::Storage)
            || self.causes().any(|e| e.downcast_ref::<io::Error>().is_some_and(disk::is_of_storage))
    }

    /// Whether it, or what caused it, is the operator's doing, who asked again to stop.
    pub fn is_interruption(&self) -> bool {
        self.is_or_comes_of(StepErrorKind::Interrupted)
    }

    fn is_or_comes_of(&self, kind: StepErrorKind) -> bool {
        self.kind == kind || self.causes().any(|e| e.downcast_ref::<Self>().is_some_and(|e| e.kind == kind))
    }

    fn causes(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        std::iter::successors(StdError::source(self), |&cause| cause.source())
    }

    /// What to do next, if that is known.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The message followed by every cause, joined by ": ".
    pub fn chain(&self) -> String {
        self.causes().fold(self.message.clone(), |text, cause| format!("{text}: {cause}"))
    }
}

impl fmt::Display for StepErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "failed",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::Fenced => "fenced",
            Self::Busy => "busy",
            Self::Storage => "storage",
            Self::Interrupted => "interrupted",
            Self::Internal => "internal",
        })
    }
}
