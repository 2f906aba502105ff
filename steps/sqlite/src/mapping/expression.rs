//! Whether a text is one SQL expression that a trigger can hold. Its columns are looked for later, in the database.

use rusqlite::Connection;

use crate::sql;

/// What is wrong with it; none when it is an expression.
pub(crate) fn mistake(text: &str) -> Option<String> {
    if sql::tokens(text).iter().any(|t| t.starts_with(['?', ':', '@', '$', '#'])) {
        return Some("a trigger cannot have parameters".to_owned());
    }
    unreadable(text)
}

/// What is wrong with it where parameters may stand; none when it is an expression.
pub(crate) fn unreadable(text: &str) -> Option<String> {
    let tokens = sql::tokens(text);
    if tokens.is_empty() {
        return Some("it is empty".to_owned());
    }
    if tokens.contains(&";") {
        return Some("it is more than one expression".to_owned());
    }
    // In lines of its own, so that a comment ends where the expression does.
    let conn = Connection::open_in_memory().ok()?;
    let error = conn.prepare(&format!("SELECT (\n{text}\n)")).err()?;
    let said = sql::message(&error);
    // What it refers to is not there, and that it says so is a sign that it could be read.
    let read = ["no such column", "no such table", "no such function"].iter().any(|start| said.starts_with(start));
    (!read || said.starts_with("no such function")).then_some(said)
}

/// NULL, a number or a text as it stands.
pub(crate) fn is_literal(text: &str) -> bool {
    match sql::tokens(text)[..] {
        [one] => one.starts_with('\'') || one.bytes().all(|b| b.is_ascii_digit()) || is_null(one),
        _ => false,
    }
}

/// NULL as it stands.
pub(crate) fn is_null(text: &str) -> bool {
    matches!(sql::tokens(text)[..], [one] if one.eq_ignore_ascii_case("null"))
}
