//! SQLite's values in receipts and cursors.

use rusqlite::types::Value as SqlValue;
use serde_json::{Value, json};

use crate::sql::sql_value;

/// A value as a receipt keeps it: blobs in hex, all else as JSON has it.
pub(crate) fn to_json(value: &SqlValue) -> Value {
    match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(i) => json!(i),
        SqlValue::Real(r) => json!(r),
        SqlValue::Text(t) => json!(t),
        SqlValue::Blob(b) => json!({ "blob": b.iter().map(|x| format!("{x:02x}")).collect::<String>() }),
    }
}

/// The value that a receipt kept.
pub(crate) fn from_json(value: &Value) -> SqlValue {
    match value.get("blob").and_then(Value::as_str) {
        Some(hex) => SqlValue::Blob(
            (0..hex.len() / 2).filter_map(|i| u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()).collect(),
        ),
        None => sql_value(value).unwrap_or(SqlValue::Null),
    }
}
