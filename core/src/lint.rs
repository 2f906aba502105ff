//! Warnings: what is doubtful about a step that is a lawful one. Owns the words; each kind owns its warnings.

use std::ops::Range;

use crate::Use;

/// A sort of warning that a step kind may give. Kinds list theirs in [`StepKind::LINTS`](crate::StepKind::LINTS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lint {
    /// A persistent code: "W401". It keeps its meaning for ever; a retired one is not reused.
    pub code: &'static str,
    /// What is doubtful: a lowercase fragment.
    pub meaning: &'static str,
    /// What it takes to see it.
    pub seen: Seen,
}

/// What it takes to see a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The text of the step: `check` sees it, on any system.
    InText,
    /// The targets as they are: `plan` sees it, on some systems.
    OnTarget,
}

/// A step that comes later in the plan, as a [`lint`](crate::MigrationStep::lint) sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Later {
    /// Its registered kind.
    pub kind: &'static str,
    /// The targets that it touches.
    pub uses: Vec<Use>,
}

/// One warning about one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The code of its [`Lint`].
    pub code: &'static str,
    /// Lowercase fragment, user text in backticks.
    pub message: String,
    /// The file of the plan that it is about, as the step names it, and bytes of it; none: the step itself.
    pub place: Option<(String, Range<usize>)>,
    /// What the caret line says.
    pub label: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

crate::explained::explained!(Finding);

impl Finding {
    /// A warning about the step itself.
    pub fn new(lint: &Lint, message: impl Into<String>) -> Self {
        Self { code: lint.code, message: message.into(), place: None, label: None, help: None }
    }

    /// A warning about `span` of the plan's file `file`.
    pub fn at(lint: &Lint, file: impl Into<String>, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { place: Some((file.into(), span)), ..Self::new(lint, message) }
    }
}
