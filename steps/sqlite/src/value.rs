//! Values between JSON (plans, receipts, cursors) and SQLite.

use rusqlite::types::Value as SqlValue;
use serde_json::{Value, json};

/// A JSON value as SQLite stores it: truth as 1 and 0, lists and tables as JSON text.
pub(crate) fn to_sql(value: &Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Bool(b) => SqlValue::Integer(i64::from(*b)),
        Value::Number(n) => match n.as_i64() {
            Some(whole) => SqlValue::Integer(whole),
            None => n.as_f64().map_or_else(|| SqlValue::Text(n.to_string()), SqlValue::Real),
        },
        Value::String(s) => SqlValue::Text(s.clone()),
        list_or_table => SqlValue::Text(list_or_table.to_string()),
    }
}

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
        None => to_sql(value),
    }
}
