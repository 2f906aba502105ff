//! What the compiler says of a plan it cannot accept: data with byte spans, for any renderer.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

/// A file beside the plan that a step has read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Beside {
    /// The file as the plan names it.
    pub file: String,
    /// Its text.
    pub source: String,
}

/// One mistake in a plan file, or in a file beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// A persistent code: "P201". See [`CODES`](super::CODES).
    pub code: &'static str,
    /// Lowercase fragment, user text in backticks.
    pub message: String,
    /// Bytes of the plan file it is about.
    pub span: Option<Range<usize>>,
    /// What the caret line says.
    pub label: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// The file that `span` is of, where that is not the plan.
    #[serde(skip)]
    pub beside: Option<Arc<Beside>>,
}

crate::explained::explained!(Diagnostic);

impl Diagnostic {
    /// A mistake at `span`.
    pub(crate) fn at(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), span: Some(span), label: None, help: None, beside: None }
    }

    /// What a step says of a place in a file beside the plan that it reads.
    pub fn in_file(span: Range<usize>, message: impl Into<String>) -> Self {
        Self::at(super::codes::BAD_FILE, span, message)
    }

    /// A mistake that has no place in the file.
    pub(crate) fn nowhere(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), span: None, label: None, help: None, beside: None }
    }

    /// Adds "did you mean" for the closest of `known`, or else the list of them when it is short.
    #[must_use]
    pub fn suggest<'a>(
        self,
        wrong: &str,
        what: &str,
        known: impl IntoIterator<Item = &'a str, IntoIter: Clone>,
    ) -> Self {
        let known = known.into_iter();
        if let Some(near) = crate::closest(wrong, known.clone()) {
            return self.help(format!("did you mean `{near}`?"));
        }
        let shown: Vec<String> = known.take(MANY + 1).map(|name| format!("`{name}`")).collect();
        match shown.len() {
            0 => self,
            1..=MANY => self.help(format!("known {what}: {}", shown.join(", "))),
            _ => self.help(format!("known {what}: {}, and more", shown[..MANY].join(", "))),
        }
    }
}

/// How many known names a help lists.
const MANY: usize = 12;

/// How many mistakes are kept; the rest is counted.
const MOST: usize = 200;

/// How many are collected before those that will not be kept are let go.
const ROOM: usize = 50 * MOST;

/// Bytes of the longest text that is said about a mistake: a plan may quote megabytes.
const LONGEST: usize = 2000;

/// Collects the mistakes of one compilation, or of one file beside a plan.
#[derive(Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    /// How many were let go.
    gone: usize,
}

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, mut diagnostic: Diagnostic) {
        let Diagnostic { message, label, help, .. } = &mut diagnostic;
        [Some(message), label.as_mut(), help.as_mut()].into_iter().flatten().for_each(shorten);
        self.list.push(diagnostic);
        if self.list.len() >= ROOM {
            self.cut();
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len() + self.gone
    }

    /// Whether there are so many that it does not matter what more could be said of the next one.
    pub(crate) fn many(&self) -> bool {
        self.len() > MOST
    }

    /// Keeps the first ones by their place, each once.
    fn cut(&mut self) {
        self.list.sort_by(|a, b| key(a).cmp(&key(b)));
        self.list.dedup();
        self.gone += self.list.len().saturating_sub(MOST);
        self.list.truncate(MOST);
    }

    /// A kind may quote the value that it refuses: secrets are taken out of what is said.
    pub(crate) fn hide(&mut self, secrets: &[String]) {
        for d in &mut self.list {
            for text in [Some(&mut d.message), d.label.as_mut(), d.help.as_mut()].into_iter().flatten() {
                for secret in secrets {
                    if text.contains(secret.as_str()) {
                        *text = text.replace(secret.as_str(), "***");
                    }
                }
            }
        }
    }

    /// All of them in order of their place, as mistakes of a file beside the plan.
    pub(crate) fn of_file(self, file: &str, source: &str) -> Vec<Diagnostic> {
        let beside = Arc::new(Beside { file: file.to_owned(), source: source.to_owned() });
        let of = |d| Diagnostic { beside: Some(Arc::clone(&beside)), ..d };
        self.into_errors(file, source).diagnostics.into_iter().map(of).collect()
    }

    /// All of them in order of their place, each once; spans cut to what `source` has.
    pub(crate) fn into_errors(mut self, file: &str, source: &str) -> CompileErrors {
        let of_plan = self.list.iter_mut().filter(|d| d.beside.is_none());
        for span in of_plan.filter_map(|d| d.span.as_mut()) {
            let start = boundary(source, span.start);
            *span = start..boundary(source, span.end).max(start);
        }
        self.cut();
        let Self { mut list, gone } = self;
        if gone > 0 {
            list.push(
                Diagnostic::nowhere(super::codes::MORE, format!("{gone} more mistakes are not shown"))
                    .help("mend the first ones; later ones often follow from them"),
            );
        }
        CompileErrors { file: file.to_owned(), source: source.to_owned(), diagnostics: list }
    }
}

fn key(d: &Diagnostic) -> (Option<&str>, usize, usize, &str, &str) {
    let (start, end) = d.span.as_ref().map_or((usize::MAX, 0), |s| (s.start, s.end));
    (d.beside.as_ref().map(|b| b.file.as_str()), start, end, d.code, &d.message)
}

/// Takes the middle out of a text that nobody would read to its end.
fn shorten(text: &mut String) {
    if text.len() > LONGEST {
        let (head, tail) = (boundary(text, LONGEST / 2), boundary(text, text.len() - LONGEST / 2));
        text.replace_range(head..tail, "…");
    }
}

/// The character boundary at or before `offset`.
fn boundary(source: &str, offset: usize) -> usize {
    let mut offset = offset.min(source.len());
    while !source.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// All mistakes of one plan file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileErrors {
    /// The file as it is to be shown.
    pub file: String,
    /// Its text.
    pub source: String,
    /// At least one, in order of their place; those without a place come last.
    pub diagnostics: Vec<Diagnostic>,
}

impl CompileErrors {
    /// A plan file that the compiler cannot even be given.
    pub fn unreadable(file: impl Into<String>, message: impl Into<String>, help: &str) -> Self {
        let diagnostic = Diagnostic::nowhere(super::codes::UNREADABLE, message).help(help);
        Self { file: file.into(), source: String::new(), diagnostics: vec![diagnostic] }
    }

    /// The file that `diagnostic` is about, and its text.
    pub fn place<'e>(&'e self, diagnostic: &'e Diagnostic) -> (&'e str, &'e str) {
        match &diagnostic.beside {
            Some(beside) => (&beside.file, &beside.source),
            None => (&self.file, &self.source),
        }
    }

    /// Line and column (both from 1, column in characters) of a byte offset of the file that `diagnostic` is about.
    pub fn position(&self, diagnostic: &Diagnostic, offset: usize) -> (usize, usize) {
        let source = self.place(diagnostic).1;
        let before = &source[..boundary(source, offset)];
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.trim_start_matches('\u{feff}').chars().count()) + 1;
        (line, column)
    }
}

impl fmt::Display for CompileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.diagnostics.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:", self.place(d).0)?;
            if let Some(span) = &d.span {
                let (line, column) = self.position(d, span.start);
                write!(f, "{line}:{column}:")?;
            }
            write!(f, " {} [{}]", d.message, d.code)?;
        }
        Ok(())
    }
}

impl std::error::Error for CompileErrors {}
