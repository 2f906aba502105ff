//! Pass 1: TOML syntax. All errors that the parser recovers from, in our words where those say more.
//!
//! The parser guards its own recursion (80 levels of arrays, inline tables and dotted keys); what is legal to it and
//! still too deep for a configuration is refused by the `value` module.

use toml::Spanned;
use toml::de::DeTable;

use super::codes;
use super::diagnostic::{Diagnostic, Diagnostics};

/// Bytes a plan file may have. 10,000 steps are about 2 MB.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// Parses `text`; none when it is not TOML.
pub(crate) fn parse<'a>(text: &'a str, diagnostics: &mut Diagnostics) -> Option<Spanned<DeTable<'a>>> {
    if text.len() > MOST_BYTES {
        diagnostics.push(
            Diagnostic::nowhere(
                codes::TOO_LARGE,
                format!("the plan has {} bytes; at most {MOST_BYTES} are read", text.len()),
            )
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
        let (message, label) = match error.message().split_once(", expected ") {
            Some((message, expected)) if expected != "nothing" => (message, Some(format!("expected {expected}"))),
            Some((message, _)) => (message, None),
            None => (error.message(), None),
        };
        let mut diagnostic = Diagnostic::at(codes::SYNTAX, span, message);
        diagnostic.label = label;
        if message == "duplicate key" {
            diagnostic = diagnostic.help("a key may be given once in a table");
        }
        diagnostics.push(diagnostic);
    }
    None
}
