//! The compiler's mistakes for people (source lines with carets), for code scanning (SARIF) and for GitHub.
//!
//! Each form is a pure function of [`CompileErrors`]: no clock, no path but the one that the caller gave.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str};
use cutover_core::Registry;
use cutover_core::plan::{CODES, CompileErrors, Diagnostic};
use serde_json::{Value, json};

/// Columns of a source line that are shown around a mistake.
const WIDTH: usize = 120;

/// Bytes of a source line that is given to the renderer whole.
const LONGEST_LINE: usize = 4096;

/// Every mistake with its file, line, column, caret and help; at the end how many they are.
pub fn render(errors: &CompileErrors, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.term_width(WIDTH);
    let mut out = String::new();
    for diagnostic in &errors.diagnostics {
        out.push_str(&one(errors, diagnostic, Level::ERROR, &renderer));
        out.push_str("\n\n");
    }
    let count = errors.diagnostics.len();
    let mistakes = if count == 1 { "1 mistake".to_owned() } else { format!("{count} mistakes") };
    // Writing to a `String` cannot fail.
    let _ = writeln!(out, "{mistakes} in {}", errors.file);
    out
}

/// One warning in the same form.
pub(crate) fn render_warning(warnings: &CompileErrors, diagnostic: &Diagnostic, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.term_width(WIDTH);
    one(warnings, diagnostic, Level::WARNING, &renderer)
}

fn one(errors: &CompileErrors, diagnostic: &Diagnostic, level: Level<'_>, renderer: &Renderer) -> String {
    let title = normalize_untrusted_str(&diagnostic.message);
    let label = diagnostic.label.as_deref().map(normalize_untrusted_str);
    let help = diagnostic.help.as_deref().map(normalize_untrusted_str);
    let (file, source) = errors.place(diagnostic);
    let place = diagnostic.span.clone().map(|span| Place::of(source, span));
    let mut group = Group::with_title(level.primary_title(&title).id(diagnostic.code));
    group = match &place {
        // The renderer's time goes with the line, and its column with what it is given of it.
        Some(place) if place.line.len() > LONGEST_LINE => {
            let (line, span) = place.window();
            let (_, column) = diagnostic.span.as_ref().map_or((1, 1), |span| errors.position(diagnostic, span.start));
            group.element(Origin::path(file).line(place.number).char_column(column)).element(
                Snippet::source(line)
                    .line_start(place.number)
                    .annotation(AnnotationKind::Primary.span(span).label(label.as_deref())),
            )
        }
        Some(place) => group.element(
            Snippet::source(place.line)
                .line_start(place.number)
                .path(file)
                .annotation(AnnotationKind::Primary.span(place.span.clone()).label(label.as_deref())),
        ),
        None => group.element(Origin::path(file)),
    };
    if let Some(help) = &help {
        group = group.element(Level::HELP.message(help));
    }
    renderer.render(&[group])
}

/// The line of a mistake, and the bytes of that line that it is about.
struct Place<'e> {
    line: &'e str,
    number: usize,
    span: Range<usize>,
}

impl<'e> Place<'e> {
    /// What reaches over the end of its first line is cut there: the place is what matters.
    fn of(source: &'e str, span: Range<usize>) -> Self {
        let (before, after) = source.split_at_checked(span.start).unwrap_or((source, ""));
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let end = after.find('\n').map_or(source.len(), |newline| span.start + newline);
        let mut line = source.get(start..end).unwrap_or_default();
        let mut start = start;
        if let Some(rest) = line.strip_prefix('\u{feff}') {
            start += line.len() - rest.len();
            line = rest;
        }
        let line = line.trim_end_matches('\r');
        let from = span.start.saturating_sub(start).min(line.len());
        let to = span.end.saturating_sub(start).clamp(from, line.len());
        Self { line, number: before.bytes().filter(|b| *b == b'\n').count() + 1, span: from..to }
    }

    /// What is shown of a line that is too long to be shown, and where the mistake is in that.
    fn window(&self) -> (&'e str, Range<usize>) {
        let near =
            |at: usize| (0..=at.min(self.line.len())).rev().find(|at| self.line.is_char_boundary(*at)).unwrap_or(0);
        let start = near(self.span.start.saturating_sub(WIDTH));
        let end = near(self.span.start + 2 * WIDTH);
        let to = self.span.end.min(end).max(self.span.start);
        (&self.line[start..end], self.span.start - start..to - start)
    }
}

/// A SARIF 2.1.0 log with one result a mistake.
pub fn sarif(errors: &CompileErrors) -> Value {
    log(errors, "error", CODES.iter().copied())
}

/// The same of warnings, whose codes are the registry's.
pub(crate) fn sarif_warnings(warnings: &CompileErrors, registry: &Registry) -> Value {
    let codes: BTreeMap<_, _> =
        registry.steps().flat_map(|step| step.lints).map(|lint| (lint.code, lint.meaning)).collect();
    log(warnings, "warning", codes.into_iter())
}

fn log(errors: &CompileErrors, level: &str, codes: impl Iterator<Item = (&'static str, &'static str)>) -> Value {
    let used: BTreeSet<&str> = errors.diagnostics.iter().map(|d| d.code).collect();
    let rules: Vec<Value> = codes
        .filter(|(code, _)| used.contains(code))
        .map(|(code, meaning)| json!({ "id": code, "shortDescription": { "text": meaning } }))
        .collect();
    let results: Vec<Value> = errors.diagnostics.iter().map(|d| result(errors, d, level)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "cutover",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(errors: &CompileErrors, diagnostic: &Diagnostic, level: &str) -> Value {
    let mut location = json!({ "artifactLocation": { "uri": uri(errors.place(diagnostic).0) } });
    if let Some(span) = &diagnostic.span {
        let (line, column) = errors.position(diagnostic, span.start);
        let (end_line, end_column) = errors.position(diagnostic, span.end);
        location["region"] =
            json!({ "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column });
    }
    json!({
        "ruleId": diagnostic.code,
        "level": level,
        "message": { "text": sentence(diagnostic) },
        "locations": [{ "physicalLocation": location }],
    })
}

/// One workflow command a mistake: GitHub shows it at its line of a pull request.
pub fn github(errors: &CompileErrors) -> String {
    annotations(errors, "error")
}

/// The same of warnings.
pub(crate) fn github_warnings(warnings: &CompileErrors) -> String {
    annotations(warnings, "warning")
}

fn annotations(errors: &CompileErrors, level: &str) -> String {
    let mut out = String::new();
    for diagnostic in &errors.diagnostics {
        let _ = write!(out, "::{level} file=");
        out.push_str(&property(errors.place(diagnostic).0));
        if let Some(span) = &diagnostic.span {
            let (line, column) = errors.position(diagnostic, span.start);
            let (end_line, end_column) = errors.position(diagnostic, span.end);
            // Columns are read only when both are in one line.
            let columns =
                if end_line == line { format!(",col={column},endColumn={end_column}") } else { String::new() };
            let _ = write!(out, ",line={line},endLine={end_line}{columns}");
        }
        let _ = writeln!(out, ",title={}::{}", property(diagnostic.code), escaped(&sentence(diagnostic)));
    }
    out
}

/// Message, label and help in one text.
fn sentence(diagnostic: &Diagnostic) -> String {
    let label = diagnostic.label.as_ref().map(|label| format!(" ({label})")).unwrap_or_default();
    let help = diagnostic.help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    format!("{}{label}{help}", diagnostic.message)
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    escaped(text).replace(':', "%3A").replace(',', "%2C")
}

fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'\\' => out.push('/'),
            b if b.is_ascii_alphanumeric() || b"-._~/".contains(&b) => out.push(char::from(b)),
            b => {
                let _ = write!(out, "%{b:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors() -> CompileErrors {
        let source = "\u{feff}name = \"x\"\r\nkéy = [\r\n1,\r\n]\r\n".to_owned();
        let at = |needle: &str| source.find(needle).unwrap();
        let diagnostic = |code, span, label: Option<&str>, help: Option<&str>| Diagnostic {
            code,
            message: "something, 100 % wrong".to_owned(),
            span,
            label: label.map(str::to_owned),
            help: help.map(str::to_owned),
            beside: None,
        };
        let diagnostics = vec![
            diagnostic("P201", Some(at("name")..at("name") + 4), Some("here"), None),
            diagnostic("P202", Some(at("[")..at("]") + 1), None, Some("mend\nit")),
            diagnostic("P101", Some(source.len()..source.len()), None, None),
            diagnostic("P317", None, None, Some("add one")),
        ];
        CompileErrors { file: "plans/a b.toml".to_owned(), source, diagnostics }
    }

    #[test]
    fn people_see_the_line_and_a_caret_under_the_mistake() {
        insta::assert_snapshot!(render(&errors(), false));
    }

    #[test]
    fn a_mistake_in_a_file_beside_the_plan_is_shown_at_its_line_of_that_file() {
        let mut errors = errors();
        let source = "[[table]]\nold = 'a'\n".to_owned();
        errors.diagnostics.truncate(1);
        let beside = std::sync::Arc::new(cutover_core::plan::Beside { file: "maps/m.toml".to_owned(), source });
        errors.diagnostics.push(Diagnostic {
            beside: Some(beside),
            ..Diagnostic::in_file(10..13, "something wrong").label("here").help("mend it")
        });
        insta::assert_snapshot!(render(&errors, false) + &github(&errors));
        let place = &sarif(&errors)["runs"][0]["results"][1]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "maps/m.toml");
        assert_eq!(place["region"]["startLine"], 2);
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let colored = render(&errors(), true);
        assert!(colored.contains('\u{1b}'));
        let mut plain = String::new();
        let mut escaped = false;
        for c in colored.chars() {
            match c {
                '\u{1b}' => escaped = true,
                'm' if escaped => escaped = false,
                c if !escaped => plain.push(c),
                _ => {}
            }
        }
        assert_eq!(plain, render(&errors(), false));
    }

    #[test]
    fn a_pull_request_gets_commands_with_everything_escaped() {
        insta::assert_snapshot!(github(&errors()));
    }

    #[test]
    fn code_scanning_gets_rules_and_regions() {
        let log = sarif(&errors());
        assert_eq!(log["runs"][0]["tool"]["driver"]["rules"].as_array().map(Vec::len), Some(4));
        let second = &log["runs"][0]["results"][1]["locations"][0]["physicalLocation"];
        assert_eq!(second["artifactLocation"]["uri"], "plans/a%20b.toml");
        assert_eq!(second["region"], json!({ "startLine": 2, "startColumn": 7, "endLine": 4, "endColumn": 2 }));
        assert_eq!(log["runs"][0]["results"][3]["locations"][0]["physicalLocation"].get("region"), None);
    }
}
