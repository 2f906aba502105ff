//! SQL as text: quoting of names, tokens, and errors of SQLite in our words.
//!
//! Owns what every step kind needs to write SQL safely. Knows no connection and no target.

use cutover_core::{StepError, StepErrorKind};
use rusqlite::ErrorCode;

mod bind;
mod json;
mod literal;
mod statements;
mod tokens;

pub use bind::{bind_vars, sql_value};
pub(crate) use cutover_core::sql::spans;
pub use cutover_core::sql::tokens;
pub(crate) use json::row_json;
pub(crate) use literal::{read_literals, write_literal};
pub(crate) use statements::trigger_table;
pub use statements::{Statement, instead, refusal, split};
pub use tokens::{joined, normalised, same_sql};

/// `name` as an SQL identifier, whatever it holds.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as an SQL string literal. For values that cannot be bound (DDL, dumps); bind everything else.
pub fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// An error of SQLite while `doing` something ("while creating table `t`"): its kind follows from SQLite's own code.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
pub fn sqlite_error(error: rusqlite::Error, doing: &str) -> StepError {
    let code = error.sqlite_error_code();
    let (kind, help) = match code {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            StepErrorKind::Busy,
            Some("another program holds a lock on this database; end its transaction and run again"),
        ),
        Some(ErrorCode::ReadOnly) => {
            (StepErrorKind::Unavailable, Some("make the file and its folder writable for this user, then run again"))
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => (
            StepErrorKind::Unavailable,
            Some("check that the file exists and that this user may open it and its folder"),
        ),
        Some(ErrorCode::NotADatabase) => (
            StepErrorKind::Unavailable,
            Some("the file is encrypted or no SQLite database; decrypt it, or name the right file in `path`"),
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            StepErrorKind::Unavailable,
            Some(
                "the database is damaged; put back a good copy or repair it with `sqlite3 FILE .recover`, then run again",
            ),
        ),
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => (
            StepErrorKind::Storage,
            Some("make room on the database's file system, or mend it, then run the same command again"),
        ),
        Some(ErrorCode::OperationInterrupted) => {
            (StepErrorKind::Interrupted, Some("the same command runs it again; what never ends has to be mended first"))
        }
        _ => (StepErrorKind::Failed, None),
    };
    let said = if kind == StepErrorKind::Interrupted { "broken off on request".to_owned() } else { message(&error) };
    let built = StepError::new(kind, format!("{doing}: {said}"));
    match help {
        Some(help) => built.with_help(help),
        None => built,
    }
}

/// What SQLite said, without the statement that rusqlite repeats after it.
pub fn message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    }
}
