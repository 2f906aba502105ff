//! Pass 1: TOML syntax. All errors that the parser recovers from, in our words where those say more.
//!
//! The parser guards its own recursion (80 levels of arrays, inline tables and dotted keys); what is legal to it and
//! still too deep for a configuration is refused by the `value` module.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;

use super::codes;
use super::diagnostic::{Diagnostic, Diagnostics};

/// Bytes a plan file may have: a reader needs no more than one beyond. 10,000 steps are about 2 MB.
pub const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Parses `text`; none when it is not TOML.
pub(crate) fn parse<'a>(text: &'a str, diagnostics: &mut Diagnostics) -> Option<Spanned<DeTable<'a>>> {
    if text.len() > MOST_BYTES {
        diagnostics.push(
            Diagnostic::nowhere(codes::TOO_LARGE, format!("the plan has more than {} MiB", MOST_BYTES >> 20))
                .help("keep data in files beside the plan and name them in `with`"),
        );
        return None;
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Some(table);
    }
    let too_deep = errors.iter().find(|e| e.message().contains("recurs"));
    if let Some(error) = too_deep {
        let message = "values are nested deeper than 80 levels";
        diagnostics.push(match error.span() {
            Some(span) => Diagnostic::at(codes::TOO_DEEP, span, message),
            None => Diagnostic::nowhere(codes::TOO_DEEP, message),
        });
        return None;
    }
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        diagnostics.push(in_words(error.message(), span));
    }
    None
}

/// The parser's message in words that say what to do; where it has better ones, its own.
fn in_words(message: &str, span: Range<usize>) -> Diagnostic {
    let (message, expected) = message.split_once(", expected ").unwrap_or((message, "nothing"));
    let at = |message: &str| Diagnostic::at(codes::SYNTAX, span.clone(), message);
    match message {
        "string values must be quoted" if span.is_empty() => at("the key has no value"),
        "string values must be quoted" => at("a text must be in quotes"),
        "duplicate key" => at("this key is there already").help("a key may be given once in a table"),
        "invalid basic string" | "invalid literal string" if matches!(expected, "`\"`" | "`'`") => {
            at("the text does not end in its line").label(format!("expected {expected}"))
        }
        message if expected == "nothing" => at(message),
        message => at(message).label(format!("expected {expected}")),
    }
}
