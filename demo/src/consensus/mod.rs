//! An application that keeps what several agents said, and what was made of it: the consensus database.
//!
//! `old` is the program before, `new` the one that comes after it; during a migration both run.

mod new;
mod old;
mod rows;

pub use new::NewStore;
pub use old::OldStore;
pub use rows::{Schema, differences, identity, rows};

/// What an agent said about a stage of a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The row's id.
    pub id: i64,
    /// Who said it.
    pub agent: String,
    /// What was said: JSON, or what came of an attempt at it.
    pub content: String,
}

/// An artifact to be written.
#[derive(Debug, Clone, Copy)]
pub struct NewArtifact<'a> {
    /// Whose.
    pub spec: &'a str,
    /// Of which stage.
    pub stage: &'a str,
    /// Who says it.
    pub agent: &'a str,
    /// What is said.
    pub content: &'a str,
    /// The whole answer. The new schema has no place for it.
    pub response: Option<&'a str>,
    /// The run that asked. The new schema has no place for it.
    pub run: Option<&'a str>,
}

/// What was made of the artifacts of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synthesis {
    /// The text.
    pub markdown: String,
    /// Where it was written to.
    pub path: Option<String>,
    /// `ok`, `degraded`, `conflict`, `completed`.
    pub status: String,
    /// How many artifacts went into it.
    pub artifacts: Option<i64>,
    /// JSON, as a text.
    pub agreements: Option<String>,
    /// JSON, as a text.
    pub conflicts: Option<String>,
    /// Whether an agent was missing.
    pub degraded: bool,
}

/// A synthesis to be written.
#[derive(Debug, Clone, Copy)]
pub struct NewSynthesis<'a> {
    /// Whose.
    pub spec: &'a str,
    /// Of which stage.
    pub stage: &'a str,
    /// The text.
    pub markdown: &'a str,
    /// Where it was written to.
    pub path: Option<&'a str>,
    /// `ok`, `degraded`, `conflict`, `completed`.
    pub status: &'a str,
    /// How many artifacts went into it.
    pub artifacts: i64,
    /// JSON, as a text.
    pub agreements: Option<&'a str>,
    /// JSON, as a text.
    pub conflicts: Option<&'a str>,
    /// Whether an agent was missing.
    pub degraded: bool,
}
