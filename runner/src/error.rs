//! What ends a command early: an exit code, what is wrong, and what to do next.

use std::fmt;

use cutover_core::plan::CompileErrors;
use cutover_core::{StepError, StepErrorKind};

use crate::exit::Exit;

/// Why a command ended early.
#[derive(Debug)]
pub struct RunnerError {
    /// The exit code that follows.
    pub exit: Exit,
    /// Lowercase fragment, user text in backticks, causes joined by ": ".
    pub message: String,
    /// What to do next.
    pub help: Option<String>,
    /// The plan's diagnostics, when the plan is what is wrong.
    pub diagnostics: Option<Box<CompileErrors>>,
}

/// A runner's result.
pub type Result<T, E = RunnerError> = std::result::Result<T, E>;

impl RunnerError {
    /// An error that ends with `exit`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), help: None, diagnostics: None }
    }

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A defect of ours, or an environment that we cannot work in.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Exit::Internal, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// An input/output error while `doing` something.
    pub fn io(doing: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::internal(format!("{doing}: {error}"))
    }
}

impl fmt::Display for RunnerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RunnerError {}

impl From<CompileErrors> for RunnerError {
    fn from(errors: CompileErrors) -> Self {
        let count = errors.diagnostics.len();
        let mistakes = if count == 1 { "1 mistake".to_owned() } else { format!("{count} mistakes") };
        let mut error = Self::new(Exit::InvalidPlan, format!("the plan `{}` has {mistakes}", errors.file));
        error.diagnostics = Some(Box::new(errors));
        error
    }
}

impl From<StepError> for RunnerError {
    fn from(error: StepError) -> Self {
        let exit = match error.kind() {
            StepErrorKind::Unavailable | StepErrorKind::Storage => Exit::NoTarget,
            StepErrorKind::Busy | StepErrorKind::Fenced => Exit::Locked,
            StepErrorKind::Interrupted => Exit::Interrupted,
            StepErrorKind::Internal => Exit::Internal,
            _ => Exit::Failed,
        };
        let mut ours = Self::new(exit, error.chain());
        ours.help = error.help().map(str::to_owned);
        ours
    }
}
