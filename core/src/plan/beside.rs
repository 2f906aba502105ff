//! A TOML file beside the plan that a step reads: the same reader, the same mistakes with places, as the plan has.

use super::diagnostic::Diagnostics;
use super::syntax;
use super::table::Table;
use crate::BuildError;

/// Reads `text`, which is the file that `field` of a `with` names. `read` takes out what it knows; what is left over is a
/// mistake. All mistakes are collected; the value is returned when there is none.
pub fn read_beside<'t, T>(
    field: &str,
    (file, what): (&str, &'static str),
    text: &'t str,
    read: impl FnOnce(&mut Table<'t>, &mut Diagnostics) -> Option<T>,
) -> Result<T, BuildError> {
    let mut diagnostics = Diagnostics::default();
    let value = syntax::parse(text, &mut diagnostics).and_then(|root| {
        let mut table = Table::of(root.into_inner(), 0..0, what);
        let value = read(&mut table, &mut diagnostics);
        table.finish(&mut diagnostics);
        value
    });
    match value {
        Some(value) if diagnostics.is_empty() => Ok(value),
        _ => {
            let mistakes = diagnostics.of_file(file, text);
            let said: Vec<&str> = mistakes.iter().map(|d| d.message.as_str()).collect();
            let message = format!("`{file}`: {}", said.join("; "));
            Err(BuildError { in_file: mistakes, ..BuildError::at(field, message) })
        }
    }
}
