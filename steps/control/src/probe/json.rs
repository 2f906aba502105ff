//! A number in a JSON text, by its pointer.

use cutover_core::{BuildError, StepError};
use serde_json::Value;

/// Refuses what is no JSON pointer.
pub(super) fn check_pointer(pointer: &str) -> Result<(), BuildError> {
    if pointer.is_empty() || pointer.starts_with('/') {
        return Ok(());
    }
    Err(BuildError::at("pointer", format!("`{pointer}` is no JSON pointer"))
        .with_help(format!("it begins with a slash: \"/{}\"", pointer.replace('.', "/"))))
}

/// The number at `pointer`; a text that is a number, and true and false as 1 and 0, count as one.
pub(super) fn figure_of(text: &str, pointer: &str) -> Result<f64, StepError> {
    let document: Value =
        serde_json::from_str(text).map_err(|e| StepError::failed("the answer is no JSON").caused_by(e))?;
    let Some(value) = document.pointer(pointer) else {
        return Err(StepError::failed(format!("the answer has nothing at `{pointer}`")));
    };
    let figure = match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(yes) => Some(f64::from(u8::from(*yes))),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    figure.ok_or_else(|| StepError::failed(format!("what the answer has at `{pointer}` is no number")))
}
