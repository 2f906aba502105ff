//! What the compiler says of a plan it cannot accept: data with byte spans, for any renderer.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// One mistake in a plan file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// A persistent code: "P201".
    pub code: &'static str,
    /// Lowercase fragment, user text in backticks.
    pub message: String,
    /// Bytes of the plan file it is about.
    pub span: Option<Range<usize>>,
    /// What the caret line says.
    pub label: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

/// All mistakes of one plan file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileErrors {
    /// The file as it is to be shown.
    pub file: String,
    /// Its text.
    pub source: String,
    /// At least one, in order of their place.
    pub diagnostics: Vec<Diagnostic>,
}

impl CompileErrors {
    /// Line and column (both from 1, column in characters) of a byte offset.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let offset = (0..=offset.min(self.source.len())).rev().find(|o| self.source.is_char_boundary(*o)).unwrap_or(0);
        let before = &self.source[..offset];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        (line, column)
    }
}

impl fmt::Display for CompileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.diagnostics.iter().enumerate() {
            let (line, column) = self.position(d.span.as_ref().map_or(0, |s| s.start));
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:{line}:{column}: {} [{}]", self.file, d.message, d.code)?;
        }
        Ok(())
    }
}

impl std::error::Error for CompileErrors {}
